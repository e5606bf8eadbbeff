"""Measure what an image costs that the node captures itself, against one that comes over DDS.

    python -m benchmarks.capture

The camera is made of software (v4l2/camera.h) and delivers YUYV; over DDS the same image comes as `yuv422_yuy2`, and as
the `bgr8` that most nodes of cameras publish. A video file that is not compressed is read, too. The node's processor
time for an image is compared, less that of `invoke()`. The node is asked for detections.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2

from benchmarks.bare_invoke import BareInvoke
from benchmarks.end_to_end import Feed, measure
from benchmarks.images import IMAGE_HW, absolute_path, benchmark_image, size_hw, size_text
from benchmarks.processes import environment, process
from benchmarks.v4l2_camera import DEVICE, SoftwareCamera, encoded
from yolov8_seg_ros.model_files.store import SCENE_MODEL

_RATE_HZ = 30.0
_START_LIMIT_S, _WARM_UP_S = 60.0, 1.0
#: A video of I420, as OpenCV writes it, and its length.
_UNCOMPRESSED, _VIDEO_S = 0, 2.0


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    args = _parse(arguments)
    frames = round(args.seconds * _RATE_HZ)
    feed = Feed(absolute_path(args.image), args.size, _RATE_HZ, frames, warm_up=round(_WARM_UP_S * _RATE_HZ))
    parameters = ("-p", f"model:={args.model}", "-p", "num_threads:=1")
    node = ("yolov8_seg_ros.executables", "seg_node", "--ros-args", *parameters)
    ways: dict[str, Callable[[], float]] = {
        "invoke()": lambda: BareInvoke(args.model, 1).measure(frames, _RATE_HZ).paced_cpu_ms,
        "DDS, bgr8": lambda: _over_dds_ms(node, feed, "bgr8"),
        "DDS, yuv422_yuy2": lambda: _over_dds_ms(node, feed, "yuv422_yuy2"),
        "captured, YUYV": lambda: _from_camera_ms(node, feed, args.seconds),
        "captured, a file": lambda: _from_file_ms(node, feed, args.seconds),
    }
    turns = [{name: measure_ms() for name, measure_ms in ways.items()} for _ in range(args.turns)]
    _print_table(turns, feed)
    return 0


def _print_table(turns: list[dict[str, float]], feed: Feed) -> None:
    """Print means of the turns, and their quotients."""
    mean_ms = {name: statistics.mean(turn[name] for turn in turns) for name in turns[0]}
    invoke_ms = mean_ms.pop("invoke()")
    over_dds_ms = {name: ms - invoke_ms for name, ms in mean_ms.items() if name.startswith("DDS")}
    print(f"processor time for an image of {size_text(feed.image_hw)} at {_RATE_HZ:.0f} Hz, ms; ", end="")
    print(f"means of {len(turns)} turns; load average {os.getloadavg()[0]:.2f}")
    print(f"{'':18}{'in all':>8}{'above invoke()':>16}" + "".join(f"{'/ ' + name:>20}" for name in over_dds_ms))
    print(f"{'invoke()':18}{invoke_ms:8.2f}")
    for name, ms in mean_ms.items():
        above_ms = ms - invoke_ms
        ratios = "".join(f"{above_ms / other_ms:20.2f}" for other_ms in over_dds_ms.values())
        print(f"{name:18}{ms:8.2f}{above_ms:16.2f}{ratios}")


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL)
    parser.add_argument("--image", default="", help="default: one of the built-in scene")
    parser.add_argument("--size", type=size_hw, default=IMAGE_HW, help="WIDTHxHEIGHT of the image (default: 640x480)")
    parser.add_argument("--seconds", type=float, default=8.0, help="of a run (default: %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="runs of each (default: %(default)s)")
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


def _over_dds_ms(node: tuple[str, ...], feed: Feed, encoding: str) -> float:
    return measure(node, ("detections",), replace(feed, encoding=encoding), profile=True).cpu_ms


def _from_camera_ms(node: tuple[str, ...], feed: Feed, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        camera = SoftwareCamera(Path(folder) / "camera")
        camera.add_mode("YUYV", feed.image_hw, encoded(benchmark_image(feed.image, feed.image_hw).to_bgr(), "YUYV"))
        node = (*node, *_device_parameters(feed.image_hw))
        cpu_ms = _captured_ms(node, DEVICE, seconds, environment(profile=True) | camera.environment)
        _check_rate(camera)
    return cpu_ms


def _from_file_ms(node: tuple[str, ...], feed: Feed, seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "video.avi"))
        writer = cv2.VideoWriter(path, _UNCOMPRESSED, _RATE_HZ, feed.image_hw[::-1])
        bgr = benchmark_image(feed.image, feed.image_hw).to_bgr()
        for _ in range(round(_VIDEO_S * _RATE_HZ)):
            writer.write(bgr)
        writer.release()
        return _captured_ms((*node, "-p", f"device:={path}"), path, seconds, environment(profile=True))


def _captured_ms(node: tuple[str, ...], source: str, seconds: float, environ: dict[str, str]) -> float:
    """Return the node's processor time for an image, with somebody who subscribes to detections."""
    with process(environ, "benchmarks.listener", "detections"), process(environ, *node) as running:
        running.wait_for(f"reading {source}", _START_LIMIT_S)
        time.sleep(_WARM_UP_S)
        before_s = running.cpu_s()
        time.sleep(seconds)
        cpu_s = running.cpu_s() - before_s
    return cpu_s * 1e3 / (seconds * _RATE_HZ)


def _check_rate(camera: SoftwareCamera) -> None:
    """End the benchmark if the node did not read all images, whose number the result is divided by."""
    ended = camera.log()[-1]
    taken, lost = (int(word) for word in ended.split() if word.isdecimal())
    if not ended.startswith("stop") or lost > taken / 100:
        raise SystemExit(f"the node did not read as fast as the camera delivers: {ended}")


if __name__ == "__main__":
    sys.exit(main())
