"""Test a node that opens a camera of V4L2 itself: the camera is made of software, and may be unplugged."""

from __future__ import annotations

import sys

import pytest

pytest.importorskip("rclpy")

from support.ros_harness import parameters, process
from support.seg_camera import Camera
from vision_msgs.msg import Detection2DArray

from benchmarks.v4l2_camera import DEVICE, V4l2Camera, c_compiler, encoded
from yolov8_seg_ros.media.scene import SyntheticScene

pytestmark = [
    pytest.mark.skipif(c_compiler() is None, reason="needs a C compiler: apt install gcc"),
    pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux' own"),
]

HW = (48, 64)


def test_a_camera_that_is_unplugged_is_taken_up_when_it_is_back(ros, model, tmp_path):
    camera = V4l2Camera(tmp_path / "camera")
    camera.add_mode("YUYV", HW, encoded(SyntheticScene(HW).frame(0).image, "YUYV"))
    audience = ros.add(Camera())
    audience.listen(Detection2DArray, "detections")
    detections = audience.results["detections"]
    settings = parameters(model=model, device=DEVICE, device_width=HW[1], device_height=HW[0], frame_id="front")
    with process("node.seg_node", *settings, **camera.environment):
        ros.until(lambda: detections, "the detections")
        camera.unplug()
        ros.until(lambda: audience.health and DEVICE in audience.health.message, "the fault in the diagnostics")
        detections.clear()
        camera.plug_in()
        ros.until(lambda: detections, "detections after the camera was back")
        assert {message.header.frame_id for message in detections} == {"front"}
    assert sum(line.startswith("start") for line in camera.log()) == 2
