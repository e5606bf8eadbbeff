"""Lay classes, confidences and points of objects out in rows and columns, as costmap layers read them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.object_points import ObjectPoints

#: A point of an organised cloud.
GRID_POINT = np.dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4")])


@dataclass(frozen=True)
class SemanticGrid:
    """Three images of one size that belong together, pixel by pixel.

    Attributes:
        class_value: uint8 (height, width), 0 where no object is.
        confidence: uint8 (height, width), 0 to 255.
        points: `GRID_POINT` (height, width), in the colour camera's optical frame; NaN where no object is.
    """

    class_value: NDArray[np.uint8]
    confidence: NDArray[np.uint8]
    points: NDArray[np.void]


def semantic_grid(
    objects: ObjectPoints,
    class_value: NDArray[np.uint8],
    confidence: NDArray[np.uint8],
    decimation: int,
) -> SemanticGrid:
    """Return the grid of the depth image, with one pixel in place of `decimation` x `decimation`.

    Args:
        objects: points of all of them.
        class_value: uint8 (256,), the value of each label; 0 leaves an instance out.
        confidence: uint8 (256,), of each label.
        decimation: 1 or more.
    """
    height, width = (-(-size // decimation) for size in objects.grid.image_hw)
    kept = np.flatnonzero(class_value.take(objects.label) > 0)
    row, column = objects.grid.rows_and_columns(objects.place.take(kept))
    place = row // decimation * width + column // decimation
    label = objects.label.take(kept)
    grid = SemanticGrid(
        class_value=np.zeros((height, width), np.uint8),
        confidence=np.zeros((height, width), np.uint8),
        points=np.full((height, width), np.nan, GRID_POINT),
    )
    # Of the points that fall into one pixel the last one stays, in all three images.
    grid.class_value.ravel()[place] = class_value.take(label)
    grid.confidence.ravel()[place] = confidence.take(label)
    flat = grid.points.reshape(-1)
    for name, values in zip("xyz", objects.xyz_m, strict=True):
        flat[name][place] = values.take(kept)
    return grid
