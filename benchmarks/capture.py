"""Measure what an image costs that the node captures itself, against one that comes over DDS.

    python -m benchmarks.capture

The device is an uncompressed video file; the node's processor time for an image is compared, less that of `invoke()`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import cv2

from benchmarks.bare_invoke import BareInvoke
from benchmarks.end_to_end import Feed, measure
from benchmarks.images import IMAGE_HW, benchmark_image, size_hw, size_text
from benchmarks.processes import environment, process
from yolov8_seg_ros.model_files.store import SCENE_MODEL

_RATE_HZ = 30.0
_START_LIMIT_S, _WARM_UP_S = 60.0, 1.0


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL)
    parser.add_argument("--image", default="", help="default: one of the built-in scene")
    parser.add_argument("--size", type=size_hw, default=IMAGE_HW, help="WIDTHxHEIGHT of the image (default: 640x480)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a run (default: %(default)s)")
    args = parser.parse_args(arguments)
    frames = round(args.seconds * _RATE_HZ)
    node = (
        "yolov8_seg_ros.executables",
        "seg_node",
        "--ros-args",
        "-p",
        f"model:={args.model}",
        "-p",
        "num_threads:=1",
    )
    feed = Feed(args.image, args.size, rate_hz=_RATE_HZ, frames=frames, warm_up=round(_WARM_UP_S * _RATE_HZ))
    invoke_ms = BareInvoke(args.model, 1).measure(frames, _RATE_HZ).paced_cpu_ms
    over_dds_ms = measure(node, ("detections",), feed, profile=True).cpu_ms
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "camera.avi"
        # It does not end while it is measured: opening a file costs more than opening its images.
        _write_video(video, args.image, args.size, frames + 3 * feed.warm_up)
        captured_ms = _captured_cpu_ms((*node, "-p", f"device:={video}"), args.seconds)
    print(f"processor time for an image of {size_text(args.size)} at {_RATE_HZ:.0f} Hz, ms; ", end="")
    print(f"load average {os.getloadavg()[0]:.2f}")
    print(f"{'':12}{'in all':>8}{'above invoke()':>16}")
    print(f"{'invoke()':12}{invoke_ms:8.2f}")
    for name, cpu_ms in (("over DDS", over_dds_ms), ("captured", captured_ms)):
        print(f"{name:12}{cpu_ms:8.2f}{cpu_ms - invoke_ms:16.2f}")
    print(f"captured / over DDS, above invoke(): {(captured_ms - invoke_ms) / (over_dds_ms - invoke_ms):.2f}")
    return 0


def _write_video(path: Path, image: str, image_hw: tuple[int, int], frames: int) -> None:
    """Write an uncompressed video, which costs as little to read as the pixels of a camera."""
    bgr = benchmark_image(image, image_hw).to_bgr()
    writer = cv2.VideoWriter(str(path), 0, _RATE_HZ, image_hw[::-1])
    if not writer.isOpened():
        sys.exit("OpenCV here cannot write an uncompressed video")
    for _ in range(frames):
        writer.write(bgr)
    writer.release()


def _captured_cpu_ms(node: tuple[str, ...], seconds: float) -> float:
    """Return the node's processor time for an image, with somebody who subscribes to detections."""
    environ = environment(profile=True)
    with process(environ, "benchmarks.listener", "detections"), process(environ, *node) as running:
        running.wait_for("reading", _START_LIMIT_S)
        time.sleep(_WARM_UP_S)
        before_s = running.cpu_s()
        time.sleep(seconds)
        return (running.cpu_s() - before_s) * 1e3 / (seconds * _RATE_HZ)


if __name__ == "__main__":
    sys.exit(main())
