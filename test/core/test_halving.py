"""Test halving by hand, and that its memory is used again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.halving import Halving


@pytest.mark.parametrize(
    ("hw", "wanted_wh", "expected_hw"),
    [
        pytest.param((480, 640), (256, 192), (240, 320), id="once"),
        pytest.param((480, 640), (320, 240), (240, 320), id="exactly"),
        pytest.param((1080, 1920), (256, 144), (270, 480), id="twice"),
        pytest.param((300, 400), (256, 192), (300, 400), id="not-at-all"),
        pytest.param((30, 40), (256, 192), (30, 40), id="larger-is-wanted"),
        pytest.param((481, 643), (256, 192), (240, 321), id="odd"),
        pytest.param((2000, 300), (256, 100), (2000, 300), id="narrow"),
    ],
)
@pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["gray", "three", "four"])
def test_sizes(hw, wanted_wh, expected_hw, channels):
    halved = Halving().shrink(np.zeros((*hw, *channels), np.uint8), wanted_wh)
    assert halved.shape == (*expected_hw, *channels)


def test_a_pixel_is_the_mean_of_four():
    pixels = np.array([[0, 10, 100, 100], [20, 30, 100, 104]], np.uint8)
    assert Halving().shrink(pixels, (2, 1)).tolist() == [[15, 101]]


def test_the_picture_is_that_of_area_interpolation(rng):
    pixels = cv2.GaussianBlur(rng.integers(0, 256, (480, 640, 3), np.uint8), (5, 5), 0)
    halved = cv2.resize(Halving().shrink(pixels, (256, 192)), (256, 192), interpolation=cv2.INTER_AREA)
    plain = cv2.resize(pixels, (256, 192), interpolation=cv2.INTER_AREA)
    assert np.abs(halved.astype(int) - plain).mean() < 3


def test_memory_is_used_again_for_images_of_one_size():
    halving = Halving()
    first, second = (halving.shrink(np.zeros((64, 64, 3), np.uint8), (20, 20)) for _ in range(2))
    assert first is second
    assert halving.shrink(np.zeros((60, 64, 3), np.uint8), (20, 20)) is not first


def test_an_image_of_another_size_is_not_disturbed_by_the_last_one():
    halving = Halving()
    halving.shrink(np.full((64, 64), 200, np.uint8), (20, 20))
    assert (halving.shrink(np.full((80, 80), 7, np.uint8), (20, 20)) == 7).all()
