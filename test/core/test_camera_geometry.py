"""Test transforms, rays and projections against OpenCV and against each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform, pixel_rays, projection_table
from yolov8_seg_ros.errors import CalibrationError

HW = (120, 160)
K = [130.0, 0, 78.0, 0, 128.0, 61.0, 0, 0, 1]
LENSES = [
    pytest.param("", [], id="none"),
    pytest.param("plumb_bob", [-0.2, 0.05, 0.001, -0.002, 0.0], id="plumb_bob"),
    pytest.param("plumb_bob", [0.0] * 5, id="plumb_bob of zeros"),
    pytest.param("rational_polynomial", [0.3, -0.1, 0.001, 0.0, 0.02, 0.5, -0.15, 0.03], id="rational"),
    pytest.param("equidistant", [-0.03, 0.004, -0.001, 0.0], id="fisheye"),
]


def project(points, model, distortion):
    """Return the pixels (n, 2) of points (n, 3), by OpenCV."""
    matrix, coefficients, zero = np.array(K).reshape(3, 3), np.array(distortion or [0.0] * 4), np.zeros(3)
    if model == "equidistant":
        return cv2.fisheye.projectPoints(points.reshape(-1, 1, 3), zero, zero, matrix, coefficients)[0].reshape(-1, 2)
    return cv2.projectPoints(points, zero, zero, matrix, coefficients)[0].reshape(-1, 2)


@pytest.mark.parametrize(("model", "distortion"), LENSES)
def test_a_ray_leads_to_its_pixel(model, distortion):
    camera = PinholeCamera.from_calibration(HW, K, model, distortion)
    rays = pixel_rays(camera)
    for row, column in ((0, 0), (60, 80), (119, 159), (10, 140)):
        point = 2.5 * rays[:, row, column].astype(np.float64)
        assert project(point[np.newaxis], model, distortion)[0] == pytest.approx((column, row), abs=0.02)


@pytest.mark.parametrize(("model", "distortion"), LENSES)
def test_a_point_is_looked_up_where_it_is_projected(model, distortion, rng):
    camera = PinholeCamera.from_calibration(HW, K, model, distortion)
    points = np.stack((rng.uniform(-1, 1, 500), rng.uniform(-0.8, 0.8, 500), rng.uniform(1.9, 4, 500)), axis=1)
    expected = project(points, model, distortion)
    found = projection_table(camera).pixels_of(points.T.astype(np.float32))
    is_inside = (expected >= 1).all(axis=1) & (expected < (158, 118)).all(axis=1)
    assert (found[is_inside] >= 0).all()
    rows, columns = np.divmod(found[is_inside], HW[1])
    # The table of a distorted camera has cells of half a pixel.
    assert np.abs(np.stack((columns, rows), axis=1) - expected[is_inside]).max() < (0.8 if any(distortion) else 0.51)


def test_points_outside_the_image_have_no_pixel():
    camera = PinholeCamera.from_calibration(HW, K, "", [])
    points = np.array([[0, 0, -1], [10, 0, 1], [0, -10, 1], [0, 0, 0], [np.nan, 0, 1]], np.float32)
    assert projection_table(camera).pixels_of(points.T).tolist() == [-1] * 5


@pytest.mark.parametrize(
    ("k", "model", "distortion", "message"),
    [
        ([0.0] * 9, "plumb_bob", [], "K is all zeros"),
        ([-1.0, 0, 1, 0, 1, 1, 0, 0, 1], "", [], "positive focal lengths"),
        ([float("nan"), 0, 1, 0, 1, 1, 0, 0, 1], "", [], "positive focal lengths"),
        ([1e308, 0, 1, 0, 1, 1, 0, 0, 1], "", [], "1 to 1000000 pixels"),
        ([1e-9, 0, 1, 0, 1, 1, 0, 0, 1], "", [], "1 to 1000000 pixels"),
        ([1.0, 0, -1e9, 0, 1, 1, 0, 0, 1], "", [], "1 to 1000000 pixels"),
        (K, "plumb_bob", [0.0, float("nan"), 0.0, 0.0], "D: expected finite numbers"),
        (K, "thin_prism", [1.0], "'thin_prism' is not known"),
        (K, "plumb_bob", [1.0, 2.0, 3.0], "expected 0 or 4 or 5 coefficients of 'plumb_bob', got 3"),
    ],
    ids=["zeros", "negative", "NaN", "huge", "tiny", "far", "D of NaN", "model", "coefficients"],
)
def test_a_calibration_that_cannot_be_used_is_refused(k, model, distortion, message):
    with pytest.raises(CalibrationError, match=message):
        PinholeCamera.from_calibration(HW, k, model, distortion)


def test_a_quaternion_turns_as_it_should():
    half = np.sqrt(0.5)
    quarter_about_z = RigidTransform.from_quaternion((0, 0, half, half), (1, 2, 3))
    assert quarter_about_z.apply(np.array([[1.0], [0], [0]])).ravel() == pytest.approx((1, 3, 3), abs=1e-6)
    same, twice_as_long = RigidTransform.from_quaternion((0, 0, 1, 1), (1, 2, 3)), (0.0, 0.0, 2.0, 2.0)
    assert same.rotation == pytest.approx(RigidTransform.from_quaternion(twice_as_long, (1, 2, 3)).rotation)


def test_transforms_chain_and_invert(rng):
    first = RigidTransform.from_quaternion(rng.normal(size=4), rng.normal(size=3))
    second = RigidTransform.from_quaternion(rng.normal(size=4), rng.normal(size=3))
    points = rng.normal(size=(3, 10))
    assert (second @ first).apply(points) == pytest.approx(second.apply(first.apply(points)), abs=1e-5)
    assert first.inverse().apply(first.apply(points)) == pytest.approx(points, abs=1e-5)


@pytest.mark.parametrize(("xyzw", "xyz"), [((0, 0, 0, 0), (0, 0, 0)), ((0, 0, 0, 1), (0, float("nan"), 0))])
def test_a_transform_of_no_sense_is_refused(xyzw, xyz):
    with pytest.raises(CalibrationError, match="expected a quaternion and a translation"):
        RigidTransform.from_quaternion(xyzw, xyz)
