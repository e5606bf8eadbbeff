"""Test boxes against scenes whose geometry is known exactly."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from support.depth_scene import Box, Plane, Sphere, camera_pose, render, rotation

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.depth import DepthImage, DepthOptions, Registration
from yolov8_seg_ros.core.object_boxes import fit_yaw, measure_boxes
from yolov8_seg_ros.core.object_points import find_objects

CAMERA = PinholeCamera((480, 640), (525.0, 525.0), (319.5, 239.5))
DEPTH_CAMERA = PinholeCamera((400, 640), (420.0, 420.0), (320.2, 198.0))
DEPTH_IN_COLOR = RigidTransform.from_quaternion((0.004, -0.006, 0.002, 1.0), (-0.055, 0.004, 0.002))
OPTIONS = DepthOptions(stride=1)
PERSON, BALL, CRATE = (
    Box((2.6, 0.5, 0.85), (0.4, 0.5, 1.7), np.radians(-20)),
    Sphere((2.0, -0.4, 0.9), 0.3),
    Box((2.9, -1.0, 0.3), (0.6, 0.4, 0.6), np.radians(30)),
)
OBJECTS = (PERSON, BALL, CRATE)
#: The objects float: a pixel of the floor that a mask covers where they touch it would count as theirs.
REST = (Plane((0, 0, -0.5)), Plane((6, 0, 0), (-1, 0, 0)))
POSES = {
    f"{pitch} degrees, {name}": camera_pose((0, 0, 1.4 + 0.015 * pitch), pitch, *turned)
    for pitch in (0, 15, 30, 45)
    for name, turned in (("level", (0, 0)), ("yawed", (4, 0)), ("rolled", (0, 12)))
}


@cache
def views(name):
    """Return what the colour camera and the depth camera see at a pose."""
    return render(CAMERA, POSES[name], OBJECTS, REST), render(DEPTH_CAMERA, POSES[name] @ DEPTH_IN_COLOR, OBJECTS, REST)


def measured(name, registered, in_world, yaw_hints_rad=None):
    """Return the boxes of what is seen at a pose, and the view that the depths are from."""
    color, beside = views(name)
    if registered:
        registration, depth = Registration(CAMERA), DepthImage(np.rint(color.depth_m * 1000).astype(np.uint16), 1e-3)
    else:
        registration = Registration(CAMERA, DEPTH_CAMERA, DEPTH_IN_COLOR)
        depth = DepthImage(beside.depth_m, 1.0)
    points = registration.label(color.labels, depth, OPTIONS)
    boxes = measure_boxes(find_objects(points, len(OBJECTS), OPTIONS), POSES[name] if in_world else None, yaw_hints_rad)
    return boxes, color if registered else beside


@pytest.mark.parametrize("registered", [True, False], ids=["registered", "unregistered"])
@pytest.mark.parametrize("in_world", [True, False], ids=["world", "camera"])
@pytest.mark.parametrize("name", POSES)
def test_boxes_are_where_the_objects_are(name, registered, in_world):
    boxes, view = measured(name, registered, in_world)
    pose = POSES[name]
    assert [box.label for box in boxes] == [1, 2, 3]
    for box in boxes:
        center_m, size_m = view.visible(box.label, np.eye(3) if in_world else pose.rotation)
        if not in_world:
            center_m = pose.inverse().apply(center_m[:, np.newaxis]).ravel()
        distance_m = np.linalg.norm(center_m - (pose.translation_m if in_world else 0))
        assert np.linalg.norm(box.center_m - center_m) < 0.02 * distance_m
        assert box.size_m == pytest.approx(size_m, rel=0.05)


@pytest.mark.parametrize("pitch_deg", [15, 30, 45])
def test_turning_a_box_is_not_measuring_it_anew(pitch_deg):
    # Whoever turns the lengths of a camera's box to the robot's frame loses most of its depth: 0.05 m instead of 0.83 m
    # at 15 degrees. Points have no such trouble.
    name = f"{pitch_deg} degrees, level"
    (in_camera, *_), _ = measured(name, True, False)
    (in_world, *_), view = measured(name, True, True)
    _, size_m = view.visible(1)
    assert in_world.size_m == pytest.approx(size_m, rel=0.05)
    turned_m = np.abs(POSES[name].rotation @ in_camera.size_m)
    assert np.abs(turned_m / size_m - 1).max() > 0.15


@pytest.mark.parametrize("yaw_deg", [-40, -20, 25, 35])
@pytest.mark.parametrize("height_m", [0.8, 0.3], ids=["top visible", "two sides visible"])
def test_a_box_is_turned_as_its_object(yaw_deg, height_m):
    crate = Box((2.2, 0.1, 0.25), (0.7, 0.5, 0.5), np.radians(yaw_deg))
    pose = camera_pose((0, 0, height_m), pitch_deg=5)
    view = render(CAMERA, pose, [crate], REST)
    points = Registration(CAMERA).label(view.labels, DepthImage(view.depth_m, 1.0), OPTIONS)
    (box,) = measure_boxes(find_objects(points, 1, OPTIONS), pose, yaw_hints_rad={})
    quarter = np.degrees(box.yaw_rad - crate.yaw_rad) / 90
    assert quarter == pytest.approx(round(quarter), abs=2 / 90)
    _, size_m = view.visible(1, rotation("z", box.yaw_rad))
    assert box.size_m == pytest.approx(size_m, rel=0.05)


@pytest.mark.parametrize(("hint_deg", "expected_deg"), [(0, 30), (44, 30), (100, 120), (-70, -60), (200, 210)])
def test_a_box_keeps_its_axes_from_image_to_image(hint_deg, expected_deg):
    boxes, _ = measured("15 degrees, level", True, True, yaw_hints_rad={3: np.radians(hint_deg)})
    assert np.degrees(boxes[2].yaw_rad) == pytest.approx(expected_deg, abs=3)


def test_a_rectangle_is_fitted(rng):
    corners = rng.uniform(-1, 1, (2, 300)) * [[1.0], [0.3]]
    turned = rotation("z", np.radians(25))[:2, :2] @ corners
    assert np.degrees(fit_yaw(turned.astype(np.float32))) == pytest.approx(25, abs=2)


def test_background_inside_a_mask_does_not_count():
    pose = camera_pose((0, 0, 1.0))
    view = render(CAMERA, pose, [PERSON], REST)
    labels = view.labels.copy()
    rows, columns = np.nonzero(labels)
    labels[rows.min() : rows.max(), columns.min() - 12 : columns.max() + 12] = 1
    points = Registration(CAMERA).label(labels, DepthImage(view.depth_m, 1.0), OPTIONS)
    (box,) = measure_boxes(find_objects(points, 1, OPTIONS), pose)
    center_m, size_m = view.visible(1)
    assert box.center_m[:2] == pytest.approx(center_m[:2], abs=0.03)
    assert box.size_m[:2] == pytest.approx(size_m[:2], rel=0.12)


def test_noise_of_a_real_camera_moves_a_box_little(rng):
    pose = camera_pose((0, 0, 1.0), 10)
    view = render(CAMERA, pose, OBJECTS, REST)
    noisy_m = view.depth_m + rng.normal(0, 1, view.depth_m.shape) * 0.0015 * view.depth_m**2
    points = Registration(CAMERA).label(view.labels, DepthImage(noisy_m.astype(np.float32), 1.0), OPTIONS)
    for box in measure_boxes(find_objects(points, 3, OPTIONS), pose):
        center_m, _ = view.visible(box.label)
        assert np.linalg.norm(box.center_m - center_m) < 0.04


def test_what_is_said_of_an_object_follows_from_its_points():
    pose = camera_pose((0, 0, 1.0))
    view = render(CAMERA, pose, [PERSON], REST)
    depth_m = view.depth_m.copy()
    depth_m[::2] = 0
    points = Registration(CAMERA).label(view.labels, DepthImage(depth_m, 1.0), OPTIONS)
    (box,) = measure_boxes(find_objects(points, 1, OPTIONS), pose)
    assert box.num_points == pytest.approx(np.count_nonzero(view.labels) / 2, rel=0.02)
    visible_m = view.hits_m[(view.labels == 1) & (depth_m > 0)]
    assert box.covariance_m2 == pytest.approx(np.cov(visible_m.T), abs=2e-3)


@pytest.mark.parametrize("what", ["no valid depth", "too few", "none"])
def test_an_object_without_depth_has_no_box(what):
    labels = np.zeros(CAMERA.image_hw, np.uint8)
    labels[100:200, 100:200], labels[300:400, 100:200] = 1, 2
    depth_m = np.full(CAMERA.image_hw, 2.0, np.float32)
    depth_m[:250] = np.nan
    if what == "too few":
        depth_m[150, 140:150] = 2.0
    if what == "none":
        depth_m[:] = 0
    points = Registration(CAMERA).label(labels, DepthImage(depth_m, 1.0), OPTIONS)
    boxes = measure_boxes(find_objects(points, 2, OPTIONS))
    assert [box.label for box in boxes] == ([] if what == "none" else [2])


def test_a_thin_object_has_a_box():
    pole = Box((2.0, 0.0, 1.0), (0.01, 0.01, 1.5))
    pose = camera_pose((0, 0, 1.0))
    view = render(CAMERA, pose, [pole], REST)
    points = Registration(CAMERA).label(view.labels, DepthImage(view.depth_m, 1.0), OPTIONS)
    (box,) = measure_boxes(find_objects(points, 1, OPTIONS), pose)
    assert box.center_m == pytest.approx((2.0, 0.0, 1.0), abs=0.02)
    assert box.size_m[2] == pytest.approx(1.5, rel=0.05)


def test_no_instance_has_no_box():
    labels = np.zeros(CAMERA.image_hw, np.uint8)
    points = Registration(CAMERA).label(labels, DepthImage(np.ones(CAMERA.image_hw, np.float32), 1.0), OPTIONS)
    assert measure_boxes(find_objects(points, 0, OPTIONS)) == []
