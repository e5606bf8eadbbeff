"""Test which camera a CameraInfo describes: raw or rectified images, a part of them, binned pixels."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.camera_geometry import pixel_rays
from yolov8_seg_ros.errors import CalibrationError
from yolov8_seg_ros.media.depth_message import camera_from_msg, is_rectified_topic

WIDTH, HEIGHT = 320, 240
K = (262.5, 0.0, 150.0, 0.0, 260.0, 119.5, 0.0, 0.0, 1.0)
D = (-0.3, 0.1, 0.001, -0.002, 0.02)
P = (240.0, 0.0, 155.0, 0.0, 0.0, 238.0, 121.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def camera_info(roi=(0, 0, 0, 0), binning=(0, 0), **changes):
    """Return a CameraInfo of ROS 2; `roi` is x_offset, y_offset, width, height."""
    part = SimpleNamespace(**dict(zip(("x_offset", "y_offset", "width", "height"), roi, strict=True)))
    fields = {"width": WIDTH, "height": HEIGHT, "distortion_model": "plumb_bob", "k": K, "d": D, "p": P}
    binning_x, binning_y = binning
    return SimpleNamespace(roi=part, binning_x=binning_x, binning_y=binning_y, **{**fields, **changes})


def test_raw_images_have_a_lens():
    camera = camera_from_msg(camera_info())
    assert (camera.image_hw, camera.focal_xy_px, camera.center_xy_px) == ((240, 320), (262.5, 260.0), (150.0, 119.5))
    assert camera.distortion == D


def test_rectified_images_have_none():
    camera = camera_from_msg(camera_info(), rectified=True)
    assert (camera.focal_xy_px, camera.center_xy_px, camera.distortion) == ((240.0, 238.0), (155.0, 121.0), ())


def test_a_rectified_pixel_sees_what_the_raw_one_sees_from_which_it_is_taken():
    raw = pixel_rays(camera_from_msg(camera_info()))
    rectified = pixel_rays(camera_from_msg(camera_info(), rectified=True))
    new_matrix = np.array(P).reshape(3, 4)[:, :3]
    maps = cv2.initUndistortRectifyMap(
        np.reshape(K, (3, 3)), np.array(D), np.eye(3), new_matrix, (WIDTH, HEIGHT), cv2.CV_32FC1
    )
    for u, v in ((160, 120), (40, 60), (280, 200)):
        column, row = (round(float(plane[v, u])) for plane in maps)
        assert rectified[:2, v, u] == pytest.approx(raw[:2, row, column], abs=1 / 240)


def test_rectified_images_of_a_camera_without_distortion_need_no_p():
    camera = camera_from_msg(camera_info(p=(0.0,) * 12, d=(0.0,) * 5), rectified=True)
    assert (camera.focal_xy_px, camera.center_xy_px) == ((262.5, 260.0), (150.0, 119.5))


def test_rectified_images_without_p_are_refused():
    with pytest.raises(CalibrationError, match="P is all zeros, though the images are rectified"):
        camera_from_msg(camera_info(p=(0.0,) * 12), rectified=True)


@pytest.mark.parametrize("rectified", [False, True], ids=["raw", "rectified"])
def test_a_part_of_the_image_sees_what_the_whole_sees_there(rectified):
    whole = pixel_rays(camera_from_msg(camera_info(), rectified))
    part = camera_from_msg(camera_info(roi=(100, 40, 80, 60)), rectified)
    assert part.image_hw == (60, 80)
    np.testing.assert_allclose(pixel_rays(part), whole[:, 40:100, 100:180], atol=1e-6)


def test_a_binned_pixel_sees_the_middle_of_its_pixels():
    whole = pixel_rays(camera_from_msg(camera_info(d=())))
    binned = camera_from_msg(camera_info(d=(), roi=(100, 40, 80, 60), binning=(4, 2)))
    assert binned.image_hw == (30, 20)
    pixels = whole[:, 40:100, 100:180].reshape(3, 30, 2, 20, 4)
    np.testing.assert_allclose(pixel_rays(binned), pixels.mean(axis=(2, 4)), atol=1e-6)


def test_ros_1_has_capital_letters():
    message = camera_info(K=K, D=D, P=P)
    del message.k, message.d, message.p
    assert camera_from_msg(message) == camera_from_msg(camera_info())
    assert camera_from_msg(message, rectified=True) == camera_from_msg(camera_info(), rectified=True)


@pytest.mark.parametrize("changes", [{"width": 0}, {"height": 0}], ids=str)
def test_no_size_is_no_calibration(changes):
    with pytest.raises(CalibrationError, match="calibrate the camera"):
        camera_from_msg(camera_info(**changes))


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/cam/image_raw", False),
        ("/cam/image_rect", True),
        ("/cam/image_rect_color/compressed", True),
        ("/cam/depth/image_rect_raw", True),
        ("/rect/image_raw", True),
        ("/direct/image", False),
        ("/rectangle/image_raw", False),
    ],
)
def test_rectified_images_are_known_by_the_name_of_their_topic(topic, expected):
    assert is_rectified_topic(topic) == expected
