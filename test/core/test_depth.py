"""Test which depth pixels are an instance's: registration, erosion, units and sizes."""

from __future__ import annotations

import numpy as np
import pytest
from support.depth_scene import Box, Plane, camera_pose, render

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.depth import (
    DepthImage,
    DepthOptions,
    Registration,
    automatic_stride,
    erode_labels,
    unit_of_encoding,
)
from yolov8_seg_ros.errors import DepthError

CAMERA = PinholeCamera((120, 160), (130.0, 130.0), (79.5, 59.5))
OPTIONS = DepthOptions()


@pytest.mark.parametrize(("encoding", "unit_m"), [("16UC1", 1e-3), ("mono16", 1e-3), ("32FC1", 1.0)])
def test_the_encoding_says_the_unit(encoding, unit_m):
    assert unit_of_encoding(encoding) == unit_m


def test_another_encoding_is_refused():
    with pytest.raises(DepthError, match="encoding 'bgr8' is no depth; expected one of 16UC1, mono16, 32FC1"):
        unit_of_encoding("bgr8")


def test_labels_are_eroded_along_background_and_each_other():
    labels = np.zeros((12, 20), np.uint8)
    labels[2:10, 2:10], labels[2:10, 10:18] = 1, 2
    eroded = erode_labels(labels, 2)
    expected = np.zeros_like(labels)
    expected[4:8, 4:8], expected[4:8, 12:16] = 1, 2
    assert (eroded == expected).all()


def test_the_border_of_the_image_is_no_outline():
    labels = np.full((8, 8), 1, np.uint8)
    assert (erode_labels(labels, 2) == labels).all()


@pytest.mark.parametrize("invalid", [0.0, np.nan, np.inf, -np.inf, -1.0, 0.05, 11.0])
def test_invalid_depths_are_left_out(invalid):
    depth = np.full(CAMERA.image_hw, 2.0, np.float32)
    depth[:, :80] = invalid
    labels = np.full(CAMERA.image_hw, 1, np.uint8)
    points = Registration(CAMERA).label(labels, DepthImage(depth, 1.0), OPTIONS)
    assert (points.pixel % 160 >= 80).all()
    assert (points.xyz_m[2] == 2.0).all()
    assert len(points.label) == 120 * 80


def test_points_are_sorted_by_label_and_keep_their_pixels(rng):
    labels = rng.integers(0, 6, CAMERA.image_hw).astype(np.uint8)
    depth = rng.integers(500, 4000, CAMERA.image_hw).astype(np.uint16)
    points = Registration(CAMERA).label(labels, DepthImage(depth, 1e-3), OPTIONS)
    assert (np.diff(points.label.astype(int)) >= 0).all()
    assert (points.label == labels.ravel()[points.pixel]).all()
    assert points.xyz_m[2] == pytest.approx(depth.ravel()[points.pixel] * 1e-3)
    rows, columns = np.divmod(points.pixel, 160)
    assert points.xyz_m[0] == pytest.approx((columns - 79.5) / 130 * points.xyz_m[2], abs=1e-5)
    assert points.xyz_m[1] == pytest.approx((rows - 59.5) / 130 * points.xyz_m[2], abs=1e-5)
    for label, (inner, outline) in enumerate(points.spans(5), start=1):
        is_inner = points.is_inner[points.label == label]
        assert (points.label[inner.start : outline.stop] == label).all()
        assert (len(is_inner), is_inner.sum()) == (outline.stop - inner.start, inner.stop - inner.start)


@pytest.mark.parametrize(
    ("depth_hw", "stride"),
    [
        ((120, 160), 1),
        ((240, 320), 1),
        ((270, 480), 1),
        ((400, 640), 2),
        ((480, 640), 2),
        ((480, 848), 2),
        ((720, 1280), 3),
    ],
    ids=str,
)
def test_a_large_depth_image_is_thinned_by_itself(depth_hw, stride):
    assert automatic_stride(depth_hw) == stride
    camera = PinholeCamera(depth_hw, (400.0, 400.0), (0.5 * depth_hw[1], 0.5 * depth_hw[0]))
    labels, depth_m = np.ones(CAMERA.image_hw, np.uint8), np.ones(depth_hw, np.float32)
    points = Registration(CAMERA, camera, RigidTransform.identity()).label(labels, DepthImage(depth_m, 1.0), OPTIONS)
    assert points.grid.stride == stride


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_unregistered_depths_get_the_label_of_what_they_show(stride):
    depth_camera = PinholeCamera((100, 150), (90.0, 91.0), (74.0, 50.5))
    depth_in_color = RigidTransform.from_quaternion((0.01, -0.02, 0.005, 1.0), (0.05, 0.01, -0.003))
    color_pose = camera_pose((0, 0, 1), pitch_deg=10)
    scene = [Box((2.5, 0.3, 0.6), (0.4, 0.6, 1.2)), Box((3.2, -0.6, 0.4), (0.5, 0.5, 0.8))]
    color = render(CAMERA, color_pose, scene, [Plane()])
    depth = render(depth_camera, color_pose @ depth_in_color, scene, [Plane()])
    options = DepthOptions(stride=stride, erosion_px=2)
    points = Registration(CAMERA, depth_camera, depth_in_color).label(
        color.labels, DepthImage(depth.depth_m, 1.0), options
    )
    own_label = depth.labels[points.grid.rows_and_columns(points.place)]
    # Points on an object's outline may be looked up a pixel beside it, and what one camera sees the other may not.
    assert (own_label == points.label)[points.is_inner].mean() > 0.99
    is_same = own_label == points.label
    expected_m = color_pose.inverse().apply(depth.hits_m[points.grid.rows_and_columns(points.place)].T)
    assert points.xyz_m[:, is_same] == pytest.approx(expected_m[:, is_same], abs=2e-3)
    assert points.grid.image_hw == depth_camera.image_hw
    assert len(points.label) == pytest.approx(np.count_nonzero(depth.labels) / stride**2, rel=0.05)


@pytest.mark.parametrize(
    ("labels_hw", "depth_hw", "message"),
    [
        ((60, 160), (120, 160), "instances image is 160x60, its CameraInfo says 160x120"),
        ((120, 160), (120, 80), "depth image is 80x120, its CameraInfo says 160x120"),
    ],
    ids=["instances", "depth"],
)
def test_another_size_is_refused(labels_hw, depth_hw, message):
    with pytest.raises(DepthError, match=message):
        Registration(CAMERA).label(
            np.zeros(labels_hw, np.uint8), DepthImage(np.zeros(depth_hw, np.uint16), 1e-3), OPTIONS
        )
