"""Test camera, segmentation and depth as processes on a drive of the simulated robot, against its ground truth.

One of two drives is shorter in each test run; `make soak` makes both whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs")

from rclpy.node import Node
from support.amounts import amount
from support.robot_drive import (
    MAX_LOST_IN_A_ROW,
    MIN_PROCESSED,
    class_of,
    id_switches,
    longest_run,
    visible_spells,
)
from support.ros_harness import parameters, process
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray

from yolov8_seg_ros.core.iou import box_iou
from yolov8_seg_ros.media.rgbd_scene import DRIVE_S, RATE_HZ
from yolov8_seg_ros.model_files.store import SCENE_MODEL

IMAGE_FRAME = "camera_optical_frame"
MIN_IOU = 0.7
#: What is farther than this from where an object is, is another one.
MAX_ERROR_M = 0.3
#: Distances from the robot at which the position is judged, and how far off it may be in the middle.
JUDGED_RANGE_M = (1.5, 2.5)
MAX_MEDIAN_ERROR_M = 0.02
TRACKING = {"tracking.enabled": "true"}
#: Parameters of the camera, and how long it drives.
DRIVES = {
    "registered": ({"depth_encoding": "16UC1"}, DRIVE_S),
    # The depth camera has half the pixels in each direction.
    "two cameras": ({"depth_encoding": "32FC1", "depth_registered": "false"}, amount(10, round(DRIVE_S))),
}


class Observer(Node):
    """Collect what is found and the ground truth, in the image and in space, by the stamp of their image."""

    def __init__(self):
        super().__init__("observer")
        self.boxes, self.true_boxes, self.objects, self.true_objects, self.robot_m = {}, {}, {}, {}, {}
        for kind, topic, messages, frame in (
            (Detection2DArray, "yolov8_seg/detections", self.boxes, IMAGE_FRAME),
            (Detection2DArray, "image_source/ground_truth_2d", self.true_boxes, IMAGE_FRAME),
            (Detection3DArray, "depth_node/objects", self.objects, "world"),
            (Detection3DArray, "image_source/ground_truth", self.true_objects, "world"),
        ):
            self.create_subscription(kind, topic, self._keep(messages, frame), 500)
        self.create_subscription(TFMessage, "/tf", self._keep_place, 500)

    def has_last(self):
        """Return whether the results of the last image have come."""
        return max(self.true_boxes) in self.boxes and max(self.true_objects) in self.objects

    def _keep(self, messages, frame):
        def keep(message):
            assert message.header.frame_id == frame
            messages[message.header.stamp.sec, message.header.stamp.nanosec] = message.detections

        return keep

    def _keep_place(self, message):
        (moved,) = message.transforms
        stamp, place = moved.header.stamp, moved.transform.translation
        self.robot_m[stamp.sec, stamp.nanosec] = np.array([place.x, place.y, place.z])


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


def center_m(detection):
    position = detection.bbox.center.position
    return np.array([position.x, position.y, position.z])


class Sighting(NamedTuple):
    """The measurement of a visible object in one image; without an id where it was lost."""

    distance_m: float
    error_m: float
    id: str

    @property
    def is_lost(self):
        return self.error_m > MAX_ERROR_M


def sighting(wanted, found, robot_m):
    """Return how far the nearest object of the same class is from where it should be."""
    errors = [
        (float(np.linalg.norm(center_m(one) - center_m(wanted))), one.id)
        for one in found
        if class_of(one) == class_of(wanted)
    ]
    error_m, number = min(errors, default=(np.inf, ""))
    return Sighting(
        float(np.linalg.norm(center_m(wanted) - robot_m)), error_m, number if error_m <= MAX_ERROR_M else ""
    )


@pytest.mark.parametrize("cameras", DRIVES)
def test_objects_are_found_and_are_where_they_are_all_along_the_drive(ros, cameras):
    observer = ros.add(Observer())
    source, drive_s = DRIVES[cameras]
    num_images = round(drive_s * RATE_HZ)
    source = {
        "source": "sim",
        "num_frames": num_images,
        "depth_noise_m": 0.001,
        "transport": "raw",
        "wait_for_subscribers": 1,
        **source,
    }
    with (
        process("node.seg_node", *parameters(model=SCENE_MODEL, **TRACKING)),
        process("node.depth.depth_node", *parameters(target_frame="world", **TRACKING)),
        process("node.image_source", *parameters(**source)) as camera,
    ):
        ros.until(lambda: camera.poll() is not None, "the end of the drive", 10 * DRIVE_S)
        ros.until(observer.has_last, "the results of the last image")
    check_boxes(observer, MIN_PROCESSED * num_images)
    check_objects(observer, MIN_PROCESSED * num_images)


def check_boxes(observer, min_processed):
    """Check that each visible object was found in the images, with one id."""
    stamps = sorted(observer.boxes.keys() & observer.true_boxes.keys())
    spells = visible_spells(
        stamps, observer.true_boxes, lambda stamp, wanted: counterpart(wanted, observer.boxes[stamp])
    )
    longest_gap = max(longest_run(one is None for one in spell) for spell in spells)
    found = [one for spell in spells for one in spell]
    switches = id_switches([one.id for one in spell if one is not None] for spell in spells)
    recall = np.mean([one is not None for one in found])
    print(
        f"{len(stamps)} images, {len(found)} objects, recall {recall:.4f}, "
        f"longest gap {longest_gap}, {switches} id switches in {len(spells)} spells"
    )
    assert len(stamps) >= min_processed
    assert longest_gap <= MAX_LOST_IN_A_ROW
    assert switches == 0


def check_objects(observer, min_processed):
    """Check that each visible object was measured in space, with one id and near its place."""
    stamps = sorted(observer.objects.keys() & observer.true_objects.keys() & observer.robot_m.keys())
    spells = visible_spells(
        stamps,
        observer.true_objects,
        lambda stamp, wanted: sighting(wanted, observer.objects[stamp], observer.robot_m[stamp]),
    )
    all_seen = [one for spell in spells for one in spell]
    low_m, high_m = JUDGED_RANGE_M
    judged = [one.error_m for one in all_seen if low_m <= one.distance_m <= high_m and not one.is_lost]
    longest_loss = max(longest_run(one.is_lost for one in spell) for spell in spells)
    switches = id_switches([one.id for one in spell] for spell in spells)
    print(
        f"{len(stamps)} images, {len(all_seen)} objects, {sum(one.is_lost for one in all_seen)} lost, "
        f"{longest_loss} in a row, {switches} id switches; error of {len(judged)} at about 2 m: "
        f"median {1e3 * np.median(judged):.1f} mm, 95 % {1e3 * np.percentile(judged, 95):.1f} mm"
    )
    assert len(stamps) >= min_processed
    assert np.median(judged) <= MAX_MEDIAN_ERROR_M
    assert longest_loss <= MAX_LOST_IN_A_ROW
    assert switches == 0
