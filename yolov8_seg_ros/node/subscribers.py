"""Find publishers that have subscribers, now and then rather than for each image."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from typing import Any

from rclpy.publisher import Publisher

#: How often it is looked for subscribers at most.
LOOK_PERIOD_S = 0.1


class SubscriberWatch:
    """The publishers that have subscribers, as seen 0.1 s ago at most. Any thread may use it.

    The middleware's event of a new subscriber is not used: see `LossCounter` on what a callback of an event may do.

    Args:
        publishers: those that are looked at.
    """

    def __init__(self, publishers: Iterable[Publisher[Any]]) -> None:
        self._publishers = tuple(publishers)
        self._subscribed: frozenset[Publisher[Any]] = frozenset()
        self._due_s = -math.inf

    def subscribed(self) -> frozenset[Publisher[Any]]:
        """Return those that somebody subscribes to."""
        now_s = time.monotonic()
        if now_s >= self._due_s:
            self._due_s = now_s + LOOK_PERIOD_S
            self._subscribed = frozenset(one for one in self._publishers if one.get_subscription_count())
        return self._subscribed
