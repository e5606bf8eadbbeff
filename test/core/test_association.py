"""Test how boxes and masks are compared, and that the assignment is the best of all."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies
from support.properties import examples

from yolov8_seg_ros.core.association import assign, buffered_iou, covered_fraction, moved_mask_iou
from yolov8_seg_ros.core.instances import BoxMask

SQUARE = np.array([[0, 0, 10, 10]], np.float32)


def best_total(gain):
    """Compute the greatest total by trying all assignments."""
    rows, columns = gain.shape
    if rows > columns:
        return best_total(gain.T)
    return max(
        sum(gain[row, column] for row, column in enumerate(chosen))
        for chosen in itertools.permutations(range(columns), rows)
    )


@examples(60)
@given(seed=strategies.integers(0, 2**32 - 1))
def test_the_assignment_has_the_greatest_total(seed):
    rng = np.random.default_rng(seed)
    similarity = rng.random(rng.integers(1, 6, 2), np.float32)
    similarity[rng.random(similarity.shape) < 0.3] = 0
    lowest = float(rng.uniform(0.05, 0.5))

    pairs = assign(similarity, lowest)

    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(similarity[pair] >= lowest for pair in pairs)
    total = sum(similarity[pair] - lowest for pair in pairs)
    assert total == pytest.approx(best_total(np.maximum(similarity - lowest, 0)), abs=1e-5)


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)], ids=["nothing", "no rows", "no columns"])
def test_nothing_is_assigned_to_nothing(shape):
    assert assign(np.empty(shape, np.float32), 0.1) == []


@pytest.mark.parametrize(
    ("gap_px", "buffer", "expected"),
    [
        pytest.param(0, 0.0, 1.0, id="the same box"),
        pytest.param(15, 0.0, 0.0, id="apart"),
        # 20 wide each, 5 of it shared.
        pytest.param(15, 0.5, 5 / 35, id="apart, but grown"),
        pytest.param(20, 0.5, 0.0, id="grown until they touch"),
    ],
)
def test_grown_boxes_overlap_earlier(gap_px, buffer, expected):
    other = SQUARE + np.array([gap_px, 0, gap_px, 0], np.float32)
    assert buffered_iou(SQUARE, other, buffer)[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        pytest.param((2, 2, 4, 4), 1.0, id="inside"),
        pytest.param((-5, 0, 5, 10), 0.5, id="half"),
        pytest.param((-5, -5, 25, 25), 1.0, id="around"),
        pytest.param((20, 0, 30, 10), 0.0, id="apart"),
        pytest.param((3, 3, 3, 3), 0.0, id="without area"),
    ],
)
def test_covered_fraction_is_of_the_smaller_box(box, expected):
    assert covered_fraction(SQUARE, np.array([box], np.float32))[0, 0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("shift_xy", "expected"),
    [
        pytest.param((0, 0), 1.0, id="in place"),
        pytest.param((2, 0), 8 / 24, id="half of it shared"),
        pytest.param((-9, 0), 0.0, id="beside"),
        pytest.param((400, -300), 0.0, id="out of the image"),
    ],
)
def test_masks_are_compared_where_they_moved_to(shift_xy, expected):
    mask = BoxMask((3, 5), np.ones((4, 4), np.bool_))
    assert moved_mask_iou(mask, shift_xy, mask) == pytest.approx(expected)


def test_empty_masks_do_not_overlap():
    mask = BoxMask((0, 0), np.zeros((4, 4), np.bool_))
    assert moved_mask_iou(mask, (0, 0), mask) == 0.0
