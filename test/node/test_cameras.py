"""Test over real DDS that one node serves several cameras, and numbers their objects."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from sensor_msgs.msg import Image
from support.camera_messages import ENCODED, GREY_ENCODED, message
from support.seg_camera import (
    FAILURE,
    SUCCESS,
    Camera,
    activate,
    concluded,
    connected,
    make_node,
    send_and_await,
    subscribers,
)
from vision_msgs.msg import Detection2DArray

# Several cameras


def camera_of(ros, name):
    made = Camera(prefix=f"{name}/")
    made.listen(Detection2DArray, "detections")
    return ros.add(made)


def test_each_camera_has_its_own_topics(ros, model):
    node = make_node(ros, model, cameras=["front", "rear"])
    front, rear = camera_of(ros, "front"), camera_of(ros, "rear")
    activate(node)
    for camera, count in ((front, 3), (rear, 2)):
        for _ in range(count):
            send_and_await(ros, camera)
    assert [len(camera.results["detections"]) for camera in (front, rear)] == [3, 2]
    assert [stream.counts.processed for stream in node.streams] == [3, 2]
    assert [stream.topic for stream in node.streams] == ["/front/image", "/rear/image"]


def test_eight_cameras_of_different_sizes_and_encodings_run(ros, model):
    names = [f"camera{number}" for number in range(8)]
    encodings = ("bgr8", "rgb8", "mono8", "bgra8", "nv12", "bayer_rggb8", "yuyv", "rgba8")
    node = make_node(ros, model, cameras=names)
    cameras = [camera_of(ros, name) for name in names]
    activate(node)
    ros.until(lambda: all(camera.raw.get_subscription_count() for camera in cameras), "the node to listen")
    for _ in range(3):
        for index, (camera, encoding) in enumerate(zip(cameras, encodings, strict=True)):
            pixels = ENCODED[encoding][0] if encoding in ENCODED else GREY_ENCODED[encoding][0]
            hw = (pixels.shape[0] * 2 // 3, pixels.shape[1]) if encoding == "nv12" else pixels.shape[:2]
            image = message(pixels, encoding, hw)
            image.header.stamp.sec = index + 1
            camera.raw.publish(image)
    ros.until(lambda: all(camera.results["detections"] for camera in cameras), "results of all cameras")
    assert [stream.counts.invalid for stream in node.streams] == [0] * 8
    for index, camera in enumerate(cameras):
        assert {m.header.stamp.sec for m in camera.results["detections"]} == {index + 1}


def test_a_camera_that_sends_garbage_leaves_the_others_alone(ros, model):
    node = make_node(ros, model, cameras="front, rear")
    front, rear = camera_of(ros, "front"), camera_of(ros, "rear")
    activate(node)
    ros.until(connected(front), "the node to listen")
    for _ in range(20):
        front.raw.publish(Image(encoding="garbage"))
        send_and_await(ros, rear)
    garbled, healthy = node.streams
    ros.until(lambda: concluded(garbled) + garbled.counts.dropped == 20, "the garbage to be counted")
    assert garbled.counts.invalid > 0
    assert healthy.counts.processed == 20


def test_diagnostics_have_an_entry_for_each_of_several_cameras(ros, model):
    node = make_node(ros, model, cameras=["front", "rear"])
    front = camera_of(ros, "front")
    activate(node)
    send_and_await(ros, front)
    ros.until(lambda: front.diagnostics and len(front.diagnostics[-1].status) == 3, "three entries")
    names = [status.name for status in front.diagnostics[-1].status]
    assert names == ["yolov8_seg: segmentation", "yolov8_seg: camera front", "yolov8_seg: camera rear"]
    ros.until(lambda: front.diagnostics[-1].status[2].message == "no images on /rear/image", "the silence")


def test_a_camera_may_have_parameters_of_its_own(ros, model):
    own = {"rear.image_transport": "compressed", "rear.max_rate_hz": 5}
    node = make_node(ros, model, cameras=["front", "rear"], max_rate_hz=20.0, **own)
    assert node.get_parameter("front.max_rate_hz").value == 20.0
    activate(node)
    assert [stream.topic for stream in node.streams] == ["/front/image", "/rear/image/compressed"]


def test_parameters_of_a_camera_that_there_is_not_are_warned_of(ros, model, capfd):
    make_node(ros, model, cameras=["front"], **{"rear.weight": 2.0})
    assert "there is no camera rear: rear.weight has no effect" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("cameras", "expected"),
    [
        ("front,front", "'front' is there twice"),
        ("front, 2nd", "'2nd' cannot name a camera"),
        ("a/b", "'a/b' cannot name a camera"),
        ("front rear", "several names are separated by commas"),
        (["n6"], "'n6' cannot name a camera: a parameter is called so"),
    ],
)
def test_names_of_cameras_are_checked(ros, camera, model, cameras, expected):
    node = make_node(ros, model, cameras=cameras)
    assert node.trigger_configure() == FAILURE
    ros.until(lambda: camera.health and expected in camera.health.message, "the reason")


# Tracking


def test_an_object_keeps_its_id_which_also_is_in_the_image(ros, camera, model):
    tracking = {"tracking.enabled": True, "tracking.ids_in_instances": True}
    node = make_node(ros, model, **tracking)
    activate(node)
    camera.listen(Image, "instances")
    ros.until(lambda: subscribers(node, "instances"), "the subscriber")
    ids = [send_and_await(ros, camera).detections[0].id for _ in range(3)]
    assert ids == ["1", "1", "1"]
    ros.until(lambda: len(camera.results["instances"]) == 3, "the images")
    for labels in camera.results["instances"]:
        assert labels.encoding == "16UC1"
        assert set(np.frombuffer(labels.data, np.uint16).tolist()) == {0, 1}


def test_ids_are_never_used_again(ros, model):
    node = make_node(ros, model, cameras=["front", "rear"], **{"tracking.enabled": True})
    cameras = camera_of(ros, "front"), camera_of(ros, "rear")
    seen = []
    for _ in range(2):
        activate(node)
        seen += [send_and_await(ros, camera).detections[0].id for camera in cameras]
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
    assert seen == ["1", "2", "3", "4"]
