"""Test the channel orders of an image, and what is no image."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.image import ColorImage, ColorOrder, write_rgb

#: One pixel, red 10, green 20, blue 30.
PIXELS = {
    ColorOrder.BGR: [[[30, 20, 10]]],
    ColorOrder.RGB: [[[10, 20, 30]]],
    ColorOrder.BGRA: [[[30, 20, 10, 99]]],
    ColorOrder.RGBA: [[[10, 20, 30, 99]]],
    ColorOrder.GRAY: [[20]],
}
EXPECTED_RGB = {order: [20, 20, 20] if order is ColorOrder.GRAY else [10, 20, 30] for order in ColorOrder}
each_order = pytest.mark.parametrize("order", list(ColorOrder), ids=lambda order: order.value)


def one_pixel(order: ColorOrder) -> ColorImage:
    return ColorImage(np.array(PIXELS[order], np.uint8), order)


@each_order
def test_to_bgr(order):
    np.testing.assert_array_equal(one_pixel(order).to_bgr()[0, 0], EXPECTED_RGB[order][::-1])


@each_order
def test_write_rgb_into_a_part_of_an_image(order):
    target = np.full((3, 3, 3), 7, np.uint8)
    write_rgb(one_pixel(order).pixels, order, target[1:2, 1:2])
    np.testing.assert_array_equal(target[1, 1], EXPECTED_RGB[order])
    target[1, 1] = 7
    assert (target == 7).all()


def test_bgr_pixels_are_not_copied():
    pixels = np.zeros((2, 3, 3), np.uint8)
    assert ColorImage(pixels).to_bgr() is pixels


def test_height_comes_before_width():
    assert ColorImage(np.zeros((2, 3), np.uint8), ColorOrder.GRAY).hw == (2, 3)


@pytest.mark.parametrize(
    ("shape", "dtype", "order", "message"),
    [
        pytest.param((2, 3, 3), np.uint16, ColorOrder.BGR, "got uint16", id="16-bit"),
        pytest.param((2, 3, 3), np.float32, ColorOrder.RGB, "got float32", id="float"),
        pytest.param((2, 3), np.uint8, ColorOrder.BGR, "3 a pixel; got uint8", id="gray-as-bgr"),
        pytest.param((2, 3, 4), np.uint8, ColorOrder.BGR, "3 a pixel; got uint8", id="bgra-as-bgr"),
        pytest.param((2, 3, 3), np.uint8, ColorOrder.RGBA, "4 a pixel; got uint8", id="rgb-as-rgba"),
        pytest.param((2, 3, 1), np.uint8, ColorOrder.GRAY, "1 a pixel; got uint8", id="gray-of-rank-3"),
        pytest.param((6,), np.uint8, ColorOrder.BGR, "got uint8 (6,)", id="row-of-bytes"),
        pytest.param((0, 3, 3), np.uint8, ColorOrder.BGR, "the image is empty: 3x0 pixels", id="no-rows"),
        pytest.param((2, 0), np.uint8, ColorOrder.GRAY, "the image is empty: 0x2 pixels", id="no-columns"),
    ],
)
def test_refused_pixels(shape, dtype, order, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ColorImage(np.zeros(shape, dtype), order)
    assert message in str(caught.value)
