"""Keep the newest message of each stream until its turn, and share one engine fairly among the streams."""

from __future__ import annotations

from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any


@dataclass(frozen=True)
class FrameCounts:
    """Numbers of frames of a stream since its start.

    Once nothing is on its way, `received` is the sum of the others.

    Attributes:
        received: all that came in.
        processed: results were published.
        dropped: a newer frame took their place, or the stream was cleared before their results were there.
        invalid: their messages hold no usable image.
        failed: a stage raised an error.
    """

    received: int = 0
    processed: int = 0
    dropped: int = 0
    invalid: int = 0
    failed: int = 0


_COUNTED = tuple(field.name for field in fields(FrameCounts))


class StreamSlot:
    """Room for one message of a stream: a newer one takes the place of an older one.

    Args:
        weight: the stream's share of an engine that cannot serve all, above 0, relative to the other streams.
        max_rate_hz: frames a second that are taken at most; 0 for no limit.

    Attributes:
        message: what waits; None for nothing.
        start_tag: its place in the order of service: the lowest comes first.
    """

    def __init__(self, weight: float = 1.0, max_rate_hz: float = 0.0) -> None:
        self.message: Any = None
        self._counts = dict.fromkeys(_COUNTED, 0)
        self._cost = 1.0 / weight
        self._period_s = 1.0 / max_rate_hz if max_rate_hz else 0.0
        self.start_tag = self._finish_tag = 0.0
        self._due_s = float("-inf")

    @property
    def counts(self) -> FrameCounts:
        """Return what became of its frames so far."""
        return FrameCounts(**self._counts)

    def put(self, message: Any, virtual_time: float, missed: int = 0) -> None:
        """Keep a message; it drops the one that waits, and takes over its place in the order.

        Args:
            message: the newest.
            virtual_time: of the queue.
            missed: how many came since the last one, and were dropped for this one already.
        """
        dropped = missed
        if self.message is None:
            self.start_tag = max(virtual_time, self._finish_tag)
        else:
            dropped += 1
        self._counts["received"] += 1 + missed
        self._counts["dropped"] += dropped
        self.message = message

    def take(self, now_s: float) -> Any:
        """Return the message and leave the slot empty."""
        message, self.message = self.message, None
        self._finish_tag = self.start_tag + self._cost
        # Frames of a camera do not come exactly when they are due: half a period early keeps the rate on average.
        self._due_s = max(self._due_s + self._period_s, now_s + self._period_s / 2)
        return message

    def clear(self) -> None:
        """Drop the message that waits."""
        if self.message is not None:
            self.message = None
            self.count("dropped")

    def wait_s(self, now_s: float) -> float | None:
        """Return how long the message has to wait for the sake of the highest rate; None where none is there."""
        return None if self.message is None else max(0.0, self._due_s - now_s)

    def count(self, name: str) -> None:
        """Add one to a count, by its name."""
        self._counts[name] += 1


class FairQueue:
    """Streams that wait for one engine. Not guarded: its owner does that.

    The streams are served by start-time fair queueing: where the engine is the limit, their rates are as their
    weights, and a stream that was silent has saved nothing up. Between the time when a stream's message is due and its
    turn, another stream is served at most `1 + ceil(its weight / own weight)` times, so none can starve.

    Source: Goyal, Vin, Cheng: Start-time Fair Queueing, SIGCOMM 1996.
    """

    def __init__(self) -> None:
        self._slots: list[StreamSlot] = []
        self._virtual_time = 0.0

    def add(self, slot: StreamSlot) -> None:
        """Serve one more stream."""
        self._slots.append(slot)

    def put(self, slot: StreamSlot, message: Any, missed: int = 0) -> None:
        """Keep a message of a stream until its turn; `missed` ones since the last were dropped for it already."""
        slot.put(message, self._virtual_time, missed)

    def wait_s(self, now_s: float) -> float | None:
        """Return how long to wait for the next message that may be taken; None where no message waits."""
        waits_s = [wait_s for slot in self._slots if (wait_s := slot.wait_s(now_s)) is not None]
        return min(waits_s, default=None)

    def take(self, now_s: float) -> tuple[StreamSlot, Any]:
        """Return the message whose turn it is, with its stream's slot. One has to wait, and be due."""
        slot = min((slot for slot in self._slots if slot.wait_s(now_s) == 0.0), key=attrgetter("start_tag"))
        self._virtual_time = max(self._virtual_time, slot.start_tag)
        return slot, slot.take(now_s)

    def clear(self) -> None:
        """Drop all messages."""
        for slot in self._slots:
            slot.clear()
