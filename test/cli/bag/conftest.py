"""Make what the tests of the verb `bag` share."""

from __future__ import annotations

import pytest
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.cli.main import main


@pytest.fixture
def model(tmp_path):
    """Return the path of a tiny model of two classes."""
    return str(write_segmentation_model(tmp_path / "tiny.tflite", names=["cat", "mouse"]))


@pytest.fixture
def output(tmp_path):
    """Return the path of the new recording, in a folder that is not there yet."""
    return tmp_path / "out" / "drive_segmented"


@pytest.fixture
def run(model, output):
    """Return a function that runs the verb, and returns its exit code."""

    def run(recording, *arguments, output=output, model=model):
        return main(["bag", str(recording), "--output", str(output), "--model", model, *map(str, arguments)])

    return run
