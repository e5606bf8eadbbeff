"""Collect the tests of the launch file only where ROS 2's launch system is."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore = [
    test
    for needed, test in (
        ("launch_ros", "test_launch_file.py"),
        ("launch_ros", "test_included.py"),
        ("launch_ros", "test_examples.py"),
        ("launch_testing", "test_seg_launch.py"),
    )
    if find_spec(needed) is None
]
