"""Test camera and segmentation as processes on a whole drive of the simulated robot, against its ground truth."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs")

from rclpy.node import Node
from support.robot_drive import (
    MAX_LOST_IN_A_ROW,
    MIN_PROCESSED,
    NUM_IMAGES,
    class_of,
    id_switches,
    longest_run,
    visible_spells,
)
from support.ros_harness import parameters, process
from vision_msgs.msg import Detection2DArray

from yolov8_seg_ros.core.iou import box_iou
from yolov8_seg_ros.media.rgbd_scene import DRIVE_S
from yolov8_seg_ros.model_files.store import SCENE_MODEL

MIN_IOU = 0.7


class Observer(Node):
    """Collect detections and ground truth by the stamp of their image."""

    def __init__(self):
        super().__init__("observer")
        self.found, self.truth = {}, {}
        self.create_subscription(Detection2DArray, "yolov8_seg/detections", self._keep(self.found), 500)
        self.create_subscription(Detection2DArray, "image_source/ground_truth_2d", self._keep(self.truth), 500)

    def stamps(self):
        return sorted(self.found.keys() & self.truth.keys())

    def _keep(self, messages):
        def keep(message):
            messages[message.header.stamp.sec, message.header.stamp.nanosec] = message.detections

        return keep


def xyxy(detection):
    box = detection.bbox
    x, y = box.center.position.x, box.center.position.y
    return np.array([x - box.size_x / 2, y - box.size_y / 2, x + box.size_x / 2, y + box.size_y / 2], np.float32)


def counterpart(wanted, found):
    """Return the detection of an object: its class, and its box; None where there is none."""
    same = [one for one in found if class_of(one) == class_of(wanted)]
    if not same:
        return None
    ious = box_iou(xyxy(wanted)[None], np.stack([xyxy(one) for one in same]))[0]
    return same[int(ious.argmax())] if ious.max() >= MIN_IOU else None


def test_objects_are_found_all_along_the_drive_with_one_id(ros):
    observer = ros.add(Observer())
    node = {"model": SCENE_MODEL, "tracking.enabled": "true"}
    source = {"source": "sim", "num_frames": NUM_IMAGES, "transport": "raw", "wait_for_subscribers": 1}
    with process("node.seg_node", *parameters(**node)), process("node.image_source", *parameters(**source)) as camera:
        ros.until(lambda: camera.poll() is not None, "the end of the drive", 3 * DRIVE_S)
        ros.until(lambda: max(observer.truth) in observer.found, "the detections of the last image")
    spells = visible_spells(
        observer.stamps(), observer.truth, lambda stamp, wanted: counterpart(wanted, observer.found[stamp])
    )
    longest_gap = max(longest_run(one is None for one in spell) for spell in spells)
    found = [one for spell in spells for one in spell]
    switches = id_switches([one.id for one in spell if one is not None] for spell in spells)
    recall = np.mean([one is not None for one in found])
    print(
        f"{len(observer.stamps())} images, {len(found)} objects, recall {recall:.4f}, "
        f"longest gap {longest_gap}, {switches} id switches in {len(spells)} spells"
    )
    assert len(observer.stamps()) >= MIN_PROCESSED * NUM_IMAGES
    assert longest_gap <= MAX_LOST_IN_A_ROW
    assert switches == 0
