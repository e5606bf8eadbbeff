"""Time the tracker on boxes that move, with masks, and with and without compensation of the camera's motion.

    python -m benchmarks.tracker

The images are of the built-in scene; the objects are made by hand, so that there are as many as the row says.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import cv2
import numpy as np

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import BoxMask, Instances
from yolov8_seg_ros.core.options import TrackerOptions
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.media.scene import SyntheticScene

IMAGE_HW = (480, 640)
TRACK_COUNTS = (1, 5, 10, 30)
_BOX_WH = (50, 120)
_FPS = 25.0
_IMAGES = 25


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="of OpenCV (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=300, help="images a row (default: %(default)s)")
    args = parser.parse_args(argv)
    cv2.setNumThreads(args.threads)
    scene = SyntheticScene(IMAGE_HW, num_shapes=6)
    images = [ColorImage(scene.frame(index).image) for index in range(_IMAGES)]
    print(f"median of {args.runs} images of {IMAGE_HW[1]}x{IMAGE_HW[0]}, milliseconds an image")
    print(f"{'tracks':>6} {'tracker':>8} {'+ camera motion':>16}")
    for count in TRACK_COUNTS:
        frames = [moving_instances(count, index) for index in range(args.runs)]
        times_ms = [_median_ms(frames, images, TrackerOptions(camera_motion=motion)) for motion in (False, True)]
        print(f"{count:>6} {times_ms[0]:>8.3f} {times_ms[1]:>16.3f}", flush=True)
    return 0


def moving_instances(count: int, index: int) -> Instances:
    """Return objects in image `index` that move left and right, meet and overlap."""
    height, width = IMAGE_HW
    place = np.random.default_rng(count).uniform(0, 1, (count, 3))
    jitter = np.random.default_rng((count, index)).normal(0, 1.5, (count, 2))
    x = (width - _BOX_WH[0]) * (0.5 + 0.5 * np.sin(2 * np.pi * (place[:, 0] + index * (0.002 + 0.003 * place[:, 2]))))
    y = (height - _BOX_WH[1]) * place[:, 1]
    left_top = np.clip(np.stack((x, y), axis=1) + jitter, 0, np.array((width, height)) - _BOX_WH).astype(int)
    ellipse = np.zeros(_BOX_WH[::-1], np.uint8)
    cv2.ellipse(ellipse, ((_BOX_WH[0] / 2, _BOX_WH[1] / 2), _BOX_WH, 0), 1, -1)
    return Instances(
        image_hw=IMAGE_HW,
        xyxy=np.hstack((left_top, left_top + _BOX_WH)).astype(np.float32),
        score=np.linspace(0.9, 0.5, count, dtype=np.float32),
        class_id=np.zeros(count, np.int64),
        masks=tuple(BoxMask((left, top), ellipse.astype(np.bool_)) for left, top in left_top.tolist()),
    )


def _median_ms(frames: Sequence[Instances], images: Sequence[ColorImage], options: TrackerOptions) -> float:
    tracker = Tracker(options)
    times = []
    for index, instances in enumerate(frames):
        started = time.perf_counter()
        tracker.update(instances, index / _FPS, images[index % len(images)])
        times.append(time.perf_counter() - started)
    return float(np.median(times)) * 1e3


if __name__ == "__main__":
    raise SystemExit(main())
