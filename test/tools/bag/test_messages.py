"""Test that results in recordings are what the node publishes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from support.shared_data import CHECKOUT

pytest.importorskip("rosbags")

from rosbags.typesys import get_types_from_msg

from yolov8_seg_ros.core.instances import NO_TRACK, BoxMask, Instances
from yolov8_seg_ros.media.bag import ImageHeader
from yolov8_seg_ros.tools.bag.messages import RESULT_TYPES, VISION_MSGS, ResultMessages, result_types

HEADER = ImageHeader(12, 34, "camera")
NAMES = ("cat", "dog")


def two_instances(track_id=None):
    bitmap = np.ones((4, 4), np.bool_)
    return Instances(
        image_hw=(8, 16),
        xyxy=np.array([[1, 2, 5, 6], [8, 0, 16, 8]], np.float32),
        score=np.array([0.75, 0.5], np.float32),
        class_id=np.array([1, 0]),
        masks=(BoxMask((1, 2), bitmap), BoxMask((8, 0), bitmap)),
        track_id=None if track_id is None else np.array(track_id),
    )


@pytest.mark.parametrize("name", VISION_MSGS)
def test_definitions_are_those_of_the_underlay(name):
    original = (CHECKOUT / "underlay" / "vision_msgs" / "msg" / f"{name}.msg").read_text()
    msgtype = f"vision_msgs/msg/{name}"
    assert get_types_from_msg(VISION_MSGS[name], msgtype) == get_types_from_msg(original, msgtype)


@pytest.mark.parametrize("msgtype", sorted(set(RESULT_TYPES.values())))
def test_hashes_are_those_of_the_installed_types(msgtype):
    packages = pytest.importorskip("ament_index_python.packages")
    package, _, name = msgtype.split("/")
    try:
        share = packages.get_package_share_path(package)
    except packages.PackageNotFoundError:
        pytest.skip(f"{package} is not installed")
    described = (share / "msg" / f"{name}.json").read_text()
    assert result_types().hash_rihs01(msgtype) in re.findall("RIHS01_[0-9a-f]{64}", described)


def test_messages_are_those_of_the_node():
    rclpy = pytest.importorskip("rclpy.serialization")
    from std_msgs.msg import Header

    from yolov8_seg_ros.node import conversions

    header = Header(frame_id=HEADER.frame_id)
    header.stamp.sec, header.stamp.nanosec = HEADER.sec, HEADER.nanosec
    found = two_instances()
    pixels = found.label_image()
    messages = ResultMessages(NAMES, 0.25)
    canvas = conversions.LabelCanvas("mono8")
    found.label_image(canvas.pixels(found.image_hw))
    pairs = [
        (messages.detections(found, HEADER), conversions.detections_to_msg(found, NAMES, header)),
        (messages.label_image(pixels, HEADER), canvas.message(header)),
        (messages.label_info(HEADER), conversions.label_info(NAMES, 0.25, header)),
    ]
    for serialized, expected in pairs:
        assert rclpy.deserialize_message(bytes(serialized), type(expected)) == expected


def test_an_instance_without_a_track_has_an_empty_id():
    data = ResultMessages(NAMES, 0.25).detections(two_instances([7, NO_TRACK]), HEADER)
    message = result_types().deserialize_cdr(data, RESULT_TYPES["detections"])
    assert [detection.id for detection in message.detections] == ["7", ""]
