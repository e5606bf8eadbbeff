"""Watch what the depth node makes of a simulated scene."""

from __future__ import annotations

import time

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from sensor_msgs.msg import PointCloud2
from vision_msgs.msg import Detection3DArray
from visualization_msgs.msg import MarkerArray

from support.depth_scene import Box, Sphere

PERSON = (Box((2.6, 0.5, 0.85), (0.4, 0.5, 1.7), np.radians(-20)), "person", "1")
BALL = (Sphere((2.2, -0.4, 0.9), 0.3), "ball", "2")
SCENE = [PERSON, BALL]

#: After which an image that had no answer is shown again.
REPEAT_S = 3.0


class Watcher(Node):
    """Keep what the depth node publishes."""

    def __init__(self):
        super().__init__("watcher")
        self.objects, self.clouds, self.markers, self.status = [], [], [], []
        self.create_subscription(Detection3DArray, "depth_node/objects", self.objects.append, 10)
        self.create_subscription(DiagnosticArray, "/diagnostics", self._take_status, 10)

    def watch_clouds(self):
        self.create_subscription(PointCloud2, "depth_node/cloud", self.clouds.append, 10)

    def watch_markers(self):
        self.create_subscription(MarkerArray, "depth_node/markers", self.markers.append, 10)

    def _take_status(self, message):
        self.status += [status for status in message.status if "depth_node" in status.name]

    def value(self, key):
        """Return a value of the last diagnostics."""
        return next((entry.value for status in self.status[-1:] for entry in status.values if entry.key == key), "")


def shown(ros, robot, watcher, node, objects=SCENE, **options):
    """Return what the depth node makes of one image."""
    ros.until(lambda: robot.is_heard() and node.count_publishers("yolov8_seg/instances"), "the topics to be matched")
    ros.until(lambda: watcher.count_publishers("depth_node/objects"), "the results to be matched")
    before = len(watcher.objects)
    stamps, shown_s = [], [0.0]

    def is_answered():
        # Both sides of a topic find each other one after the other: what is sent in between is lost.
        if not len(watcher.objects) > before and time.monotonic() - shown_s[0] > REPEAT_S:
            shown_s[0] = time.monotonic()
            stamps.append(robot.show(objects, **options).to_msg())
        return len(watcher.objects) > before

    ros.until(is_answered, "objects")
    message = watcher.objects[-1]
    assert message.header.stamp in stamps
    return message
