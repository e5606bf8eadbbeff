"""Subscribe to a camera's images with the reliability that its publishers offer, and count those that get lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import (
    QoSRequestedIncompatibleQoSInfo,
    SubscriptionEventCallbacks,
    UnsupportedEventTypeError,
)
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from rclpy.timer import Timer
from sensor_msgs.msg import CompressedImage, Image

from yolov8_seg_ros.node.conversions import ImageMessage
from yolov8_seg_ros.node.following_subscription import FollowingSubscription, offered_reliabilities
from yolov8_seg_ros.node.image_loss import LossCounter, LossWatch
from yolov8_seg_ros.node.steady_timer import create_steady_timer
from yolov8_seg_ros.node.transport import loss_advice

#: What image_transport appends to a topic for images that are compressed by themselves.
COMPRESSED_SUFFIX = "/compressed"
#: An executor held up for a moment finds the images that came meanwhile here; the newest is taken all the same, and the
#: others are counted, which a queue of one would lose without a word.
_DEPTH = 10
#: How often the middleware is read for lost images.
_LOSS_PERIOD_S = 0.5
_POLICIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


class ImageInput:
    """A subscription that can be opened and closed; with `auto` a `FollowingSubscription` of the publishers.

    Args:
        node: whose executor calls `on_image`.
        topic: of the raw images, before remapping.
        transport: `raw` for Image on the topic, `compressed` for CompressedImage on the topic with /compressed.
        reliability: `auto`, `reliable` or `best_effort`.
        on_image: called with each message.

    Attributes:
        topic: what is subscribed, resolved and remapped.
        lost: number of images that got lost on their way; none that the queue here dropped is.
    """

    def __init__(
        self, node: Node, topic: str, transport: str, reliability: str, on_image: Callable[[ImageMessage], None]
    ) -> None:
        self._node = node
        self._reliability = reliability
        self._on_image = on_image
        self._is_compressed = transport == "compressed"
        self.topic = self._resolved(topic)
        self._received = 0
        self._losses = LossWatch()
        self._counter: LossCounter | None = None
        self._timer: Timer | None = None
        self._following: FollowingSubscription | None = None

    @property
    def lost(self) -> int:
        """Return how many images got lost on their way so far."""
        return self._losses.lost

    def open(self) -> None:
        """Subscribe, unless that is done."""
        if self._following is None:
            self._losses.restart(self._received)
            fixed = None if self._reliability == "auto" else _POLICIES[self._reliability]
            self._following = FollowingSubscription(self._node, self.topic, self._subscribe, fixed)
            self._timer = create_steady_timer(self._node, _LOSS_PERIOD_S, self._count_lost)

    def close(self) -> None:
        """Unsubscribe, unless that is done."""
        if self._following is not None and self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._end_counter()
            self._following.close()
            self._following = None
            self._node.get_logger().info(f"no longer listening to {self.topic}")

    def destroy(self) -> None:
        """Unsubscribe for good."""
        self.close()

    def why_silent(self) -> str:
        """Return what a person should know where no images come."""
        silence, compressed = f"no images on {self.topic}", self.topic + COMPRESSED_SUFFIX
        if offered_reliabilities(self._node, self.topic):
            if not self._is_reliable():
                return f"{silence}; if its publisher sends any, they get lost: {self._advice()}"
        elif not self._is_compressed and self._node.count_publishers(compressed):
            return f"{silence}, but {compressed} has a publisher: set image_transport to compressed"
        return silence

    def _resolved(self, topic: str) -> str:
        resolved = self._node.resolve_topic_name(topic)
        if self._is_compressed and not resolved.endswith(COMPRESSED_SUFFIX):
            # The suffix follows the remapped topic, as with image_transport; a rule may be for both together.
            resolved = self._node.resolve_topic_name(resolved + COMPRESSED_SUFFIX)
        return resolved

    def _subscribe(self, policy: ReliabilityPolicy) -> Subscription[Any]:
        self._end_counter()
        # The default callback warns of publishers that `auto` gets along with a moment later.
        is_auto = self._reliability == "auto"
        subscription = self._node.create_subscription(
            CompressedImage if self._is_compressed else Image,
            self.topic,
            self._take,
            QoSProfile(depth=_DEPTH, reliability=policy),
            event_callbacks=SubscriptionEventCallbacks(
                incompatible_qos=self._ignore_incompatible_qos if is_auto else None
            ),
        )
        try:
            self._counter = LossCounter(subscription)
        except UnsupportedEventTypeError:
            self._node.get_logger().info("this middleware does not count images that get lost")
        self._node.get_logger().info(f"listening to {self.topic}, {policy.name.lower()}")
        return subscription

    def _ignore_incompatible_qos(self, _event: QoSRequestedIncompatibleQoSInfo) -> None:
        self._node.get_logger().debug(f"a publisher of {self.topic} is best effort: following it")

    def _is_reliable(self) -> bool:
        return self._following is None or self._following.policy == ReliabilityPolicy.RELIABLE

    def _take(self, message: ImageMessage) -> None:
        self._received += 1
        self._on_image(message)

    def _count_lost(self) -> None:
        newly_lost = self._counter.take() if self._counter is not None else 0
        loss = self._losses.add(newly_lost, self._received) if newly_lost else None
        if loss is not None:
            self._node.get_logger().warning(f"{loss} images of {self.topic} got lost in transport: {self._advice()}")

    def _end_counter(self) -> None:
        self._count_lost()
        if self._counter is not None:
            self._counter.destroy()
            self._counter = None

    def _advice(self) -> str:
        if self._is_reliable():
            return loss_advice("let its publisher keep more images")
        if ReliabilityPolicy.BEST_EFFORT in offered_reliabilities(self._node, self.topic):
            return loss_advice("make its publisher reliable")
        return loss_advice("set image_reliability to auto")
