"""Make for the tests of the nodes a ROS context of their own."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip("rclpy")

from support.ros_harness import DOMAIN_ID, RosHarness  # noqa: E402


@pytest.fixture
def ros():
    """Return a harness to spin nodes on, in a fresh context."""
    rclpy.init(domain_id=DOMAIN_ID)
    made = RosHarness()
    yield made
    made.close()
    rclpy.shutdown()
