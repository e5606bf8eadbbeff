"""Test whole exports, in the environment that has what they need (`make export-env`)."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.errors import ExportError

pytest.importorskip("litert_torch", reason="needs the environment of 'make export-env'")

from red_network import NUM_BINS, RedNetwork

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.model_files.class_names import read_metadata
from yolov8_seg_ros.tools.export.exporter import ExportOptions, export
from yolov8_seg_ros.tools.export.network import Network, check_outputs

HW = (192, 256)
#: Left, top, right and bottom of the red region, in an image of twice the network's size.
RED_XYXY = (96, 64, 224, 160)
#: Outputs of the exported file: name and shape.
OUTPUTS = [
    ("boxes_8", (1, 24, 32, 4 * NUM_BINS)),
    ("scores_8", (1, 24, 32, 1)),
    ("coefficients_8", (1, 24, 32, 1)),
    ("boxes_16", (1, 12, 16, 4 * NUM_BINS)),
    ("scores_16", (1, 12, 16, 1)),
    ("coefficients_16", (1, 12, 16, 1)),
    ("boxes_32", (1, 6, 8, 4 * NUM_BINS)),
    ("scores_32", (1, 6, 8, 1)),
    ("coefficients_32", (1, 6, 8, 1)),
    ("prototypes", (1, 48, 64, 1)),
]


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(1)
    scenes = [rng.integers(60, 120, (2 * HW[0], 2 * HW[1], 3)).astype(np.uint8) for _ in range(4)]
    left, top, right, bottom = RED_XYXY
    for scene in scenes:
        scene[top:bottom, left:right] = (0, 0, 255)
    return scenes


def network(**changes) -> Network:
    return Network(RedNetwork(**changes), ("red",), {"license": "MIT"})


@pytest.mark.parametrize("per_tensor", [False, True], ids=["per-channel", "per-tensor"])
@pytest.mark.parametrize("gain", [1.0, 40.0], ids=["small-coefficients", "large-coefficients"])
def test_an_export_finds_what_the_network_finds(tmp_path, images, per_tensor, gain):
    output = tmp_path / "red.tflite"

    agreement = export(network(gain=gain), images, output, ExportOptions(HW, per_tensor=per_tensor))

    assert agreement.found == 1.0
    with TfliteBackend(output) as backend:
        found = Segmenter(backend).segment(images[0])
    mask = np.any([found.full_mask(k) for k in range(len(found))], axis=0)
    expected = np.zeros_like(mask)
    expected[RED_XYXY[1] : RED_XYXY[3], RED_XYXY[0] : RED_XYXY[2]] = True
    assert (mask & expected).sum() / (mask | expected).sum() > 0.9
    assert list(tmp_path.iterdir()) == [output]


def test_the_file_has_a_raw_head_of_int8_outputs(tmp_path, images):
    export(network(), images, tmp_path / "red.tflite", ExportOptions(HW))
    with TfliteBackend(tmp_path / "red.tflite") as backend:
        spec = backend.spec
    assert [(output.name, output.shape) for output in spec.outputs] == OUTPUTS
    assert {tensor.quant.dtype.name for tensor in (spec.input, *spec.outputs)} == {"int8"}
    assert (spec.input_hw, spec.class_names) == (HW, ("red",))
    assert (spec.input.quant.scale, spec.input.quant.zero_point) == (pytest.approx(1 / 255), -128)


def test_the_file_has_metadata_and_is_reproducible(tmp_path, images):
    for name in ("a.tflite", "b.tflite"):
        export(network(), images, tmp_path / name, ExportOptions(HW))
    metadata = read_metadata(tmp_path / "a.tflite")
    assert metadata["names"] == {0: "red"}
    assert (metadata["imgsz"], metadata["stride"], metadata["task"]) == ([192, 256], 32, "segment")
    assert metadata["license"] == "MIT"
    assert (tmp_path / "a.tflite").read_bytes() == (tmp_path / "b.tflite").read_bytes()


def test_the_float_network_is_written_too(tmp_path, images):
    export(network(), images, tmp_path / "int8.tflite", ExportOptions(HW, float_output=tmp_path / "float.tflite"))
    with TfliteBackend(tmp_path / "float.tflite") as backend:
        assert [(output.name, output.shape) for output in backend.spec.outputs] == OUTPUTS
        assert {output.quant.dtype.name for output in backend.spec.outputs} == {"float32"}


def test_a_failed_export_keeps_the_old_files(tmp_path, images):
    output, float_output = tmp_path / "int8.tflite", tmp_path / "float.tflite"
    for file in (output, float_output):
        file.write_text("old")
    with pytest.raises(ExportError, match=r"int8 differs too much from float.*mean mask IoU 0.000"):
        export(network(outlier=1e4), images, output, ExportOptions(HW, float_output=float_output))
    assert [file.read_text() for file in (output, float_output)] == ["old", "old"]
    assert len(list(tmp_path.iterdir())) == 2


def test_images_without_objects_are_refused(tmp_path):
    with pytest.raises(ExportError, match=r"the float network finds nothing with a score of 0\.25 in 2 images"):
        export(network(), [np.zeros((*HW, 3), np.uint8)] * 2, tmp_path / "red.tflite", ExportOptions(HW))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("input_hw", [(256, 250), (160, 160), (672, 640)], ids=["odd", "small", "large"])
def test_sizes_outside_the_range_are_refused(input_hw):
    with pytest.raises(ExportError, match="expected multiples of 32 from 192 to 640"):
        ExportOptions(input_hw)


class OneLevel(RedNetwork):
    def forward(self, images):
        levels, prototypes = super().forward(images)
        return levels[:1], prototypes


class CoarsePrototypes(RedNetwork):
    def forward(self, images):
        levels, prototypes = super().forward(images)
        return levels, prototypes[..., ::2, ::2]


class OneBin(RedNetwork):
    def forward(self, images):
        levels, prototypes = super().forward(images)
        return [level._replace(boxes=level.boxes[:, :4]) for level in levels], prototypes


class Broken(RedNetwork):
    def forward(self, images):
        raise RuntimeError("no such layer")


@pytest.mark.parametrize(
    ("module", "class_names", "message"),
    [
        pytest.param(RedNetwork(), ("red", "blue"), r"for 2 classes.*scores_8 of \(1, 1, 24, 32\)", id="classes"),
        pytest.param(OneLevel(), ("red",), "fails on an image of 256x192 pixels", id="levels"),
        pytest.param(CoarsePrototypes(), ("red",), r"prototypes of \(1, 1, 24, 32\)", id="prototypes"),
        pytest.param(OneBin(), ("red",), r"boxes_8 of \(1, 4, 24, 32\), expected \(1, 8, 24, 32\)", id="bins"),
        pytest.param(Broken(), ("red",), "fails on an image of 256x192 pixels: no such layer", id="broken"),
    ],
)
def test_networks_of_other_outputs_are_refused(module, class_names, message):
    with pytest.raises(ExportError, match=message):
        check_outputs(Network(module, class_names), HW)
