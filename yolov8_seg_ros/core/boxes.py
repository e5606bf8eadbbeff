"""Compare, suppress and average boxes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Boxes whose overlaps are looked at together: enough for most images, few enough for any number of boxes.
_BLOCK = 64
#: A score of 0 votes too, where no other does.
_LEAST_WEIGHT = np.finfo(np.float32).tiny


def has_area(xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which boxes are some: a network may store a size of 0 or less, and a float one NaN or infinity."""
    is_finite = np.isfinite(xyxy)
    is_one: NDArray[np.bool_] = np.all(xyxy[:, :2] < xyxy[:, 2:], axis=1)
    return is_one if is_finite.all() else is_one & is_finite.all(axis=1)


def iou_matrix(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the intersection over union (n, m) of boxes (n, 4) and (m, 4) that have an area."""
    # With the coordinates outermost in memory, NumPy's inner loops run over the boxes.
    corners_a, corners_b = np.ascontiguousarray(a.T)[:, :, np.newaxis], np.ascontiguousarray(b.T)[:, np.newaxis]
    start_a, end_a, start_b, end_b = corners_a[:2], corners_a[2:], corners_b[:2], corners_b[2:]
    size = np.minimum(end_a, end_b) - np.maximum(start_a, start_b)
    overlap = np.multiply(*np.maximum(size, 0, out=size))
    areas = np.multiply(*(end_a - start_a)) + np.multiply(*(end_b - start_b))
    iou: NDArray[np.float32] = overlap / (areas - overlap)
    return iou


def suppress(
    xyxy: NDArray[np.float32], class_id: NDArray[np.int64] | None, iou_threshold: float, limit: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Suppress greedily all boxes that overlap a better one.

    Args:
        xyxy: float32 (n, 4), boxes that have an area, best first.
        class_id: int64 (n,): only boxes of one class suppress each other; None lets all do so.
        iou_threshold: a box is dropped when it overlaps a kept one by more than this.
        limit: keep at most so many.

    Returns:
        The k rows that are kept, and bool (k, n): which boxes each of them takes for the same object, itself included.
    """
    kept: list[int] = []
    agrees: list[NDArray[np.bool_]] = []
    alive = np.ones(len(xyxy), np.bool_)
    for start in range(0, len(xyxy), _BLOCK):
        block = start + np.flatnonzero(alive[start : start + _BLOCK])
        for row, same in zip(block.tolist(), _agreement(block, xyxy, class_id, iou_threshold), strict=True):
            if not alive[row]:
                continue
            if len(kept) == limit:
                return _kept(kept, agrees, len(xyxy))
            kept.append(row)
            # Also at a threshold of 1.
            same[row] = True
            agrees.append(same)
            # Those that are alive and not the same.
            np.greater(alive, same, out=alive)
    return _kept(kept, agrees, len(xyxy))


def vote(
    agrees: NDArray[np.bool_], xyxy: NDArray[np.float32], score: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Give each kept box as the mean of all boxes that suppression takes for the same object, weighted by score.

    The mean of several boxes in coarse steps lies between the steps.

    Args:
        agrees: bool (k, n), as `suppress` gives it.
        xyxy: float32 (n, 4), all boxes.
        score: float32 (n,), of all boxes.
    """
    weight = agrees * np.maximum(score, _LEAST_WEIGHT)
    return ((weight @ xyxy) / weight.sum(axis=1, keepdims=True)).astype(np.float32, copy=False)


def _agreement(
    rows: NDArray[np.intp], xyxy: NDArray[np.float32], class_id: NDArray[np.int64] | None, iou_threshold: float
) -> NDArray[np.bool_]:
    """Tell, as bool (rows, n), which boxes the boxes in these rows take for the same object."""
    agrees = iou_matrix(xyxy[rows], xyxy) > iou_threshold
    if class_id is not None:
        agrees &= class_id[rows, np.newaxis] == class_id
    return agrees


def _kept(
    kept: list[int], agrees: list[NDArray[np.bool_]], count: int
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    return np.array(kept, np.intp), np.array(agrees, np.bool_).reshape(len(kept), count)
