"""Test the life of a node's process."""

from __future__ import annotations

import subprocess
import sys

import pytest
from support.ros_harness import DEADLINE_S

pytest.importorskip("rclpy")

#: A node whose first callback raises, and whose second one ends the process.
PROGRAM = """
import sys
from rclpy.node import Node
from yolov8_seg_ros.node.process import run_node

def make_node(ending):
    node = Node("fragile")
    calls = []
    def fail_once():
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("surprise")
        ending(7)
    node.create_timer(0.01, fail_once)
    return node

sys.exit(run_node(make_node, ()))
"""


def test_an_exception_in_a_callback_is_logged_and_does_not_end_the_node():
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 7, done.stderr
    assert "a callback failed, the node goes on: Traceback" in done.stderr
    assert "KeyError: 'surprise'" in done.stderr


@pytest.mark.parametrize("program", ["seg_node", "image_source", "depth.depth_node"])
def test_an_argument_that_ros_does_not_know_is_refused(program):
    command = [sys.executable, "-m", f"yolov8_seg_ros.node.{program}", "--model", "fish.tflite", "--ros-args"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1
    expected = "unknown arguments: --model fish.tflite; parameters are given as --ros-args -p NAME:=VALUE, see --help"
    assert done.stderr.splitlines() == [expected]


def test_a_node_that_ros_cannot_make_is_told_in_one_line():
    program = """
import sys
from rclpy._rclpy_pybind11 import RCLError
from yolov8_seg_ros.node.process import run_node

def make_node(ending):
    raise RCLError("no security\\nlibraries")

sys.exit(run_node(make_node, ()))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1
    assert "ROS cannot make this node: no security libraries" in done.stderr
    assert "Traceback" not in done.stderr
