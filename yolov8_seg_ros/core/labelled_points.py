"""Describe the depth pixels that lie inside masks: which instance each belongs to, and where it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class DepthGrid:
    """The pixels of a depth image that are used, and where they are in the colour camera's optical frame.

    A point is the depth of its pixel times the pixel's ray, plus the offset.

    Attributes:
        image_hw: height and width of the depth image.
        stride: every so many rows and columns are used.
        rays: float32 (3, m), of the pixels that are used, row by row.
        offset_m: float32 (3, 1), where the depth camera is.
        pixel_xy: width and height, at depth 1, of what a point stands for.
    """

    image_hw: tuple[int, int]
    stride: int
    rays: NDArray[np.float32]
    offset_m: NDArray[np.float32]
    pixel_xy: tuple[float, float]

    def rows_and_columns(self, place: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the rows and columns in the depth image of the pixels at some places (n,) among those used."""
        width = -(-self.image_hw[1] // self.stride)
        row = place // width
        return row * self.stride, (place - row * width) * self.stride

    def xyz_m(self, place: NDArray[np.intp], measured_m: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return points float32 (3, n) of the places (n,) of pixels among those used, and their depths (n,)."""
        xyz_m = np.empty((3, len(place)), np.float32)
        for values_m, rays, offset_m in zip(xyz_m, self.rays, self.offset_m, strict=True):
            np.multiply(rays.take(place), measured_m, out=values_m)
            if offset_m:
                values_m += offset_m
        return xyz_m


@dataclass(frozen=True)
class LabelledPoints:
    """The valid depths that lie inside masks, sorted by instance; of each, those along its outline come last.

    Attributes:
        key: uint16 (n,), ascending: twice the value of the instance in the label image, and 1 more along the outline
            of its mask. A thin mask is all outline.
        depth_m: float32 (n,), in the colour camera's optical frame.
        measured_m: float32 (n,), in the depth camera's.
        pixel: integers (n,), flat index of the pixel of the colour image.
        place: intp (n,), which of the grid's pixels it is.
        grid: pixels of the depth image.
    """

    key: NDArray[np.uint16]
    depth_m: NDArray[np.float32]
    measured_m: NDArray[np.float32]
    pixel: NDArray[Any]
    place: NDArray[np.intp]
    grid: DepthGrid

    @property
    def label(self) -> NDArray[np.uint8]:
        """Return the values of the instances in the label image, uint8 (n,)."""
        return (self.key >> 1).astype(np.uint8)

    @property
    def is_inner(self) -> NDArray[np.bool_]:
        """Return which points are not along the outline of a mask, bool (n,)."""
        is_inner: NDArray[np.bool_] = (self.key & 1) == 0
        return is_inner

    @property
    def xyz_m(self) -> NDArray[np.float32]:
        """Return the points in the colour camera's optical frame, float32 (3, n)."""
        return self.grid.xyz_m(self.place, self.measured_m)

    def spans(self, num_labels: int) -> list[tuple[slice, slice]]:
        """Return where the inner points and those along the outline are, of each of the labels 1 to `num_labels`."""
        bounds = np.searchsorted(self.key, np.arange(2, 2 * num_labels + 3, dtype=np.uint16)).tolist()
        parts = [slice(start, stop) for start, stop in pairwise(bounds)]
        return list(zip(parts[::2], parts[1::2], strict=True))
