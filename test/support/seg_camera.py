"""Be the camera and the audience of a segmentation node, in the test's process."""

from __future__ import annotations

import array

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from yolov8_seg_ros.node.seg_node import SegNode

HW = (48, 64)
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


class Camera(Node):
    """Publish images as a camera does, and keep all that the node makes of them."""

    def __init__(self, reliability=ReliabilityPolicy.RELIABLE, prefix=""):
        super().__init__("camera")
        self.prefix = prefix
        qos = QoSProfile(depth=10, reliability=reliability)
        self.raw = self.create_publisher(Image, f"{prefix}image", qos)
        self.compressed = self.create_publisher(CompressedImage, f"{prefix}image/compressed", qos)
        self.results = {}
        self.diagnostics = []
        self.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        self.sent = 0

    def listen(self, message_type, topic, **qos):
        self.results[topic] = []
        profile = QoSProfile(depth=50, **qos)
        return self.create_subscription(
            message_type, f"yolov8_seg/{self.prefix}{topic}", self.results[topic].append, profile
        )

    def send(self, pixels=None):
        self.sent += 1
        image = Image(height=HW[0], width=HW[1], encoding="bgr8", step=HW[1] * 3)
        image.header.stamp.sec = self.sent
        image.data = array.array("B", np.full((*HW, 3), 90, np.uint8).tobytes())
        self.raw.publish(image)
        return self.sent

    @property
    def health(self):
        return self.diagnostics[-1].status[0] if self.diagnostics else None


def make_node(ros, model, cli_args=None, **overrides):
    values = {"model": str(model), **overrides}
    node = SegNode(parameter_overrides=[Parameter(k, value=v) for k, v in values.items()], cli_args=cli_args)
    return ros.add(node)


def activate(node):
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS


def connected(camera):
    return lambda: camera.raw.get_subscription_count() or camera.compressed.get_subscription_count()


def send_and_await(ros, camera):
    """Send an image and wait for its detections."""
    ros.until(connected(camera), "the node to listen")
    stamp = camera.send()
    ros.until(lambda: stamp in stamps(camera), f"the detections of image {stamp}")
    return next(m for m in camera.results["detections"] if m.header.stamp.sec == stamp)


def stamps(camera, topic="detections"):
    return [message.header.stamp.sec for message in camera.results[topic]]


def value_of(health, key):
    return next(entry.value for entry in health.values if entry.key == key)


def subscribers(node, topic):
    """Return how many subscribers the publisher of a node's topic has found."""
    (publisher,) = (p for p in node.publishers if p.topic_name == f"/yolov8_seg/{topic}")
    return publisher.get_subscription_count()


def concluded(stream):
    """Return how many images of a stream have a result, or will have none."""
    counts = stream.counts
    return counts.processed + counts.invalid + counts.failed
