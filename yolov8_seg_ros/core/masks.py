"""Assemble masks from prototypes and mask coefficients, at the image's own resolution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.box_mask import BoxMask
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.model_spec import PROTOTYPE_STRIDE_PX
from yolov8_seg_ros.core.quantization import QuantParams, Tensor

#: Left, top, right and bottom edge of a rectangle of prototype cells.
CellWindow = Sequence[int]


@dataclass(frozen=True)
class MaskLogits:
    """The mask logits of one instance in a window of prototype cells; the instance is where its logit is above 0.

    Attributes:
        cells: float32 (rows, columns) of the window.
        first_column: of the window.
        first_row: of the window.
    """

    cells: NDArray[np.float32]
    first_column: int
    first_row: int

    def within(self, window: CellWindow) -> NDArray[np.float32]:
        """Give the cells of a window inside this one."""
        left, top, right, bottom = window
        x, y = self.first_column, self.first_row
        return self.cells[top - y : bottom - y, left - x : right - x]


class MaskMaker:
    """Multiply the prototypes of an image with the mask coefficients of its instances, only where a mask can be.

    Args:
        prototypes: stored (rows, columns, prototypes).
        quant: how they are stored.
        coefficients: float32 (n, prototypes), real values.
        halo: how many cells more than asked for are given on each side, where there are so many.

    Attributes:
        plane_hw: number of rows and columns of all cells.
    """

    def __init__(
        self, prototypes: Tensor, quant: QuantParams, coefficients: NDArray[np.float32], halo: int = 0
    ) -> None:
        self._prototypes = prototypes
        self._halo = halo
        self.plane_hw = (prototypes.shape[0], prototypes.shape[1])
        # Scale and zero point are applied to the few coefficients rather than to the many prototypes.
        self._scaled = coefficients * np.float32(quant.scale)
        self._offsets = (self._scaled.sum(axis=1) * np.float32(-quant.zero_point)).tolist()

    def logits(self, instance: int, window: CellWindow) -> MaskLogits:
        """Give the mask logits of an instance.

        Args:
            instance: row of its coefficients.
            window: the cells that are wanted, all of them existing.
        """
        left, top, right, bottom = window
        halo = self._halo
        x, y = max(0, left - halo), max(0, top - halo)
        stored = self._prototypes[y : bottom + halo, x : right + halo]
        rows, columns, count = stored.shape
        cells: NDArray[np.float32] = stored.astype(np.float32).reshape(-1, count) @ self._scaled[instance]
        cells += self._offsets[instance]
        return MaskLogits(cells.reshape(rows, columns), x, y)


def halo_cells(letterbox: Letterbox) -> int:
    """Give how many cells beyond a box `box_mask` may look at."""
    # Half an image pixel by rounding the box, and the neighbour for interpolation: rounded up, two cells at most where
    # a cell is larger than a pixel.
    return 2 * math.ceil(max(letterbox.scale_xy) / PROTOTYPE_STRIDE_PX)


def box_mask(logits: MaskLogits, box_xyxy: Sequence[float], letterbox: Letterbox) -> BoxMask:
    """Cut one instance's mask out of its logits.

    Args:
        logits: around the box, with `halo_cells` more on each side.
        box_xyxy: a box in image pixels, inside the image; the mask ends at it.
        letterbox: the map between image and network pixels.
    """
    # A pixel belongs to the box when its centre does.
    left, top, right, bottom = (math.floor(edge + 0.5) for edge in box_xyxy)
    if right <= left or bottom <= top:
        return BoxMask((left, top), np.zeros((0, 0), np.bool_))
    num_rows, num_columns = logits.cells.shape
    (scale_x, scale_y), (pad_x, pad_y) = letterbox.scale_xy, letterbox.pad_xy
    columns, x = _cells_of(left, right, scale_x, pad_x, logits.first_column, num_columns)
    rows, y = _cells_of(top, bottom, scale_y, pad_y, logits.first_row, num_rows)
    upsampled = cv2.resize(
        logits.cells[rows, columns],
        None,
        fx=PROTOTYPE_STRIDE_PX / scale_x,
        fy=PROTOTYPE_STRIDE_PX / scale_y,
        interpolation=cv2.INTER_LINEAR,
    )
    # Compared before the box is cut out: NumPy is four times faster on memory in one piece.
    inside: NDArray[np.bool_] = upsampled > 0
    # Rounding may have left a pixel fewer at the far end.
    height, width = bottom - top, right - left
    y, x = min(y, inside.shape[0] - height), min(x, inside.shape[1] - width)
    return BoxMask((left, top), inside[y : y + height, x : x + width])


def _cells_of(
    start_px: int, stop_px: int, scale: float, pad_px: int, window_start: int, window_size: int
) -> tuple[slice, int]:
    """Give the cells of a window that a box needs along an axis, and where it begins among them once upsampled."""
    cells_per_px = scale / PROTOTYPE_STRIDE_PX
    # Where cell 0 of the window has its outer edge is 0.
    pad = pad_px / PROTOTYPE_STRIDE_PX - window_start
    start, stop = start_px * cells_per_px + pad, stop_px * cells_per_px + pad
    # Interpolation needs the two cells around the centres of the first and of the last pixel; where a pixel is
    # larger than a cell, all that it covers.
    half_px, spare = cells_per_px / 2, math.ceil(cells_per_px) - 1
    first = min(max(0, math.floor(start + half_px - 0.5) - spare), window_size - 1)
    last = max(first, min(window_size - 1, math.floor(stop - half_px + 0.5) + spare))
    return slice(first, last + 1), round((start - first) / cells_per_px)
