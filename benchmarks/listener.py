"""Receive the node's results and record when they arrive: a process of the benchmarks.

    python -m benchmarks.listener detections instances

When it is ended it prints what it saw, as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

from yolov8_seg_ros.node.process import run_node
from yolov8_seg_ros.node.transport import use_large_image_profile

#: Printed when it can be found, and when the node's publishers have been.
READY, CONNECTED = "listener: ready", "listener: connected"
#: Printed at the end, before what it saw.
SAW = "listener: saw "
#: What can be listened to, in the node's namespace.
OUTPUTS = {
    "detections": (Detection2DArray, QoSProfile(depth=50)),
    "instances": (Image, QoSProfile(depth=50)),
    "overlay": (Image, qos_profile_sensor_data),
}


class Listener(Node):
    """Node that subscribes to some of the outputs.

    Attributes:
        complete: stamp of the image, and time of the last of its results, in ns, by the number of the frame.
        found: number of detections on the last image, if they are listened to.
        counts: counters from the node's last message on /diagnostics, by name.
    """

    def __init__(self, outputs: list[str]) -> None:
        super().__init__("listener")
        self.complete: dict[int, tuple[int, int]] = {}
        self.found = 0
        self.counts: dict[str, str] = {}
        self._awaited = len(outputs)
        self._parts: defaultdict[int, int] = defaultdict(int)
        self._results = [
            self.create_subscription(OUTPUTS[output][0], f"yolov8_seg/{output}", self._take, OUTPUTS[output][1])
            for output in outputs
        ]
        self._connecting = self.create_timer(0.05, self._print_connected)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._take_counts, 10)
        print(READY, flush=True)

    def _print_connected(self) -> None:
        if all(result.get_publisher_count() for result in self._results):
            self._connecting.cancel()
            print(CONNECTED, flush=True)

    def _take(self, message: Detection2DArray | Image) -> None:
        now_ns = time.time_ns()
        number = int(message.header.frame_id)
        self._parts[number] += 1
        if self._parts[number] == self._awaited:
            stamp = message.header.stamp
            self.complete[number] = (stamp.sec * 10**9 + stamp.nanosec, now_ns)
        if isinstance(message, Detection2DArray):
            self.found = len(message.detections)

    def _take_counts(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.counts = {pair.key: pair.value for pair in status.values}


def main() -> int:
    """Listen until the process is ended."""
    use_large_image_profile()
    listeners: list[Listener] = []

    def make_node(_ending: object) -> Listener:
        listeners.append(Listener(sys.argv[1:]))
        return listeners[0]

    exit_code = run_node(make_node, (), [])
    for listener in listeners:
        seen = {"complete": listener.complete, "found": listener.found, "counts": listener.counts}
        print(SAW + json.dumps(seen), flush=True)
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
