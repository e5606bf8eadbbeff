"""Run the example that users copy for their own integration tests."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs")

from support.ros_harness import DOMAIN_ID

EXAMPLE = Path(__file__).resolve().parents[1] / "examples" / "test_simulated_robot.py"


def test_the_example_passes():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE)]
    ended = subprocess.run(
        command, env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN_ID)}, text=True, capture_output=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "2 passed" in ended.stdout
