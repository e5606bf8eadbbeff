"""Test the comparison, suppression and averaging of boxes by hand."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.boxes import has_area, iou_matrix, suppress, vote


def slowly_suppressed(xyxy, class_id, iou_threshold):
    """Give what suppression keeps, box by box, in float64."""
    kept = []
    for row, box in enumerate(xyxy.astype(np.float64)):
        for other in kept:
            size = np.minimum(box[2:], xyxy[other, 2:]) - np.maximum(box[:2], xyxy[other, :2])
            overlap = np.prod(size.clip(0))
            union = np.prod(box[2:] - box[:2]) + np.prod(xyxy[other, 2:] - xyxy[other, :2]) - overlap
            if class_id[row] == class_id[other] and overlap / union > iou_threshold:
                break
        else:
            kept.append(row)
    return kept


def test_has_area():
    nan, infinity = np.nan, np.inf
    xyxy = [[0, 0, 1, 1], [0, 0, 0, 1], [0, 2, 1, 1], [0, 0, nan, 1], [-infinity, 0, infinity, 1]]
    assert has_area(np.array(xyxy, np.float32)).tolist() == [True, False, False, False, False]


def test_iou_matrix():
    a = np.array([[0, 0, 10, 10], [20, 20, 30, 30]], np.float32)
    b = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10]], np.float32)
    np.testing.assert_allclose(iou_matrix(a, b), [[1, 1 / 3, 0], [0, 0, 0]])


@pytest.mark.parametrize(
    ("iou_threshold", "kept"),
    [
        # Two boxes of 10x10, 5 apart: 50 / 150.
        pytest.param(0.34, [0, 1], id="less-than-the-threshold"),
        pytest.param(0.33, [0], id="more-than-the-threshold"),
        pytest.param(1.0, [0, 1], id="nothing-is-more-than-one"),
        pytest.param(0.0, [0], id="any-overlap"),
    ],
)
def test_suppress_by_hand(iou_threshold, kept):
    xyxy = np.array([[0, 0, 10, 10], [5, 0, 15, 10]], np.float32)
    assert suppress(xyxy, None, iou_threshold).tolist() == kept


def test_a_suppressed_box_suppresses_none():
    xyxy = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert suppress(xyxy, None, 0.3).tolist() == [0, 2]


def test_boxes_that_touch_do_not_overlap():
    xyxy = np.array([[0, 0, 10, 10], [10, 0, 20, 10], [0, 10, 10, 20]], np.float32)
    assert suppress(xyxy, None, 0.0).tolist() == [0, 1, 2]


def test_boxes_outside_the_network_keep_to_their_class():
    xyxy = np.array([[-500, -500, 500, 500], [-400, -400, 600, 600]], np.float32)
    assert suppress(xyxy, np.array([0, 1]), 0.0).tolist() == [0, 1]
    assert suppress(xyxy, np.array([3, 3]), 0.0).tolist() == [0]


def test_suppress_nothing():
    assert suppress(np.empty((0, 4), np.float32), None, 0.5).shape == (0,)


@pytest.mark.parametrize("count", [1, 2, 50, 500])
def test_suppress_many_as_slowly(count, rng):
    start = rng.uniform(0, 100, (count, 2))
    xyxy = np.hstack([start, start + rng.uniform(10, 60, (count, 2))]).astype(np.float32)
    class_id = rng.integers(0, 3, count)
    expected = slowly_suppressed(xyxy, class_id, 0.4)
    assert suppress(xyxy, class_id, 0.4).tolist() == expected


CLUSTER = np.array([[0, 0, 10, 10], [2, 0, 12, 10], [0, 0, 11, 10], [50, 50, 60, 60]], np.float32)
SCORES = np.array([0.8, 0.4, 0.4, 0.3], np.float32)


@pytest.mark.parametrize(
    ("class_id", "iou_threshold", "expected"),
    [
        pytest.param(None, 0.5, [0.5, 0, 10.75, 10], id="weighted-mean"),
        pytest.param(np.array([0, 1, 0, 0]), 0.5, [0, 0, 10 + 1 / 3, 10], id="of-its-class"),
        pytest.param(None, 0.95, [0, 0, 10, 10], id="alone"),
        pytest.param(None, 1.0, [0, 0, 10, 10], id="itself-at-least"),
    ],
)
def test_vote_by_hand(class_id, iou_threshold, expected):
    kept = np.array([0, 3])
    voted = vote(kept, CLUSTER, SCORES, class_id, iou_threshold)
    np.testing.assert_allclose(voted, [expected, CLUSTER[3]], rtol=1e-6)
    assert voted.dtype == np.float32


def test_a_vote_without_scores_is_the_plain_mean():
    voted = vote(np.array([0]), CLUSTER[:2], np.zeros(2, np.float32), None, 0.5)
    np.testing.assert_allclose(voted, [[1, 0, 11, 10]])


def test_vote_of_nothing():
    empty = np.empty((0, 4), np.float32)
    assert vote(np.empty(0, np.intp), empty, np.empty(0, np.float32), None, 0.5).shape == (0, 4)
