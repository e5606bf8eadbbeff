"""Test by hand what masks say about boxes and scores."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.evidence import mask_confidence, refine_box, window_around

SIZE = 16


def blob(left, top, right, bottom, inside=2.0, outside=-2.0):
    """Give logits (cells, cells) of a mask of whole cells; halfway between their centres they are 0."""
    logits = np.full((SIZE, SIZE), outside, np.float32)
    logits[top:bottom, left:right] = inside
    return logits


def near(logits, *xyxy):
    window = window_around(xyxy, logits.shape)
    left, top, right, bottom = window
    return logits[top:bottom, left:right], window


def refined(logits, *xyxy):
    return list(refine_box(xyxy, *near(logits, *xyxy)))


@pytest.mark.parametrize(
    ("xyxy", "window"),
    [
        pytest.param([16, 16, 32, 32], (3, 3, 9, 9), id="a-margin-around-it"),
        pytest.param([17, 17, 17.5, 18], (4, 4, 5, 5), id="at-least-a-cell"),
        pytest.param([-8, -8, 70, 70], (0, 0, 16, 16), id="cut-at-the-edge"),
        pytest.param([-30, 70, -20, 90], (0, 15, 1, 16), id="outside"),
    ],
)
def test_windows_by_hand(xyxy, window):
    assert window_around(xyxy, (SIZE, SIZE)) == window


def test_a_box_like_its_mask_stays():
    # Cells 4 to 7 of 4 px each: 16 to 32 px.
    assert refined(blob(4, 4, 8, 8), 16, 16, 32, 32) == [16, 16, 32, 32]


def test_a_box_goes_half_the_way_to_its_mask():
    assert refined(blob(4, 4, 8, 8), 12, 8, 40, 36) == [14, 12, 36, 34]


def test_a_box_grows_by_half_its_margin_at_most():
    # The mask goes on to all sides, the box is 20 px: its margin is 1 px.
    assert refined(blob(0, 0, 16, 16), 20, 20, 40, 40) == [19.5, 19.5, 40.5, 40.5]


def test_the_zero_crossing_is_interpolated():
    logits = blob(4, 4, 8, 8, inside=3.0, outside=-1.0)
    # From the centre of the outermost cell the logit falls from 3 to -1: 0.75 cells to 0, where 0.5 is the cell's edge.
    assert refined(logits, 15, 15, 33, 33) == pytest.approx([15, 15, 33, 33])


def test_at_the_network_s_edge_a_mask_fills_its_cell():
    assert refined(blob(0, 0, 4, 16), 0, 0, 16, 64) == [0, 0, 16, 64]


def test_a_box_without_a_mask_stays():
    assert refined(blob(0, 0, 0, 0), 10, 10, 20, 20) == [10, 10, 20, 20]


def test_masks_of_other_places_do_not_count():
    logits = blob(4, 4, 8, 8) + blob(12, 12, 15, 15, 4.0, 0.0)
    assert refined(logits, 16, 16, 32, 32) == [16, 16, 32, 32]


def test_confidence_is_the_mean_probability_inside():
    logits = blob(4, 4, 8, 8)
    logits[4:8, 4:6] = 0.5
    expected = np.mean(1 / (1 + np.exp([-0.5, -2.0])))
    cells, _ = near(logits, 16, 16, 32, 32)
    assert mask_confidence(cells) == pytest.approx(expected)


def test_confidence_without_a_mask_is_none():
    assert mask_confidence(blob(0, 0, 0, 0)) == 0


def test_a_box_beyond_the_network_s_edge():
    assert refined(blob(0, 0, 4, 4), -8, -8, 16, 16) == pytest.approx([-4, -4, 16, 16])


def test_logits_that_are_no_numbers_say_nothing():
    logits = np.full((SIZE, SIZE), np.nan, np.float32)
    assert refined(logits, 10, 10, 20, 20) == [10, 10, 20, 20]
    assert mask_confidence(logits) == 0
