"""Test the C library against its specification in NumPy (`test/reference`), and the package's calls of it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray
from support.decoder_cases import (
    FLOATS,
    PUBLISHED_RAW,
    SPECS,
    Outputs,
    Quants,
    any_outputs,
    decoded,
    few_values,
    int8,
    likely_outputs,
    random_case,
    raw,
    same_size,
)
from support.fakes import make_spec
from support.native_library import build_shared

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import BoxMask, DrawnMasks
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.model_spec import MAX_CLASSES, ModelSpec
from yolov8_seg_ros.core.native import LIBRARY, MAX_CANDIDATES, Decoder, Native, native, paint
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import ModelError, NativeLibraryError
from yolov8_seg_ros.media.image_file import read_image

#: Interpolation in float32 decides otherwise about a logit that is so close to the threshold, if the largest one is 1.
UNDECIDED = 1e-6


def check_equal(
    spec: ModelSpec,
    outputs: Outputs,
    options: DetectionOptions,
    letterbox: Letterbox,
    max_candidates: int = MAX_CANDIDATES,
    decoder: Decoder | None = None,
) -> int:
    """Compare the library with the reference on one image; return the number of instances."""
    decoder = decoder or Decoder(spec, max_candidates)
    found, placements = decoder.place(decoder.decode(outputs, options), letterbox)
    detections = reference.decode(outputs, spec, options, max_candidates)
    expected, expected_placements = reference.place(detections, letterbox)
    assert found["anchor"].tolist() == expected.anchor.tolist()
    assert found["class_id"].tolist() == expected.class_id.tolist()
    np.testing.assert_array_max_ulp(found["score"], expected.score, 1)
    np.testing.assert_array_equal(found["xyxy_px"], expected.xyxy_px)
    masks = DrawnMasks(placements, decoder.draw_masks(placements, options.mask_threshold))
    for placed, mask, wanted, anchor in zip(
        placements, masks, expected_placements, expected.anchor.tolist(), strict=True
    ):
        np.testing.assert_array_equal(placed["xyxy_px"], wanted.xyxy_px)
        assert mask.origin_xy == wanted.origin_xy
        assert mask.bitmap.shape == wanted.size_wh[::-1]
        logits = reference.mask_logits(outputs, spec, anchor)
        check_bitmap(mask.bitmap, logits, wanted, letterbox, spec, options.mask_threshold)
    return len(expected)


def check_bitmap(
    bitmap: NDArray[np.bool_],
    logits: NDArray[np.float32],
    placement: reference.Placement,
    letterbox: Letterbox,
    spec: ModelSpec,
    mask_threshold: float,
) -> None:
    """Compare a mask with the reference, pixel by pixel, where float32 can decide about the logit."""
    if not np.isfinite(logits).all():
        # Next to infinity and NaN, float32 and float64 differ.
        return
    expected = reference.interpolated_logits(logits, placement, letterbox, spec)
    threshold = reference.logit(mask_threshold)
    is_decided = np.abs(expected - threshold) > UNDECIDED * max(1, np.abs(logits).max())
    np.testing.assert_array_equal(bitmap[is_decided], expected[is_decided] > threshold)


@dataclass(frozen=True)
class Row:
    """A model, options and an image."""

    spec: str
    options: dict[str, Any] = field(default_factory=dict)
    image_hw: tuple[int, int] = (48, 72)
    fit: str = "letterbox"
    is_empty: bool = False


ROWS = {
    "as-published": Row("raw-published", {}, (240, 320)),
    "low-threshold": Row("raw-published", {"score_threshold": 0.001, "max_instances": 300}, (64, 96)),
    "other-size": Row("raw-256x192", {"max_instances": 20}, (427, 639)),
    "few-instances": Row("raw-uint8-anchors-first", {"score_threshold": 0.01, "max_instances": 3}, (33, 217)),
    "all-of-a-box": Row("raw-uint8-anchors-first", {"score_threshold": 0.1, "mask_threshold": 0.0}),
    "nothing-of-a-box": Row("decoded-uint8-anchors-first", {"score_threshold": 0.1, "mask_threshold": 1.0}),
    "single-label": Row("raw-int8-channels-first", {"score_threshold": 0.1, "multi_label": False}, (217, 33)),
    "single-label-80": Row("raw-256x192", {"score_threshold": 0.01, "multi_label": False}, (150, 200)),
    "agnostic": Row("raw-each-level-its-own", {"score_threshold": 0.1, "agnostic_nms": True}, (50, 50)),
    "no-vote": Row("raw-float", {"score_threshold": 0.1, "vote_boxes": False, "mask_threshold": 0.5}),
    "some-classes": Row("raw-float-channels-first", {"score_threshold": 0.1, "classes": (3, 1)}, (100, 60), "stretch"),
    "no-class": Row("raw-published", {"classes": ()}, is_empty=True),
    "threshold-0": Row("raw-one-anchor-a-level", {"score_threshold": 0.0}, (1, 1)),
    "threshold-1": Row("raw-float", {"score_threshold": 1.0}, is_empty=True),
    "any-overlap": Row("raw-zero-points-at-the-ends", {"score_threshold": 0.2, "iou_threshold": 0.0}, (64, 96)),
    "no-overlap-is-too-much": Row("raw-integers-and-floats", {"iou_threshold": 1.0, "max_instances": 5}, (540, 960)),
    "decoded": Row("decoded-int8", {"score_threshold": 0.1}, (333, 500)),
    "decoded-single-label": Row(
        "decoded-uint8-anchors-first", {"score_threshold": 0.0, "multi_label": False}, (3, 400)
    ),
    "decoded-float": Row("decoded-float", {"score_threshold": 0.3, "agnostic_nms": True}, (400, 3)),
    "decoded-stretch": Row("decoded-one-class", {"score_threshold": 0.2}, (31, 90), "stretch"),
    "decoded-three-outputs": Row("decoded-three-outputs", {"iou_threshold": 0.45}, (1, 9)),
    "decoded-threshold-1": Row("decoded-three-outputs", {"score_threshold": 1.0}, is_empty=True),
}


@pytest.mark.parametrize("name", ROWS)
def test_equal_to_the_specification(name, rng):
    row = ROWS[name]
    spec, options = SPECS[row.spec](), DetectionOptions(**row.options)
    letterbox, decoder = Letterbox.fit(row.image_hw, spec.input_hw, row.fit), Decoder(spec)
    total = 0
    for make_outputs in (likely_outputs, few_values):
        total += check_equal(spec, make_outputs(spec, rng), options, letterbox, decoder=decoder)
    assert (total == 0) == row.is_empty


def test_the_rows_cover_all_models():
    assert {row.spec for row in ROWS.values()} == set(SPECS)


def test_equal_on_any_numbers(rng):
    """Scales from 1e-38 to 1e38, NaN and infinity among floats, and the cap on candidates are among these."""
    found = 0
    for _ in range(200):
        case = random_case(rng)
        found += check_equal(case.spec, case.outputs, case.options, case.letterbox, case.max_candidates)
    assert found > 500


@pytest.mark.parametrize(
    "name", ["raw-published", "raw-float", "raw-each-level-its-own", "decoded-int8", "decoded-float"]
)
@pytest.mark.parametrize("number", ["lowest", "highest", "zero", "nan", "infinity", "mixed"])
def test_extreme_outputs(name, number, rng):
    spec = SPECS[name]()
    outputs = tuple(extreme(tensor.shape, tensor.quant.dtype, number, rng) for tensor in spec.outputs)
    for options in (DetectionOptions(), DetectionOptions(score_threshold=0.0, multi_label=False)):
        check_equal(spec, outputs, options, same_size(spec))


def extreme(shape: tuple[int, ...], dtype: np.dtype[Any], number: str, rng: np.random.Generator) -> NDArray[Any]:
    if dtype.kind == "f":
        values = {"lowest": [-3e38], "highest": [3e38], "zero": [0.0, -0.0], "nan": [np.nan], "infinity": [np.inf]}
        values["mixed"] = [np.nan, np.inf, -np.inf, 3e38, 1e-45, -0.0, 1.0, 0.5]
    else:
        low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
        values = {"lowest": [low], "highest": [high], "mixed": [low, high]}
    return rng.choice(np.array(values.get(number, [0]), dtype), shape)


@pytest.mark.parametrize("name", ["raw-published", "decoded-float"])
@pytest.mark.parametrize("multi_label", [True, False], ids=["multi-label", "single-label"])
@pytest.mark.parametrize("max_candidates", [1, 7, 100])
def test_of_many_candidates_the_best_are_compared(name, multi_label, max_candidates, rng):
    spec = SPECS[name]()
    options = DetectionOptions(score_threshold=0.0, iou_threshold=1.0, max_instances=1000, multi_label=multi_label)
    for outputs in (likely_outputs(spec, rng), few_values(spec, rng)):
        count = check_equal(spec, outputs, options, same_size(spec), max_candidates)
        assert 1 <= count <= max_candidates


@pytest.mark.parametrize(
    ("raw_head", "options"),
    [
        pytest.param(True, {}, id="raw"),
        pytest.param(True, {"score_threshold": 0.001, "max_instances": 300}, id="raw-evaluation"),
        pytest.param(False, {"score_threshold": 0.001, "multi_label": False}, id="as-published"),
    ],
)
def test_equal_on_images(shared_model, coco_images, raw_head, options):
    found = 0
    with TfliteBackend(shared_model, raw_head=raw_head) as backend:
        assert backend.spec.is_raw == raw_head
        segmenter, decoder = Segmenter(backend), Decoder(backend.spec)
        frame = segmenter.new_frame()
        for path in coco_images[::13]:
            segmenter.preprocess(frame, ColorImage(read_image(path)))
            segmenter.infer(frame)
            detection = DetectionOptions(**options)
            found += check_equal(backend.spec, frame.outputs, detection, frame.letterbox, decoder=decoder)
    assert found > 0


# ------------------------------------------------------------------------------------------------ the package's calls


def test_results_stay_when_the_next_image_comes(rng):
    spec = SPECS["raw-published"]()
    decoder, options, letterbox = Decoder(spec), DetectionOptions(), same_size(spec)
    outputs = likely_outputs(spec, rng)
    decoder.place(decoder.decode(likely_outputs(spec, rng), options), letterbox)
    check_equal(spec, outputs, options, letterbox, decoder=decoder)
    _, placements = decoder.place(decoder.decode(outputs, options), letterbox)
    bitmaps = decoder.draw_masks(placements, 0.5)
    kept = bitmaps.copy()
    decoder.place(decoder.decode(any_outputs(spec, rng), options), letterbox)
    assert len(kept)
    np.testing.assert_array_equal(bitmaps, kept)


def test_options_and_sizes_change_between_images(rng):
    spec = SPECS["raw-int8-channels-first"]()
    decoder = Decoder(spec)
    for options, image_hw in (
        (DetectionOptions(max_instances=2), (48, 72)),
        (DetectionOptions(max_instances=300, score_threshold=0.0), (100, 130)),
        (DetectionOptions(classes=(1,)), (10, 10)),
        (DetectionOptions(), (480, 640)),
    ):
        letterbox = Letterbox.fit(image_hw, spec.input_hw)
        check_equal(spec, likely_outputs(spec, rng), options, letterbox, decoder=decoder)


def test_outputs_that_a_backend_writes_in_place(rng):
    """The same tuple may hold other numbers each time; it may also hold arrays that have to be copied each time."""
    spec = SPECS["raw-published"]()
    outputs = likely_outputs(spec, rng)
    scattered = tuple(np.asfortranarray(output) for output in outputs)
    decoder, options, letterbox = Decoder(spec), DetectionOptions(), same_size(spec)
    for _ in range(3):
        for output, target, copy in zip(likely_outputs(spec, rng), outputs, scattered, strict=True):
            target[:] = copy[:] = output
        assert check_equal(spec, outputs, options, letterbox, decoder=decoder) > 0
        assert check_equal(spec, scattered, options, letterbox, decoder=decoder) > 0


@pytest.mark.parametrize("name", ["raw-published", "decoded-int8"])
def test_outputs_in_any_memory_order(name, rng):
    spec = SPECS[name]()
    outputs = likely_outputs(spec, rng)
    scattered = tuple(np.asfortranarray(output) for output in outputs)
    assert not scattered[0].flags.c_contiguous
    assert check_equal(spec, scattered, DetectionOptions(), same_size(spec)) > 0


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda output: output[:, :-1], id="smaller"),
        pytest.param(lambda output: output.astype(np.int16), id="other-type"),
        pytest.param(lambda output: output[0], id="without-batch"),
    ],
)
def test_outputs_that_are_not_the_models(damage, rng):
    spec = make_spec(5, 11, (64, 96))
    head, prototypes = likely_outputs(spec, rng)
    with pytest.raises(ValueError, match=r"expected head  int8  1x20x126.*, got int"):
        Decoder(spec).decode((damage(head), prototypes), DetectionOptions())
    with pytest.raises(ValueError, match="zip"):
        Decoder(spec).decode((head,), DetectionOptions())


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(lambda: raw((32, 32), 2, 65, 4, "maps", PUBLISHED_RAW), id="bins"),
        pytest.param(lambda: decoded((32, 32), 2, 4097, True, FLOATS), id="coefficients"),
        pytest.param(lambda: raw((32, 32), 2, 16, 4, "maps", Quants(*[int8(1e-50, 0)] * 4)), id="scale"),
    ],
)
def test_a_model_beyond_the_limits(spec):
    with pytest.raises(ModelError, match=r"beyond the decoder's limits .*MAX_CLASSES 10000, MAX_BINS 64"):
        Decoder(spec())


def test_the_limit_of_classes_is_the_decoders():
    assert native().limits["SEG_MAX_CLASSES"] == MAX_CLASSES


def test_a_model_of_many_candidates_and_few_instances(rng):
    """All numbers that a decoder needs fit a model of ten thousand classes, too."""
    spec = raw((32, 32), 10000, 2, 1, "maps", PUBLISHED_RAW)
    assert check_equal(spec, likely_outputs(spec, rng), DetectionOptions(max_instances=5), same_size(spec)) == 5


# -------------------------------------------------------------------------------------------------------- the library


def test_it_is_installed_with_the_package(tmp_path):
    script = "from yolov8_seg_ros.core import native; print(native.LIBRARY); native.native()"
    # Not from here, where the sources would be found first.
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stdout.startswith(str(LIBRARY.parent))


def test_without_the_library(tmp_path):
    with pytest.raises(NativeLibraryError, match=r"libseg.so cannot be loaded: .*; build this package again, with a C"):
        Native(tmp_path / "libseg.so")


def test_a_library_that_is_none(tmp_path):
    path = tmp_path / "libseg.so"
    path.write_bytes(b"\x7fELF")
    with pytest.raises(NativeLibraryError, match=r"libseg.so cannot be loaded: .*\(apt install gcc python3-cffi\)"):
        Native(path)


def test_a_library_of_other_sources(tmp_path):
    source = tmp_path / "other.c"
    source.write_text("int other(void) { return 1; }")
    with pytest.raises(NativeLibraryError, match=r"other.so cannot be loaded: .*seg_"):
        Native(build_shared(tmp_path / "other.so", [source]))


# ----------------------------------------------------------------------------------------------------------- painting


def test_paint(rng):
    masks = [
        BoxMask((left, top), rng.random((height, width)) < 0.5)
        for left, top, height, width in [(0, 0, 30, 50), (49, 0, 30, 1), (10, 5, 1, 40), (3, 3, 20, 33), (7, 7, 0, 0)]
    ]
    masks.append(BoxMask((4, 6), np.asfortranarray(masks[0].bitmap)[:9, :9]))
    values = list(range(250, 250 + len(masks)))
    image = np.full((30, 50), 9, np.uint8)
    expected = image.copy()
    for mask, value in zip(masks, values, strict=True):
        expected[mask.region][mask.bitmap] = value
    paint(image, [(mask.bitmap, mask.origin_xy) for mask in masks], values)
    np.testing.assert_array_equal(image, expected)
    assert {9, 250, 251, 252, 253, 255} <= set(np.unique(image).tolist())


def test_paint_into_a_part_of_an_image():
    whole = np.zeros((10, 20), np.uint8)
    paint(whole[2:6, 4:12], [(np.ones((4, 8), np.bool_), (0, 0))], [7])
    expected = np.zeros((10, 20), np.uint8)
    expected[2:6, 4:12] = 7
    np.testing.assert_array_equal(whole, expected)


def test_drawn_masks_are_painted_as_separate_ones_with_the_first_on_top(rng):
    sizes = [(0, 0, 50, 30), (49, 0, 1, 30), (5, 10, 40, 1), (3, 3, 33, 20), (7, 7, 0, 0), (2, 4, 9, 9)]
    placements = np.zeros(len(sizes), native().placement)
    for placed, size in zip(placements, sizes, strict=True):
        placed["left_px"], placed["top_px"], placed["width_px"], placed["height_px"] = size
    drawn = DrawnMasks(placements, rng.random(sum(width * height for _, _, width, height in sizes)) < 0.5)
    values = np.arange(250, 256, dtype=np.uint8)
    image, expected = np.full((30, 50), 9, np.uint8), np.full((30, 50), 9, np.uint8)
    drawn.paint(image, values)
    for mask, value in zip(drawn[::-1], values[::-1], strict=True):
        expected[mask.region][mask.bitmap] = value
    np.testing.assert_array_equal(image, expected)
    assert {9, 250, 251, 252, 253, 255} <= set(np.unique(image).tolist())


@pytest.mark.parametrize("origin_xy", [(-1, 0), (0, -1), (3, 0), (0, 3)], ids=str)
def test_paint_beyond_the_image_is_refused(origin_xy):
    with pytest.raises(ValueError, match="leave the 4x4 image"):
        paint(np.zeros((4, 4), np.uint8), [(np.ones((2, 2), np.bool_), origin_xy)], [1])
