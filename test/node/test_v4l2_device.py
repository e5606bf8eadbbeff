"""Test a node that opens a camera of V4L2 itself: the camera is made of software, and may be unplugged."""

from __future__ import annotations

import sys
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import Image
from support.ros_harness import parameters, process
from support.seg_camera import Camera
from vision_msgs.msg import Detection2DArray

from benchmarks.v4l2_camera import DEVICE, SoftwareCamera, c_compiler, encoded
from yolov8_seg_ros.media.scene import SyntheticScene

pytestmark = [
    pytest.mark.skipif(c_compiler() is None, reason="needs a C compiler: apt install gcc"),
    pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux' own"),
]

HW = (48, 64)


@pytest.mark.parametrize(
    ("age_ms", "source"),
    [
        pytest.param(1500, "the driver's times of capture", id="late"),
        pytest.param(-3_600_000, "the times at which images are read", id="in the future"),
        pytest.param(3_600_000, "the times at which images are read", id="too old"),
    ],
)
def test_stamps_are_of_the_capture_where_the_driver_s_times_can_be_true(ros, model, tmp_path, age_ms, source):
    camera = SoftwareCamera(tmp_path / "camera", age_ms)
    camera.add_mode("YUYV", HW, encoded(SyntheticScene(HW).frame(0).image, "YUYV"))
    audience = ros.add(Camera())
    audience.listen(Detection2DArray, "detections")
    detections = audience.results["detections"]
    settings = parameters(model=model, device=DEVICE, device_width=HW[1], device_height=HW[0])
    started_s = time.time()
    with process("node.seg_node", *settings, **camera.environment) as running:
        ros.until(lambda: detections, "the detections")
        running.terminate()
        log = running.stdout.read()
    ages_s = [time.time() - message.header.stamp.sec - message.header.stamp.nanosec / 1e9 for message in detections]
    assert f"stamps of {DEVICE} are {source}" in log
    if age_ms == 1500:
        assert min(ages_s) >= 1.5
    else:
        assert 0 <= min(ages_s) <= max(ages_s) <= time.time() - started_s


def test_a_camera_that_is_unplugged_is_taken_up_when_it_is_back(ros, model, tmp_path):
    camera = SoftwareCamera(tmp_path / "camera")
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


def test_images_of_a_jpeg_camera_are_segmented_and_published(ros, model, tmp_path):
    camera = SoftwareCamera(tmp_path / "camera")
    bgr = SyntheticScene(HW).frame(0).image
    camera.add_mode("MJPG", HW, encoded(bgr, "MJPG"))
    audience = ros.add(Camera())
    for name, kind in {"detections": Detection2DArray, "image": Image}.items():
        audience.listen(kind, name)
    settings = parameters(model=model, device=DEVICE, device_width=HW[1], device_height=HW[0])
    with process("node.seg_node", *settings, **camera.environment):
        ros.until(lambda: all(audience.results.values()), "detections and images")
    published = audience.results["image"][-1]
    assert (published.encoding, published.height, published.width) == ("bgr8", *HW)
    assert np.abs(np.frombuffer(published.data, np.uint8).reshape(*HW, 3).astype(int) - bgr).mean() < 6


def test_damaged_jpegs_are_counted_and_the_camera_stays_open(ros, model, tmp_path):
    camera = SoftwareCamera(tmp_path / "camera")
    camera.add_mode("MJPG", HW, encoded(SyntheticScene(HW).frame(0).image, "MJPG")[:-200])
    audience = ros.add(Camera())
    audience.listen(Image, "image")
    settings = parameters(model=model, device=DEVICE, device_width=HW[1], device_height=HW[0])
    with process("node.seg_node", *settings, **camera.environment):
        ros.until(lambda: audience.health and "cut short" in audience.health.message, "the fault in the diagnostics")
    assert not audience.results["image"]
    assert sum(line.startswith("start") for line in camera.log()) == 1
