"""Find the depth image that belongs to the detections and label image of a colour image, by their stamps.

Messages may be of any kind: those of topics, or what was read from a recording.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from yolov8_seg_ros.errors import FrameError, UserError

#: More than any camera is ahead of the segmentation of its images.
CAPACITY = 60
#: A stamp this far behind the newest one is no late message: the clock has jumped, or a recording begins again.
_JUMP_NS = 1_000_000_000
DETECTIONS, INSTANCES, DEPTH = "detections", "instances", "depth"


@dataclass(frozen=True)
class PairedFrame:
    """The messages of one colour image.

    Attributes:
        stamp_ns: of the colour image.
        detections: its detections.
        instances: its label image.
        depth: the depth image of that time, or the nearest one.
        depth_offset_ns: by how much that is later.
    """

    stamp_ns: int
    detections: Any
    instances: Any
    depth: Any
    depth_offset_ns: int


@dataclass
class PairingCounts:
    """Counts of what has happened so far.

    Attributes:
        detections: received.
        instances: received.
        depth: received.
        exact: frames whose depth image has the same stamp.
        near: frames whose depth image has another stamp.
        incomplete: frames without a label image, or without detections.
        unmatched: frames without a depth image that is near enough, or forgotten before theirs came.
        clock_jumps: how often stamps went back.
    """

    detections: int = 0
    instances: int = 0
    depth: int = 0
    exact: int = 0
    near: int = 0
    incomplete: int = 0
    unmatched: int = 0
    clock_jumps: int = 0


class StampPairing:
    """Pair messages of equal stamps; depth images also with others, the nearest in time, within a limit.

    A frame is given out as soon as its depth image is certain: one of the same stamp, or the nearest one once a later
    one has come.

    Args:
        limit_ns: largest difference of the stamps of a frame and its depth image; 0: none.
        capacity: messages of each kind that are kept.
    """

    def __init__(self, limit_ns: int, capacity: int = CAPACITY) -> None:
        self.counts = PairingCounts()
        self.nearest_offset_ns: int | None = None
        self._limit_ns = limit_ns
        self._capacity = capacity
        self._kept: dict[str, dict[int, Any]] = {DETECTIONS: {}, INSTANCES: {}, DEPTH: {}}
        self._newest_ns: dict[str, int] = {}

    def put(self, kind: str, stamp_ns: int, message: Any) -> list[PairedFrame]:
        """Keep a message; return the frames that are complete with it, oldest first.

        Args:
            kind: `DETECTIONS`, `INSTANCES` or `DEPTH`.
            stamp_ns: of the message.
            message: anything.
        """
        setattr(self.counts, kind, getattr(self.counts, kind) + 1)
        if stamp_ns < self._newest_ns.get(kind, stamp_ns) - _JUMP_NS:
            self.counts.clock_jumps += 1
            self._drop_all()
        self._newest_ns[kind] = max(stamp_ns, self._newest_ns.get(kind, stamp_ns))
        self._kept[kind][stamp_ns] = message
        frames = list(self._complete())
        self._forget_old()
        return frames

    def finish(self) -> list[PairedFrame]:
        """Return the frames that still wait, with the nearest depth images there are, as no later ones come."""
        frames = list(self._complete(is_last=True))
        self._drop_all()
        return frames

    def clear(self) -> None:
        """Forget all messages."""
        self._newest_ns.clear()
        for kept in self._kept.values():
            kept.clear()

    def _drop_all(self) -> None:
        """Forget all messages, and count the frames among them."""
        self.counts.unmatched += len(self._kept[DETECTIONS].keys() & self._kept[INSTANCES].keys())
        self.clear()

    def _complete(self, is_last: bool = False) -> Iterator[PairedFrame]:
        detections, instances, depths = (self._kept[kind] for kind in (DETECTIONS, INSTANCES, DEPTH))
        for stamp_ns in sorted(detections.keys() & instances.keys()):
            depth_ns = stamp_ns if stamp_ns in depths else self._nearest_ns(stamp_ns, is_last)
            if depth_ns is None:
                continue
            found, labels = detections.pop(stamp_ns), instances.pop(stamp_ns)
            offset_ns = depth_ns - stamp_ns
            self.nearest_offset_ns = offset_ns
            if abs(offset_ns) > self._limit_ns:
                self.counts.unmatched += 1
                continue
            self.counts.exact += offset_ns == 0
            self.counts.near += offset_ns != 0
            yield PairedFrame(stamp_ns, found, labels, depths[depth_ns], offset_ns)

    def _nearest_ns(self, stamp_ns: int, is_last: bool) -> int | None:
        """Return the stamp of the nearest depth image; None as long as a nearer one may come."""
        if not self._kept[DEPTH] or (self._newest_ns.get(DEPTH, -1) < stamp_ns and not is_last):
            return None
        return min(self._kept[DEPTH], key=lambda depth_ns: abs(depth_ns - stamp_ns))

    def _forget_old(self) -> None:
        for kind, kept in self._kept.items():
            while len(kept) > self._capacity:
                oldest_ns = min(kept)
                del kept[oldest_ns]
                if kind == DEPTH:
                    continue
                # The last of the two that goes decides.
                others = self._kept[INSTANCES if kind == DETECTIONS else DETECTIONS]
                if oldest_ns in others:
                    del others[oldest_ns]
                    self.counts.unmatched += 1
                else:
                    self.counts.incomplete += 1


class WaitingFrames:
    """Frames that wait for what belongs to their time, such as transforms; they are processed in order.

    Args:
        process: brings a frame to its results. After a `UserError` with `may_come` it is called again later, as long as
            the frame has not waited for too long.
        fail: called with the error of each frame without results.
        max_wait: how long a frame waits, in the unit of the times that are given.
        capacity: frames that wait at most.
    """

    def __init__(
        self,
        process: Callable[[PairedFrame], None],
        fail: Callable[[Exception], None],
        max_wait: float,
        capacity: int = 10,
    ) -> None:
        self._process, self._fail, self._max_wait, self._capacity = process, fail, max_wait, capacity
        self._frames: deque[tuple[PairedFrame, float]] = deque()

    def __len__(self) -> int:
        return len(self._frames)

    def clear(self) -> None:
        """Forget all frames."""
        self._frames.clear()

    def add(self, frames: Iterable[PairedFrame], now: float) -> None:
        """Append frames; if too many wait, the oldest ones fail."""
        self._frames.extend((frame, now + self._max_wait) for frame in frames)
        while len(self._frames) > self._capacity:
            self._frames.popleft()
            self._fail(FrameError("more frames wait for their transforms than are kept"))

    def work(self, now: float) -> None:
        """Process frames until one has to wait."""
        while self._frames:
            frame, deadline = self._frames[0]
            try:
                self._process(frame)
            except UserError as error:
                if error.may_come and now < deadline:
                    return
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the frames behind it are not to wait for it
                self._fail(error)
            self._frames.popleft()
