"""Test the compiled library against what it stands for: the same in NumPy and OpenCV."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from fakes import make_spec
from native_library import SOURCES, build_postprocess, build_shared, compiler

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core import library as library_module
from yolov8_seg_ros.core.box_mask import BoxMask
from yolov8_seg_ros.core.compiled import CompiledPostprocess
from yolov8_seg_ros.core.head import HeadOptions
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.library import NotBuiltError, open_library
from yolov8_seg_ros.core.model_spec import ModelSpec, TensorSpec
from yolov8_seg_ros.core.painting import paint
from yolov8_seg_ros.core.postprocess import NumpyPostprocess, choose_postprocess
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.image_file import decode_image

#: Not a ratio that boxes in coarse steps have by chance: at such a one, either answer is right.
IOU_THRESHOLD = 0.693147
NETWORK_INPUT = TensorSpec("images", (1, 64, 96, 3), QuantParams(np.dtype("int8"), 1 / 255, -128))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """Build the library with all warnings as errors."""
    return open_library(build_postprocess(tmp_path_factory.mktemp("native")))


def one_output(quant: QuantParams, channels_first: bool) -> ModelSpec:
    return make_spec(5, 11, (64, 96), quant, channels_first)


def three_outputs() -> ModelSpec:
    """Give a spec whose parts of the head are outputs apart, stored in different ways."""
    anchors = 8 * 12 + 4 * 6 + 2 * 3
    outputs = [
        TensorSpec("prototypes", (1, 16, 24, 8), QuantParams(np.dtype("uint8"), 0.021, 117)),
        TensorSpec("scores", (1, anchors, 5), QuantParams(np.dtype("uint8"), 1 / 256, 0)),
        TensorSpec("boxes", (1, 4, anchors), QuantParams(np.dtype("int8"), 0.0041, -120)),
        TensorSpec("coefficients", (1, 8, anchors), QuantParams(np.dtype("int8"), 0.017, 9)),
    ]
    return ModelSpec.from_tensors([NETWORK_INPUT], outputs)


SPECS = {
    "int8": lambda: one_output(QuantParams(np.dtype("int8"), 0.0043, -101), True),
    "uint8": lambda: one_output(QuantParams(np.dtype("uint8"), 0.0043, 27), True),
    "anchors-first": lambda: one_output(QuantParams(np.dtype("int8"), 0.0043, -101), False),
    "three-outputs": three_outputs,
}
HEADS = {
    "defaults": {},
    "low": {"score_threshold": 0.05, "max_instances": 300},
    "few": {"score_threshold": 0.05, "max_instances": 3},
    "one-label": {"score_threshold": 0.1, "multi_label": False},
    "agnostic": {"score_threshold": 0.1, "agnostic_nms": True},
    "no-vote": {"score_threshold": 0.1, "vote_boxes": False},
    "some-classes": {"score_threshold": 0.1, "classes": (3, 1)},
    "no-class": {"classes": ()},
    "all": {"score_threshold": 0.0, "max_instances": 40},
    "impossible": {"score_threshold": 1.0},
}


def random_outputs(spec: ModelSpec, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Give random bytes, but few high scores and prototypes that change slowly, as networks have them."""
    outputs = []
    for tensor in spec.outputs:
        limits = np.iinfo(tensor.quant.dtype)
        outputs.append(rng.integers(limits.min, limits.max, tensor.shape, tensor.quant.dtype, endpoint=True))
    scores = spec.scores.view(outputs)
    low = spec.scores.quant.quantize(rng.uniform(0, 0.04, scores.shape))
    scores[...] = np.where(rng.random(scores.shape) < 0.1, scores, low)
    plane = outputs[spec.prototypes_index]
    plane[...] = np.repeat(np.repeat(plane[:, ::4, ::4], 4, axis=1), 4, axis=2)
    return tuple(outputs)


def check_equal(found: Instances, expected: Instances, score_rtol: float = 1e-5, box_atol_px: float = 1e-3) -> None:
    assert found.class_id.tolist() == expected.class_id.tolist()
    np.testing.assert_allclose(found.score, expected.score, rtol=score_rtol)
    np.testing.assert_allclose(found.xyxy, expected.xyxy, rtol=1e-5, atol=box_atol_px)
    if expected.masks is None:
        assert found.masks is None
        return
    for ours, theirs in zip(found.iter_masks(), expected.iter_masks(), strict=True):
        assert ours.origin_xy == theirs.origin_xy
        assert ours.bitmap.shape == theirs.bitmap.shape
        # A logit next to 0 may be rounded either way.
        assert np.count_nonzero(ours.bitmap != theirs.bitmap) <= 1e-3 * ours.bitmap.size + 1


@pytest.mark.parametrize("spec_name", SPECS)
@pytest.mark.parametrize("head_name", HEADS)
def test_equal_to_numpy(library, spec_name, head_name, rng):
    spec = SPECS[spec_name]()
    head = HeadOptions(iou_threshold=IOU_THRESHOLD, **HEADS[head_name])
    total = 0
    for (refine_boxes, rescore), image_hw in product(
        [(True, True), (False, False)], [(48, 72), (480, 640), (33, 217), (3, 400), (1, 1)]
    ):
        compiled = CompiledPostprocess(library, spec, refine_boxes, rescore)
        numpy = NumpyPostprocess(spec, refine_boxes, rescore)
        letterbox = Letterbox.fit(image_hw, spec.input_hw)
        for masks in (True, False):
            outputs = random_outputs(spec, rng)
            expected = numpy(outputs, letterbox, head, masks)
            check_equal(compiled(outputs, letterbox, head, masks), expected)
            total += len(expected)
    assert bool(total) == (head_name not in ("no-class", "impossible"))


# Of hundreds of poor instances, some have scores so close that a single cell decides which one comes first.
@pytest.mark.parametrize(("score_threshold", "rescore"), [(0.25, True), (0.001, False)])
def test_equal_to_numpy_on_pictures(library, shared_model, coco_pictures, score_threshold, rescore):
    head = HeadOptions(score_threshold=score_threshold, iou_threshold=IOU_THRESHOLD)
    with TfliteBackend(shared_model) as backend:
        segmenter = Segmenter(backend)
        compiled = CompiledPostprocess(library, backend.spec, True, rescore)
        numpy = NumpyPostprocess(backend.spec, True, rescore)
        for path in coco_pictures[::4]:
            prepared = segmenter.prepare(ColorImage(decode_image(path.read_bytes())))
            outputs = segmenter.infer(prepared)
            found, expected = (run(outputs, prepared.letterbox, head) for run in (compiled, numpy))
            # A cell may have a logit of exactly 0, or lie at the very edge of what is looked at.
            check_equal(found, expected, score_rtol=0.01, box_atol_px=0.05)


def test_memory_grows_with_the_image(library, rng):
    spec = make_spec(4, 8, (320, 320), QuantParams(np.dtype("int8"), 0.0043, -101))
    head = HeadOptions(score_threshold=0.0, iou_threshold=IOU_THRESHOLD, max_instances=200)
    outputs, letterbox = random_outputs(spec, rng), Letterbox.fit((480, 640), (320, 320))
    compiled = CompiledPostprocess(library, spec, True, True)
    expected = NumpyPostprocess(spec, True, True)(outputs, letterbox, head)
    assert len(expected) > 100
    for _ in range(2):
        check_equal(compiled(outputs, letterbox, head), expected)


def test_results_stay_when_the_next_image_comes(library, rng):
    spec, letterbox = SPECS["int8"](), Letterbox.fit((48, 72), (64, 96))
    compiled, head = CompiledPostprocess(library, spec, True, True), HeadOptions(score_threshold=0.1)
    first = random_outputs(spec, rng)
    found = compiled(first, letterbox, head)
    compiled(random_outputs(spec, rng), letterbox, head)
    check_equal(found, compiled(first, letterbox, head))


def test_outputs_in_any_memory_order(library, rng):
    spec, letterbox = SPECS["int8"](), Letterbox.fit((48, 72), (64, 96))
    compiled, head = CompiledPostprocess(library, spec, True, True), HeadOptions(score_threshold=0.1)
    outputs = random_outputs(spec, rng)
    scattered = tuple(np.asfortranarray(output) for output in outputs)
    assert not scattered[0].flags.c_contiguous
    check_equal(compiled(scattered, letterbox, head), compiled(outputs, letterbox, head))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda output: output[:, :-1], id="smaller"),
        pytest.param(lambda output: output.astype(np.int16), id="other-type"),
    ],
)
def test_outputs_that_are_not_the_models(library, rng, damage):
    spec = SPECS["int8"]()
    head_output, prototypes = random_outputs(spec, rng)
    compiled = CompiledPostprocess(library, spec, True, True)
    with pytest.raises(ValueError, match=r"expected head  int8  1x20x126.*, got int"):
        compiled((damage(head_output), prototypes), Letterbox.fit((48, 72), (64, 96)), HeadOptions())


def test_it_is_installed_with_the_package(tmp_path):
    script = "from yolov8_seg_ros.core import library; print(library.LIBRARY); library.open_library()"
    # Not from here, where the sources would be found first.
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.startswith(str(SOURCES))


def test_it_is_chosen(library, monkeypatch):
    monkeypatch.setattr("yolov8_seg_ros.core.postprocess.open_library", lambda: library)
    postprocess, said = choose_postprocess(SPECS["int8"](), True, True)
    assert isinstance(postprocess, CompiledPostprocess)
    assert said == "compiled"


def test_a_float_model_is_left_to_numpy():
    postprocess, said = choose_postprocess(make_spec(quant=QuantParams(np.dtype("float32"))), True, True)
    assert isinstance(postprocess, NumpyPostprocess)
    assert said == "NumPy, since the model's outputs are not all of 8 bits"


def test_without_the_library(monkeypatch, tmp_path):
    monkeypatch.setattr(library_module.open_library, "__defaults__", (tmp_path / "libpostprocess.so",))
    postprocess, said = choose_postprocess(make_spec(), True, True)
    assert isinstance(postprocess, NumpyPostprocess)
    assert "slower" in said
    assert said.endswith("it was not built: install a C compiler and this package anew")


def test_a_library_that_is_none(tmp_path):
    path = tmp_path / "libpostprocess.so"
    path.write_bytes(b"\x7fELF")
    with pytest.raises(NotBuiltError, match=r"libpostprocess.so cannot be loaded: .*; install this package anew"):
        open_library(path)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("long long seg_layout(void) { return 1; }", "built from other sources", id="other-layout"),
        pytest.param("int other(void) { return 1; }", "cannot be loaded", id="other-library"),
    ],
)
def test_a_library_of_other_sources(tmp_path, source, message):
    (tmp_path / "other.c").write_text(source)
    path = build_shared(tmp_path / "libpostprocess.so", [tmp_path / "other.c"])
    with pytest.raises(NotBuiltError, match=message):
        open_library(path)


def test_paint_is_equal_with_and_without_the_library(library, rng, monkeypatch):
    masks = [
        BoxMask((left, top), rng.random((height, width)) < 0.5)
        for left, top, height, width in [(0, 0, 30, 50), (49, 0, 30, 1), (10, 5, 1, 40), (3, 3, 20, 33), (7, 7, 0, 0)]
    ]
    masks.append(BoxMask((4, 6), np.asfortranarray(masks[0].bitmap)[:9, :9]))
    images = []
    for installed in (library, None):
        monkeypatch.setattr("yolov8_seg_ros.core.painting.installed_library", lambda installed=installed: installed)
        for chosen in (masks, masks[:5]):
            image = np.full((30, 50), 9, np.uint8)
            paint(image, chosen, range(250, 250 + len(chosen)))
            images.append(image)
    np.testing.assert_array_equal(images[0], images[2])
    np.testing.assert_array_equal(images[1], images[3])
    assert (images[0] == 9).any()
    assert (images[0] == 253).any()


def test_no_byte_beyond_its_memory(tmp_path):
    """Run random outputs through a library that checks each access, in a process of its own."""
    runtime = subprocess.run([compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    sanitizer = Path(runtime.stdout.strip())
    if not sanitizer.is_absolute():
        pytest.skip("this compiler brings no address sanitizer")
    path = build_postprocess(tmp_path, "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined", "-g")
    environment = dict(
        os.environ,
        LD_PRELOAD=str(sanitizer),
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
        PYTHONPATH=os.pathsep.join([str(SOURCES.parents[1]), str(Path(__file__).parents[1])]),
    )
    script = Path(__file__).parent / "random_outputs.py"
    done = subprocess.run([sys.executable, script, path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "600 images" in done.stdout
