"""Test that the motion of the whole image is found, and nothing is made up where it cannot be."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.camera_motion import CameraMotion
from yolov8_seg_ros.core.image import ColorImage, ColorOrder

NO_BOXES = np.empty((0, 4), np.float32)
STILL = np.eye(2, 3).tolist()


def landscape(hw=(600, 800), seed=0):
    blobs = np.random.default_rng(seed).integers(0, 256, (hw[0] // 16, hw[1] // 16, 3), np.uint8)
    return cv2.resize(blobs, hw[::-1], interpolation=cv2.INTER_CUBIC)


def window(pixels, x, y):
    return ColorImage(np.ascontiguousarray(pixels[y : y + 480, x : x + 640]))


@pytest.mark.parametrize("shift_xy", [(0, 0), (5, 0), (-8, 11), (40, 30), (-60, -40)], ids=str)
def test_a_pan_is_found(shift_xy):
    pixels, motion = landscape(), CameraMotion()
    motion.estimate(window(pixels, 80, 60))
    motion.watch(NO_BOXES)

    affine = motion.estimate(window(pixels, 80 + shift_xy[0], 60 + shift_xy[1]))

    assert affine[:, 2] == pytest.approx(-np.array(shift_xy), abs=1.5)
    assert affine[:, :2] == pytest.approx(np.eye(2), abs=0.01)


def test_a_zoom_is_found():
    pixels, motion = landscape((480, 640)), CameraMotion()
    motion.estimate(ColorImage(pixels))
    motion.watch(NO_BOXES)
    zoom = cv2.getRotationMatrix2D((320, 240), 0, 1.05)

    affine = motion.estimate(ColorImage(cv2.warpAffine(pixels, zoom, (640, 480), borderMode=cv2.BORDER_REFLECT)))

    assert affine[:, :2] == pytest.approx(zoom[:, :2], abs=0.01)
    assert affine[:, 2] == pytest.approx(zoom[:, 2], abs=3)


def test_what_moves_in_the_foreground_is_not_followed():
    back, front, motion = landscape(seed=1), landscape((240, 400), seed=2), CameraMotion()
    for shift in (0, 12):
        image = window(back, 0, 0)
        image.pixels[100:340, 100 + shift : 500 + shift] = front
        affine = motion.estimate(image)
        motion.watch(np.array([[80, 80, 540, 360]], np.float32))
    assert affine[:, 2] == pytest.approx((0, 0), abs=1.0)


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(np.zeros((480, 640, 3), np.uint8), id="dark"),
        pytest.param(landscape((240, 320)), id="another size"),
        pytest.param(landscape((480, 640), seed=9), id="another place"),
    ],
)
def test_where_images_have_nothing_in_common_nothing_moves(second):
    motion = CameraMotion()
    motion.estimate(ColorImage(landscape((480, 640))))
    motion.watch(NO_BOXES)
    assert motion.estimate(ColorImage(second)).tolist() == STILL


@pytest.mark.parametrize("order", ColorOrder, ids=lambda order: order.name)
def test_all_orders_of_channels_are_read(order):
    pixels, motion = landscape(), CameraMotion()
    gray = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    stacked = gray if order.channels == 1 else np.repeat(gray[..., None], order.channels, axis=2)
    if order.channels == 2:
        stacked[..., 1 - order.value.index("y")] = 128
    for x in (0, 10):
        seen = np.ascontiguousarray(stacked[:480, x : x + 640])
        if order.is_planar:
            # Colours that do not move.
            seen = np.vstack([seen, gray[:240, :640]])
        affine = motion.estimate(ColorImage(seen, order))
        motion.watch(NO_BOXES)
    assert affine[0, 2] == pytest.approx(-10, abs=1)


def test_the_first_image_stands_still():
    motion = CameraMotion()
    motion.watch(NO_BOXES)
    assert motion.estimate(ColorImage(landscape())).tolist() == STILL
