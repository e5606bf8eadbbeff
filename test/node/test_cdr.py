"""Test that detections are serialised as the middleware reads them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.node import cdr
from yolov8_seg_ros.node.cdr import detections_to_cdr, installed_messages_agree
from yolov8_seg_ros.node.conversions import detections_to_msg

CLASS_NAMES = ("", "a", "bb", "Ärger", "traffic light", "\u9b5a", "x" * 40)


def some_instances(rng, count, track_id=None):
    return Instances(
        image_hw=(480, 640),
        xyxy=rng.uniform(-10, 700, (count, 4)).astype(np.float32),
        score=np.sort(rng.random(count).astype(np.float32))[::-1],
        class_id=rng.integers(0, len(CLASS_NAMES), count),
        track_id=track_id,
    )


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10, 100])
@pytest.mark.parametrize("frame_id", ["", "c", "cam", "camera", "camera_optical_frame", "caméra"])
def test_read_back_it_is_the_message(count, frame_id, rng):
    header = Header(frame_id=frame_id)
    header.stamp.sec, header.stamp.nanosec = -7, 999_999_999
    instances = some_instances(rng, count)
    serialized = detections_to_cdr(instances, CLASS_NAMES, header)
    expected = detections_to_msg(instances, CLASS_NAMES, header)
    assert deserialize_message(serialized, Detection2DArray) == expected
    assert len(serialized) == len(serialize_message(expected))


def test_tracks_name_their_instances(rng):
    instances = some_instances(rng, 3, np.array([12, 7, 10**12]))
    message = deserialize_message(detections_to_cdr(instances, CLASS_NAMES, Header()), Detection2DArray)
    assert [detection.id for detection in message.detections] == ["12", "7", "1000000000000"]


def test_the_installed_messages_agree():
    assert installed_messages_agree()


def test_other_messages_are_noticed(monkeypatch):
    monkeypatch.setattr(cdr, "_RESULT", struct.Struct(f"{cdr._RESULT.format}8x"))
    assert not installed_messages_agree()
