"""Include the launch file in a robot's, for real: what one node does is nothing to the rest of the robot."""

from __future__ import annotations

import signal
import textwrap
from pathlib import Path

import pytest
from support.launch_run import LAUNCH_FILE, LaunchRun, included, needs_installed_package
from support.ros_harness import DOMAIN_ID

from yolov8_seg_ros.model_files.store import SCENE_MODEL

pytestmark = needs_installed_package
BRINGUP = """
    from launch import LaunchDescription
    from launch.actions import ExecuteProcess, GroupAction, IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource


    def generate_launch_description():
        return LaunchDescription(
            [
                ExecuteProcess(cmd=["sh", "-c", "while sleep 0.1; do echo turning; done"], output="both"),
                GroupAction([segmentation({"namespace": "front", "source": "demo"})]),
                GroupAction([segmentation({"namespace": "rear", **REAR})]),
            ]
        )


    def segmentation(arguments):
        source = PythonLaunchDescriptionSource(LAUNCH_FILE)
        return IncludeLaunchDescription(source, launch_arguments=arguments.items())
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN_ID))


def bringup(folder: Path, rear: dict[str, str]) -> Path:
    """Write a robot's launch file: a motor, a camera at the front and one at the rear."""
    path = folder / "bringup.launch.py"
    path.write_text(f"LAUNCH_FILE = {str(LAUNCH_FILE)!r}\nREAR = {rear!r}\n" + textwrap.dedent(BRINGUP))
    return path


def test_a_node_that_fails_leaves_the_robot_running(tmp_path):
    path = bringup(tmp_path, {"model": "/no/such.tflite"})
    turns_at_failure: list[int] = []

    def runs_on(run: LaunchRun) -> bool:
        turns = run.output.count("turning")
        if run.ended and not turns_at_failure:
            turns_at_failure.append(turns)
        return bool(turns_at_failure) and turns >= turns_at_failure[0] + 3 and "listening to /front/image" in run.output

    run = LaunchRun([included(path, {})], runs_on)
    assert [(name, exit_code) for name, _, exit_code in run.ended_before_stop] == [("seg_node", 1)]
    assert sorted(exit_code for name, _, exit_code in run.ended if name != "sh") == [0, 0, 1]
    assert run.return_code == 0


def test_arguments_of_one_include_are_unknown_to_the_other(tmp_path):
    run = LaunchRun([included(bringup(tmp_path, {"autostart": "false"}), {})], lambda run: len(run.started) == 4)
    # The front's source:=demo brings an image source and the scene's model; the rear has neither.
    assert sorted(process.name for process in run.started) == ["image_source", "seg_node", "seg_node", "sh"]
    nodes = {tuple(process.values_of("-r")): process for process in run.started if process.name == "seg_node"}
    front, rear = (nodes["__node:=yolov8_seg", f"__ns:=/{name}", "image:=image"] for name in ("front", "rear"))
    assert (front.parameters["model"], front.parameters["autostart"]) == (SCENE_MODEL, True)
    assert (rear.parameters["model"], rear.parameters["autostart"]) == ("yolov8n_256", False)


def test_a_node_that_is_required_ends_the_robot(tmp_path):
    run = LaunchRun([included(bringup(tmp_path, {"model": "/no/such.tflite", "required": "true"}), {})])
    assert run.return_code == 1
    # A shell in the background ignores the first of them.
    assert run.exit_codes["sh"] in (-signal.SIGINT, -signal.SIGTERM)
