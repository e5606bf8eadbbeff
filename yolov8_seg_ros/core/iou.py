"""Hold what was found against what is there."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def mask_iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Give the intersection over union of two bool masks of one size; 0 where both are empty."""
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else 0.0


def best_iou(truth: NDArray[np.bool_], label_image: NDArray[np.uint8], labels: NDArray[np.bool_]) -> float:
    """Give the IoU of a true mask with the best of the instances that may stand for it.

    Args:
        truth: bool (height, width).
        label_image: uint8 (height, width), k where the k-th instance is visible, from 1.
        labels: bool (n,), which instances are of the right class.
    """
    touched = np.unique(label_image[truth])
    candidates = [label for label in touched.tolist() if label and labels[label - 1]]
    return max((mask_iou(truth, label_image == label) for label in candidates), default=0.0)
