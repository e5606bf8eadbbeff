"""Measure how several cameras share one accelerator.

    python -m benchmarks.cameras
    python -m benchmarks.cameras --hz 60 60 60 --weights 1 2 3

The NPU is made of sleep (see `sleeping_npu.py`); cameras and node are processes of their own, over DDS.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from vision_msgs.msg import Detection2DArray

from benchmarks.images import IMAGE_HW, size_text
from benchmarks.processes import environment, process
from benchmarks.sleeping_npu import DEVICE_MS
from yolov8_seg_ros.model_files.store import SCENE_MODEL

_START_LIMIT_S = 60.0
_SETTLE_S = 3.0
#: Frames on their way with an accelerator, and what the host may add to an age.
_ON_THEIR_WAY, _HOST_MS = 3, 10.0
_LEGEND = "share: of all results, in brackets by weight among cameras that fill theirs; ages from capture to result"


@dataclass
class Results:
    """Ages of a camera's results, in ms, while they count."""

    ages_ms: list[float] = field(default_factory=list)
    is_counting: bool = False

    def take(self, message: Detection2DArray) -> None:
        """Count the age of one result."""
        if self.is_counting:
            stamp = message.header.stamp
            self.ages_ms.append((time.time_ns() - stamp.sec * 10**9 - stamp.nanosec) / 1e6)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL)
    parser.add_argument("--hz", type=float, nargs="+", default=[15.0, 15.0, 30.0, 60.0], help="rate of each camera")
    parser.add_argument("--weights", type=float, nargs="+", default=[], help="of each camera; default: 1")
    parser.add_argument("--seconds", type=float, default=10.0, help="default: %(default)s")
    args = parser.parse_args(arguments)
    weights = args.weights or [1.0] * len(args.hz)
    if len(weights) != len(args.hz):
        parser.error("--weights: expected one for each camera of --hz")
    results = _measure(args.model, args.hz, weights, args.seconds)
    total = sum(len(result.ages_ms) for result in results)
    limit_hz = min(1e3 / DEVICE_MS, sum(args.hz))
    print(f"device {DEVICE_MS} ms; {total / args.seconds:.1f} of {limit_hz:.1f} images a second, ", end="")
    print(f"{total / args.seconds / limit_hz:.1%}; load average {os.getloadavg()[0]:.2f}")
    print(f"{'camera':>8}{'weight':>8}{'out':>8}{'share':>16}{'median ms':>11}{'p99':>8}{'bound':>8}")
    shares = _shares(args.hz, weights)
    for index, result in enumerate(results):
        median_ms, p99_ms = np.percentile(result.ages_ms or [math.nan], [50, 99])
        share = f"{len(result.ages_ms) / max(total, 1):.1%} ({shares[index]:.1%})"
        print(
            f"{args.hz[index]:5.0f} Hz{weights[index]:8g}{len(result.ages_ms) / args.seconds:8.1f}{share:>16}"
            f"{median_ms:11.1f}{p99_ms:8.1f}{_bound_ms(weights, index):8.1f}",
            flush=True,
        )
    print(_LEGEND)
    return 0


def _measure(model: str, rates_hz: Sequence[float], weights: Sequence[float], seconds: float) -> list[Results]:
    names = [f"camera{index}" for index in range(len(rates_hz))]
    parameters = [f"cameras:={','.join(names)}"]
    parameters += [f"{name}.weight:={float(weight)}" for name, weight in zip(names, weights, strict=True)]
    environ = environment(profile=True)
    os.environ.update(environ)
    results = [Results() for _ in names]
    rclpy.init()
    listener = Node("listener")
    for name, result in zip(names, results, strict=True):
        listener.create_subscription(Detection2DArray, f"yolov8_seg/{name}/detections", result.take, 50)
    executor = SingleThreadedExecutor()
    executor.add_node(listener)
    with ExitStack() as stack:
        words = [word for text in parameters for word in ("--parameter", text)]
        node = stack.enter_context(process(environ, "benchmarks.sleeping_npu", "--model", model, *words))
        node.wait_for("listening to", _START_LIMIT_S)
        for name, rate_hz in zip(names, rates_hz, strict=True):
            options = ("--topic", f"{name}/image", "--size", size_text(IMAGE_HW), "--hz", str(rate_hz))
            frames = ("--warm-up", "1", "--frames", str(math.ceil(rate_hz * (seconds + _START_LIMIT_S))))
            stack.enter_context(process(environ, "benchmarks.camera", *options, *frames))
        _spin_until(executor, lambda: all(result.ages_ms for result in results), results)
        _spin_for(executor, _SETTLE_S)
        for result in results:
            result.ages_ms.clear()
        _spin_for(executor, seconds)
    rclpy.shutdown()
    return results


def _spin_until(executor: SingleThreadedExecutor, condition: object, results: Sequence[Results]) -> None:
    for result in results:
        result.is_counting = True
    end_s = time.monotonic() + _START_LIMIT_S
    while not condition():  # type: ignore[operator]
        if time.monotonic() > end_s:
            sys.exit("no results came from some camera")
        executor.spin_once(timeout_sec=0.1)


def _spin_for(executor: SingleThreadedExecutor, seconds: float) -> None:
    end_s = time.monotonic() + seconds
    while (left_s := end_s - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=left_s)


def _shares(rates_hz: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the share of each camera: by weight, but none gets more than its rate, and others get what is left."""
    left_hz, open_cameras = 1e3 / DEVICE_MS, set(range(len(rates_hz)))
    served_hz = [0.0] * len(rates_hz)
    while open_cameras:
        unit_hz = left_hz / sum(weights[index] for index in open_cameras)
        full = {index for index in open_cameras if rates_hz[index] <= unit_hz * weights[index]}
        for index in full or open_cameras:
            served_hz[index] = rates_hz[index] if full else unit_hz * weights[index]
            left_hz -= served_hz[index]
        open_cameras -= full or open_cameras
    return [rate / sum(served_hz) for rate in served_hz]


def _bound_ms(weights: Sequence[float], own: int) -> float:
    others = sum(1 + math.ceil(weight / weights[own]) for index, weight in enumerate(weights) if index != own)
    return (others + _ON_THEIR_WAY) * DEVICE_MS + _HOST_MS


if __name__ == "__main__":
    sys.exit(main())
