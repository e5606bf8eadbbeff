"""Test where frames are found to be at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yolov8_seg_ros.core.camera_geometry import RigidTransform
from yolov8_seg_ros.core.transform_tree import StampedPose, TransformTree
from yolov8_seg_ros.errors import CalibrationError, FrameError

S = 1_000_000_000
LEVEL = (0.0, 0.0, 0.0, 1.0)


def about_z(angle_rad):
    return (0.0, 0.0, math.sin(angle_rad / 2), math.cos(angle_rad / 2))


def pose(parent, child, time_s, translation_m=(0.0, 0.0, 0.0), xyzw=LEVEL):
    return StampedPose(parent, child, round(time_s * S), xyzw, translation_m)


def robot():
    """Return a robot that drives along x with 1 m/s and turns by a quarter in 2 s; its camera is 1 m above it."""
    tree = TransformTree()
    tree.put(pose("base", "camera", 0.0, (0.0, 0.0, 1.0)), is_fixed=True)
    for time_s in (100.0, 102.0):
        part = (time_s - 100) / 2
        tree.put(pose("world", "base", time_s, (2 * part, 0.0, 0.0), about_z(part * math.pi / 2)))
    return tree


@pytest.mark.parametrize("time_s", [100.0, 100.5, 101.0, 102.0])
def test_between_two_poses_it_is_interpolated(time_s):
    part = (time_s - 100) / 2
    expected = RigidTransform.from_quaternion(about_z(part * math.pi / 2), (2 * part, 0.0, 1.0))
    found = robot().transform("world", "camera", round(time_s * S))
    np.testing.assert_allclose(found.matrix, expected.matrix, atol=1e-12)


def test_the_way_back_is_the_inverse():
    tree = robot()
    there, back = (tree.transform(*names, 101 * S) for names in (("world", "camera"), ("camera", "world")))
    np.testing.assert_allclose((there @ back).matrix, np.eye(4), atol=1e-12)


def test_the_shorter_way_round_is_taken():
    tree = TransformTree()
    tree.put(pose("a", "b", 1.0, xyzw=about_z(0.2)))
    tree.put(pose("a", "b", 2.0, xyzw=[-value for value in about_z(0.4)]))
    expected = RigidTransform.from_quaternion(about_z(0.3), (0, 0, 0))
    np.testing.assert_allclose(tree.transform("a", "b", 3 * S // 2).matrix, expected.matrix, atol=1e-12)


def test_a_fixed_pose_holds_for_all_times_until_it_is_replaced():
    tree = robot()
    for height_m in (1.0, 3.0):
        tree.put(pose("base", "camera", 500.0, (0.0, 0.0, height_m)), is_fixed=True)
        assert tree.transform("base", "camera", 7).translation_m.tolist() == [0.0, 0.0, height_m]


#: A frame and a time, and what is said of it.
UNKNOWN = {
    "later than the last pose": ("world", "camera", 103.0, "older than the image", True),
    "earlier than the first pose": ("world", "camera", 99.0, "the image is older", False),
    "no such frame": ("map", "camera", 101.0, "no transform from 'camera' to 'map'", True),
}


@pytest.mark.parametrize(("target", "source", "time_s", "message", "may_come"), UNKNOWN.values(), ids=UNKNOWN)
def test_what_is_not_known_is_not_guessed(target, source, time_s, message, may_come):
    with pytest.raises(FrameError, match=message) as raised:
        robot().transform(target, source, round(time_s * S))
    assert raised.value.may_come == may_come


def test_a_loop_ends():
    tree = TransformTree()
    tree.put(pose("a", "b", 1.0))
    tree.put(pose("b", "a", 1.0))
    with pytest.raises(FrameError, match="loop"):
        tree.transform("c", "a", S)


def test_poses_are_kept_for_ten_seconds():
    tree = TransformTree()
    for time_s in range(100, 121):
        tree.put(pose("a", "b", time_s, (float(time_s), 0.0, 0.0)))
    assert tree.transform("a", "b", 110 * S).translation_m[0] == 110.0
    with pytest.raises(FrameError):
        tree.transform("a", "b", 109 * S)


def test_clearing_leaves_fixed_poses():
    tree = robot()
    tree.clear()
    assert tree.transform("base", "camera", S).translation_m[2] == 1.0
    with pytest.raises(FrameError):
        tree.transform("world", "camera", 101 * S)


#: Poses that are none.
WRONG = {
    "a rotation of length 0": pose("a", "b", 1.0, xyzw=(0.0, 0.0, 0.0, 0.0)),
    "a rotation of NaN": pose("a", "b", 1.0, xyzw=(0.0, 0.0, math.nan, 1.0)),
    "a place of infinity": pose("a", "b", 1.0, (math.inf, 0.0, 0.0)),
    "no name": pose("a", "", 1.0),
    "in itself": pose("a", "/a", 1.0),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_what_is_no_pose_is_refused(wrong):
    with pytest.raises(CalibrationError):
        TransformTree().put(wrong)


def test_slashes_of_ros1_do_not_matter():
    tree = TransformTree()
    tree.put(pose("/world", "/base", 1.0, (1.0, 2.0, 3.0)))
    assert tree.transform("world", "base", S).translation_m.tolist() == [1.0, 2.0, 3.0]
