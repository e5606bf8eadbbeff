"""Measure how well the node hides the host's work behind an NPU.

    python -m benchmarks.overlap

The NPU is made of sleep (see `sleeping_npu.py`); camera, node and listener are processes of their own, over DDS.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from benchmarks.sleeping_npu import DEVICE_MS, picture
from yolov8_seg_ros.executables import prepare_process
from yolov8_seg_ros.model_store import SCENE_MODEL
from yolov8_seg_ros.node import conversions
from yolov8_seg_ros.node.pipeline import OVERLAPPING_LANES
from yolov8_seg_ros.node.transport import use_large_image_profile

DOMAIN_ID = 97
FAST_HZ, SLOW_HZ = 60.0, 20.0
_CONNECT_S = 20.0
_SETTLE_S = 1.0
#: By the lanes of their pipeline; 0 is the node that answers at once.
NODES = {0: "answers at once", 1: "one after the other", OVERLAPPING_LANES: "overlapping"}
_LEGEND = """\
p5, median, p95: ms from publishing an image to having its detections and mask in another process
host adds: median less that of the node that answers at once, less the device's time; in brackets the same of p5,
           which is what remains of it on a machine that is busy with other things"""


@dataclass
class Seen:
    """What the listener saw of one run: when each image's results were complete.

    Attributes:
        completed_ns: time of the later one of detections and mask, by the image's stamp.
    """

    completed_ns: dict[int, int] = field(default_factory=dict)
    _half: dict[int, int] = field(default_factory=dict)

    def take(self, message: Detection2DArray | Image) -> None:
        """Note the arrival of one result of an image."""
        now_ns = time.time_ns()
        stamp_ns = message.header.stamp.sec * 10**9 + message.header.stamp.nanosec
        if self._half.pop(stamp_ns, None) is None:
            self._half[stamp_ns] = now_ns
        else:
            self.completed_ns[stamp_ns] = now_ns

    def rate_hz(self) -> float:
        """Give how many images a second were completed."""
        times = sorted(self.completed_ns.values())
        return (len(times) - 1) / (times[-1] - times[0]) * 1e9

    def latencies_ms(self) -> np.ndarray:
        """Give the time from publishing an image to having its results."""
        return np.array([done - stamp for stamp, done in self.completed_ns.items()]) / 1e6


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL)
    parser.add_argument("--picture", default="", help="default: one of the built-in scene")
    parser.add_argument("--seconds", type=float, default=10.0, help="each of the six runs (default: %(default)s)")
    args = parser.parse_args(arguments)
    use_large_image_profile()
    # As the package's programs do, for the processes started below.
    prepare_process()
    os.environ["ROS_DOMAIN_ID"] = str(DOMAIN_ID)
    limit_hz = 1e3 / DEVICE_MS
    print(f"device {DEVICE_MS} ms, so at most {limit_hz:.1f} images a second; load average {os.getloadavg()[0]:.2f}")
    print(f"{'node':22}{'camera':>8}{'out':>7}{'of limit':>10}{'p5':>8}{'median':>8}{'p95':>8}{'host adds':>12}")
    for rate_hz in (FAST_HZ, SLOW_HZ):
        floor_ms = None
        for lanes, name in NODES.items():
            seen = measure(args, lanes, rate_hz)
            latency_ms = np.percentile(seen.latencies_ms(), [5, 50, 95])
            floor_ms = latency_ms if floor_ms is None else floor_ms
            print(_row(name, rate_hz, seen.rate_hz(), min(limit_hz, rate_hz), latency_ms, floor_ms), flush=True)
    print(_LEGEND)
    return 0


def _row(
    name: str, camera_hz: float, out_hz: float, limit_hz: float, latency_ms: np.ndarray, floor_ms: np.ndarray
) -> str:
    p5_ms, median_ms, p95_ms = latency_ms
    row = f"{name:22}{camera_hz:5.0f} Hz{out_hz:7.1f}"
    if latency_ms is floor_ms:
        return f"{row}{'':10}{p5_ms:8.2f}{median_ms:8.2f}{p95_ms:8.2f}"
    added_ms = latency_ms - floor_ms - DEVICE_MS
    share = out_hz / limit_hz
    return f"{row}{share:10.1%}{p5_ms:8.2f}{median_ms:8.2f}{p95_ms:8.2f}{added_ms[1]:6.2f} ({added_ms[0]:.2f})"


def measure(args: argparse.Namespace, lanes: int, rate_hz: float) -> Seen:
    """Run a node with a camera of that rate; give what came out."""
    with _process("sleeping_npu", "--model", args.model, "--picture", args.picture, "--lanes", str(lanes)):
        rclpy.init(domain_id=DOMAIN_ID)
        try:
            return _listen(args, rate_hz)
        finally:
            rclpy.shutdown()


def _listen(args: argparse.Namespace, rate_hz: float) -> Seen:
    node = Node("listener")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    seen = Seen()
    subscriptions = [
        node.create_subscription(Detection2DArray, "yolov8_seg/detections", lambda msg: seen.take(msg), 50),
        node.create_subscription(Image, "yolov8_seg/instances", lambda msg: seen.take(msg), 50),
    ]
    with _process("overlap", "--camera", str(rate_hz), args.picture):
        _spin(executor, lambda: len(seen.completed_ns) > 5, _CONNECT_S)
        _spin(executor, lambda: False, _SETTLE_S)
        seen = Seen()
        _spin(executor, lambda: False, args.seconds)
    assert subscriptions
    executor.shutdown()
    node.destroy_node()
    return seen


def _spin(executor: SingleThreadedExecutor, until, limit_s: float) -> None:
    end_s = time.monotonic() + limit_s
    while not until() and time.monotonic() < end_s:
        executor.spin_once(timeout_sec=0.01)


def publish_images(rate_hz: float, path: str) -> int:
    """Publish one picture at a rate, until the process is ended."""
    use_large_image_profile()
    rclpy.init(domain_id=DOMAIN_ID)
    node = Node("camera")
    publisher = node.create_publisher(Image, "image", 5)
    message = conversions.bgr_to_msg(picture(path).pixels, Image().header)
    due_s = time.monotonic()
    while True:
        stamp_ns = time.time_ns()
        message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
        publisher.publish(message)
        due_s += 1 / rate_hz
        time.sleep(max(0.0, due_s - time.monotonic()))


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[None]:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.terminate()
        try:
            running.wait(10)
        except subprocess.TimeoutExpired:
            running.kill()
            running.wait()


if __name__ == "__main__":
    sys.exit(publish_images(float(sys.argv[2]), sys.argv[3]) if sys.argv[1:2] == ["--camera"] else main())
