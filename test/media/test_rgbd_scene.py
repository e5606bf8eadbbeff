"""Test the simulated robot's cameras against closed forms, and that the bundled model finds what they show."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.camera_geometry import RigidTransform
from yolov8_seg_ros.core.iou import mask_iou
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.rgbd_scene import (
    BASE_FROM_CAMERA,
    CAMERA_FROM_OPTICAL,
    DEPTH_RANGE_M,
    DRIVE_S,
    NUM_OBJECTS_RANGE,
    RgbdScene,
    drive_pose,
)

MODEL = Path(__file__).resolve().parents[2] / "models" / "shapes_256x192.tflite"
#: The room, as the documents describe it.
ROOM_LOW_M, ROOM_HIGH_M = np.array([-2.0, -2.6, 0.0]), np.array([3.6, 2.6, 2.4])
#: An object of which this much is visible has no edge of the image or other object on it.
WHOLE = 0.99
MIN_RECALL = 0.95
MIN_IOU = 0.8


def turned(roll, pitch, yaw, xyz):
    """Return the pose of a robot that is turned by degrees about x, then y, then z."""
    rotation = np.eye(3)
    for axis, angle in enumerate((roll, pitch, yaw)):
        rotation = cv2.Rodrigues(np.deg2rad(angle) * np.eye(3)[axis])[0] @ rotation
    return RigidTransform(rotation, np.array(xyz))


POSES = {
    "start of the drive": drive_pose(0.0),
    "on the drive": drive_pose(8.0),
    "nose down": turned(0, 30, 0, (0.2, 0.0, 0.3)),
    "tilted": turned(20, -10, 15, (0.0, -0.4, 0.1)),
    "nearly on the head": turned(160, 0, -5, (0.5, 0.3, 1.6)),
    "away from the objects": turned(3, 5, 170, (0.0, 0.0, 0.0)),
}


@pytest.fixture(params=POSES, ids=POSES)
def base(request):
    return POSES[request.param]


@pytest.fixture(scope="module")
def scene():
    return RgbdScene(seed=4)


def optical(base):
    return base @ BASE_FROM_CAMERA @ CAMERA_FROM_OPTICAL


def moved(transform, points):
    return points @ transform.rotation.T + transform.translation_m


def rays(camera):
    """Return the rays (n, 3) of all pixels in the optical frame, z being 1."""
    height, width = camera.image_hw
    v, u = np.mgrid[:height, :width]
    (fx, fy), (cx, cy) = camera.focal_xy_px, camera.center_xy_px
    return np.stack([(u - cx) / fx, (v - cy) / fy, np.ones(u.shape)], axis=-1).reshape(-1, 3)


def to_pixels(camera, points):
    (fx, fy), (cx, cy) = camera.focal_xy_px, camera.center_xy_px
    x, y, z = points.T
    return np.stack([fx * x / z + cx, fy * y / z + cy], axis=-1)


def edge_points(one):
    """Return points (n, 3) on the edge of an object, in its own frame, from nothing but class and size."""
    _, width, height = one.size_m
    if one.class_name == "circle":
        angles = np.linspace(0, 2 * np.pi, 720)
        yz = np.stack([width / 2 * np.cos(angles), height / 2 * np.sin(angles)], axis=-1)
    elif one.class_name == "square":
        yz = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * (width / 2, height / 2)
    else:
        yz = np.array([[-1, -1], [1, -1], [0, 1]]) * (width / 2, height / 2)
    return np.column_stack([np.zeros(len(yz)), yz])


def test_every_depth_is_that_of_the_room_or_of_an_object(base):
    scene = RgbdScene((120, 160), seed=1)
    depth = scene.frame(0.0, base).depth_m.reshape(-1, 1)
    pose = optical(base)
    directions = rays(scene.camera) @ pose.rotation.T
    with np.errstate(divide="ignore"):
        to_side = (np.where(directions > 0, ROOM_HIGH_M, ROOM_LOW_M) - pose.translation_m) / directions
    room = to_side.min(axis=1, keepdims=True)
    out_of_range = (room < DEPTH_RANGE_M[0]) | (room > DEPTH_RANGE_M[1])
    is_room = np.where(out_of_range, np.isnan(depth), np.isclose(depth, room, rtol=1e-4)).ravel()
    assert is_room.mean() > 0.5
    points = moved(pose, rays(scene.camera) * depth)[~is_room]
    off_objects_m = [np.abs(moved(one.world_from_object.inverse(), points)[:, 0]) for one in scene.objects]
    assert (np.min(off_objects_m, axis=0) < 1e-3).all()
    assert (depth[~is_room] < room[~is_room]).all()


def test_objects_are_drawn_where_their_poses_project_to(scene, base):
    frame, pose = scene.frame(0.0, base), optical(base)
    for index, number in enumerate(frame.truth.track_id):
        if frame.visible[number] < WHOLE:
            continue
        one = scene.objects[number]
        edge = moved(pose.inverse(), moved(one.world_from_object, edge_points(one)))
        edge_px = to_pixels(scene.camera, edge)
        # Boxes count from the edge of the first pixel, cameras from its centre.
        expected = np.concatenate([edge_px.min(axis=0), edge_px.max(axis=0)]) + 0.5
        assert frame.truth.class_id[index] == one.class_id
        assert np.abs(frame.truth.xyxy[index] - expected).max() < 1.0


def test_depths_of_an_object_lie_on_it(scene, base):
    frame, pose = scene.frame(0.0, base), optical(base)
    points = moved(pose, rays(scene.camera) * frame.depth_m.reshape(-1, 1))
    for index, number in enumerate(frame.truth.track_id):
        one = scene.objects[number]
        own = moved(one.world_from_object.inverse(), points[frame.truth.full_mask(index).ravel()])
        half = np.array(one.size_m) / 2 + 1e-3
        assert (np.abs(own[~np.isnan(own[:, 0])]) <= half).all()


def test_the_poses_above_show_objects(scene):
    shown = {name: int((scene.frame(0.0, base).visible > WHOLE).sum()) for name, base in POSES.items()}
    assert sum(shown.values()) >= 8, shown


def test_objects_stand_on_the_floor_and_face_the_robot(scene):
    for one in scene.objects:
        lowest = moved(one.world_from_object, edge_points(one))[:, 2].min()
        assert lowest == pytest.approx(0, abs=1e-3)
        front, up = one.world_from_object.rotation[:, 0], one.world_from_object.rotation[:, 2]
        to_robot = -one.world_from_object.translation_m / np.linalg.norm(one.world_from_object.translation_m)
        assert front @ to_robot > 0.9
        assert up == pytest.approx([0, 0, 1])


def test_a_second_depth_camera_sees_the_same_objects():
    scene = RgbdScene(seed=4, depth_registered=False)
    assert scene.depth_camera.image_hw == (240, 320)
    count = 0
    for time_s in (0.0, 9.0, 21.0):
        frame = scene.frame(time_s)
        camera = frame.world_from_base @ BASE_FROM_CAMERA
        seen = rays(scene.depth_camera) * frame.depth_m.reshape(-1, 1)
        points = moved(camera @ scene.camera_from_depth_optical, seen)
        pixels = to_pixels(scene.camera, moved((camera @ CAMERA_FROM_OPTICAL).inverse(), points))
        for index, number in enumerate(frame.truth.track_id):
            if frame.visible[number] < WHOLE:
                continue
            one = scene.objects[number]
            own = moved(one.world_from_object.inverse(), points)
            # Well inside of all three shapes.
            inside = (np.abs(own[:, 0]) < 1e-3) & (np.hypot(own[:, 1], own[:, 2]) < one.size_m[2] / 5)
            u, v = np.rint(pixels[inside]).astype(int).T
            assert inside.sum() > 50
            assert frame.truth.full_mask(index)[v, u].all()
            count += 1
    assert count >= 3


def test_a_frame_depends_on_arguments_and_time_alone():
    first, second = (RgbdScene((120, 160), seed=6, depth_noise_m=0.002) for _ in range(2))
    second.frame(3.0)
    one, other = first.frame(7.4), second.frame(7.4)
    assert np.array_equal(one.image, other.image)
    assert np.array_equal(one.depth_m, other.depth_m, equal_nan=True)
    assert np.array_equal(one.visible, other.visible)
    assert not np.array_equal(one.image, RgbdScene((120, 160), seed=7).frame(7.4).image)
    assert not np.array_equal(one.image, first.frame(7.5).image)


def test_noise_grows_with_the_square_of_the_depth():
    exact, noisy = (RgbdScene(seed=2, depth_noise_m=noise).frame(5.0).depth_m for noise in (0.0, 0.004))
    for low, high in ((0.8, 1.2), (2.2, 2.6)):
        chosen = (exact > low) & (exact < high)
        relative = (noisy[chosen] - exact[chosen]) / exact[chosen] ** 2
        assert np.nanstd(relative) == pytest.approx(0.004, rel=0.05)
        assert 0.002 < np.isnan(relative).mean() < 0.02


def test_the_drive_is_smooth_and_closed():
    poses = [drive_pose(k / 15) for k in range(round(DRIVE_S * 15) + 1)]
    assert np.allclose(poses[0].translation_m, poses[-1].translation_m)
    assert np.allclose(poses[0].rotation, poses[-1].rotation)
    for before, after in pairwise(poses):
        turn = np.linalg.norm(cv2.Rodrigues((before.inverse() @ after).rotation)[0])
        assert np.linalg.norm(after.translation_m - before.translation_m) < 0.02
        assert turn < np.deg2rad(4)


@pytest.mark.parametrize("seed", range(4))
def test_every_object_is_seen_whole_on_the_drive(seed):
    scene = RgbdScene((240, 320), seed)
    assert NUM_OBJECTS_RANGE[0] <= len(scene.objects) <= NUM_OBJECTS_RANGE[1]
    assert [one.number for one in scene.objects] == list(range(len(scene.objects)))
    best = np.max([scene.frame(float(second)).visible for second in range(round(DRIVE_S))], axis=0)
    assert best.min() > 0.98


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_hw": (40, 640)}, "image_hw: expected at least 64x64 pixels"),
        ({"seed": -1}, "seed: expected 0 or above, got -1"),
        ({"depth_noise_m": -0.1}, "depth_noise_m: expected 0 or above, got -0.1"),
    ],
    ids=["too small", "seed", "noise"],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        RgbdScene(**arguments)


def test_a_time_before_the_start_is_refused(scene):
    with pytest.raises(ValueError, match="time_s: expected 0 or above, got -1"):
        scene.frame(-1)


def test_the_bundled_model_finds_the_objects():
    visible, ious = 0, []
    with TfliteBackend(MODEL, 1) as backend:
        segmenter = Segmenter(backend)
        for seed in range(5):
            scene = RgbdScene(seed=seed)
            for time_s in np.arange(0, DRIVE_S, 1.7):
                frame = scene.frame(float(time_s))
                found = segmenter.segment(frame.image)
                for index in np.flatnonzero(frame.visible[frame.truth.track_id] > 0.9):
                    same = np.flatnonzero(found.class_id == frame.truth.class_id[index])
                    mask = frame.truth.full_mask(index)
                    ious.append(max((mask_iou(mask, found.full_mask(k)) for k in same), default=0.0))
                    visible += 1
    recall = np.mean(np.array(ious) > MIN_IOU)
    print(f"{visible} objects, recall {recall:.4f}, median mask IoU {np.median(ious):.3f}")
    assert visible > 200
    assert recall >= MIN_RECALL
    assert np.median(ious) > 0.95
