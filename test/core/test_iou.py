"""Test the comparison of masks with hand-made ones."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.iou import best_iou, mask_iou


def columns(start, stop):
    mask = np.zeros((4, 10), np.bool_)
    mask[:, start:stop] = True
    return mask


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (columns(0, 5), columns(0, 5), 1.0),
        (columns(0, 4), columns(2, 6), 2 / 6),
        (columns(0, 2), columns(5, 7), 0.0),
        (columns(0, 0), columns(0, 0), 0.0),
    ],
    ids=["equal", "a third", "apart", "empty"],
)
def test_mask_iou(a, b, expected):
    assert mask_iou(a, b) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("allowed", "expected"),
    [([True, True], 0.75), ([True, False], 0.2), ([False, False], 0.0)],
    ids=["best of two", "of the right class", "none of the class"],
)
def test_best_iou_is_over_the_instances_of_the_class(allowed, expected):
    label_image = np.zeros((4, 10), np.uint8)
    label_image[columns(3, 5)] = 1
    label_image[columns(5, 8)] = 2
    assert best_iou(columns(4, 8), label_image, np.array(allowed)) == pytest.approx(expected)
