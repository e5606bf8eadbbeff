"""Test reading of Ultralytics checkpoints, in the environment that has Ultralytics (`make export-env`)."""

from __future__ import annotations

import os

import pytest

from yolov8_seg_ros.errors import ExportError

torch = pytest.importorskip("torch", reason="needs the environment of 'make export-env'")
os.environ["YOLO_AUTOINSTALL"] = "False"
tasks = pytest.importorskip("ultralytics.nn.tasks", reason="needs the environment of 'make export-env'")

from training.losses import decode_boxes, join_levels, make_anchors  # noqa: E402
from yolov8_seg_ros.tools.export.checkpoint import load_checkpoint  # noqa: E402
from yolov8_seg_ros.tools.export.network import check_outputs  # noqa: E402

NAMES = {0: "fish", 1: "redfish", 2: "weed"}


def write_checkpoint(path, architecture, model_class):
    torch.manual_seed(0)
    model = model_class(architecture, nc=len(NAMES), verbose=False)
    model.names = NAMES
    torch.save({"model": model, "ema": None, "train_args": {}}, path)
    return model.float().eval()


@pytest.mark.parametrize(
    ("architecture", "input_hw"),
    [
        pytest.param("yolov8n-seg.yaml", (192, 192), id="yolov8-192"),
        pytest.param("yolov8n-seg.yaml", (256, 320), id="yolov8-320x256"),
        pytest.param("yolo11n-seg.yaml", (192, 256), id="yolo11-256x192"),
    ],
)
def test_outputs_are_the_raw_ones_of_ultralytics(tmp_path, architecture, input_hw):
    path = tmp_path / "best.pt"
    reference = write_checkpoint(path, architecture, tasks.SegmentationModel)
    images = torch.rand(1, 3, *input_hw)

    network = load_checkpoint(path)

    check_outputs(network, input_hw)
    with torch.inference_mode():
        levels, prototypes = network.module(images)
        (head, expected_prototypes), _ = reference(images)
    predictions = join_levels(levels, prototypes)
    size = torch.tensor([*reversed(input_hw)] * 2)
    xyxy = decode_boxes(predictions.boxes, make_anchors(input_hw)) * size
    centres, sizes = head[:, :2].transpose(1, 2), head[:, 2:4].transpose(1, 2)
    expected_xyxy = torch.cat([centres - sizes / 2, centres + sizes / 2], 2)
    torch.testing.assert_close(xyxy, expected_xyxy, rtol=1e-4, atol=1e-2)
    torch.testing.assert_close(predictions.scores.sigmoid(), head[:, 4:7], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(predictions.coefficients, head[:, 7:], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(prototypes, expected_prototypes, rtol=1e-3, atol=1e-4)
    assert network.class_names == ("fish", "redfish", "weed")
    assert network.metadata["license"] == "AGPL-3.0"


def test_a_detection_model_is_refused(tmp_path):
    write_checkpoint(tmp_path / "best.pt", "yolov8n.yaml", tasks.DetectionModel)
    with pytest.raises(ExportError, match="this is a network for 'detect', expected 'segment'") as error:
        load_checkpoint(tmp_path / "best.pt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"", id="empty"),
        pytest.param(lambda data: data[: len(data) // 2], id="cut-short"),
        pytest.param(lambda data: b"\0" * 1000, id="zeros"),
        pytest.param(lambda data: b"not a checkpoint", id="text"),
        pytest.param(lambda data: b"PK\3\4" + data[5000:], id="beheaded"),
    ],
)
def test_a_damaged_checkpoint_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "best.pt"
    write_checkpoint(path, "yolov8n-seg.yaml", tasks.SegmentationModel)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ExportError, match="Ultralytics cannot read this checkpoint") as error:
        load_checkpoint(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [{"model": None}, {}, {"model": {"weights": 1}}], ids=["none", "empty", "weights"])
def test_a_checkpoint_without_a_network_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "best.pt")
    with pytest.raises(ExportError, match=r"best\.pt"):
        load_checkpoint(tmp_path / "best.pt")
