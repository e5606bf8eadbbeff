"""Test the C library's resize against its specification in NumPy (`test/reference`)."""

from __future__ import annotations

import numpy as np
import pytest
import reference
from reference import Places
from support.resize_cases import ResizeCase, random_resize

from yolov8_seg_ros.core.native import native


def check_equal(case: ResizeCase) -> None:
    expected = reference.resize(case.pixels, case.columns, case.rows, case.is_halved, case.rgb, case.flip)
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
@pytest.mark.parametrize("is_halved", [False, True], ids=["as-it-is", "halved"])
@pytest.mark.parametrize("where", [SAME, FAR_APART, CROWDED], ids=["same-size", "far-apart", "crowded"])
@pytest.mark.parametrize("value", [None, 0, 255], ids=["any", "black", "white"])
def test_places_by_hand(channels, is_halved, where, value, rng):
    height, width = (9, 200) if not is_halved else (19, 401)
    pixels = rng.integers(0, 256, (height, width, channels), np.uint8)
    if value is not None:
        pixels[:] = value
    case = ResizeCase(pixels, where["columns"], where["rows"], is_halved, (0, channels // 2, channels - 1), 0x80)
    check_equal(case)
    if value is not None:
        assert (case.resized_by(native()) == value ^ 0x80).all()


def test_rounded_once():
    # A quarter of the way from 0 to 1, and a quarter down: 7/16, which rounds to 0; column by column it would be 1.
    pixels = np.array([[0, 1], [1, 1]], np.uint8)[..., np.newaxis]
    case = ResizeCase(pixels, places([0, 0], [8, 16]), places([0, 0], [8, 16]), False, (0, 0, 0), 0)
    assert case.resized_by(native())[..., 0].tolist() == [[0, 1], [1, 1]]
    check_equal(case)
