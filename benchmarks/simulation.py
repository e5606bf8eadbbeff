"""Time the images of the simulated robot: colour, depth and ground truth of a moment.

python -m benchmarks.simulation
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import cv2
import numpy as np

from yolov8_seg_ros.media.rgbd_scene import DRIVE_S, RgbdScene

IMAGE_SIZES_HW = ((240, 320), (480, 640), (720, 1280))


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="moments a row (default: %(default)s)")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    print(f"median and 95 % of {args.runs} moments of the drive, milliseconds of processor time")
    print(f"{'image':>10} {'depth camera':>14} {'median':>8} {'95 %':>8}")
    for image_hw in IMAGE_SIZES_HW:
        for registered in (True, False):
            scene = RgbdScene(image_hw, depth_registered=registered, depth_noise_m=0.002)
            median_ms, high_ms = np.percentile(_times_ms(scene, args.runs), (50, 95))
            kind = "registered" if registered else "of its own"
            print(f"{image_hw[1]:>5}x{image_hw[0]:<4} {kind:>14} {median_ms:>8.1f} {high_ms:>8.1f}", flush=True)
    return 0


def _times_ms(scene: RgbdScene, runs: int) -> list[float]:
    scene.frame(0.0)  # What all frames share is made once.
    times_ms = []
    for time_s in np.linspace(0, DRIVE_S, runs).tolist():
        started_s = time.process_time()
        scene.frame(time_s)
        times_ms.append(1e3 * (time.process_time() - started_s))
    return times_ms


if __name__ == "__main__":
    raise SystemExit(main())
