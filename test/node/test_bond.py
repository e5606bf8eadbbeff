"""Test the heartbeats of a bond over real DDS."""

from __future__ import annotations

import builtins
import threading

import pytest

pytest.importorskip("rclpy")

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from yolov8_seg_ros.node.bond import Bond, bond_messages_are_installed

needs_messages = pytest.mark.skipif(not bond_messages_are_installed(), reason="the package bond is not installed")
#: As many as there are in 5 s.
ENOUGH = 20


@pytest.fixture
def heartbeats(ros):
    """Return the heartbeats in the namespace /robot, as they come."""
    from bond.msg import Status

    listener, received = ros.add(Node("manager", namespace="/robot")), []
    listener.create_subscription(Status, "bond", received.append, 100)
    return received


@needs_messages
def test_heartbeats_go_on_while_the_node_is_busy(ros, heartbeats):
    enough, is_busy = threading.Event(), threading.Event()
    node = Node("busy", namespace="/robot")

    def be_busy():
        is_busy.set()
        enough.wait()

    node.create_timer(0.001, be_busy)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = threading.Thread(target=executor.spin_once)
    spinning.start()
    assert is_busy.wait(timeout=30)
    bond = Bond("busy", "/robot")
    assert bond.start()
    try:
        ros.until(lambda: len(heartbeats) >= ENOUGH, "heartbeats")
        # All of them came while the callback was running.
        assert spinning.is_alive()
    finally:
        enough.set()
        spinning.join()
        bond.stop()
        executor.shutdown()
        node.destroy_node()
    assert {(status.id, status.active) for status in heartbeats} == {("busy", True)}
    assert len({status.instance_id for status in heartbeats}) == 1


@needs_messages
def test_the_end_of_a_bond_is_announced_and_a_new_one_is_another(ros, heartbeats):
    bond = Bond("yolov8_seg", "/robot", period_s=0.05)
    assert bond.start()
    assert bond.start(), "once more does no harm"
    ros.until(lambda: heartbeats, "heartbeats")
    bond.stop()
    assert not bond.is_alive
    ros.until(lambda: not heartbeats[-1].active, "the farewell")
    first = heartbeats[-1].instance_id
    bond.start()
    ros.until(lambda: heartbeats[-1].active, "heartbeats of the new bond")
    bond.stop()
    assert heartbeats[-1].instance_id != first
    bond.stop()


def test_without_the_messages_there_is_no_bond(ros, monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("bond"):
            raise ModuleNotFoundError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    bond = Bond("yolov8_seg")
    assert not bond.start()
    assert not bond.is_alive
    bond.stop()
