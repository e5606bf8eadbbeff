"""Publish on /diagnostics, once a second, how the node and its cameras do."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.node.steady_timer import create_steady_timer
from yolov8_seg_ros.node.stream import CameraStream

PERIOD_S = 1.0
#: A simulation's clock that stands still for so many periods deserves a warning.
_STILL_PERIODS = 3
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True)
class Health:
    """One entry of /diagnostics.

    Attributes:
        level: one of OK, WARN, ERROR.
        summary: one line for a person.
        values: details by name.
        part: of the node that it is about.
        hardware: what the network runs on.
    """

    level: bytes
    summary: str
    values: Mapping[str, str] = field(default_factory=dict)
    part: str = "segmentation"
    hardware: str = ""


class DiagnosticsPublisher:
    """Publish a node's health once a second, also while the clock of a simulation stands still.

    Args:
        node: whose health it is.
        read: returns its entries.
    """

    def __init__(self, node: Node, read: Callable[[], Sequence[Health]]) -> None:
        self._node = node
        self._read = read
        self._clock = _ClockWatch(node)
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = create_steady_timer(node, PERIOD_S, self._publish)

    def _publish(self) -> None:
        warning = self._clock.warning()
        message = DiagnosticArray(status=[self._status(health, warning) for health in self._read()])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)

    def _status(self, health: Health, warning: str) -> DiagnosticStatus:
        level, summary = (WARN, warning) if warning and health.level == OK else (health.level, health.summary)
        # As diagnostic_updater names its entries: without the leading slash.
        node_name = self._node.get_fully_qualified_name().lstrip("/")
        return DiagnosticStatus(
            level=level,
            name=f"{node_name}: {health.part}",
            message=summary,
            hardware_id=health.hardware,
            values=[KeyValue(key=key, value=value) for key, value in health.values.items()],
        )


class BackendHealth:
    """Read how a backend does.

    Args:
        backend: what runs the network.
        model: name or path of the model.
    """

    def __init__(self, backend: Backend, model: str) -> None:
        self._backend = backend
        self._model = model

    def read(self) -> Health:
        """Return its entry."""
        info = self._backend.info
        values = {
            "backend": info.description,
            "choice of backend": info.reason or "as asked for",
            "head": info.head,
            "model": self._model,
        }
        if self._backend.fault:
            return Health(ERROR, self._backend.fault, values, hardware=info.description)
        if info.warnings:
            return Health(WARN, info.warnings[0], values, hardware=info.description)
        return Health(OK, "", values, hardware=info.description)


class StreamHealth:
    """Read how a camera does, compared with the look before."""

    def __init__(self, stream: CameraStream) -> None:
        self._stream = stream
        self._input_rate, self._output_rate = Rate(), Rate()
        self._seen = (0, 0, 0)

    def read(self, state: str) -> Health:
        """Return its entry.

        Args:
            state: why it does not listen; empty if it does.
        """
        stream, counts = self._stream, self._stream.counts
        output_hz = self._output_rate.update(counts.processed)
        level, summary = self._judge(state, output_hz)
        values = {
            "image topic": stream.topic,
            "input rate (Hz)": f"{self._input_rate.update(counts.received):.1f}",
            "output rate (Hz)": f"{output_hz:.1f}",
            "preprocess (ms)": f"{stream.times.preprocess_ms:.2f}",
            "inference (ms)": f"{stream.times.inference_ms:.2f}",
            "postprocess (ms)": f"{stream.times.postprocess_ms:.2f}",
            "age of the last result (ms)": f"{stream.age_ms:.1f}",
            "frames received": str(counts.received),
            "frames lost in transport": str(stream.lost),
            "frames processed": str(counts.processed),
            "frames dropped for newer ones": str(counts.dropped),
            "frames invalid": str(counts.invalid),
            "frames failed": str(counts.failed),
            "last error": stream.last_error,
        }
        return Health(level, summary, values, part=f"camera {stream.name}")

    def _judge(self, state: str, output_hz: float) -> tuple[bytes, str]:
        counts, lost = self._stream.counts, self._stream.lost
        (failed_before, invalid_before, lost_before) = self._seen
        self._seen = (counts.failed, counts.invalid, lost)
        if counts.failed > failed_before:
            return ERROR, self._stream.last_error
        if counts.invalid > invalid_before:
            return WARN, f"invalid images: {self._stream.last_error}"
        if state:
            return OK, state
        if silence := self._stream.why_silent():
            return WARN, silence
        if lost > lost_before:
            return WARN, f"{lost - lost_before} images lost in transport"
        return OK, f"{output_hz:.1f} images a second"


def merged(backend: Health, stream: Health) -> Health:
    """Return one entry for a node with one camera: the more severe of both, with the values of both."""
    worse = backend if backend.level > stream.level else stream
    return Health(worse.level, worse.summary, {**backend.values, **stream.values}, hardware=backend.hardware)


class Rate:
    """Turn a growing count into a rate between two looks at it."""

    def __init__(self) -> None:
        self._count = 0
        self._seen_s = time.monotonic()

    def update(self, count: int) -> float:
        """Return by how much the count grew a second since the last look."""
        now_s = time.monotonic()
        rate_hz = (count - self._count) / max(now_s - self._seen_s, 1e-9)
        self._count, self._seen_s = count, now_s
        return rate_hz


class _ClockWatch:
    """Notice a simulation's clock that stands still."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._now_ns = -1
        self._still_periods = 0

    def warning(self) -> str:
        """Return a warning if the clock has stood still for a while; empty if not. To be called once a period."""
        now_ns = self._node.get_clock().now().nanoseconds
        self._still_periods = self._still_periods + 1 if now_ns == self._now_ns else 0
        self._now_ns = now_ns
        return "use_sim_time is on, and /clock stands still" if self._still_periods >= _STILL_PERIODS else ""
