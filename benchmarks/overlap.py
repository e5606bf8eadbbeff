"""Measure how well the node hides the host's work behind an NPU.

    python -m benchmarks.overlap

The NPU is made of sleep (see `sleeping_npu.py`); camera, node and listener are processes of their own, over DDS.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.end_to_end import Feed, Measured, answering_node, measure
from benchmarks.images import absolute_path
from benchmarks.sleeping_npu import DEVICE_MS
from yolov8_seg_ros.model_files.store import SCENE_MODEL

FAST_HZ, SLOW_HZ = 60.0, 20.0
_OUTPUTS = ("detections", "instances")
_WARM_UP_S = 1.0
ANSWERS_AT_ONCE, ONE_BY_ONE, OVERLAPPING = NODES = ("answers at once", "one after the other", "overlapping")
_LEGEND = """\
p5, median, p95: ms from publishing an image to having its detections and mask in another process
host adds: median less that of the node that answers at once, less the device's time; in brackets the same of p5,
           which is what remains of it on a machine that is busy with other things"""


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL)
    parser.add_argument("--image", default="", help="default: one of the built-in scene")
    parser.add_argument("--seconds", type=float, default=5.0, help="of a run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each row, in turns (default: %(default)s)")
    args = parser.parse_args(arguments)
    limit_hz = 1e3 / DEVICE_MS
    print(f"device {DEVICE_MS} ms, so at most {limit_hz:.1f} images a second; load average {os.getloadavg()[0]:.2f}")
    print(f"{'node':22}{'camera':>8}{'out':>7}{'of limit':>10}{'p5':>8}{'median':>8}{'p95':>8}{'host adds':>12}")
    for rate_hz in (FAST_HZ, SLOW_HZ):
        # In turns, so that a slow hour of the machine meets all nodes alike.
        rounds = [{node: _measure(args, node, rate_hz) for node in NODES} for _ in range(args.rounds)]
        floor_ms = _percentiles([each[ANSWERS_AT_ONCE] for each in rounds])
        for name in NODES:
            runs = [each[name] for each in rounds]
            out_hz = float(np.mean([run.rate_hz for run in runs]))
            print(_row(name, rate_hz, out_hz, min(limit_hz, rate_hz), _percentiles(runs), floor_ms), flush=True)
    print(_LEGEND)
    return 0


def _percentiles(runs: Sequence[Measured]) -> NDArray[np.floating[Any]]:
    """Return the 5th, 50th and 95th percentile of all latencies together."""
    return np.percentile(np.concatenate([run.latency_ms for run in runs]), [5, 50, 95])


def _row(
    name: str,
    camera_hz: float,
    out_hz: float,
    limit_hz: float,
    latency_ms: NDArray[np.floating[Any]],
    floor_ms: NDArray[np.floating[Any]],
) -> str:
    p5_ms, median_ms, p95_ms = latency_ms
    row = f"{name:22}{camera_hz:5.0f} Hz{out_hz:7.1f}"
    if name == ANSWERS_AT_ONCE:
        return f"{row}{'':10}{p5_ms:8.2f}{median_ms:8.2f}{p95_ms:8.2f}"
    added_ms = latency_ms - floor_ms - DEVICE_MS
    share = out_hz / limit_hz
    return f"{row}{share:10.1%}{p5_ms:8.2f}{median_ms:8.2f}{p95_ms:8.2f}{added_ms[1]:6.2f} ({added_ms[0]:.2f})"


def _measure(args: argparse.Namespace, node: str, rate_hz: float) -> Measured:
    feed = Feed(
        absolute_path(args.image),
        rate_hz=rate_hz,
        frames=round(args.seconds * rate_hz),
        warm_up=round(_WARM_UP_S * rate_hz),
    )
    run = measure(_command(args.model, node, feed), _OUTPUTS, feed, profile=True)
    if not len(run.latency_ms):
        sys.exit("no results came: is something else using up the processor?")
    return run


def _command(model: str, node: str, feed: Feed) -> tuple[str, ...]:
    if node == ANSWERS_AT_ONCE:
        return answering_node(model, feed)
    sleeping = ("benchmarks.sleeping_npu", "--model", model, "--image", feed.image)
    return (*sleeping, "--no-overlap") if node == ONE_BY_ONE else sleeping


if __name__ == "__main__":
    sys.exit(main())
