"""Count the images that the middleware loses, and judge when a person should know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from rclpy.callback_groups import MutuallyExclusiveCallbackGroup
from rclpy.event_handler import EventHandler, QoSSubscriptionEventType
from rclpy.subscription import Subscription


class LossCounter:
    """Reader of how many messages of a subscription got lost in transport.

    It is read from time to time. A callback `message_lost` of the subscription could stop the node for good: rclpy's
    events executor in rmw_fastrtps's `take_event` and Fast DDS's receiving thread in `on_sample_lost` wait for each
    other's lock (ros2/rmw_fastrtps, pull request 890). Without a callback the receiving thread takes no such lock.

    Args:
        subscription: what is watched.

    Raises:
        UnsupportedEventTypeError: for a middleware that does not count lost messages.
    """

    def __init__(self, subscription: Subscription[Any]) -> None:
        self._handler = EventHandler(
            # No node has this group: no executor waits for the handler.
            callback_group=MutuallyExclusiveCallbackGroup(),
            callback=lambda _event: None,
            event_type=QoSSubscriptionEventType.RCL_SUBSCRIPTION_MESSAGE_LOST,
            parent_impl=subscription.handle,
        )

    def take(self) -> int:
        """Return how many messages got lost since the last call."""
        always_ready: Any = _AlwaysReady()
        self._handler.add_to_wait_set(always_ready)
        self._handler.is_ready(always_ready)
        event: Any = self._handler.take_data()
        return int(event.total_count_change)

    def destroy(self) -> None:
        """Free what the middleware holds for it."""
        self._handler.destroy()


class _AlwaysReady:
    """A wait set that waits for nothing: an event's state can be taken at any time."""

    def add_event(self, _event: object) -> int:
        return 0

    def is_ready(self, _kind: str, _index: int) -> bool:
        return True


#: A single lost image is no news: so many, lost ones among them, are looked at together ...
_MIN_IMAGES = 50
#: ... and deserve a warning where at least this share of them was lost.
_MIN_LOST_SHARE = 0.1


@dataclass(frozen=True)
class Loss:
    """A number of lost images, of how many sent."""

    lost: int
    sent: int

    def __str__(self) -> str:
        return f"{self.lost} of {self.sent}"


class LossWatch:
    """Count lost images, and return once while listening what deserves a warning.

    It looks at one stretch of images after the other, so that hours without loss do not hide a loss that comes late.

    Attributes:
        lost: images lost so far.
    """

    def __init__(self) -> None:
        self.lost = 0
        self.restart(0)

    def restart(self, received: int) -> None:
        """Begin to listen anew; the lost ones go on being counted.

        Args:
            received: images received so far.
        """
        self._has_warned = False
        self._begin_stretch(received)

    def add(self, newly_lost: int, received: int) -> Loss | None:
        """Count lost images; return what deserves a warning, once.

        Args:
            newly_lost: images lost since the last call.
            received: images received so far.
        """
        self.lost += newly_lost
        loss = self._in_stretch(received)
        if loss.sent < _MIN_IMAGES:
            return None
        self._begin_stretch(received)
        if self._has_warned or loss.lost < _MIN_LOST_SHARE * loss.sent:
            return None
        self._has_warned = True
        return loss

    def _begin_stretch(self, received: int) -> None:
        self._lost_before, self._received_before = self.lost, received

    def _in_stretch(self, received: int) -> Loss:
        lost = self.lost - self._lost_before
        return Loss(lost, lost + received - self._received_before)
