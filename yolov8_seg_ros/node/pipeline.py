"""Work on the newest frame in a thread of its own, so that the executor is free at all times."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

Frame = TypeVar("Frame")


@dataclass(frozen=True)
class FrameCounts:
    """How many frames came, were done, and were overwritten by a newer one before their turn."""

    received: int = 0
    done: int = 0
    overwritten: int = 0


class NewestFramePipeline(Generic[Frame]):
    """Hand frames to a worker thread through a slot that holds one: a newer frame overwrites a waiting one.

    Args:
        work: called in the thread with one frame at a time.
        report: called in the thread with an exception that `work` let out; the next frame follows all the same.
        finish: called once in the thread when it ends, after the last frame.
    """

    def __init__(
        self,
        work: Callable[[Frame], None],
        report: Callable[[Exception], None],
        finish: Callable[[], None] = lambda: None,
    ) -> None:
        self._work = work
        self._report = report
        self._finish = finish
        self._slot: Frame | None = None
        self._closing = False
        self._counts = FrameCounts()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="segmentation")
        self._thread.start()

    @property
    def counts(self) -> FrameCounts:
        """Give what was counted since the start."""
        with self._changed:
            return self._counts

    def put(self, frame: Frame) -> None:
        """Offer a frame; returns at once."""
        with self._changed:
            overwritten = self._slot is not None
            self._slot = frame
            counts = self._counts
            self._counts = FrameCounts(counts.received + 1, counts.done, counts.overwritten + overwritten)
            self._changed.notify()

    def clear(self) -> None:
        """Forget a frame that waits for its turn."""
        with self._changed:
            self._slot = None

    def close(self, timeout_s: float | None = None) -> bool:
        """End the thread after the frame at hand; tell whether it has ended within the time given."""
        with self._changed:
            self._closing = True
            self._slot = None
            self._changed.notify()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (frame := self._next()) is not None:
                self._do(frame)
        finally:
            self._finish()

    def _next(self) -> Frame | None:
        with self._changed:
            self._changed.wait_for(lambda: self._slot is not None or self._closing)
            frame, self._slot = self._slot, None
            return frame

    def _do(self, frame: Frame) -> None:
        try:
            self._work(frame)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported, and the next frame deserves its turn
            self._report(error)
        with self._changed:
            counts = self._counts
            self._counts = FrameCounts(counts.received, counts.done + 1, counts.overwritten)
