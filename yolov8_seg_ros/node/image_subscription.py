"""Subscribe to a camera's images with the reliability that its publishers offer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.event_handler import QoSMessageLostInfo, SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

from yolov8_seg_ros.node.conversions import ImageMessage
from yolov8_seg_ros.node.transport import loss_advice

TOPIC = "image"
#: An executor held up for a moment finds the images that came meanwhile here; the newest is taken all the same, and the
#: others are counted, which a queue of one would lose without a word.
_DEPTH = 10
#: How often the publishers are looked at with `auto`.
_FOLLOW_PERIOD_S = 0.5
_POLICIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


class ImageSubscription:
    """A subscription that can be opened and closed, and that `auto` renews when publishers come and go.

    A reliable subscription gets nothing from a best-effort publisher; a best-effort one may lose large images. So
    `auto` is reliable as long as all publishers are.

    Args:
        node: whose executor calls `on_image`.
        transport: `raw` for Image on `image`, `compressed` for CompressedImage on `image/compressed`.
        reliability: `auto`, `reliable` or `best_effort`.
        on_image: called with each message.
        on_lost: called with the number of messages that got lost on their way; none that the queue here dropped is.
    """

    def __init__(
        self,
        node: Node,
        transport: str,
        reliability: str,
        on_image: Callable[[ImageMessage], None],
        on_lost: Callable[[int], None],
    ) -> None:
        self._node = node
        self._reliability = reliability
        self._on_image = on_image
        self._on_lost = on_lost
        self._type = CompressedImage if transport == "compressed" else Image
        # The suffix follows the remapped topic, as with image_transport.
        self.topic = node.resolve_topic_name(TOPIC) + ("/compressed" if transport == "compressed" else "")
        self._subscription: Subscription[Any] | None = None
        self._policy = ReliabilityPolicy.RELIABLE
        self._timer = node.create_timer(_FOLLOW_PERIOD_S, self._follow)

    @property
    def is_matched_best_effort(self) -> bool:
        """Tell whether there are publishers whose lost messages nobody sends again."""
        return self._policy == ReliabilityPolicy.BEST_EFFORT and bool(self._offers())

    def loss_advice(self) -> str:
        """Tell why messages get lost, and what to do."""
        if self._policy == ReliabilityPolicy.RELIABLE:
            return loss_advice("let its publisher keep more images")
        if ReliabilityPolicy.BEST_EFFORT in self._offers():
            return loss_advice("make its publisher reliable")
        return loss_advice("set image_reliability to auto")

    def open(self) -> None:
        """Subscribe, unless that is done."""
        if self._subscription is None:
            self._subscribe(self._wanted_policy())

    def close(self) -> None:
        """Unsubscribe, unless that is done."""
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def destroy(self) -> None:
        """Unsubscribe for good."""
        self.close()
        self._node.destroy_timer(self._timer)

    def _follow(self) -> None:
        wanted = self._wanted_policy()
        if self._subscription is not None and wanted != self._policy:
            self.close()
            self._subscribe(wanted)

    def _subscribe(self, policy: ReliabilityPolicy) -> None:
        self._policy = policy
        try:
            self._subscription = self._make(SubscriptionEventCallbacks(message_lost=self._count_lost))
        except UnsupportedEventTypeError:
            self._subscription = self._make(SubscriptionEventCallbacks())
            self._node.get_logger().info("this middleware does not tell of images that get lost")
        self._node.get_logger().info(f"listening to {self.topic}, {policy.name.lower()}")

    def _make(self, events: SubscriptionEventCallbacks) -> Subscription[Any]:
        qos = QoSProfile(depth=_DEPTH, reliability=self._policy)
        return self._node.create_subscription(self._type, self.topic, self._on_image, qos, event_callbacks=events)

    def _wanted_policy(self) -> ReliabilityPolicy:
        if self._reliability != "auto":
            return _POLICIES[self._reliability]
        all_reliable = ReliabilityPolicy.BEST_EFFORT not in self._offers()
        return ReliabilityPolicy.RELIABLE if all_reliable else ReliabilityPolicy.BEST_EFFORT

    def _offers(self) -> list[ReliabilityPolicy]:
        return [info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)]

    def _count_lost(self, event: QoSMessageLostInfo) -> None:
        self._on_lost(event.total_count_change)
