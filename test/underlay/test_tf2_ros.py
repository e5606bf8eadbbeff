"""Test the underlay's tf2_ros: transforms along a tree, at a time, and the errors of what is not known."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("tf2_ros", reason="needs ROS 2 or the .venv")

import tf2_ros
from geometry_msgs.msg import TransformStamped
from rclpy.time import Time

HALF = math.sqrt(0.5)


def transform(parent, child, stamp_s, xyz=(0.0, 0.0, 0.0), xyzw=(0.0, 0.0, 0.0, 1.0)):
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id = parent
    message.header.stamp = Time(seconds=stamp_s).to_msg()
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = xyz
    turn.x, turn.y, turn.z, turn.w = xyzw
    return message


@pytest.fixture
def buffer():
    """Return a robot that drives 1 m along x and turns by a quarter between 10 s and 11 s, with a camera 1 m ahead."""
    buffer = tf2_ros.Buffer()
    buffer.set_transform(transform("world", "base", 10), "test")
    buffer.set_transform(transform("world", "base", 11, (1.0, 0.0, 0.0), (0.0, 0.0, HALF, HALF)), "test")
    buffer.set_transform_static(transform("base", "camera", 0, (1.0, 0.0, 0.5)), "test")
    buffer.set_transform_static(transform("shelf", "box", 0), "test")
    return buffer


def moved(buffer, target, source, stamp_s):
    message = buffer.lookup_transform(target, source, Time(seconds=stamp_s))
    assert (message.header.frame_id, message.child_frame_id) == (target, source)
    move = message.transform.translation
    return move.x, move.y, move.z


@pytest.mark.parametrize(
    ("target", "source", "stamp_s", "expected"),
    [
        ("world", "camera", 10, (1.0, 0.0, 0.5)),
        ("world", "camera", 11, (1.0, 1.0, 0.5)),
        ("world", "camera", 10.5, (0.5 + HALF, HALF, 0.5)),
        ("camera", "world", 11, (-1.0, 1.0, -0.5)),
        ("base", "camera", 99, (1.0, 0.0, 0.5)),
        ("base", "base", 99, (0.0, 0.0, 0.0)),
    ],
)
def test_a_transform_is_that_of_its_time(buffer, target, source, stamp_s, expected):
    assert moved(buffer, target, source, stamp_s) == pytest.approx(expected)


def test_time_zero_is_the_latest(buffer):
    assert moved(buffer, "world", "base", 0) == pytest.approx((1.0, 0.0, 0.0))
    assert buffer.get_latest_common_time("world", "camera") == Time(seconds=11)
    assert buffer.get_latest_common_time("base", "camera") == Time()


@pytest.mark.parametrize(
    ("target", "source", "stamp_s", "error"),
    [
        ("world", "camera", 11.1, tf2_ros.ExtrapolationException),
        ("world", "camera", 9.9, tf2_ros.ExtrapolationException),
        ("world", "nowhere", 10, tf2_ros.LookupException),
        ("world", "box", 10, tf2_ros.ConnectivityException),
        ("", "box", 10, tf2_ros.InvalidArgumentException),
    ],
)
def test_what_is_not_known_is_an_error(buffer, target, source, stamp_s, error):
    with pytest.raises(error):
        buffer.lookup_transform(target, source, Time(seconds=stamp_s))
    assert issubclass(error, tf2_ros.TransformException)


def test_transforms_are_forgotten_in_time(buffer):
    buffer.set_transform(transform("world", "base", 20.5), "test")
    with pytest.raises(tf2_ros.ExtrapolationException):
        buffer.lookup_transform("world", "base", Time(seconds=10))
    assert moved(buffer, "world", "base", 11) == pytest.approx((1.0, 0.0, 0.0))


def test_a_cleared_buffer_keeps_what_is_static(buffer):
    buffer.clear()
    assert moved(buffer, "base", "camera", 5) == pytest.approx((1.0, 0.0, 0.5))
    with pytest.raises(tf2_ros.TransformException):
        buffer.lookup_transform("world", "base", Time(seconds=10))
