"""Measure what an image costs that the node captures itself, against one that comes over DDS.

    python -m benchmarks.capture

The camera is made of software (v4l2/camera.h) and delivers YUYV; over DDS the same image comes as `yuv422_yuy2`, and as
the `bgr8` that most nodes of cameras publish. The node's processor time for an image is compared, less that of
`invoke()`. The node is asked for detections.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from benchmarks.bare_invoke import BareInvoke
from benchmarks.end_to_end import Feed, measure
from benchmarks.images import IMAGE_HW, absolute_path, benchmark_image, size_hw, size_text
from benchmarks.processes import environment, process
from benchmarks.v4l2_camera import DEVICE, SoftwareCamera, encoded
from yolov8_seg_ros.model_files.store import SCENE_MODEL

_RATE_HZ = 30.0
_START_LIMIT_S, _WARM_UP_S = 60.0, 1.0
_OVER_DDS = ("bgr8", "yuv422_yuy2")


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    args = _parse(arguments)
    frames = round(args.seconds * _RATE_HZ)
    feed = Feed(absolute_path(args.image), args.size, _RATE_HZ, frames, warm_up=round(_WARM_UP_S * _RATE_HZ))
    parameters = ("-p", f"model:={args.model}", "-p", "num_threads:=1")
    node = ("yolov8_seg_ros.executables", "seg_node", "--ros-args", *parameters)
    invoke_ms = BareInvoke(args.model, 1).measure(frames, _RATE_HZ).paced_cpu_ms
    above_ms = {
        f"DDS, {encoding}": measure(node, ("detections",), replace(feed, encoding=encoding), profile=True).cpu_ms
        - invoke_ms
        for encoding in _OVER_DDS
    }
    captured_ms = _captured_cpu_ms((*node, *_device_parameters(args.size)), feed, args.seconds) - invoke_ms
    print(f"processor time for an image of {size_text(args.size)} at {_RATE_HZ:.0f} Hz, ms; ", end="")
    print(f"load average {os.getloadavg()[0]:.2f}")
    print(f"{'':18}{'in all':>8}{'above invoke()':>16}{'captured / this':>17}")
    print(f"{'invoke()':18}{invoke_ms:8.2f}")
    for name, ms in (above_ms | {"captured, YUYV": captured_ms}).items():
        print(f"{name:18}{invoke_ms + ms:8.2f}{ms:16.2f}{captured_ms / ms:17.2f}")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL)
    parser.add_argument("--image", default="", help="default: one of the built-in scene")
    parser.add_argument("--size", type=size_hw, default=IMAGE_HW, help="WIDTHxHEIGHT of the image (default: 640x480)")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a run (default: %(default)s)")
    return parser.parse_args(arguments)


def _device_parameters(image_hw: tuple[int, int]) -> tuple[str, ...]:
    settings = {
        "device": DEVICE,
        "device_height": image_hw[0],
        "device_width": image_hw[1],
        "device_rate_hz": _RATE_HZ,
        "device_pixel_format": "YUYV",
    }
    return tuple(word for name, value in settings.items() for word in ("-p", f"{name}:={value}"))


def _captured_cpu_ms(node: tuple[str, ...], feed: Feed, seconds: float) -> float:
    """Return the node's processor time for an image, with somebody who subscribes to detections."""
    environ = environment(profile=True)
    with tempfile.TemporaryDirectory() as folder:
        camera = SoftwareCamera(Path(folder) / "camera")
        camera.add_mode("YUYV", feed.image_hw, encoded(benchmark_image(feed.image, feed.image_hw).to_bgr(), "YUYV"))
        with (
            process(environ, "benchmarks.listener", "detections"),
            process(environ | camera.environment, *node) as running,
        ):
            running.wait_for(f"reading {DEVICE}", _START_LIMIT_S)
            time.sleep(_WARM_UP_S)
            before_s = running.cpu_s()
            time.sleep(seconds)
            cpu_s = running.cpu_s() - before_s
        _check_rate(camera)
    return cpu_s * 1e3 / (seconds * _RATE_HZ)


def _check_rate(camera: SoftwareCamera) -> None:
    """End the benchmark if the node did not read all images, whose number the result is divided by."""
    ended = camera.log()[-1]
    taken, lost = (int(word) for word in ended.split() if word.isdecimal())
    if not ended.startswith("stop") or lost > taken / 100:
        raise SystemExit(f"the node did not read as fast as the camera delivers: {ended}")


if __name__ == "__main__":
    sys.exit(main())
