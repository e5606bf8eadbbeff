"""Test the C library's resize against its specification in NumPy (`test/reference`)."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import reference
from reference import Places
from support.resize_cases import I420, NV12, NV21, UYVY, YUYV, PlanesCase, ResizeCase, random_planes, random_resize

from yolov8_seg_ros.core.native import native


def check_equal(case: ResizeCase) -> None:
    expected = reference.resize(case.pixels, case.columns, case.rows, case.num_halvings, case.rgb, case.flip)
    np.testing.assert_array_equal(case.resized_by(native()), expected)


def test_equal_to_the_specification(rng):
    for _ in range(300):
        check_equal(random_resize(rng))


def places(first: list[int], next_weight: list[int]) -> Places:
    return Places(np.array(first, np.int32), np.array(next_weight, np.uint16))


#: The whole image as it is, of 200 columns and 9 rows: several blocks of columns, and a last band of one row.
SAME = {
    "columns": places(list(range(200)), [0] * 200),
    "rows": places(list(range(9)), [0] * 9),
}
#: Pixels far apart, of which no two belong to one block.
FAR_APART = {"columns": places([0, 70, 140, 198], [31, 1, 16, 31]), "rows": places([0, 7], [31, 31])}
#: Between the same two pixels, more often than a block has columns.
CROWDED = {"columns": places([3] * 100, [7] * 100), "rows": places([1, 1, 1], [0, 16, 31])}


@pytest.mark.parametrize("channels", [1, 3, 4], ids=["gray", "bgr", "bgra"])
@pytest.mark.parametrize("num_halvings", [0, 1], ids=["as-it-is", "halved"])
@pytest.mark.parametrize("where", [SAME, FAR_APART, CROWDED], ids=["same-size", "far-apart", "crowded"])
@pytest.mark.parametrize("value", [None, 0, 255], ids=["any", "black", "white"])
def test_places_by_hand(channels, num_halvings, where, value, rng):
    height, width = (9, 200) if not num_halvings else (19, 401)
    pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
    if value is not None:
        pixels[:] = value
    case = ResizeCase(pixels, where["columns"], where["rows"], num_halvings, (0, channels // 2, channels - 1), 0x80)
    check_equal(case)
    if value is not None:
        assert (case.resized_by(native()) == value ^ 0x80).all()


def test_rounded_once():
    # A quarter of the way from 0 to 1, and a quarter down: 7/16, which rounds to 0; column by column it would be 1.
    pixels = np.array([[0, 1], [1, 1]], np.uint8)[..., np.newaxis]
    case = ResizeCase(pixels, places([0, 0], [8, 16]), places([0, 0], [8, 16]), 0, (0, 0, 0), 0)
    assert case.resized_by(native())[..., 0].tolist() == [[0, 1], [1, 1]]
    check_equal(case)


# ------------------------------------------------------------------------------------------------------------------ YUV


once_or_twice = pytest.mark.parametrize("num_halvings", [1, 2], ids=["halved", "halved-twice"])


@once_or_twice
@pytest.mark.parametrize("yuv", [YUYV, UYVY], ids=["yuyv", "uyvy"])
@pytest.mark.parametrize("where", [SAME, FAR_APART, CROWDED], ids=["same-size", "far-apart", "crowded"])
@pytest.mark.parametrize("value", [None, 0, 255], ids=["any", "least", "most"])
def test_yuv_places_by_hand(where, yuv, num_halvings, value, rng):
    pixels = rng.integers(0, 256, (19 * num_halvings, 402 * num_halvings, 2), np.uint8)
    if value is not None:
        pixels[:] = value
    check_equal(ResizeCase(pixels, where["columns"], where["rows"], num_halvings, yuv, 0x80))


#: Luma, u and v of all kinds: each luma, and each u and v at some steps with their least and greatest.
LUMA, STEPS = np.arange(256), np.r_[np.arange(0, 256, 5), 127:130, 254]


def test_every_colour_is_that_of_opencv():
    u, v, luma = np.meshgrid(STEPS, STEPS, LUMA, indexing="ij")
    pairs = np.stack([luma, u, luma, v], axis=-1).astype(np.uint8).reshape(-1, len(LUMA), 4)
    # Each row twice, so that a pixel is a pair once the image is halved.
    pixels = np.repeat(pairs, 2, axis=0).reshape(2 * len(pairs), 2 * len(LUMA), 2)
    columns, rows = (places(list(range(size)), [0] * size) for size in (len(LUMA), len(pairs)))
    rgb = ResizeCase(pixels, columns, rows, 1, YUYV, 0).resized_by(native())
    difference = rgb.astype(int) - cv2.cvtColor(pixels, cv2.COLOR_YUV2RGB_YUYV)[::2, ::2]
    assert np.abs(difference).max() <= 1
    assert np.count_nonzero(difference) < 0.1 * difference.size
    assert np.abs(difference.mean((0, 1))).max() < 0.05


# -------------------------------------------------------------------------------------------------------- planes of YUV

each_layout = pytest.mark.parametrize("layout", [NV12, NV21, I420], ids=["nv12", "nv21", "i420"])


def check_planes(case: PlanesCase) -> None:
    expected = reference.resize_planes(case.planes, case.columns, case.rows, case.num_halvings, case.flip)
    np.testing.assert_array_equal(case.resized_by(native()), expected)


def test_planes_equal_to_the_specification(rng):
    for _ in range(300):
        check_planes(random_planes(rng))


def random_yuv(num_halvings: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return luma, u and v in which all places above lie."""
    height, width = 9 * num_halvings, 201 * num_halvings
    luma, u, v = (rng.integers(0, 256, hw, np.uint8) for hw in ((2 * height, 2 * width), *[(height, width)] * 2))
    return luma, u, v


@once_or_twice
@each_layout
@pytest.mark.parametrize("where", [SAME, FAR_APART, CROWDED], ids=["same-size", "far-apart", "crowded"])
@pytest.mark.parametrize("value", [None, 0, 255], ids=["any", "least", "most"])
def test_planes_at_places_by_hand(where, layout, num_halvings, value, rng):
    planes = random_yuv(num_halvings, rng)
    if value is not None:
        for plane in planes:
            plane[:] = value
    check_planes(PlanesCase(planes, where["columns"], where["rows"], num_halvings, 0x80, layout, padding=3))


@once_or_twice
def test_planes_are_resized_as_pairs_of_the_same_colours(num_halvings, rng):
    luma, u, v = random_yuv(num_halvings, rng)
    pairs = np.stack([luma[:, ::2], u.repeat(2, axis=0), luma[:, 1::2], v.repeat(2, axis=0)], axis=-1)
    for where in (SAME, FAR_APART, CROWDED):
        case = ResizeCase(pairs.reshape(*luma.shape, 2), where["columns"], where["rows"], num_halvings, YUYV, 0)
        planes = PlanesCase((luma, u, v), where["columns"], where["rows"], num_halvings, 0)
        difference = planes.resized_by(native()).astype(int) - case.resized_by(native())
        # Four rows are rounded before or after their columns are added.
        assert np.abs(difference).max() <= num_halvings - 1
