"""Subscribe with the reliability that publishers offer, and follow when they change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rclpy.subscription import Subscription

from yolov8_seg_ros.node.steady_timer import create_steady_timer

#: How often the publishers are looked at.
_FOLLOW_PERIOD_S = 0.5


class FollowingSubscription:
    """A subscription that is reliable as long as all publishers of its topic are, unless its reliability is fixed.

    A reliable subscription receives nothing from a best-effort publisher; a best-effort one may lose large messages.

    Args:
        node: whose subscription it is.
        topic: full name.
        create: returns a new subscription to the topic with the given reliability.
        fixed: reliability that does not follow the publishers; None to follow them.

    Attributes:
        policy: the reliability at present.
    """

    def __init__(
        self,
        node: Node,
        topic: str,
        create: Callable[[ReliabilityPolicy], Subscription[Any]],
        fixed: ReliabilityPolicy | None = None,
    ) -> None:
        self._node, self._topic, self._create, self._fixed = node, topic, create, fixed
        self.policy = self._wanted()
        self._subscription = create(self.policy)
        self._timer = create_steady_timer(node, _FOLLOW_PERIOD_S, self._follow)

    def close(self) -> None:
        """Unsubscribe."""
        self._node.destroy_timer(self._timer)
        self._node.destroy_subscription(self._subscription)

    def _follow(self) -> None:
        wanted = self._wanted()
        if wanted != self.policy:
            self._node.destroy_subscription(self._subscription)
            self.policy = wanted
            self._subscription = self._create(wanted)

    def _wanted(self) -> ReliabilityPolicy:
        if self._fixed is not None:
            return self._fixed
        has_best_effort = ReliabilityPolicy.BEST_EFFORT in offered_reliabilities(self._node, self._topic)
        return ReliabilityPolicy.BEST_EFFORT if has_best_effort else ReliabilityPolicy.RELIABLE


def offered_reliabilities(node: Node, topic: str) -> list[ReliabilityPolicy]:
    """Return the reliability of each publisher of a topic."""
    return [info.qos_profile.reliability for info in node.get_publishers_info_by_topic(topic)]
