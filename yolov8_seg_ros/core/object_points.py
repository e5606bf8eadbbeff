"""Choose of the depths inside masks those that are the objects': masks also cover background, and edges mix both."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.depth import DepthOptions
from yolov8_seg_ros.core.depth_interval import object_interval
from yolov8_seg_ros.core.labelled_points import DepthGrid, LabelledPoints


@dataclass(frozen=True)
class ObjectPoints:
    """The points of objects that have enough depths, sorted by object.

    Attributes:
        spans: by the value of the instance in the label image, where the points of each object are.
        points: of all instances.
        kept: intp (m,), which of them are objects'.
    """

    spans: dict[int, slice]
    points: LabelledPoints
    kept: NDArray[np.intp]

    @property
    def grid(self) -> DepthGrid:
        """Return the pixels of the depth image."""
        return self.points.grid

    @cached_property
    def xyz_m(self) -> NDArray[np.float32]:
        """Return the points in the colour camera's optical frame, float32 (3, m)."""
        return self.grid.xyz_m(self.place, self.points.measured_m.take(self.kept))

    @cached_property
    def label(self) -> NDArray[np.uint8]:
        """Return the values of the instances in the label image, uint8 (m,)."""
        return self.points.label.take(self.kept)

    @cached_property
    def place(self) -> NDArray[np.intp]:
        """Return which of the grid's pixels each is, intp (m,)."""
        return self.points.place.take(self.kept)

    @property
    def pixel(self) -> NDArray[Any]:
        """Return the flat indices of the pixels of the colour image, integers (m,)."""
        return self.points.pixel.take(self.kept)


def find_objects(points: LabelledPoints, num_labels: int, options: DepthOptions) -> ObjectPoints:
    """Return the points of the objects.

    Args:
        points: of all instances.
        num_labels: number of instances; their labels are 1 to this number.
        options: how depths are chosen.
    """
    spans: dict[int, slice] = {}
    kept: list[NDArray[np.intp]] = [np.empty(0, np.intp)]
    start = 0
    for label, (inner, outline) in enumerate(points.spans(num_labels), start=1):
        depth_m = points.depth_m[inner.start : outline.stop]
        if len(depth_m) < options.min_points:
            continue
        # A thin object is all outline.
        num_inner = inner.stop - inner.start or len(depth_m)
        low_m, high_m = object_interval(
            depth_m, num_inner, options.mode_share, max(points.grid.pixel_xy), options.erosion_px
        )
        found: NDArray[np.intp] = np.flatnonzero((depth_m >= low_m) & (depth_m <= high_m))
        if len(found) < options.min_points:
            continue
        found += inner.start
        kept.append(found)
        spans[label] = slice(start, start + len(found))
        start += len(found)
    return ObjectPoints(spans, points, np.concatenate(kept))
