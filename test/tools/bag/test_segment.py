"""Test how image topics are chosen and cameras are named."""

from __future__ import annotations

import pytest

pytest.importorskip("rosbags")

from yolov8_seg_ros.tools.bag.cameras import camera_names
from yolov8_seg_ros.tools.bag.segment import result_names


@pytest.mark.parametrize(
    ("topics", "names"),
    [
        (["/camera/image_raw"], [""]),
        (["/front/image_raw", "/rear/image_raw"], ["front", "rear"]),
        (["/front/image_raw/compressed", "/rear/image_raw"], ["front", "rear"]),
        (["/robot/front/image", "/robot/rear/image"], ["robot/front", "robot/rear"]),
        (["/front/left", "/front/right"], ["front/left", "front/right"]),
        (["/left", "/right"], ["left", "right"]),
        (["/a/image", "/a/image/compressed"], ["a/image", "a/image/compressed"]),
    ],
)
def test_cameras_are_named_by_what_tells_them_apart(topics, names):
    assert camera_names(topics) == names


@pytest.mark.parametrize(
    ("camera", "topic"), [("", "/yolov8_seg/detections"), ("front", "/yolov8_seg/front/detections")]
)
def test_topics_of_results(camera, topic):
    assert result_names("/yolov8_seg", camera, ["detections"])["detections"] == topic
