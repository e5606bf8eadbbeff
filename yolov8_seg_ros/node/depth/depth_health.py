"""Count what the depth node does and what keeps it from doing so, and say it on /diagnostics."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence

from yolov8_seg_ros.core.stamp_pairing import DEPTH, DETECTIONS, INSTANCES, PairingCounts
from yolov8_seg_ros.errors import CalibrationError, DepthError, FrameError, UserError, one_line
from yolov8_seg_ros.node.health import ERROR, OK, WARN, Health, Rate

#: What is read is silent if nothing came for so long.
_SILENCE_S = 2.0
PART = "objects"
_KINDS: dict[type[UserError], str] = {
    CalibrationError: "frames without calibration",
    DepthError: "frames with unusable images",
    FrameError: "frames without transform",
}


class DepthCounts:
    """Counters of a session.

    Args:
        pairing: counters of the pairing of its messages.

    Attributes:
        listening: whether messages are taken.
        registration: how the depth images lie to the colour images.
        unknown_classes: names that the costmap has and the model has not.
        clouds_without_image: clouds whose colours are not those of an image.
    """

    def __init__(self, pairing: PairingCounts) -> None:
        self.listening = False
        self.registration = "not known yet"
        self.unknown_classes = ""
        self.clouds_without_image = 0
        self._pairing = pairing
        self._failed: Counter[str] = Counter()
        self._processed = self._objects = self._without_depth = 0
        self._last_without_depth = ""
        self._last_error = ""
        self._elapsed_ms = 0.0
        self._last_seen_s = dict.fromkeys((DETECTIONS, INSTANCES, DEPTH), time.monotonic())
        self._rate = Rate()
        self._told: dict[str, int] = {}

    def seen(self, kind: str) -> None:
        """Count a message."""
        self._last_seen_s[kind] = time.monotonic()

    def fail(self, error: Exception) -> None:
        """Count a frame of which nothing came."""
        kind = next((name for kind, name in _KINDS.items() if isinstance(error, kind)), "frames failed")
        self._failed[kind] += 1
        self._last_error = one_line(error)

    def process(self, num_objects: int, without_depth: Sequence[str], elapsed_ms: float) -> None:
        """Count a frame, its objects, and those that have too few depths."""
        self._processed += 1
        self._objects += num_objects
        self._without_depth += len(without_depth)
        self._last_without_depth = ", ".join(without_depth) or self._last_without_depth
        self._elapsed_ms = elapsed_ms

    def health(self, topics: Mapping[str, str]) -> Health:
        """Return how it goes since the last time this was called.

        Args:
            topics: names of the topics that are read, by what they carry.
        """
        rate_hz = self._rate.update(self._processed)
        grown = self._grown()
        level, summary = self._verdict(grown, topics, rate_hz)
        pairing = self._pairing
        values = {
            "frames processed": self._processed,
            "output rate (Hz)": f"{rate_hz:.1f}",
            "processing (ms)": f"{self._elapsed_ms:.2f}",
            "depth images": self.registration,
            "objects": self._objects,
            "objects without depth": self._without_depth,
            "last objects without depth": self._last_without_depth,
            "detections received": pairing.detections,
            "instances received": pairing.instances,
            "depth images received": pairing.depth,
            "frames with a depth image of the same stamp": pairing.exact,
            "frames with one of another stamp": pairing.near,
            "frames without a near depth image": pairing.unmatched,
            "frames without masks or detections": pairing.incomplete,
            **{kind: self._failed[kind] for kind in (*_KINDS.values(), "frames failed")},
            "clock jumps": pairing.clock_jumps,
            "clouds without image": self.clouds_without_image,
            "last error": self._last_error,
        }
        return Health(level, summary, {name: str(value) for name, value in values.items()}, PART)

    def _grown(self) -> dict[str, int]:
        """Return by how much each counter has grown since the last call."""
        now = {
            "processed": self._processed,
            "objects": self._objects,
            "without depth": self._without_depth,
            "failed": self._failed.total(),
            "unmatched": self._pairing.unmatched,
            "incomplete": self._pairing.incomplete,
            "clock jumps": self._pairing.clock_jumps,
        }
        grown = {name: count - self._told.get(name, 0) for name, count in now.items()}
        self._told = now
        return grown

    def _verdict(self, grown: Mapping[str, int], topics: Mapping[str, str], rate_hz: float) -> tuple[bytes, str]:
        if not self.listening:
            return OK, "not listening"
        if grown["clock jumps"]:
            return WARN, "the clock has jumped back: everything that was kept is forgotten"
        if grown["failed"]:
            level = WARN if grown["processed"] else ERROR
            return level, self._last_error
        now_s = time.monotonic()
        for kind, seen_s in self._last_seen_s.items():
            if now_s - seen_s > _SILENCE_S:
                return WARN, f"no {kind} on {topics[kind]}"
        if grown["unmatched"]:
            return WARN, (
                f"{grown['unmatched']} frames without a depth image near enough: see max_depth_delay_s, and compare "
                f"the stamps of {topics[DEPTH]} and {topics[DETECTIONS]}"
            )
        if grown["incomplete"]:
            return WARN, f"{grown['incomplete']} frames came without masks or without detections"
        if grown["without depth"] > grown["objects"] / 2:
            share = f"{grown['without depth']} of {grown['objects']}"
            return WARN, f"{share} objects without valid depth: {self._last_without_depth}"
        if self.unknown_classes:
            return WARN, f"nav2_classes: the model has no class {self.unknown_classes}"
        return OK, f"{rate_hz:.1f} frames a second"
