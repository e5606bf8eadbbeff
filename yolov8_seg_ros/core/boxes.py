"""Compare, suppress and average boxes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

#: A score of 0 votes too, where no other does.
_LEAST_WEIGHT = np.finfo(np.float32).tiny


def has_area(xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Tell which boxes are some: a network may store a size of 0 or less, and a float one NaN or infinity."""
    is_one: NDArray[np.bool_] = (xyxy[:, 0] < xyxy[:, 2]) & (xyxy[:, 1] < xyxy[:, 3])
    is_finite = np.isfinite(xyxy)
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


def suppress(xyxy: NDArray[np.float32], class_id: NDArray[np.int64] | None, iou_threshold: float) -> NDArray[np.intp]:
    """Give the rows that greedy non-maximum suppression keeps.

    Args:
        xyxy: float32 (n, 4), boxes that have an area, best first.
        class_id: int64 (n,): only boxes of one class suppress each other; None lets all do so.
        iou_threshold: a box is dropped when it overlaps a kept one by more than this.
    """
    if not len(xyxy):
        return np.empty(0, np.intp)
    xywh = xyxy.astype(np.float64)
    xywh[:, 2:] -= xywh[:, :2]
    if class_id is not None:
        # Far enough apart, boxes of different classes cannot overlap.
        extent = float(np.abs(xyxy).max()) * 2 + 1
        xywh[:, :2] += class_id[:, np.newaxis] * extent
    # Ranks stand for scores: OpenCV drops a score of 0, and need not keep the order of equal ones.
    rank = np.arange(len(xyxy), 0, -1).astype(np.float32)
    kept = cv2.dnn.NMSBoxes(xywh, rank, 0.0, iou_threshold)  # type: ignore[arg-type]
    return np.asarray(kept, np.intp).reshape(-1)


def vote(
    kept: NDArray[np.intp],
    xyxy: NDArray[np.float32],
    score: NDArray[np.float32],
    class_id: NDArray[np.int64] | None,
    iou_threshold: float,
) -> NDArray[np.float32]:
    """Give each kept box as the mean of all boxes that suppression takes for the same object, weighted by score.

    The mean of several boxes in coarse steps lies between the steps.

    Args:
        kept: rows of the kept boxes.
        xyxy: float32 (n, 4), all boxes.
        score: float32 (n,), of all boxes.
        class_id: int64 (n,), as for `suppress`.
        iou_threshold: as for `suppress`.
    """
    agrees: NDArray[np.bool_] = iou_matrix(xyxy[kept], xyxy) > iou_threshold
    if class_id is not None:
        agrees &= class_id[kept, np.newaxis] == class_id
    # A box always agrees with itself, also at a threshold of 1 or with a score of 0.
    agrees[np.arange(len(kept)), kept] = True
    weight = agrees * np.maximum(score, _LEAST_WEIGHT)
    return ((weight @ xyxy) / weight.sum(axis=1, keepdims=True)).astype(np.float32, copy=False)
