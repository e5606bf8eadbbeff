"""Compare boxes and masks by intersection over union (IoU)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float32]


def box_area(boxes: Boxes) -> NDArray[np.float32]:
    """Return the areas (n,) of boxes (n, 4), xyxy."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def box_overlap(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return the areas (n, m) that boxes (n, 4) and (m, 4), xyxy, share."""
    sides = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    np.maximum(sides, 0, out=sides)
    return sides[..., 0] * sides[..., 1]


def box_iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Return the IoU (n, m) of boxes (n, 4) and (m, 4), xyxy; 0 where both boxes have no area."""
    overlap = box_overlap(a, b)
    union = box_area(a)[:, None] + box_area(b) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Return the IoU of two bool masks of one size; 0 where both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def best_iou(truth: NDArray[np.bool_], label_image: NDArray[np.uint8], labels: NDArray[np.bool_]) -> float:
    """Return the IoU of a ground-truth mask with the best of the instances that may stand for it.

    Args:
        truth: bool (height, width).
        label_image: uint8 (height, width), k where the k-th instance is visible, from 1.
        labels: bool (n,), which instances are of the right class.
    """
    touched = np.unique(label_image[truth])
    candidates = [label for label in touched.tolist() if label and labels[label - 1]]
    return max((mask_iou(truth, label_image == label) for label in candidates), default=0.0)
