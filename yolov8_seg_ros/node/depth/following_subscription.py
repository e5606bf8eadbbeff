"""Subscribe with the reliability that publishers offer, and follow when they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription

from yolov8_seg_ros.node.steady_timer import create_steady_timer

_FOLLOW_PERIOD_S = 0.5


class FollowingSubscription:
    """A subscription that is reliable as long as all publishers of its topic are.

    A reliable subscription receives nothing from a best-effort publisher; a best-effort one may lose large messages.

    Args:
        node: whose executor calls `on_message`.
        message_type: of the topic.
        topic: full name.
        on_message: called with each message.
        depth: messages that wait at most.
    """

    def __init__(
        self, node: Node, message_type: type, topic: str, on_message: Callable[[Any], None], depth: int = 10
    ) -> None:
        self.topic = topic
        self._node, self._type, self._on_message, self._depth = node, message_type, on_message, depth
        self._subscription: Subscription[Any] | None = None
        self._policy = ReliabilityPolicy.RELIABLE
        self._subscribe(self._wanted())
        self._timer = create_steady_timer(node, _FOLLOW_PERIOD_S, self._follow)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        self._unsubscribe()

    def _follow(self) -> None:
        wanted = self._wanted()
        if wanted != self._policy:
            self._unsubscribe()
            self._subscribe(wanted)

    def _subscribe(self, policy: ReliabilityPolicy) -> None:
        self._policy = policy
        qos = QoSProfile(depth=self._depth, reliability=policy)
        self._subscription = self._node.create_subscription(self._type, self.topic, self._on_message, qos)

    def _unsubscribe(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None

    def _wanted(self) -> ReliabilityPolicy:
        offered = [info.qos_profile.reliability for info in self._node.get_publishers_info_by_topic(self.topic)]
        has_best_effort = ReliabilityPolicy.BEST_EFFORT in offered
        return ReliabilityPolicy.BEST_EFFORT if has_best_effort else ReliabilityPolicy.RELIABLE
