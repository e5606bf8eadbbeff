"""Ask an instance's mask what it says about the instance's box and score.

Boxes and scores of an int8 head come in coarse steps, masks are fine: their logits are sums of many products.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.masks import CellWindow
from yolov8_seg_ros.core.model_spec import PROTOTYPE_STRIDE_PX

#: A box may be this fraction of its size too small on each side; the mask is looked at as far out.
BOX_MARGIN = 0.05


def window_around(box_xyxy: Sequence[float], plane_hw: tuple[int, int]) -> CellWindow:
    """Give the prototype cells near a box, at least one.

    Args:
        box_xyxy: left, top, right and bottom edge in network pixels.
        plane_hw: rows and columns of all cells.
    """
    left, top, right, bottom = box_xyxy
    margin_x, margin_y = (right - left) * BOX_MARGIN, (bottom - top) * BOX_MARGIN
    first_column, end_column = _cells_between(left - margin_x, right + margin_x, plane_hw[1])
    first_row, end_row = _cells_between(top - margin_y, bottom + margin_y, plane_hw[0])
    return first_column, first_row, end_column, end_row


def refine_box(
    box_xyxy: Sequence[float], near: NDArray[np.float32], window: CellWindow
) -> tuple[float, float, float, float]:
    """Give a box averaged with the extent of its own mask; a box without a mask stays as it is.

    Args:
        box_xyxy: left, top, right and bottom edge in network pixels.
        near: float32 (rows, columns), the mask's logits near the box.
        window: the cells that these are.
    """
    left, top, right, bottom = box_xyxy
    columns, rows = near.max(axis=0).tolist(), near.max(axis=1).tolist()
    if not max(columns) > 0:
        return left, top, right, bottom
    margin_x, margin_y = (right - left) * BOX_MARGIN, (bottom - top) * BOX_MARGIN
    return (
        (left + max(_start_px(columns, window[0]), left - margin_x)) / 2,
        (top + max(_start_px(rows, window[1]), top - margin_y)) / 2,
        (right + min(_end_px(columns, window[2]), right + margin_x)) / 2,
        (bottom + min(_end_px(rows, window[3]), bottom + margin_y)) / 2,
    )


def mask_confidence(near: NDArray[np.float32]) -> float:
    """Give the mean probability, 0.5 to 1, of the cells inside a mask; 0 where there is no mask.

    Args:
        near: float32 (rows, columns), the mask's logits near its box.
    """
    inside = near[near > 0]
    if not len(inside):
        return 0.0
    # The logistic function is a tanh, moved and stretched.
    return 0.5 + 0.5 * float(np.tanh(inside * np.float32(0.5)).sum()) / len(inside)


def _cells_between(start_px: float, end_px: float, num_cells: int) -> tuple[int, int]:
    first = min(max(0, math.floor(start_px / PROTOTYPE_STRIDE_PX)), num_cells - 1)
    return first, max(first + 1, min(num_cells, math.ceil(end_px / PROTOTYPE_STRIDE_PX)))


def _start_px(profile: Sequence[float], first_cell: int) -> float:
    """Give where a profile along an axis, of cells from `first_cell` on, rises above 0, in network pixels."""
    return (first_cell + _cells_outside(profile)) * PROTOTYPE_STRIDE_PX


def _end_px(profile: Sequence[float], end_cell: int) -> float:
    """Give where a profile along an axis, of cells up to `end_cell`, last falls below 0, in network pixels."""
    return (end_cell - _cells_outside(profile[::-1])) * PROTOTYPE_STRIDE_PX


def _cells_outside(profile: Sequence[float]) -> float:
    """Give how many cells lie before the first rise above 0, interpolated between the centres of cells."""
    for cell, logit in enumerate(profile):
        if logit > 0:
            outside = profile[cell - 1]
            # Where the window ends, the mask fills its last cell.
            return cell + 0.5 - logit / (logit - outside) if cell else 0.0
    return float(len(profile))
