"""Test a robot's perception without a camera: a simulated robot drives about, and its ground truth is known.

    pytest test_simulated_robot.py

Copy it into your package, and compare what your own nodes make of the images with the ground truth. The nodes run as
processes, as on a robot. A job that runs beside others wants a ROS_DOMAIN_ID of its own.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import rclpy
from rclpy.node import Node
from vision_msgs.msg import BoundingBox2D, Detection2D, Detection2DArray

NUM_IMAGES = 45
#: Objects of which less is visible are not asked for.
MIN_VISIBLE = 0.9
MIN_IOU = 0.7
MIN_RECALL = 0.95
DEADLINE_S = 60.0


class Comparison(Node):
    """Collect detections and ground truth by the stamp of their image."""

    def __init__(self) -> None:
        super().__init__("comparison")
        self.detections: dict[tuple[int, int], list[Detection2D]] = {}
        self.truth: dict[tuple[int, int], list[Detection2D]] = {}
        self.create_subscription(Detection2DArray, "yolov8_seg/detections", self._keep_in(self.detections), 100)
        self.create_subscription(Detection2DArray, "image_source/ground_truth_2d", self._keep_in(self.truth), 100)

    def stamps(self) -> list[tuple[int, int]]:
        """Return the stamps of the images of which both are known."""
        return sorted(self.detections.keys() & self.truth.keys())

    def _keep_in(self, messages):
        def keep(message: Detection2DArray) -> None:
            messages[message.header.stamp.sec, message.header.stamp.nanosec] = message.detections

        return keep


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


def iou(one: BoundingBox2D, other: BoundingBox2D) -> float:
    """Return the intersection over union of two boxes."""
    across = _overlap(one.center.position.x, one.size_x, other.center.position.x, other.size_x)
    down = _overlap(one.center.position.y, one.size_y, other.center.position.y, other.size_y)
    return across * down / (one.size_x * one.size_y + other.size_x * other.size_y - across * down)


def _overlap(center: float, size: float, other_center: float, other_size: float) -> float:
    low = max(center - size / 2, other_center - other_size / 2)
    high = min(center + size / 2, other_center + other_size / 2)
    return max(0.0, high - low)


def is_found(wanted: Detection2D, detections: list[Detection2D]) -> bool:
    """Return whether an object is among the detections: its class, and its box."""
    class_name = wanted.results[0].hypothesis.class_id
    return any(
        detection.results[0].hypothesis.class_id == class_name and iou(detection.bbox, wanted.bbox) >= MIN_IOU
        for detection in detections
    )


def test_objects_of_the_drive_are_detected() -> None:
    """Compare the detections of three seconds with the ground truth."""
    rclpy.init()
    try:
        comparison = Comparison()
        with (
            node("seg_node", model="shapes_256x192"),
            node("image_source", source="sim", seed=1, transport="raw", wait_for_subscribers=1),
        ):
            deadline_s = time.monotonic() + DEADLINE_S
            while len(comparison.stamps()) < NUM_IMAGES:
                assert time.monotonic() < deadline_s, f"only {len(comparison.stamps())} images arrived"
                rclpy.spin_once(comparison, timeout_sec=0.1)
        found = [
            is_found(wanted, comparison.detections[stamp])
            for stamp in comparison.stamps()
            for wanted in comparison.truth[stamp]
            if wanted.results[0].hypothesis.score >= MIN_VISIBLE
        ]
        recall = sum(found) / len(found)
        print(f"{len(found)} objects in {len(comparison.stamps())} images, recall {recall:.3f}")
        assert recall >= MIN_RECALL
    finally:
        rclpy.shutdown()
