"""Test capture without the middleware: files as devices, faults, calibration, and what is published."""

from __future__ import annotations

import itertools
import shutil
import time

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.clock import ROSClock
from rclpy.clock_type import ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.node import Node
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, Image
from support.seg_camera import FAILURE, Camera, activate, make_node
from vision_msgs.msg import Detection2DArray

from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.media.frames import Media, MediaFrame
from yolov8_seg_ros.node import device_input
from yolov8_seg_ros.node.device_input import CaptureClock, DeviceInput, read_calibration

HW = (48, 64)
FRAMES = 4
CALIBRATION = """\
image_width: 64
image_height: 48
camera_name: front
camera_matrix: {rows: 3, cols: 3, data: [60, 0, 32, 0, 60, 24, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {rows: 1, cols: 5, data: [0.1, -0.2, 0, 0, 0]}
rectification_matrix: {rows: 3, cols: 3, data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {rows: 3, cols: 4, data: [61, 0, 32, 0, 0, 61, 24, 0, 0, 0, 1, 0]}
"""


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "drive.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, HW[::-1])
    for index in range(FRAMES):
        writer.write(np.full((*HW, 3), 50 * index, np.uint8))
    writer.release()
    return path


@pytest.fixture
def calibration(tmp_path):
    path = tmp_path / "front.yaml"
    path.write_text(CALIBRATION)
    return path


@pytest.fixture
def audience(ros):
    """Return a node that keeps what the segmentation node publishes, and publishes no image."""
    made = Camera()
    made.listen(Detection2DArray, "detections")
    return ros.add(made)


def test_a_video_is_segmented_again_and_again(ros, audience, model, video):
    node = make_node(ros, model, device=str(video), frame_id="front_optical")
    activate(node)
    ros.until(lambda: len(audience.results["detections"]) > 2 * FRAMES, "the video's second pass")
    stamps_ns = [m.header.stamp.sec * 10**9 + m.header.stamp.nanosec for m in audience.results["detections"]]
    assert stamps_ns == sorted(set(stamps_ns))
    assert {m.header.frame_id for m in audience.results["detections"]} == {"front_optical"}
    assert {len(m.detections) for m in audience.results["detections"]} == {1}
    (stream,) = node.streams
    assert stream.counts.failed == stream.counts.invalid == 0


def test_the_image_is_published_with_its_calibration_only_while_somebody_subscribes(
    ros, audience, model, video, calibration
):
    node = make_node(ros, model, device=str(video), calibration_file=str(calibration))
    activate(node)
    audience.listen(Image, "image")
    audience.listen(CameraInfo, "camera_info")
    ros.until(lambda: audience.results["camera_info"], "the calibration")
    ros.until(lambda: stamps_of(audience, "image") & stamps_of(audience, "detections"), "an image and its detections")
    image, info = audience.results["image"][0], audience.results["camera_info"][0]
    assert (image.encoding, image.height, image.width) == ("bgr8", *HW)
    assert (info.width, info.height, info.distortion_model) == (64, 48, "plumb_bob")
    assert info.k.tolist() == [60, 0, 32, 0, 60, 24, 0, 0, 1]
    assert info.p.tolist() == [61, 0, 32, 0, 0, 61, 24, 0, 0, 0, 1, 0]


def test_a_file_is_announced_once_and_a_calibration_of_another_size_warned_of(
    ros, audience, model, video, calibration, capfd
):
    calibration.write_text(CALIBRATION.replace("image_width: 64", "image_width: 128"))
    activate(make_node(ros, model, device=str(video), calibration_file=str(calibration)))
    ros.until(lambda: len(audience.results["detections"]) > 2 * FRAMES, "the video's second pass")
    log = capfd.readouterr().err
    assert log.count(f"reading {video}") == 1
    assert log.count(f"calibration_file: made for images of 128x48, those of {video} are 64x48") == 1


def stamps_of(audience, topic):
    return {(m.header.stamp.sec, m.header.stamp.nanosec) for m in audience.results[topic]}


def test_a_device_that_is_not_there_is_reported_and_taken_up_when_it_comes(ros, audience, model, video, tmp_path):
    absent = tmp_path / "later.avi"
    activate(make_node(ros, model, device=str(absent)))
    ros.until(lambda: audience.health and "later.avi" in audience.health.message, "the fault in the diagnostics")
    assert audience.health.level == DiagnosticStatus.WARN
    assert audience.results["detections"] == []
    shutil.copy(video, absent)
    ros.until(lambda: audience.results["detections"], "the detections")


def test_deactivating_releases_the_device(ros, audience, model, video):
    node = make_node(ros, model, device=str(video))
    activate(node)
    ros.until(lambda: audience.results["detections"], "the detections")
    node.trigger_deactivate()
    (stream,) = node.streams
    received = stream.counts.received
    node.trigger_activate()
    ros.until(lambda: stream.counts.received > received, "more images")
    node.trigger_deactivate()
    node.trigger_cleanup()


def test_devices_and_topics_may_be_mixed(ros, model, video):
    node = make_node(ros, model, cameras=["front", "rear"], **{"front.device": str(video)})
    activate(node)
    front, rear = node.streams
    ros.until(lambda: front.counts.processed, "images of the device")
    assert front.topic == str(video)
    assert rear.topic == "/rear/image"


def test_a_wrong_calibration_fails_configure(ros, audience, model, video, tmp_path):
    node = make_node(ros, model, device=str(video), calibration_file=str(tmp_path / "absent.yaml"))
    assert node.trigger_configure() == FAILURE
    ros.until(lambda: audience.health and "absent.yaml" in audience.health.message, "the reason")


class Live(Media):
    """A source of frames that come by themselves."""

    is_live = True

    def __init__(self, skips_old):
        self.skips_old = skips_old

    def __iter__(self):
        for index in itertools.count():
            time.sleep(0.01)
            yield MediaFrame(np.zeros((*HW, 3), np.uint8), f"{index}", index)


@pytest.fixture
def capture(ros):
    """Return a function that opens a device; what it calls with each image may take long."""
    node = ros.add(LifecycleNode("capture"))
    opened = []

    def open_device(device, on_image):
        settings = {"device": str(device), "device_height": HW[0], "device_width": HW[1], "device_rate_hz": 0.0}
        settings |= {"device_pixel_format": "auto", "frame_id": "", "calibration_file": "", "max_rate_hz": 0.0}
        opened.append(DeviceInput(node, "~/", settings, on_image))
        opened[-1].open()

    yield open_device
    for device in opened:
        device.destroy()


def test_the_time_of_a_file_goes_on_while_an_image_is_used(ros, capture, tmp_path):
    path = tmp_path / "long.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, HW[::-1])
    for _ in range(400):
        writer.write(np.zeros((*HW, 3), np.uint8))
    writer.release()
    seen = []

    def use(captured, _):
        seen.append(captured.frame)
        # Three and a half periods.
        time.sleep(0.14)

    capture(path, use)
    ros.until(lambda: len(seen) >= 6, "images")
    for frame, following in itertools.pairwise(seen[:6]):
        assert following.index == frame.index + 1 + following.missed
        assert following.missed >= 2


@pytest.mark.parametrize("skips_old", [True, False], ids=["the newest image", "a stream"])
def test_only_where_no_images_pile_up_may_their_use_take_long(ros, capture, monkeypatch, skips_old):
    monkeypatch.setattr(device_input, "open_media", lambda *_, **__: Live(skips_old))
    seen = []
    capture("camera", lambda captured, may_hold_up: seen.append(may_hold_up))
    ros.until(lambda: len(seen) > 3, "images")
    assert set(seen) == {skips_old}


def test_while_somebody_looks_at_the_images_their_use_must_not_take_long(ros, capture, video):
    seen = []
    capture(video, lambda captured, may_hold_up: seen.append(may_hold_up))
    ros.until(lambda: len(seen) > 3, "images")
    assert set(seen) == {True}
    viewer = ros.add(Node("viewer"))
    images = []
    viewer.create_subscription(Image, "/capture/image", images.append, 10)
    ros.until(lambda: len(images) > 3 and not any(seen[-3:]), "images to look at")


@pytest.mark.parametrize(
    "wrong_s",
    [None, 0.0, 10.0, -10.0, 0.05],
    ids=["none", "zero", "future", "old", "not later than the one before"],
)
def test_after_a_time_of_capture_that_cannot_be_images_are_stamped_when_they_are_read(wrong_s):
    clock, now_s = CaptureClock(ROSClock()), time.monotonic()
    driver, first_ns = clock.source, clock.stamp_ns(now_s - 0.05)
    assert time.time_ns() - first_ns >= 50_000_000
    assert clock.source == driver
    before_ns = time.time_ns()
    for captured_s in (now_s - 0.05 if wrong_s == 0.05 else wrong_s and now_s + wrong_s, now_s - 0.04):
        assert clock.stamp_ns(captured_s) >= before_ns
        assert clock.source != driver


def test_the_clock_of_a_simulation_stamps_the_images():
    simulated = ROSClock()
    simulated._set_ros_time_is_active(True)
    simulated.set_ros_time_override(Time(nanoseconds=7, clock_type=ClockType.ROS_TIME))
    assert CaptureClock(simulated).stamp_ns(time.monotonic()) == 7


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a file of the package camera_calibration"),
        ("[1, 2]", "expected a file of the package camera_calibration"),
        ("{", "expected a file of the package camera_calibration"),
        (CALIBRATION.replace("camera_matrix", "matrix"), "camera_matrix"),
        (CALIBRATION.replace("60, 0, 32, ", ""), "camera_matrix: expected 9 numbers, got 6"),
        (CALIBRATION.replace("0.1", ".nan"), "expected finite numbers"),
        (CALIBRATION.replace("image_width: 64", "image_width: -64"), "expected a file"),
        (CALIBRATION + "x" * 70_000, "has more than 65536 bytes"),
    ],
    ids=["empty", "list", "no YAML", "no matrix", "short matrix", "NaN", "negative", "long"],
)
def test_a_calibration_that_is_wrong_is_refused_with_the_reason(tmp_path, text, reason):
    path = tmp_path / "camera.yaml"
    path.write_text(text)
    with pytest.raises(OptionError, match=reason) as caught:
        read_calibration(str(path))
    assert str(path) in str(caught.value)
