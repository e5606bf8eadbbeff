"""Test camera, segmentation and depth as processes on a whole drive of the simulated robot."""

from __future__ import annotations

from typing import NamedTuple

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
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection3DArray

from yolov8_seg_ros.media.rgbd_scene import DRIVE_S
from yolov8_seg_ros.model_files.store import SCENE_MODEL

#: What is farther than this from where an object is, is another one.
MAX_ERROR_M = 0.3
#: Distances from the robot at which the position is judged, and how far off it may be in the middle.
JUDGED_RANGE_M = (1.5, 2.5)
MAX_MEDIAN_ERROR_M = 0.02
TRACKING = {"tracking.enabled": "true"}
CAMERAS = {
    "registered": ({"depth_encoding": "16UC1"}, {}),
    # The depth camera has half the pixels in each direction, so each is used.
    "two cameras": ({"depth_encoding": "32FC1", "depth_registered": "false"}, {"stride": 1}),
}


class Observer(Node):
    """Collect objects, ground truth and the robot's place by the stamp of their image."""

    def __init__(self):
        super().__init__("observer")
        self.found, self.truth, self.robot_m = {}, {}, {}
        self.create_subscription(Detection3DArray, "depth_node/objects", self._keep(self.found), 500)
        self.create_subscription(Detection3DArray, "image_source/ground_truth", self._keep(self.truth), 500)
        self.create_subscription(TFMessage, "/tf", self._keep_place, 500)

    def stamps(self):
        return sorted(self.found.keys() & self.truth.keys() & self.robot_m.keys())

    def _keep(self, messages):
        def keep(message):
            assert message.header.frame_id == "world"
            messages[message.header.stamp.sec, message.header.stamp.nanosec] = message.detections

        return keep

    def _keep_place(self, message):
        (moved,) = message.transforms
        stamp, place = moved.header.stamp, moved.transform.translation
        self.robot_m[stamp.sec, stamp.nanosec] = np.array([place.x, place.y, place.z])


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


@pytest.mark.parametrize("cameras", CAMERAS)
def test_objects_are_where_they_are_all_along_the_drive(ros, cameras):
    observer = ros.add(Observer())
    source, depth = CAMERAS[cameras]
    source = {
        "source": "sim",
        "num_frames": NUM_IMAGES,
        "depth_noise_m": 0.001,
        "transport": "raw",
        "wait_for_subscribers": 1,
        **source,
    }
    with (
        process("node.seg_node", *parameters(model=SCENE_MODEL, **TRACKING)),
        process("node.depth.depth_node", *parameters(target_frame="world", **TRACKING, **depth)),
        process("node.image_source", *parameters(**source)) as camera,
    ):
        ros.until(lambda: camera.poll() is not None, "the end of the drive", 3 * DRIVE_S)
        ros.until(lambda: max(observer.truth) in observer.found, "the objects of the last image")
    spells = visible_spells(
        observer.stamps(),
        observer.truth,
        lambda stamp, wanted: sighting(wanted, observer.found[stamp], observer.robot_m[stamp]),
    )
    all_seen = [one for spell in spells for one in spell]
    low_m, high_m = JUDGED_RANGE_M
    judged = [one.error_m for one in all_seen if low_m <= one.distance_m <= high_m and not one.is_lost]
    longest_loss = max(longest_run(one.is_lost for one in spell) for spell in spells)
    switches = id_switches([one.id for one in spell] for spell in spells)
    print(
        f"{len(observer.stamps())} images, {len(all_seen)} objects, {sum(one.is_lost for one in all_seen)} lost, "
        f"{longest_loss} in a row, {switches} id switches; error of {len(judged)} at about 2 m: "
        f"median {1e3 * np.median(judged):.1f} mm, 95 % {1e3 * np.percentile(judged, 95):.1f} mm"
    )
    assert len(observer.stamps()) >= MIN_PROCESSED * NUM_IMAGES
    assert np.median(judged) <= MAX_MEDIAN_ERROR_M
    assert longest_loss <= MAX_LOST_IN_A_ROW
    assert switches == 0
