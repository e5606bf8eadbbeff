"""Test the channel orders of an image, and what is no image."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.image import ColorImage, ColorOrder, PixelBuffer, write_rgb

#: Two by two equal pixels, red 8, green 20, blue 30.
PIXELS = {
    ColorOrder.BGR: [[[30, 20, 8]] * 2] * 2,
    ColorOrder.RGB: [[[8, 20, 30]] * 2] * 2,
    ColorOrder.BGRA: [[[30, 20, 8, 99]] * 2] * 2,
    ColorOrder.RGBA: [[[8, 20, 30, 99]] * 2] * 2,
    ColorOrder.GRAY: [[20] * 2] * 2,
    ColorOrder.YUYV: [[[31, 134], [31, 122]]] * 2,
    ColorOrder.UYVY: [[[134, 31], [122, 31]]] * 2,
    ColorOrder.NV12: [[31, 31], [31, 31], [134, 122]],
    ColorOrder.NV21: [[31, 31], [31, 31], [122, 134]],
    ColorOrder.I420: [[31, 31], [31, 31], [134, 122]],
}
EXPECTED_RGB = {order: [20, 20, 20] if order is ColorOrder.GRAY else [8, 20, 30] for order in ColorOrder}
each_order = pytest.mark.parametrize("order", list(ColorOrder), ids=lambda order: order.value)


def four_pixels(order: ColorOrder) -> ColorImage:
    return ColorImage(np.array(PIXELS[order], np.uint8), order)


@each_order
def test_to_bgr(order):
    image = four_pixels(order)
    assert image.hw == (2, 2)
    np.testing.assert_array_equal(image.to_bgr(), [[EXPECTED_RGB[order][::-1]] * 2] * 2)


@each_order
def test_in_rgb_into_memory_that_is_used_again(order):
    buffer = PixelBuffer()
    first, second = (four_pixels(order).in_rgb(buffer) for _ in range(2))
    np.testing.assert_array_equal(second.pixels, [[EXPECTED_RGB[order]] * 2] * 2)
    assert second.order is ColorOrder.RGB
    assert np.shares_memory(first.pixels, second.pixels)


@each_order
def test_write_rgb_into_a_part_of_an_image(order):
    target = np.full((4, 4, 3), 7, np.uint8)
    write_rgb(four_pixels(order).pixels, order, target[1:3, 1:3])
    np.testing.assert_array_equal(target[1:3, 1:3], [[EXPECTED_RGB[order]] * 2] * 2)
    target[1:3, 1:3] = 7
    assert (target == 7).all()


@pytest.mark.parametrize("height", [4, 6], ids=["even-rows-of-chroma", "odd-rows-of-chroma"])
def test_planes_lie_below_each_other(height, rng):
    luma = rng.integers(0, 256, (height, 8), np.uint8)
    u, v = (rng.integers(0, 256, (height // 2, 4), np.uint8) for _ in range(2))
    chroma = {
        ColorOrder.NV12: np.stack([u, v], axis=-1),
        ColorOrder.NV21: np.stack([v, u], axis=-1),
        ColorOrder.I420: np.stack([u, v]),
    }
    packed = np.stack([u, v], axis=-1).repeat(2, axis=0).reshape(height, 8)
    expected = ColorImage(np.stack([luma, packed], axis=-1), ColorOrder.YUYV).to_bgr()
    for order, planes in chroma.items():
        image = ColorImage(np.vstack([luma, planes.reshape(-1, 8)]), order)
        assert image.hw == (height, 8)
        np.testing.assert_array_equal(image.to_bgr(), expected)


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
        pytest.param((2, 4, 3), np.uint8, ColorOrder.YUYV, "2 a pixel; got uint8", id="bgr-as-yuyv"),
        pytest.param((2, 3, 2), np.uint8, ColorOrder.UYVY, "uyvy order; got a width of 3", id="half-a-pair"),
        pytest.param((6, 4, 2), np.uint8, ColorOrder.NV12, "1 a pixel; got uint8", id="yuyv-as-nv12"),
        pytest.param((6, 3), np.uint8, ColorOrder.I420, "i420 order; got a width of 3", id="half-a-colour"),
        pytest.param((4, 4), np.uint8, ColorOrder.NV21, "nv21 order; got 4 rows in all", id="gray-as-nv21"),
        pytest.param((2, 0), np.uint8, ColorOrder.GRAY, "the image is empty: 0x2 pixels", id="no-columns"),
    ],
)
def test_refused_pixels(shape, dtype, order, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        ColorImage(np.zeros(shape, dtype), order)
    assert message in str(caught.value)
