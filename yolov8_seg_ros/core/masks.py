"""Assemble masks from prototypes and mask coefficients, at the image's own resolution."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import BoxMask
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.model_spec import PROTOTYPE_STRIDE_PX
from yolov8_seg_ros.core.quantization import QuantParams, Tensor


def mask_logits(
    coefficients: NDArray[np.float32], prototypes: Tensor, quant: QuantParams
) -> NDArray[np.float32]:
    """Give float32 (n, rows, columns): mask logits in prototype cells; an instance is where its logit is above 0.

    Args:
        coefficients: float32 (n, prototypes), real values.
        prototypes: stored (rows, columns, prototypes).
        quant: how the prototypes are stored.
    """
    rows, columns, count = prototypes.shape
    stored = prototypes.reshape(-1, count).astype(np.float32)
    # Scale and zero point are applied to the few coefficients rather than to the many prototypes.
    scaled: NDArray[np.float32] = coefficients * np.float32(quant.scale)
    logits = scaled @ stored.T
    logits -= np.float32(quant.zero_point) * scaled.sum(axis=1, keepdims=True)
    return logits.reshape(-1, rows, columns)


def box_masks(
    logits: NDArray[np.float32], xyxy: NDArray[np.float32], letterbox: Letterbox
) -> tuple[BoxMask, ...]:
    """Cut each instance's mask out of its logits.

    Args:
        logits: float32 (n, rows, columns) in prototype cells.
        xyxy: float32 (n, 4), boxes in image pixels, inside the image; a mask ends at its box.
        letterbox: the map between image and network pixels.
    """
    return tuple(_box_mask(plane, box, letterbox) for plane, box in zip(logits, xyxy, strict=True))


def _box_mask(logits: NDArray[np.float32], box_xyxy: NDArray[np.float32], letterbox: Letterbox) -> BoxMask:
    # A pixel belongs to the box when its centre does.
    left, top, right, bottom = (math.floor(edge + 0.5) for edge in box_xyxy.tolist())
    if right <= left or bottom <= top:
        return BoxMask((left, top), np.zeros((0, 0), np.bool_))
    columns = _Axis(left, right, letterbox.scale_xy[0], letterbox.pad_xy[0], logits.shape[1])
    rows = _Axis(top, bottom, letterbox.scale_xy[1], letterbox.pad_xy[1], logits.shape[0])
    upsampled = cv2.resize(
        logits[rows.cells, columns.cells],
        None,
        fx=columns.pixels_per_cell,
        fy=rows.pixels_per_cell,
        interpolation=cv2.INTER_LINEAR,
    )
    window = upsampled[rows.window(upsampled.shape[0]), columns.window(upsampled.shape[1])]
    return BoxMask((left, top), window > 0)


class _Axis:
    """Along one axis: the prototype cells that a box needs, and where it lies among them once upsampled."""

    def __init__(self, start_px: int, stop_px: int, scale: float, pad_px: int, num_cells: int) -> None:
        self.pixels_per_cell = PROTOTYPE_STRIDE_PX / scale
        self._length_px = stop_px - start_px
        # Interpolation needs the two cells around the centres of the first and of the last pixel; where a pixel is
        # larger than a cell, all that it covers.
        spare = math.ceil(1 / self.pixels_per_cell) - 1
        first_cell = max(0, math.floor(self._cell_of(start_px + 0.5, scale, pad_px)) - spare)
        last_cell = min(num_cells - 1, math.floor(self._cell_of(stop_px - 0.5, scale, pad_px)) + 1 + spare)
        self.cells = slice(first_cell, last_cell + 1)
        self._offset_px = round((start_px * scale + pad_px - first_cell * PROTOTYPE_STRIDE_PX) / scale)

    @staticmethod
    def _cell_of(x_px: float, scale: float, pad_px: int) -> float:
        """Give where an image coordinate lies among the centres of the cells."""
        return (x_px * scale + pad_px) / PROTOTYPE_STRIDE_PX - 0.5

    def window(self, upsampled_px: int) -> slice:
        """Give the box's pixels among the upsampled ones; rounding may have left one fewer at the far end."""
        start = min(self._offset_px, upsampled_px - self._length_px)
        return slice(start, start + self._length_px)
