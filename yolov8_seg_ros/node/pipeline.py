"""Work on the newest frame in threads of its own, so that the executor is free and the stages of frames overlap."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Protocol, TypeVar

Frame = TypeVar("Frame")
AnyFrame = TypeVar("AnyFrame", contravariant=True)
Prepared = TypeVar("Prepared")
Outputs = TypeVar("Outputs")

#: Frames on their way at a time, where the stages overlap: one in each.
OVERLAPPING_LANES = 3
#: A frame is prepared so long before the running inference is expected to end, in preparations: later, and the
#: inference would wait; earlier, and a newer frame might have come meanwhile.
_LEAD_IN_PREPARATIONS = 2.0
#: What waking a thread up may take on top.
_LEAD_S = 0.002
#: How long a frame that came out of the inference waits for the next one to go in, if that is ready.
_MAX_COURTESY_S = 0.005


@dataclass(frozen=True)
class FrameCounts:
    """How many frames came, were done, and were overwritten by a newer one before their turn."""

    received: int = 0
    done: int = 0
    overwritten: int = 0


class Stages(Protocol[AnyFrame, Prepared, Outputs]):
    """What is done with a frame. Each stage is called by one thread at a time, in the order of the frames."""

    def prepare(self, frame: AnyFrame, lane: int) -> Prepared:
        """Make the network's input; what belongs to the lane is free until this is called for it again."""

    def infer(self, prepared: Prepared) -> Outputs:
        """Run the network."""

    def finish(self, outputs: Outputs) -> None:
        """Make use of what came out."""

    def report(self, error: Exception) -> None:
        """Take notice of an exception that a stage let out; the next frame follows all the same."""


class NewestFramePipeline(Generic[Frame, Prepared, Outputs]):
    """Hand frames through three stages; of the frames that wait, the newest wins.

    Each lane is a thread that takes a frame from a slot that holds one, and goes with it through all stages, from lock
    to lock. So stages of different frames overlap and their order is kept, and a frame that comes alone is never
    handed from thread to thread.

    Args:
        stages: what is done with a frame.
        lanes: how many frames may be on their way at a time; 1 for no overlap.
        end: called once, in the thread that ends last.
    """

    def __init__(
        self,
        stages: Stages[Frame, Prepared, Outputs],
        lanes: int = 1,
        end: Callable[[], None] = lambda: None,
    ) -> None:
        self._stages = stages
        self._end = end
        self._slot: Frame | None = None
        self._closing = False
        self._counts = FrameCounts()
        self._changed = threading.Condition()
        self._preparing, self._inferring, self._finishing, self._reporting = (threading.Lock() for _ in range(4))
        self._schedule = _Schedule()
        self._ready, self._begun = threading.Event(), threading.Event()
        self._running = lanes
        self._threads = [
            threading.Thread(target=self._run, args=(lane,), name=f"segmentation {lane}") for lane in range(lanes)
        ]
        for thread in self._threads:
            thread.start()

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
        """End the threads after the frames at hand; tell whether they have ended within the time given."""
        with self._changed:
            self._closing = True
            self._slot = None
            self._changed.notify_all()
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if end_s is None else max(0.0, end_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, lane: int) -> None:
        try:
            while self._do_next(lane):
                pass
        finally:
            with self._changed:
                self._running -= 1
                is_last = not self._running
            if is_last:
                self._end()

    def _do_next(self, lane: int) -> bool:
        """Bring one frame through all stages; tell whether there was one."""
        step = _Step((self._preparing, self._inferring, self._finishing))
        try:
            step.advance()
            frame = self._next()
            if frame is None:
                return False
            self._bring_through(frame, lane, step)
        finally:
            step.leave()
        with self._changed:
            self._counts = replace(self._counts, done=self._counts.done + 1)
        return True

    def _bring_through(self, frame: Frame, lane: int, step: _Step) -> None:
        try:
            with self._schedule.preparation:
                prepared = self._stages.prepare(frame, lane)
            self._ready.set()
            step.advance()
            self._ready.clear()
            if self._closing:
                return
            with self._schedule.inference:
                self._begun.set()
                outputs = self._stages.infer(prepared)
            self._begun.clear()
            self._wake_up()
            step.advance()
            if self._ready.is_set():
                # Else this thread would keep the interpreter to itself while the accelerator idles.
                self._begun.wait(_MAX_COURTESY_S)
            self._stages.finish(outputs)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is reported, and the next frame deserves its turn
            self._wake_up()
            with self._reporting:
                self._stages.report(error)

    def _wake_up(self) -> None:
        """Let the thread that holds a frame back look again; without a frame it would only be in the way."""
        with self._changed:
            if self._slot is not None:
                self._changed.notify()

    def _next(self) -> Frame | None:
        with self._changed:
            while not self._closing:
                wait_s = self._schedule.wait_s() if self._slot is not None else None
                if wait_s == 0.0:
                    break
                self._changed.wait(wait_s)
            frame, self._slot = self._slot, None
            return frame


class _Step:
    """Go from lock to lock: the next one is held before the last one is let go, so nobody overtakes."""

    def __init__(self, locks: tuple[threading.Lock, ...]) -> None:
        self._ahead = list(locks)
        self._held: threading.Lock | None = None

    def advance(self) -> None:
        """Wait for the next stage, and leave the present one."""
        following = self._ahead.pop(0)
        following.acquire()
        self.leave()
        self._held = following

    def leave(self) -> None:
        """Leave the present stage."""
        if self._held is not None:
            self._held.release()
            self._held = None


class _Stopwatch:
    """Measure what is done in a `with` block, by one thread at a time."""

    def __init__(self) -> None:
        self.last_s = 0.0
        self.since_s: float | None = None

    def __enter__(self) -> None:
        self.since_s = time.monotonic()

    def __exit__(self, *_error: object) -> None:
        if self.since_s is not None:
            self.last_s = time.monotonic() - self.since_s
        self.since_s = None


class _Schedule:
    """Tell when to prepare a frame: at once while no inference runs, else shortly before it is expected to end."""

    def __init__(self) -> None:
        self.preparation = _Stopwatch()
        self.inference = _Stopwatch()

    def wait_s(self) -> float:
        """Give how long to wait from now on."""
        since_s = self.inference.since_s
        if since_s is None:
            return 0.0
        lead_s = _LEAD_IN_PREPARATIONS * self.preparation.last_s + _LEAD_S
        return max(0.0, since_s + self.inference.last_s - lead_s - time.monotonic())
