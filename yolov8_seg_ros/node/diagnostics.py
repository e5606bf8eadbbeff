"""Tell on /diagnostics how the node fares, once a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

PERIOD_S = 1.0
#: A camera that is silent for longer than this deserves a warning.
SILENCE_S = 2.0


@dataclass(frozen=True)
class Health:
    """What /diagnostics tells.

    Attributes:
        level: one of DiagnosticStatus.OK, WARN, ERROR.
        summary: one line for a person.
        values: details by name.
        hardware: what the network runs on.
    """

    level: bytes
    summary: str
    values: Mapping[str, str] = field(default_factory=dict)
    hardware: str = ""


class DiagnosticsPublisher:
    """Publish a node's health once a second.

    Args:
        node: whose it is.
        health: asked for it each time.
    """

    def __init__(self, node: Node, health: Callable[[], Health]) -> None:
        self._node = node
        self._health = health
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        self._timer = node.create_timer(PERIOD_S, self._publish)

    def _publish(self) -> None:
        health = self._health()
        status = DiagnosticStatus(
            level=health.level,
            name=f"{self._node.get_fully_qualified_name()}: segmentation",
            message=health.summary,
            hardware_id=health.hardware,
            values=[KeyValue(key=key, value=value) for key, value in health.values.items()],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)


class Rate:
    """Turn a growing count into a rate between two looks at it."""

    def __init__(self) -> None:
        self._count = 0
        self._seen_s = time.monotonic()

    def update(self, count: int) -> float:
        """Give how much the count grew a second since the last look."""
        now_s = time.monotonic()
        rate_hz = (count - self._count) / max(now_s - self._seen_s, 1e-9)
        self._count, self._seen_s = count, now_s
        return rate_hz
