"""Make a ROS context for each attack on the node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

try:
    import rclpy
except ModuleNotFoundError:
    # Without ROS 2 only files are attacked.
    collect_ignore = ["test_node_attacks.py"]
else:
    from support.ros_harness import DOMAIN_ID, RosHarness

    @pytest.fixture
    def ros() -> Iterator[RosHarness]:
        """Return a harness to spin nodes on, in a fresh context."""
        rclpy.init(domain_id=DOMAIN_ID)
        made = RosHarness()
        yield made
        made.close()
        rclpy.shutdown()
