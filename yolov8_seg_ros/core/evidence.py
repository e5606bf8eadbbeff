"""Ask an instance's mask what it says about the instance's box and score.

Boxes and scores of an int8 head come in coarse steps, masks are fine: their logits are sums of many products.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.model_spec import PROTOTYPE_STRIDE_PX

#: A box may be this fraction of its size too small on each side; the mask is looked at as far out.
BOX_MARGIN = 0.05
#: Outside the window the mask is surely absent.
_ABSENT = np.float32(-1e4)


def logits_near_boxes(logits: NDArray[np.float32], xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the logits with all cells away from each instance's own box marked as outside the mask.

    Args:
        logits: float32 (n, rows, columns), mask logits in prototype cells.
        xyxy: float32 (n, 4), boxes in network pixels.
    """
    margin = (xyxy[:, 2:] - xyxy[:, :2]) * BOX_MARGIN
    first = np.floor((xyxy[:, :2] - margin) / PROTOTYPE_STRIDE_PX)
    last = np.ceil((xyxy[:, 2:] + margin) / PROTOTYPE_STRIDE_PX)
    _, num_rows, num_columns = logits.shape
    columns, rows = np.arange(num_columns), np.arange(num_rows)
    in_columns = (columns >= first[:, :1]) & (columns < last[:, :1])
    in_rows = (rows >= first[:, 1:]) & (rows < last[:, 1:])
    return np.where(in_rows[:, :, np.newaxis] & in_columns[:, np.newaxis, :], logits, _ABSENT)


def refine_boxes(xyxy: NDArray[np.float32], near: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give each box averaged with the extent of its own mask; a box without a mask stays as it is.

    Args:
        xyxy: float32 (n, 4), boxes in network pixels.
        near: float32 (n, rows, columns), as `logits_near_boxes` gives them.
    """
    columns, rows = near.max(axis=1), near.max(axis=2)
    left, right = _extent_px(columns)
    top, bottom = _extent_px(rows)
    margin = (xyxy[:, 2:] - xyxy[:, :2]) * BOX_MARGIN
    start = np.maximum(np.column_stack([left, top]), xyxy[:, :2] - margin)
    end = np.minimum(np.column_stack([right, bottom]), xyxy[:, 2:] + margin)
    averaged = (xyxy + np.hstack([start, end])) / 2
    has_mask = columns.max(axis=1, keepdims=True, initial=0) > 0
    return np.where(has_mask, averaged, xyxy).astype(np.float32, copy=False)


def mask_confidence(near: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give float32 (n,): the mean probability, 0.5 to 1, of the cells inside each mask; 0 where there is no mask.

    Args:
        near: float32 (n, rows, columns), as `logits_near_boxes` gives them.
    """
    inside = near > 0
    probability = 1 / (1 + np.exp(-near[inside]))
    count = np.count_nonzero(inside, axis=(1, 2))
    total = np.bincount(np.repeat(np.arange(len(near)), count), probability, minlength=len(near))
    return (total / np.maximum(count, 1)).astype(np.float32)


def _extent_px(profile: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Give where each row of (n, cells) first rises above 0 and last falls below, interpolated, in network pixels."""
    present = profile > 0
    first = present.argmax(axis=1)
    last = profile.shape[1] - 1 - present[:, ::-1].argmax(axis=1)
    # A cell stands for its centre.
    start = first + 0.5 - _way_to_zero(profile, first, first - 1)
    end = last + 0.5 + _way_to_zero(profile, last, last + 1)
    return start * PROTOTYPE_STRIDE_PX, end * PROTOTYPE_STRIDE_PX


def _way_to_zero(
    profile: NDArray[np.float32], inside: NDArray[np.intp], outside: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Give how far, in cells, the zero crossing lies from the cell inside towards its neighbour outside."""
    rows = np.arange(len(profile))
    above = profile[rows, inside]
    below = profile[rows, np.clip(outside, 0, profile.shape[1] - 1)]
    # Where the network's input or the box's neighbourhood ends, the mask fills its last cell.
    ends = (outside < 0) | (outside >= profile.shape[1]) | (below == _ABSENT)
    return np.where(ends, 0.5, above / np.where(ends, 1, above - below))
