"""Test that the depth node names what is wrong in one clear line, and goes on."""

from __future__ import annotations

import signal

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_ros")

from builtin_interfaces.msg import Time as TimeMsg
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from support.depth_robot import (
    CAMERA,
    WORLD_FRAME,
    Robot,
    make_depth_node,
)
from support.depth_watcher import SCENE, shown
from support.ros_harness import DEADLINE_S, parameters, process

from yolov8_seg_ros.core import object_placing
from yolov8_seg_ros.core.object_boxes import measure_boxes
from yolov8_seg_ros.node.depth.depth_node import DepthNode
from yolov8_seg_ros.node.depth.frame_lookup import FrameError, FrameLookup

#: What is wrong, and the line that says so.
FAULTS = {
    "no CameraInfo": ({"info": False}, {}, DiagnosticStatus.ERROR, "no CameraInfo on /camera_info"),
    "K of zeros": ({"k": [0.0] * 9}, {}, DiagnosticStatus.ERROR, "/camera_info: K is all zeros"),
    "NaN depth": (
        {"depth_m": np.full(CAMERA.image_hw, np.nan, np.float32)},
        {},
        DiagnosticStatus.WARN,
        "2 of 2 objects without valid depth: person 1, ball 2",
    ),
    "size of the depth image": (
        {"depth_m": np.ones((120, 160), np.float32)},
        {},
        DiagnosticStatus.ERROR,
        "the depth image is 160x120, its CameraInfo says 320x240",
    ),
    "size of the masks": (
        {"labels": np.ones((100, 320), np.uint8)},
        {},
        DiagnosticStatus.ERROR,
        "the instances image is 320x100, its CameraInfo says 320x240",
    ),
    "an image for a depth": (
        {"encoding": "bgr8"},
        {},
        DiagnosticStatus.ERROR,
        "encoding 'bgr8' is no depth; expected one of 16UC1, mono16, 32FC1",
    ),
    "no transform": (
        {"tf": False},
        {"target_frame": "map"},
        DiagnosticStatus.ERROR,
        "no transform from 'camera_optical' to 'map'",
    ),
    "no depth in time": (
        {"depth_delay_ns": 60_000_000},
        {"max_depth_delay_s": 0.01},
        DiagnosticStatus.WARN,
        "1 frames without a depth image near enough: see max_depth_delay_s",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_clear_line(ros, watcher, fault):
    options, parameters, level, line = FAULTS[fault]
    robot = ros.add(Robot())
    make_depth_node(ros, **parameters)
    ros.until(robot.is_heard, "the topics to be matched")
    robot.show(SCENE, **options)
    ros.until(lambda: any(line in status.message for status in watcher.status), f"'{line}'")
    (status,) = (status for status in watcher.status if line in status.message)
    assert status.level == level
    assert "\n" not in status.message


def test_a_frame_that_fails_does_not_stop_the_next_one(ros, watcher, monkeypatch):
    def fail(*arguments):
        monkeypatch.setattr(object_placing, "measure_boxes", measure_boxes)
        raise OverflowError("nobody expects this")

    robot = ros.add(Robot())
    make_depth_node(ros)
    ros.until(robot.is_heard, "the topics to be matched")
    monkeypatch.setattr(object_placing, "measure_boxes", fail)
    robot.show(SCENE, index=0)
    ros.until(lambda: watcher.value("frames failed") == "1", "the count of frames that failed")
    stamp = robot.show(SCENE, index=1)
    ros.until(lambda: watcher.objects, "objects of the second image")
    assert watcher.objects[0].header.stamp == stamp.to_msg()


def test_a_negative_stamp_is_no_time_of_a_transform(ros):
    lookup = FrameLookup(ros.add(Node("reader")))
    with pytest.raises(FrameError, match="stamp is negative") as caught:
        lookup.transform("map", "camera", TimeMsg(sec=-5))
    assert not caught.value.may_come


def test_a_transform_that_is_too_old_is_not_used(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros, target_frame=WORLD_FRAME, max_wait_s=0.05)
    shown(ros, robot, watcher, node, index=0)
    robot.show(SCENE, index=4, tf=False)
    line = "the transform from 'camera_optical' to 'world' is too old: the newest is 0.40 s older than the image"
    ros.until(lambda: any(status.message == line for status in watcher.status), f"'{line}'")
    assert len(watcher.objects) == 1
    assert watcher.value("frames without transform") == "1"


def test_a_clock_that_jumps_back_begins_anew(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros, target_frame=WORLD_FRAME)
    shown(ros, robot, watcher, node, index=100)
    # What came before the jump was noticed is forgotten with the rest.
    robot.show(SCENE, index=0)
    ros.until(lambda: any("the clock has jumped back" in status.message for status in watcher.status), "the warning")
    shown(ros, robot, watcher, node, index=1)


def test_silence_is_reported(ros, watcher):
    make_depth_node(ros)
    ros.until(
        lambda: any(status.message == "no detections on /yolov8_seg/detections" for status in watcher.status),
        "the warning",
    )


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"boxes": "yaw"}, "boxes: yaw needs a target_frame"),
        ({"depth_extrinsics": "1 2 3"}, "expected 'x y z qx qy qz qw', got '1 2 3'"),
        ({"min_depth_m": 5.0, "max_depth_m": 1.0}, "min_depth_m 5.0 must be less than max_depth_m 1.0"),
        ({"stride": -1}, "stride: expected 0 to 16, got -1"),
        ({"segmentation": "my node"}, "segmentation: 'my node' cannot be the name of a node"),
    ],
    ids=["yaw", "extrinsics", "depths", "range", "name"],
)
def test_parameters_that_make_no_sense_are_refused(ros, watcher, parameters, line):
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    node = ros.add(DepthNode(parameter_overrides=overrides))
    assert node.trigger_configure() == TransitionCallbackReturn.FAILURE
    ros.until(lambda: any(line in status.message for status in watcher.status), f"'{line}'")


def test_it_runs_as_a_process_and_ends_quietly(ros, watcher):
    robot = ros.add(Robot())
    arguments = parameters(target_frame=WORLD_FRAME)
    with process("node.depth.depth_node", *arguments) as running:
        ros.until(robot.is_heard, "the topics to be matched")
        ros.until(lambda: watcher.count_publishers("depth_node/objects"), "the results to be matched")
        stamp = robot.show(SCENE)
        ros.until(lambda: watcher.objects, "objects")
        running.send_signal(signal.SIGINT)
        output, _ = running.communicate(timeout=DEADLINE_S)
    assert watcher.objects[0].header.stamp == stamp.to_msg()
    assert running.returncode == 0
    assert "Traceback" not in output


def test_it_refuses_wrong_parameters_as_a_process():
    with process("node.depth.depth_node", *parameters(boxes="yaw")) as running:
        output, _ = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 1
    assert "boxes: yaw needs a target_frame" in output
