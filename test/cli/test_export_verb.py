"""Test the verb `export` up to where it needs the heavy packages."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.cli import export
from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.tools.export import environment


@pytest.fixture
def complete(monkeypatch):
    """Register stand-ins of the packages as installed."""
    monkeypatch.setattr(export, "require_packages", lambda *packages: None)


def test_absent_packages_are_reported_with_the_remedy(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(environment, "find_spec", lambda package: None)
    weights = tmp_path / "best.pt"
    weights.touch()

    assert main(["export", str(weights), "--data", "demo"]) == 1

    printed = capsys.readouterr().err
    assert "an export needs torch, litert_torch, ai_edge_quantizer" in printed
    assert "make export-env" in printed
    assert ".venv-export/bin/yolov8_seg export" in printed
    assert printed.count("\n") == 1


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize(
    ("weights", "data", "message"),
    [
        pytest.param("absent.pt", "images", "absent.pt': no such file; give a checkpoint", id="no-weights"),
        pytest.param("best.pt", "empty", "empty': no images to calibrate with", id="empty-folder"),
        pytest.param("best.pt", "absent", "absent': no such folder or data.yaml", id="no-folder"),
    ],
)
def test_missing_inputs_are_reported_in_one_line(tmp_path, capsys, weights, data, message):
    for folder in ("images", "empty"):
        (tmp_path / folder).mkdir()
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "best.pt").touch()
    before = sorted(tmp_path.rglob("*"))

    assert main(["export", str(tmp_path / weights), "--data", str(tmp_path / data)]) == 1

    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.usefixtures("complete")
@pytest.mark.parametrize("option", ["--output", "--float"])
def test_a_missing_output_folder_is_reported_before_the_work_begins(tmp_path, capsys, option):
    (tmp_path / "best.pt").touch()
    assert main(["export", str(tmp_path / "best.pt"), "--data", "demo", option, str(tmp_path / "no" / "x.tflite")]) == 1
    assert f"there is no folder '{tmp_path / 'no'}' to write to" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "input_hw"),
    [
        pytest.param("256", (256, 256), id="square"),
        pytest.param("320x256", (256, 320), id="width-first"),
    ],
)
def test_sizes(size, input_hw):
    assert export.size_hw(size) == input_hw


@pytest.mark.parametrize("size", ["", "big", "-256", "256x", "1x2x3"])
def test_invalid_sizes(size, capsys):
    with pytest.raises(SystemExit):
        main(["export", "best.pt", "--data", "demo", "--size", size])
    assert "expected a size such as 256 or 320x256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("input_hw", "per_tensor", "name"),
    [
        pytest.param((256, 256), False, "best_256_int8.tflite", id="plain"),
        pytest.param((192, 256), False, "best_256x192_int8.tflite", id="not-square"),
        pytest.param((320, 320), True, "best_320_int8_per_tensor.tflite", id="per-tensor"),
    ],
)
def test_default_output(input_hw, per_tensor, name):
    assert export.default_output(Path("runs/best.pt"), input_hw, per_tensor) == Path("runs") / name
