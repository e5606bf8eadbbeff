"""Compare the boxes of tracks and detections, and assign them to each other one to one."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import BoxMask
from yolov8_seg_ros.core.iou import Boxes, box_area, box_iou, box_overlap


def buffered_iou(a: Boxes, b: Boxes, buffer: float) -> NDArray[np.float32]:
    """Return the IoU (n, m) of boxes that are grown on each side by `buffer` times their size.

    Boxes that move by more than their size between two images still overlap so.

    Source: Yang et al., Hard To Track Objects with Irregular Motions and Similar Appearances? Make It Easier by
    Buffering the Matching Space (C-BIoU), WACV 2023.

    Args:
        a: (n, 4), xyxy.
        b: (m, 4), xyxy.
        buffer: 0 or above.
    """
    return box_iou(_grown(a, buffer), _grown(b, buffer))


def covered_fraction(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return (n, m): which part of the smaller of two boxes, (n, 4) and (m, 4), xyxy, lies inside the other."""
    smaller = np.minimum(box_area(a)[:, None], box_area(b))
    overlap = box_overlap(a, b)
    return np.divide(overlap, smaller, out=np.zeros_like(overlap), where=smaller > 0)


def moved_mask_iou(a: BoxMask, shift_xy: tuple[int, int], b: BoxMask) -> float:
    """Return the IoU of two masks of one image after `a` was moved by some columns and rows, maybe out of the image."""
    (a_top, a_left), (b_top, b_left) = (a.origin_xy[1] + shift_xy[1], a.origin_xy[0] + shift_xy[0]), b.origin_xy[::-1]
    top, left = max(a_top, b_top), max(a_left, b_left)
    bottom = min(a_top + a.bitmap.shape[0], b_top + b.bitmap.shape[0])
    right = min(a_left + a.bitmap.shape[1], b_left + b.bitmap.shape[1])
    if bottom <= top or right <= left:
        return 0.0
    shared_a = a.bitmap[top - a_top : bottom - a_top, left - a_left : right - a_left]
    shared_b = b.bitmap[top - b_top : bottom - b_top, left - b_left : right - b_left]
    overlap = np.count_nonzero(shared_a & shared_b)
    union = np.count_nonzero(a.bitmap) + np.count_nonzero(b.bitmap) - overlap
    return overlap / union if union else 0.0


def assign(similarity: NDArray[np.float32], lowest: float) -> list[tuple[int, int]]:
    """Return the pairs (row, column) of the greatest total similarity; a row or column is in one pair at most.

    Args:
        similarity: (n, m).
        lowest: pairs below this are left out, and do not take part.
    """
    rows = np.flatnonzero((similarity >= lowest).any(axis=1))
    best = similarity[rows].argmax(axis=1).tolist() if len(rows) else []
    # Where each row can have its best column, there is no greater total.
    if len(set(best)) == len(best):
        return list(zip(rows.tolist(), best, strict=True))
    return _hungarian(similarity, lowest)


def _hungarian(similarity: NDArray[np.float32], lowest: float) -> list[tuple[int, int]]:
    """Solve the assignment problem by shortest augmenting paths.

    Source: Jonker and Volgenant, A Shortest Augmenting Path Algorithm for Dense and Sparse Linear Assignment Problems,
    Computing 38, 1987.
    """
    rows = np.flatnonzero((similarity >= lowest).any(axis=1)).tolist()
    columns = np.flatnonzero((similarity >= lowest).any(axis=0)).tolist()
    gain = np.maximum(similarity[np.ix_(rows, columns)] - lowest, 0)
    # As many columns more as rows, so that each row may stay alone at no cost.
    costs = [(-line).tolist() + [0.0] * len(rows) for line in gain]
    row_of = _shortest_paths(costs)
    return sorted(
        (rows[row], columns[column])
        for column, row in enumerate(row_of[: len(columns)])
        if row >= 0 and similarity[rows[row], columns[column]] >= lowest
    )


def _shortest_paths(costs: list[list[float]]) -> list[int]:
    """Return the row of each column, -1 for none, at the lowest total cost; there are no more rows than columns."""
    width = len(costs[0])
    root = width  # a column that does not exist, where each path begins
    row_prices, column_prices, row_of = [0.0] * len(costs), [0.0] * (width + 1), [-1] * (width + 1)
    for start in range(len(costs)):
        row_of[root] = start
        distances, previous = [math.inf] * width, [root] * width
        reached, unreached = [root], set(range(width))
        column = root
        while row_of[column] >= 0:
            row = row_of[column]
            source, line, price = column, costs[row], row_prices[row]
            shortest = math.inf
            for j in unreached:
                reduced = line[j] - price - column_prices[j]
                if reduced < distances[j]:
                    distances[j], previous[j] = reduced, source
                if distances[j] < shortest:
                    shortest, column = distances[j], j
            for j in reached:
                row_prices[row_of[j]] += shortest
                column_prices[j] -= shortest
            unreached.remove(column)
            reached.append(column)
            for j in unreached:
                distances[j] -= shortest
        while column != root:
            row_of[column] = row_of[previous[column]]
            column = previous[column]
    return row_of[:width]


def _grown(boxes: Boxes, buffer: float) -> Boxes:
    margin = (boxes[:, 2:] - boxes[:, :2]) * np.float32(buffer)
    return np.concatenate((boxes[:, :2] - margin, boxes[:, 2:] + margin), axis=1)
