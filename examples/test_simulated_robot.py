"""Test a robot's perception without a camera: a simulated robot drives about, and its ground truth is known.

    pytest test_simulated_robot.py

Copy it into your package, and compare the results of your own nodes with the ground truth. The nodes run as processes,
as on a robot. A job that runs beside others needs a ROS_DOMAIN_ID of its own.
"""

import math
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray, Detection3D, Detection3DArray

NUM_IMAGES = 45
#: Objects of which less is visible are not compared.
MIN_VISIBLE = 0.9
MIN_IOU = 0.7
MIN_RECALL = 0.95
MAX_MEDIAN_ERROR_M = 0.02
DEADLINE_S = 60.0
MODEL = "shapes_256x192"


class Comparison(Node):
    """Collect results and ground truth by the stamp of their image."""

    def __init__(self, kind: type, results_topic: str, truth_topic: str) -> None:
        super().__init__("comparison")
        self.results: dict[tuple[int, int], list] = {}
        self.truth: dict[tuple[int, int], list] = {}
        self.create_subscription(kind, results_topic, self._keep_in(self.results), 100)
        self.create_subscription(kind, truth_topic, self._keep_in(self.truth), 100)

    @property
    def stamps(self) -> set[tuple[int, int]]:
        """Return the stamps of the images of which both are known."""
        return self.results.keys() & self.truth.keys()

    def _keep_in(self, messages):
        def keep(message: Detection2DArray | Detection3DArray) -> None:
            messages[message.header.stamp.sec, message.header.stamp.nanosec] = message.detections

        return keep


def compared(kind: type, results_topic: str, truth_topic: str) -> list[tuple]:
    """Return each visible object of enough images with the results of its class in the same image."""
    comparison = Comparison(kind, results_topic, truth_topic)
    deadline_s = time.monotonic() + DEADLINE_S
    while len(comparison.stamps) < NUM_IMAGES:
        assert time.monotonic() < deadline_s, f"only {len(comparison.stamps)} images were compared"
        rclpy.spin_once(comparison, timeout_sec=0.1)
    return [
        (wanted, [one for one in comparison.results[stamp] if class_of(one) == class_of(wanted)])
        for stamp in comparison.stamps
        for wanted in comparison.truth[stamp]
        if wanted.results[0].hypothesis.score >= MIN_VISIBLE
    ]


@contextmanager
def ros() -> Iterator[None]:
    """Start ROS and end it."""
    rclpy.init()
    try:
        yield
    finally:
        rclpy.shutdown()


@contextmanager
def node(executable: str, **parameters: object) -> Iterator[None]:
    """Run a node of yolov8_seg_ros as a process."""
    words = [word for name, value in parameters.items() for word in ("-p", f"{name}:={value}")]
    command = [sys.executable, "-m", "yolov8_seg_ros.executables", executable, "--ros-args", *words]
    process = subprocess.Popen(command)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def class_of(detection: Detection2D | Detection3D) -> str:
    """Return the name of the class of a detection."""
    return detection.results[0].hypothesis.class_id


def iou(one: BoundingBox2D, other: BoundingBox2D) -> float:
    """Return the intersection over union of two boxes."""
    across = _overlap(one.center.position.x, one.size_x, other.center.position.x, other.size_x)
    down = _overlap(one.center.position.y, one.size_y, other.center.position.y, other.size_y)
    return across * down / (one.size_x * one.size_y + other.size_x * other.size_y - across * down)


def _overlap(center: float, size: float, other_center: float, other_size: float) -> float:
    low = max(center - size / 2, other_center - other_size / 2)
    high = min(center + size / 2, other_center + other_size / 2)
    return max(0.0, high - low)


def distance_m(one: Detection3D, other: Detection3D) -> float:
    """Return the distance of the centres of two boxes."""
    a, b = one.bbox.center.position, other.bbox.center.position
    return math.dist((a.x, a.y, a.z), (b.x, b.y, b.z))


def test_objects_are_detected() -> None:
    """Compare boxes in the image with the ground truth."""
    with (
        ros(),
        node("seg_node", model=MODEL),
        node("image_source", source="sim", seed=1, transport="raw", wait_for_subscribers=1),
    ):
        pairs = compared(Detection2DArray, "yolov8_seg/detections", "image_source/ground_truth_2d")
    found = [any(iou(one.bbox, wanted.bbox) >= MIN_IOU for one in same) for wanted, same in pairs]
    print(f"{len(found)} objects, recall {sum(found) / len(found):.3f}")
    assert sum(found) / len(found) >= MIN_RECALL


def test_objects_are_where_they_should_be() -> None:
    """Compare places in the world with the ground truth."""
    with (
        ros(),
        node("seg_node", model=MODEL),
        node("depth_node", target_frame="world"),
        node("image_source", source="sim", seed=1, transport="raw", depth_noise_m=0.001, wait_for_subscribers=1),
    ):
        pairs = compared(Detection3DArray, "depth_node/objects", "image_source/ground_truth")
    errors_m = [min((distance_m(wanted, one) for one in same), default=math.inf) for wanted, same in pairs]
    print(f"{len(errors_m)} objects, median error {statistics.median(errors_m):.4f} m")
    assert statistics.median(errors_m) <= MAX_MEDIAN_ERROR_M
