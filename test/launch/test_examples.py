"""Run the example launch files and the example node for real."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from launch.actions import ExecuteProcess
from support.launch_run import LAUNCH_FILE, LaunchRun, included, needs_installed_package
from support.ros_harness import DOMAIN_ID
from support.tiny_models import write_segmentation_model

pytestmark = needs_installed_package
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN_ID))


def test_two_cameras_are_segmented():
    run = LaunchRun(
        [included(EXAMPLES / "two_cameras.launch.py", {"source": "demo"})],
        lambda run: all(f"listening to /{camera}/image_raw" in run.output for camera in ("front", "rear")),
    )
    assert sorted(process.name for process in run.started) == ["image_source"] * 2 + ["seg_node"] * 2
    assert (run.ended_before_stop, run.return_code) == ([], 0)


def test_the_lifecycle_node_is_configured_and_activated(tmp_path):
    model = write_segmentation_model(tmp_path / "tiny.tflite")
    run = LaunchRun(
        [included(EXAMPLES / "lifecycle.launch.py", {"model": model, "image_topic": "/cam/image"})],
        lambda run: "listening to /cam/image" in run.output,
    )
    (node,) = run.started
    assert node.parameters["autostart"] is False
    assert (run.ended_before_stop, run.return_code) == ([], 0)


@pytest.mark.skipif(find_spec("message_filters") is None, reason="message_filters is not installed")
def test_the_consumer_joins_detections_and_masks():
    consumer = ExecuteProcess(cmd=[sys.executable, str(EXAMPLES / "consumer.py")], output="both")
    run = LaunchRun(
        [included(LAUNCH_FILE, {"source": "demo"}), consumer],
        lambda run: run.output.count(" px") >= 3,
    )
    shown = [line for line in run.output.splitlines() if line.endswith(" px")]
    assert all(int(line.split()[-2]) > 0 for line in shown)
    assert set(run.exit_codes.values()) == {0}
