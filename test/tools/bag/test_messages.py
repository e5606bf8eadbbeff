"""Test that results in recordings are what the node publishes."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from support.shared_data import CHECKOUT

pytest.importorskip("rosbags")

from rosbags.typesys import get_types_from_msg

from yolov8_seg_ros.core.camera_geometry import PinholeCamera
from yolov8_seg_ros.core.depth import DepthImage, DepthOptions, Registration
from yolov8_seg_ros.core.instances import NO_TRACK, BoxMask, Instances
from yolov8_seg_ros.core.object_boxes import ObjectBox
from yolov8_seg_ros.core.object_placing import DetectedObject, PlacedObjects
from yolov8_seg_ros.core.object_points import find_objects
from yolov8_seg_ros.core.object_tracks import Motion
from yolov8_seg_ros.media.bag import ImageHeader
from yolov8_seg_ros.media.object_markers import ObjectMarkers
from yolov8_seg_ros.media.object_messages import LabelTable, object_array, object_cloud
from yolov8_seg_ros.tools.bag.messages import (
    CLOUD,
    MARKERS,
    OBJECTS,
    RESULT_TYPES,
    VISION_MSGS,
    ResultMessages,
    make_header,
    make_message,
    result_types,
    serialize,
)

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


def placed_objects():
    """Return a ball with a velocity, and a detection without hypothesis or box."""
    labels = np.zeros((8, 16), np.uint8)
    labels[2:7, 3:9] = 1
    camera = PinholeCamera((8, 16), (10.0, 10.0), (7.5, 3.5))
    depth = DepthImage(np.full((8, 16), 1500, np.uint16), 1e-3)
    options = DepthOptions(min_points=3)
    objects = find_objects(Registration(camera).label(labels, depth, options), 2, options)
    center_m, size_m, surface_m = np.array([0.1, 0.2, 1.6]), np.array([0.3, 0.4, 0.5]), np.array([0.1, 0.2, 1.5])
    box = ObjectBox(1, center_m, size_m, surface_m, 0.3, np.diag([1.0, 2.0, 3.0]), 30)
    motion = Motion(surface_m + 0.25, np.array([0.5, 0.0, 0.0]))
    detections = [DetectedObject("7", "dog", 0.75), DetectedObject("", None, 0.0)]
    return PlacedObjects(detections, [7, 1_000_002], objects, [box], [motion])


def test_messages_of_objects_in_space_are_those_of_the_node():
    rclpy = pytest.importorskip("rclpy.serialization")
    from std_msgs.msg import Header

    from yolov8_seg_ros.node.depth import depth_messages

    header = Header(frame_id="world")
    header.stamp.sec, header.stamp.nanosec = HEADER.sec, HEADER.nanosec
    found = []
    for make, made in ((make_message, make_header(HEADER, "world")), (depth_messages.make_message, header)):
        placed = placed_objects()
        table = LabelTable.of(placed.detections, placed.numbers, {"dog": 2})
        objects = object_array(make, placed, made)
        cloud = object_cloud(make, placed.objects, table, made)
        markers = ObjectMarkers(make, 1.5)
        shown = markers.message(placed, objects.detections, made)
        gone = markers.message(replace(placed, boxes=[], motions=[]), [], made)
        found.append((objects, cloud, shown, gone))
    for kind, ours, nodes in zip((OBJECTS, CLOUD, MARKERS, MARKERS), *found, strict=True):
        # Colours have 32 bits only once they were serialized.
        expected = rclpy.deserialize_message(rclpy.serialize_message(nodes), type(nodes))
        assert rclpy.deserialize_message(bytes(serialize(kind, ours)), type(nodes)) == expected
    assert len(found[1][2].markers) == len(found[1][3].markers) == 3


def test_an_instance_without_a_track_has_an_empty_id():
    data = ResultMessages(NAMES, 0.25).detections(two_instances([7, NO_TRACK]), HEADER)
    message = result_types().deserialize_cdr(data, RESULT_TYPES["detections"])
    assert [detection.id for detection in message.detections] == ["7", ""]
