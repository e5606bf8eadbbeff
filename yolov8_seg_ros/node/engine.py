"""Run the newest frames of streams through one network, so that the stages of different frames overlap."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import cv2

from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.image import ColorImage, PixelBuffer
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Frame, Segmenter
from yolov8_seg_ros.errors import ImageError, RunInterruptedError
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.node.frame_queue import FairQueue, FrameCounts, StreamSlot

#: A frame is taken so long before the running inference is expected to end, in times of its preprocessing: later, and
#: the inference would wait; earlier, and a newer frame might have come meanwhile.
_LEAD_IN_PREPROCESSINGS = 2.0
#: What waking a thread up may take on top.
_LEAD_S = 0.002
#: How long a frame that leaves a stage waits for the next one to go in.
_HANDOVER_S = 0.005
#: Drawn small, since drawing takes longer than anything else of a warm-up, and brought to a camera's size.
_DRAWN_HW, _WARM_UP_WH = (96, 128), (640, 480)
#: Runs after the first one; the fastest of them counts.
_STEADY_RUNS = 3


class Stream(Protocol):
    """A source of frames that also publishes their results. Each method is called by one thread at a time."""

    def read(self, message: Any, buffer: PixelBuffer) -> ColorImage:
        """Return the image of a message.

        Raises:
            ImageError: if there is none in it.
        """

    def wants_masks(self) -> bool:
        """Return whether anybody looks at masks."""

    def publish(self, frame: Frame) -> None:
        """Publish what was found in a frame; `frame.message` is the message that it came from."""

    def report(self, error: Exception) -> None:
        """Report why a frame has no result."""


@dataclass(frozen=True)
class WarmUp:
    """Milliseconds that the first image took, and each after it."""

    first_ms: float
    steady_ms: float

    def __str__(self) -> str:
        return f"the first image took {self.first_ms:.0f} ms, those after it {self.steady_ms:.1f} ms"


class Engine:
    """Segment the newest frames of several streams with one backend.

    Each worker is a thread with a frame of its own, which it brings through all stages. So stages of different frames
    overlap. Frames enter every stage in the order in which they were taken. With a processor that runs the network
    itself there is one worker: overlap gains nothing there, and frames would wait for each other. A thread that has an
    image may take the worker's place then: see `Entrance.serve`.

    Args:
        backend: runs the network; closed by the thread that uses it last.
        options: how images are segmented.
    """

    def __init__(self, backend: Backend, options: SegmenterOptions) -> None:
        self.segmenter = Segmenter(backend, options)
        self._backend = backend
        in_flight = backend.info.frames_in_flight
        workers = in_flight + 2 if backend.info.is_accelerator else 1
        #: Where stages do not overlap, a thread that has an image can as well segment it.
        self._can_serve_in_place = not backend.info.is_accelerator
        lock = threading.Lock()
        self._lock = lock
        self._offered = threading.Condition(lock)
        self._queue = FairQueue()
        self._streams: dict[StreamSlot, Stream] = {}
        self._taken = 0
        self._closing = False
        #: Workers that wait for a frame.
        self._idle = 0
        self._preprocess_s = 0.0
        #: From taking a frame until it is in the network, no other one is taken.
        self._is_taking = False
        self._inference = _Stage(lock, in_flight)
        self._postprocessing = _Stage(lock)
        self._running = workers
        self._threads = [threading.Thread(target=self._work, name=f"segmentation {n}") for n in range(workers)]
        for thread in self._threads:
            thread.start()

    def add(self, stream: Stream, *, weight: float = 1.0, max_rate_hz: float = 0.0) -> Entrance:
        """Return where a stream's messages go in.

        Args:
            stream: what reads them and publishes the results.
            weight: its share of an engine that cannot serve all, relative to the other streams.
            max_rate_hz: frames a second that are taken of it at most; 0 for no limit.
        """
        slot = StreamSlot(weight, max_rate_hz)
        with self._lock:
            self._streams[slot] = stream
            self._queue.add(slot)
        return Entrance(self, slot)

    def set_detection(self, detection: DetectionOptions) -> None:
        """Keep other instances from the next image on."""
        self.segmenter.set_detection(detection)

    def warm_up(self) -> WarmUp | None:
        """Segment an image of shapes several times, if the backend needs it; return how long that took.

        Raises:
            BackendError: if the backend fails at it.
        """
        if not self._backend.info.needs_warm_up:
            return None
        image = ColorImage(cv2.resize(SyntheticScene(_DRAWN_HW).frame(0).image, _WARM_UP_WH))  # type: ignore[arg-type]
        first_ms, *steady_ms = (self._segment_ms(image) for _ in range(1 + _STEADY_RUNS))
        opened_ms = self._backend.info.first_run_ms
        return WarmUp(first_ms if opened_ms is None else opened_ms, min(steady_ms))

    def pause(self) -> None:
        """Drop what waits, and interrupt a run that takes long."""
        with self._lock:
            self._queue.clear()
        self._backend.pause()

    def resume(self) -> None:
        """Run again after `pause`."""
        self._backend.resume()

    def close(self, timeout_s: float | None = None) -> bool:
        """End the workers after the frames at hand; return whether they have ended within the time given."""
        self._backend.pause()
        with self._lock:
            self._closing = True
            self._queue.clear()
            self._offered.notify_all()
        end_s = None if timeout_s is None else time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(None if end_s is None else max(0.0, end_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _segment_ms(self, image: ColorImage) -> float:
        started = time.perf_counter()
        self.segmenter.segment(image)
        return (time.perf_counter() - started) * 1e3

    def _work(self) -> None:
        frame = self.segmenter.new_frame()
        try:
            while (passage := self._next()) is not None:
                self._bring_through(passage, frame)
        finally:
            self._leave()

    def _leave(self) -> None:
        """Close the backend if this thread is the last one that uses it."""
        with self._lock:
            self._running -= 1
            is_last = not self._running
        if is_last:
            self._backend.close()

    def _bring_through(self, passage: _Passage, frame: Frame) -> None:
        """Run a frame through all stages.

        A stage is left only when the next one is entered: a frame that would have to wait there is not taken yet, and a
        newer one may take its place.
        """
        try:
            passage.do(self._preprocess, frame)
            self._inference.enter(passage.number)
        finally:
            self._is_taking = False
            self._look_again()
        try:
            passage.do(self._infer, frame)
            self._postprocessing.enter(passage.number)
        finally:
            self._inference.leave()
        try:
            passage.do(self._publish, frame)
            self._conclude(passage)
        finally:
            self._postprocessing.leave()
            # Whoever lent the image's memory has it back.
            frame.image = frame.message = None

    def _next(self) -> _Passage | None:
        """Wait for a frame and take it; None at the end."""
        with self._lock:
            while not self._closing:
                now_s = time.monotonic()
                wait_s = None if self._is_taking else self._wait_s(now_s)
                if wait_s == 0.0:
                    return self._take(now_s)
                self._idle += 1
                self._offered.wait(wait_s)
                self._idle -= 1
            return None

    def _take(self, now_s: float) -> _Passage:
        """Return the frame whose turn it is, which no other thread gets. One has to be due, and the lock to be held."""
        self._is_taking = True
        slot, message = self._queue.take(now_s)
        self._taken += 1
        return _Passage(self._taken, slot, message, self._streams[slot])

    def _offer(self, slot: StreamSlot, message: Any, missed: int, frame: Frame | None = None) -> None:
        """Queue a message; with a frame of the calling thread, segment it there if nothing else is at work."""
        with self._lock:
            is_awaited = slot.message is not None
            self._queue.put(slot, message, missed)
            now_s = time.monotonic()
            if frame is None or not self._is_at_rest() or self._wait_s(now_s) != 0.0:
                if not is_awaited:
                    self._offered.notify()
                return
            passage = self._take(now_s)
            self._running += 1
        try:
            self._bring_through(passage, frame)
        finally:
            self._leave()

    def _is_at_rest(self) -> bool:
        """Return whether no frame is on its way. The lock has to be held."""
        return not (self._closing or self._is_taking or self._inference.is_used or self._postprocessing.is_used)

    def _wait_s(self, now_s: float) -> float | None:
        """Return how long to wait before a frame is taken; None for one that has yet to come."""
        wait_s = self._queue.wait_s(now_s)
        if wait_s is None:
            return None
        lead_s = _LEAD_IN_PREPROCESSINGS * self._preprocess_s + _LEAD_S
        return max(wait_s, self._inference.expected_s(now_s) - lead_s)

    def _preprocess(self, passage: _Passage, frame: Frame) -> None:
        started = time.perf_counter()
        frame.message = passage.message
        self.segmenter.preprocess(frame, passage.stream.read(passage.message, frame.buffer))
        self._preprocess_s = time.perf_counter() - started
        frame.times.preprocess_ms = self._preprocess_s * 1e3

    def _infer(self, passage: _Passage, frame: Frame) -> None:
        if self._closing:
            raise RunInterruptedError("the engine is closing")
        # Once, since a backend that decodes by itself leaves masks out that nobody looks at.
        passage.masks = passage.stream.wants_masks()
        started_s = self._inference.start()
        try:
            self.segmenter.infer(frame, passage.masks)
        finally:
            self._inference.end(started_s)
            self._look_again()

    def _look_again(self) -> None:
        """Wake a worker for a frame that waits, since it may be taken now."""
        with self._lock:
            if self._idle and self._queue.wait_s(time.monotonic()) is not None:
                self._offered.notify()

    def _publish(self, passage: _Passage, frame: Frame) -> None:
        self.segmenter.postprocess(frame, passage.masks)
        passage.stream.publish(frame)

    def _conclude(self, passage: _Passage) -> None:
        error = passage.error
        if error is None:
            outcome = "processed"
        elif isinstance(error, RunInterruptedError):
            outcome = "dropped"
        else:
            passage.stream.report(error)
            outcome = "invalid" if isinstance(error, ImageError) else "failed"
        with self._lock:
            passage.slot.count(outcome)


class Entrance:
    """An entrance for the messages of one stream. Any thread may use it, but only one may call `serve`."""

    def __init__(self, engine: Engine, slot: StreamSlot) -> None:
        self._engine, self._slot = engine, slot
        self._frame: Frame | None = None

    @property
    def counts(self) -> FrameCounts:
        """Return what became of the stream's frames so far."""
        with self._engine._lock:
            return self._slot.counts

    def put(self, message: Any, missed: int = 0) -> None:
        """Offer a message; it takes the place of one that still waits. Returns at once.

        Args:
            message: what the stream can read.
            missed: how many came since the one before, and were dropped for this one already.
        """
        self._engine._offer(self._slot, message, missed)

    def serve(self, message: Any, missed: int = 0) -> None:
        """Segment a message in the calling thread, if the engine is at rest; else, or with an accelerator, `put` it.

        Waking a worker up takes longer than all else that is done to hand a message over.

        Args:
            message: as for `put`.
            missed: as for `put`.
        """
        if self._frame is None and self._engine._can_serve_in_place:
            self._frame = self._engine.segmenter.new_frame()
        self._engine._offer(self._slot, message, missed, self._frame)

    def clear(self) -> None:
        """Drop the message that waits."""
        with self._engine._lock:
            self._slot.clear()


class _Passage:
    """The way of one message through the stages; after an error the others are left out."""

    def __init__(self, number: int, slot: StreamSlot, message: Any, stream: Stream) -> None:
        self.number, self.slot, self.message, self.stream = number, slot, message, stream
        self.masks = False
        self.error: Exception | None = None

    def do(self, stage: Callable[[_Passage, Frame], None], frame: Frame) -> None:
        """Run a stage on a frame and keep its error."""
        if self.error is None:
            try:
                stage(self, frame)
            except Exception as error:  # noqa: BLE001 - it is reported, and the next frame has its turn
                self.error = error


class _Stage:
    """A stage that frames enter in the order of their numbers, a few at a time.

    Args:
        lock: guards it.
        capacity: frames that may be in it at a time.
    """

    def __init__(self, lock: threading.Lock, capacity: int = 1) -> None:
        self._lock = lock
        self._changed = threading.Condition(lock)
        self._capacity = self._free = capacity
        self._waiting = 0
        self._next_number = 1
        self._started_s: deque[float] = deque()
        self._last_s = 0.0

    @property
    def is_used(self) -> bool:
        """Return whether a frame is in it."""
        return self._free < self._capacity

    def enter(self, number: int) -> None:
        """Wait until it is this frame's turn and there is room."""
        with self._lock:
            has_to_wait = self._next_number != number or not self._free
            if has_to_wait:
                self._waiting += 1
                self._changed.wait_for(lambda: self._next_number == number and self._free)
                self._waiting -= 1
            self._next_number += 1
            self._free -= 1
            if has_to_wait or self._waiting:
                self._changed.notify_all()

    def leave(self) -> None:
        """Make room for the next frame, and let one that waits go in first.

        Else the thread that leaves would keep Python's interpreter lock for its next stage, and the accelerator idle.
        """
        with self._lock:
            self._free += 1
            if self._waiting:
                self._changed.notify_all()
                self._changed.wait_for(lambda: not (self._free and self._waiting), _HANDOVER_S)

    def start(self) -> float:
        """Begin to measure what is done in it, by which `expected_s` estimates; return the time."""
        started_s = time.monotonic()
        self._started_s.append(started_s)
        return started_s

    def end(self, started_s: float) -> None:
        """End what was started then."""
        self._last_s = time.monotonic() - started_s
        self._started_s.remove(started_s)

    def expected_s(self, now_s: float) -> float:
        """Return how long it takes until there is room, by the last frame's time; 0 while there is."""
        return self._started_s[0] + self._last_s - now_s if not self._free and self._started_s else 0.0
