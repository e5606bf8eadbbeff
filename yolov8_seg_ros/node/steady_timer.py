"""Create timers that go on while the clock of a simulation stands still."""

from __future__ import annotations

from collections.abc import Callable

from rclpy.clock import Clock
from rclpy.clock_type import ClockType
from rclpy.node import Node
from rclpy.timer import Timer


def create_steady_timer(node: Node, period_s: float, callback: Callable[[], None]) -> Timer:
    """Return a timer of the node that follows the machine's clock even with `use_sim_time`."""
    return node.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))
