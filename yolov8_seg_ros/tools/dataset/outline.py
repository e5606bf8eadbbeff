"""Measure and clip outlines: float64 (n, 2), x and y as fractions of the picture's width and height."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
#: A thousandth of a pixel of a picture of 1000x1000: below it rounding decides.
_MIN_AREA = 1e-9


def box_outline(xywh: Points) -> Points:
    """Give the four corners of a box, given as centre x, centre y, width and height."""
    x, y, half_width, half_height = xywh * (1, 1, 0.5, 0.5)
    left, top, right, bottom = x - half_width, y - half_height, x + half_width, y + half_height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def is_flat(points: Points) -> bool:
    """Tell whether all points lie on one line, or in one place."""
    if len(points) < 3:
        return True
    # The singular values are the spread along the outline's main directions.
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[0] * spread[1] < _MIN_AREA)


def clip_outline(points: Points) -> Points:
    """Cut off what lies outside 0 .. 1; may leave no point at all."""
    for axis in (0, 1):
        points = _cut_negative(points, axis)
        points = 1 - _cut_negative(1 - points, axis)
    return np.clip(points, 0.0, 1.0)


def _cut_negative(points: Points, axis: int) -> Points:
    """Cut off what lies below 0 on one axis (Sutherland and Hodgman's algorithm)."""
    kept = []
    for start, end in zip(np.roll(points, 1, axis=0), points, strict=True):
        start_inside, end_inside = start[axis] >= 0, end[axis] >= 0
        if start_inside != end_inside:
            kept.append(start + (end - start) * (start[axis] / (start[axis] - end[axis])))
        if end_inside:
            kept.append(end)
    return np.array(kept, dtype=np.float64).reshape(-1, 2)
