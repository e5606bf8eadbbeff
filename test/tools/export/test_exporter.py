"""Test whole exports, in the environment that has what they need (`make export-env`)."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.errors import ExportError

pytest.importorskip("litert_torch", reason="needs the environment of 'make export-env'")

from red_network import RedNetwork

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.model_files.class_names import read_metadata
from yolov8_seg_ros.tools.export.exporter import ExportOptions, export
from yolov8_seg_ros.tools.export.network import Network, SeenRanges, check_parts

HW = (192, 256)
#: Left, top, right and bottom of what is red, in a picture of twice the network's size.
RED_XYXY = (96, 64, 224, 160)


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(1)
    scenes = [rng.integers(60, 120, (2 * HW[0], 2 * HW[1], 3)).astype(np.uint8) for _ in range(4)]
    left, top, right, bottom = RED_XYXY
    for scene in scenes:
        scene[top:bottom, left:right] = (0, 0, 255)
    return scenes


def network(**changes) -> Network:
    return Network(RedNetwork(**changes), ("red",), {"license": "MIT"})


@pytest.mark.parametrize(
    "variant",
    [
        pytest.param({}, id="joint"),
        pytest.param({"split_head": True}, id="split-head"),
        pytest.param({"per_tensor": True}, id="per-tensor"),
    ],
)
@pytest.mark.parametrize("gain", [1.0, 40.0], ids=["small-coefficients", "large-coefficients"])
def test_an_export_does_what_the_network_does(tmp_path, pictures, variant, gain):
    output = tmp_path / "red.tflite"

    agreement = export(network(gain=gain), pictures, output, ExportOptions(HW, **variant))

    assert agreement.found == 1.0
    with TfliteBackend(output) as backend:
        spec = backend.spec
        segmenter = Segmenter(backend)
        found = segmenter.segment(pictures[0])
        outputs = segmenter.infer(segmenter.prepare(ColorImage(pictures[0])))
    tensors = [spec.input, *spec.outputs]
    assert {tensor.quant.dtype.name for tensor in tensors} == {"int8"}
    assert (spec.input_hw, spec.class_names) == (HW, ("red",))
    assert len(spec.outputs) == (4 if "split_head" in variant else 2)
    assert (spec.input.quant.scale, spec.input.quant.zero_point) == (pytest.approx(1 / 255), -128)
    assert spec.boxes.quant.scale <= 1.5 / 255 + 1e-6
    scores = spec.scores.quant.dequantize(spec.scores.view(outputs))
    assert (scores == 0).mean() > 0.8, "where nothing is seen"
    mask = np.any([found.full_mask(k) for k in range(len(found))], axis=0)
    expected = np.zeros_like(mask)
    expected[RED_XYXY[1] : RED_XYXY[3], RED_XYXY[0] : RED_XYXY[2]] = True
    assert (mask & expected).sum() / (mask | expected).sum() > 0.9
    assert list(tmp_path.iterdir()) == [output]


def test_the_file_tells_its_origin_and_is_the_same_each_time(tmp_path, pictures):
    for name in ("a.tflite", "b.tflite"):
        export(network(), pictures, tmp_path / name, ExportOptions(HW))
    metadata = read_metadata(tmp_path / "a.tflite")
    assert metadata["names"] == {0: "red"}
    assert (metadata["imgsz"], metadata["stride"], metadata["task"]) == ([192, 256], 32, "segment")
    assert metadata["license"] == "MIT"
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_a_collapsed_export_is_refused_and_leaves_the_old_file(tmp_path, pictures):
    output = tmp_path / "red.tflite"
    output.write_text("old")
    with pytest.raises(ExportError, match=r"the export is not good.*mean mask IoU 0.000"):
        export(network(outlier=1e4), pictures, output, ExportOptions(HW))
    assert output.read_text() == "old"
    assert list(tmp_path.iterdir()) == [output]


def test_pictures_that_show_nothing_are_told_before_the_work_begins(tmp_path):
    with pytest.raises(ExportError, match=r"finds nothing with a score of 0\.05 in 2 pictures"):
        export(network(), [np.zeros((*HW, 3), np.uint8)] * 2, tmp_path / "red.tflite", ExportOptions(HW))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("input_hw", [(256, 250), (160, 160), (672, 640)], ids=["odd", "small", "large"])
def test_sizes_that_do_not_fit(input_hw):
    with pytest.raises(ExportError, match="expected multiples of 32 from 192 to 640"):
        ExportOptions(input_hw)


def test_a_network_of_other_outputs_is_refused():
    with pytest.raises(ExportError, match="for 2 classes"):
        check_parts(Network(RedNetwork(), ("red", "blue")), HW)


def test_a_network_that_fails_is_refused():
    class Broken(RedNetwork):
        def forward(self, images):
            raise RuntimeError("no such layer")

    with pytest.raises(ExportError, match="fails on a picture of 256x192: no such layer"):
        check_parts(Network(Broken(), ("red",)), HW)


@pytest.mark.parametrize(
    ("low", "high", "gain"),
    [
        pytest.param(0.0, 0.9, 1.0, id="already-fit"),
        pytest.param(-1.0, 0.5, 2.0, id="signed"),
        pytest.param(-12.3, 24.6, 49.2, id="large"),
        pytest.param(0.0, 24.6, 49.2, id="positive"),
    ],
)
def test_gain(low, high, gain):
    assert SeenRanges((low, high)).gain == pytest.approx(gain)
