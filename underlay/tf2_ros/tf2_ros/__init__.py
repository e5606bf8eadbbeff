"""Keep the coordinate frames of /tf and /tf_static, and look up transforms between them at a time.

The part of the distribution's tf2_ros that a node needs which reads transforms: the same names, arguments and errors.
"""

from __future__ import annotations

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from tf2_msgs.msg import TFMessage

from tf2_ros.buffer import (
    Buffer,
    ConnectivityException,
    ExtrapolationException,
    InvalidArgumentException,
    LookupException,
    TransformException,
)

__all__ = [
    "Buffer",
    "ConnectivityException",
    "ExtrapolationException",
    "InvalidArgumentException",
    "LookupException",
    "TransformException",
    "TransformListener",
]
_DEPTH = 100


class TransformListener:
    """Put what arrives on /tf and /tf_static into a buffer, in the executor of a node."""

    def __init__(self, buffer: Buffer, node: Node) -> None:
        self._buffer, self._node = buffer, node
        latched = QoSProfile(depth=_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.tf_sub = node.create_subscription(TFMessage, "/tf", self.callback, _DEPTH)
        self.tf_static_sub = node.create_subscription(TFMessage, "/tf_static", self.static_callback, latched)

    def callback(self, data: TFMessage) -> None:
        """Keep the transforms of a message for their time."""
        for transform in data.transforms:
            self._buffer.set_transform(transform, "default_authority")

    def static_callback(self, data: TFMessage) -> None:
        """Keep the transforms of a message for all times."""
        for transform in data.transforms:
            self._buffer.set_transform_static(transform, "default_authority")

    def unregister(self) -> None:
        """Stop listening."""
        self._node.destroy_subscription(self.tf_sub)
        self._node.destroy_subscription(self.tf_static_sub)
