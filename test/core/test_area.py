"""Test area interpolation by hand, against OpenCV's, and that its memory is used again."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.area import AreaResizer


def smooth_picture(rng: np.random.Generator, hw: tuple[int, int], *channels: int):
    """Give a picture whose structures are some 20 pixels large, as those of a photo mostly are."""
    coarse = rng.integers(0, 256, (hw[0] // 20 + 2, hw[1] // 20 + 2, *channels), np.uint8)
    return cv2.resize(coarse, hw[::-1], interpolation=cv2.INTER_LINEAR)


@pytest.mark.parametrize(
    ("hw", "wanted_wh"),
    [
        pytest.param((480, 640), (256, 192), id="halved-once"),
        pytest.param((480, 640), (320, 240), id="exactly-half"),
        pytest.param((720, 1280), (256, 144), id="halved-twice"),
        pytest.param((1080, 1920), (256, 144), id="more-than-two-pixels-each"),
        pytest.param((427, 640), (256, 171), id="three-pixels-now-and-then"),
        pytest.param((240, 320), (256, 192), id="two-pixels-each"),
        pytest.param((30, 40), (256, 192), id="enlarged"),
        pytest.param((481, 643), (256, 192), id="odd"),
        pytest.param((2000, 300), (256, 100), id="narrow"),
        pytest.param((2000, 256), (256, 100), id="one-side-only"),
    ],
)
@pytest.mark.parametrize("channels", [(), (3,), (4,)], ids=["gray", "three", "four"])
def test_like_opencv(hw, wanted_wh, channels, rng):
    pixels = smooth_picture(rng, hw, *channels)
    resized = AreaResizer().resize(pixels, wanted_wh)
    expected = cv2.resize(pixels, wanted_wh, interpolation=cv2.INTER_AREA)
    assert resized.shape == expected.shape
    difference = np.abs(resized.astype(int) - expected)
    # What is left out at the end of an odd image shifts the rest by a fraction of a pixel.
    assert difference.mean() < (0.06 if hw[0] % 2 else 0.03) * pixels.std()
    assert difference.max() < 0.4 * pixels.std()


def test_a_pixel_is_the_mean_of_four():
    pixels = np.array([[0, 10, 100, 100], [20, 30, 100, 104]], np.uint8)
    assert AreaResizer().resize(pixels, (2, 1)).tolist() == [[15, 101]]


def test_a_pixel_is_the_mean_of_one_and_a_quarter():
    pixels = np.array([[0, 40, 100, 180, 200]], np.uint8)
    # Each new pixel covers 1.25 old ones: 1 and 0.25, 0.75 and 0.5, 0.5 and 0.75, 0.25 and 1.
    assert AreaResizer().resize(pixels, (4, 1))[0] == pytest.approx([8, 64, 148, 196], abs=2)


def test_nothing_is_left_out_of_an_even_picture():
    for width in range(64, 257):
        assert (AreaResizer().resize(np.full((48, 256), 200, np.uint8), (width, 48)) == 200).all()


def test_memory_is_used_again_for_images_of_one_size():
    resizer = AreaResizer()
    first, second = (resizer.resize(np.zeros((64, 64, 3), np.uint8), (20, 20)) for _ in range(2))
    assert first is second
    assert resizer.resize(np.zeros((60, 64, 3), np.uint8), (20, 20)) is not first


def test_an_image_of_another_size_is_not_disturbed_by_the_last_one():
    resizer = AreaResizer()
    resizer.resize(np.full((64, 64), 200, np.uint8), (20, 20))
    assert (resizer.resize(np.full((80, 80), 7, np.uint8), (20, 20)) == 7).all()


def test_an_image_of_the_wanted_size_is_given_as_it_is(rng):
    pixels = smooth_picture(rng, (20, 30), 3)
    assert AreaResizer().resize(pixels, (30, 20)) is pixels
