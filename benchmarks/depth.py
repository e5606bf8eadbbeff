"""Time how objects are placed in space: from a label image and a depth image to boxes, clouds and messages.

    python -m benchmarks.depth

Times are those of the processor, which other programs disturb less than the clock's; all runs in one thread.
The scene is made by hand, so that there are as many objects as the row says.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.depth import DepthImage, Registration
from yolov8_seg_ros.core.object_placing import DetectedObject, ObjectPlacer, PlacedObjects, PlacingOptions
from yolov8_seg_ros.media.object_messages import LabelTable, object_array, object_cloud
from yolov8_seg_ros.node.depth.depth_messages import make_message
from yolov8_seg_ros.node.depth.nav2_layer import Nav2Layer

IMAGE_HW = (480, 640)
OBJECT_COUNTS = (1, 5, 10, 30)
CAMERA = PinholeCamera(IMAGE_HW, (525.0, 525.0), (319.5, 239.5))
BESIDE = RigidTransform.from_quaternion((0.0, 0.005, 0.0, 1.0), (-0.03, 0.0, 0.0))
TARGET = RigidTransform.from_quaternion((-0.55, 0.55, -0.45, 0.45), (0.1, 0.0, 0.8))
_HEADER = Header(frame_id="camera")


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of OpenCV (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=200, help="images a row (default: %(default)s)")
    args = parser.parse_args(argv)
    cv2.setNumThreads(args.threads)
    print(f"median of {args.runs} images of {IMAGE_HW[1]}x{IMAGE_HW[0]} in 16UC1, processor's milliseconds an image")
    print(f"{'objects':>7} {'depth':>12} {'boxes':>6} {'turned':>7} {'+ cloud':>8} {'+ Nav2':>7}")
    for count in OBJECT_COUNTS:
        for name, registration in (
            ("registered", Registration(CAMERA)),
            ("unregistered", Registration(CAMERA, CAMERA, BESIDE)),
        ):
            frame = _Frame(count, registration)
            works = (frame.boxes, frame.turned_boxes, frame.boxes_and_cloud, frame.boxes_and_nav2)
            times_ms = [_median_ms(work, args.runs) for work in works]
            print(
                f"{count:>7} {name:>12} {times_ms[0]:>6.2f} {times_ms[1]:>7.2f} {times_ms[2]:>8.2f} {times_ms[3]:>7.2f}"
            )
    return 0


class _Frame:
    """One image with objects, and what the node makes of it, messages included."""

    def __init__(self, count: int, registration: Registration) -> None:
        self._registration = registration
        self._aligned, self._turned = (ObjectPlacer(PlacingOptions(turned=turned)) for turned in (False, True))
        self._labels, depth_mm = _scene(count)
        self._depth = DepthImage(depth_mm, 1e-3)
        self._detections = [DetectedObject(str(label), "person", 0.9) for label in range(1, count + 1)]
        self._table = LabelTable.of(self._detections, range(1, count + 1), {"person": 1})
        self._layer = Nav2Layer(("person",), decimation=4)
        self._names = LabelInfo(class_map=[VisionClass(class_id=1, class_name="person")])

    def boxes(self) -> None:
        self._place(self._aligned)

    def turned_boxes(self) -> None:
        self._place(self._turned)

    def boxes_and_cloud(self) -> None:
        placed = self._place(self._aligned)
        object_cloud(make_message, placed.objects, self._table, _HEADER)

    def boxes_and_nav2(self) -> None:
        placed = self._place(self._aligned)
        self._layer.messages(placed.objects, self._table, self._names, _HEADER)

    def _place(self, placer: ObjectPlacer) -> PlacedObjects:
        placed = placer.place(self._labels, self._detections, self._depth, self._registration, TARGET, 0.0)
        object_array(make_message, placed, _HEADER)
        return placed


def _scene(count: int) -> tuple[NDArray[np.uint8], NDArray[np.uint16]]:
    """Return labels and depths in millimetres: balls of 8,000 pixels in front of a wall, fewer if there are many."""
    height, width = IMAGE_HW
    rows, columns = np.indices(IMAGE_HW)
    labels = np.zeros(IMAGE_HW, np.uint8)
    depth_mm = np.full(IMAGE_HW, 4000, np.uint16)
    radius_px = min(50.0, np.sqrt(height * width / count) / 2.2)
    places = np.random.default_rng(count).permutation(1000)
    grid = int(np.ceil(np.sqrt(count * width / height)))
    for label in range(1, count + 1):
        row, column = divmod(label - 1, grid)
        x, y = (column + 0.5) * width / grid, (row + 0.5) * height / -(-count // grid)
        distance_px = np.hypot(columns - x, rows - y)
        is_ball = distance_px < radius_px
        labels[is_ball] = label
        bulge_mm = 200 * np.sqrt(np.maximum(0, 1 - (distance_px[is_ball] / radius_px) ** 2))
        depth_mm[is_ball] = 1500 + places[label] - bulge_mm
    return labels, depth_mm


def _median_ms(work: Callable[[], object], runs: int) -> float:
    times = []
    for _ in range(runs):
        started = time.thread_time()
        work()
        times.append(time.thread_time() - started)
    return float(np.median(times)) * 1e3


if __name__ == "__main__":
    raise SystemExit(main())
