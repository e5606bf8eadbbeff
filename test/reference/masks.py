"""From a detection to its mask: logits on the grid of the prototypes, and pixels of the image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reference.decoder import Detections
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.quantization import QuantParams


@dataclass(frozen=True)
class Placement:
    """Place of a detection in the image.

    Attributes:
        xyxy_px: float32 (4,), image pixels, clipped to the image.
        origin_xy: column and row of the bitmap's first pixel.
        size_wh: columns and rows of the bitmap; 0 and 0 where no pixel's centre lies in the box.
    """

    xyxy_px: NDArray[np.float32]
    origin_xy: tuple[int, int]
    size_wh: tuple[int, int]


def place(detections: Detections, letterbox: Letterbox) -> tuple[Detections, list[Placement]]:
    """Return the detections that lie in the image, and where."""
    pad_px, scale = np.array(letterbox.pad_xy * 2, np.float64), np.array(letterbox.scale_xy * 2)
    image_wh = np.array(letterbox.image_hw[::-1] * 2, np.float64)
    clipped_px = np.clip((detections.xyxy_px.astype(np.float64) - pad_px) / scale, 0, image_wh)
    xyxy_px = clipped_px.astype(np.float32)
    is_inside = (xyxy_px[:, :2] < xyxy_px[:, 2:]).all(axis=1)
    placements = [
        Placement(box, *bitmap_of(exact)) for box, exact in zip(xyxy_px[is_inside], clipped_px[is_inside], strict=True)
    ]
    return detections[is_inside], placements


def bitmap_of(xyxy_px: NDArray[np.float64]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return origin and size of the pixels whose centres lie in a box."""
    left, top, right, bottom = np.floor(xyxy_px + 0.5).astype(int).tolist()
    is_empty = left == right or top == bottom
    return (left, top), (0, 0) if is_empty else (right - left, bottom - top)


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def mask_logits(outputs: Sequence[NDArray[Any]], spec: ModelSpec, anchor: int) -> NDArray[np.float32]:
    """Return logits (rows, columns) of the prototypes' grid.

    Products of integers are exact; scales come last. Where one side is float32, products are summed up in float32.
    """
    coefficients, coefficients_quant = coefficients_of(outputs, spec, anchor)
    prototypes, quant = outputs[spec.prototypes_index][0], spec.prototypes.quant
    if not coefficients_quant.is_float and not quant.is_float:
        steps = (prototypes.astype(np.int64) - quant.zero_point) @ (
            coefficients.astype(np.int64) - coefficients_quant.zero_point
        )
        return np.float32(coefficients_quant.scale) * np.float32(quant.scale) * steps.astype(np.float32)
    logits = np.zeros(prototypes.shape[:2], np.float32)
    for plane, coefficient in zip(np.moveaxis(prototypes, 2, 0), coefficients, strict=True):
        logits = logits + real(coefficient, coefficients_quant) * real(plane, quant)
    return logits


def coefficients_of(outputs: Sequence[NDArray[Any]], spec: ModelSpec, anchor: int) -> tuple[NDArray[Any], QuantParams]:
    """Return the quantized mask coefficients (count,) of an anchor over all levels, and their quantization."""
    for level in spec.levels:
        if anchor < level.coefficients.num_anchors:
            return level.coefficients.view(outputs)[:, anchor], level.coefficients.quant
        anchor -= level.coefficients.num_anchors
    raise ValueError("no such anchor")


def real(quantized: Any, quant: QuantParams) -> NDArray[np.float32]:
    """Return real numbers of any shape."""
    if quant.is_float:
        return np.asarray(quantized, np.float32)
    return np.float32(quant.scale) * (np.asarray(quantized, np.int32) - quant.zero_point).astype(np.float32)


def window_of_box(xyxy_px: Sequence[float], spec: ModelSpec) -> tuple[int, int, int, int]:
    """Return left, top, columns and rows of the cells that a box in network pixels touches, at least one."""
    _, rows, columns, _ = spec.prototypes.shape
    edges = []
    for axis, (size_px, cells) in enumerate(zip(spec.input_hw[::-1], (columns, rows), strict=True)):
        cell_px = size_px / cells
        first = np.clip(np.floor(xyxy_px[axis] / cell_px), 0, cells - 1)
        edges.append((int(first), int(np.clip(np.ceil(xyxy_px[axis + 2] / cell_px), first + 1, cells))))
    (left, right), (top, bottom) = edges
    return left, top, right - left, bottom - top


def logit(probability: float) -> float:
    """Return the logit of a probability, 0 to 1, as float32."""
    with np.errstate(divide="ignore"):
        return float(np.float32(np.log(np.float64(probability)) - np.log(np.float64(1 - probability))))


@np.errstate(over="ignore", invalid="ignore")
def interpolated_logits(
    logits: NDArray[np.float32], placement: Placement, letterbox: Letterbox, spec: ModelSpec
) -> NDArray[np.float64]:
    """Return the logits (height, width) at the centres of a bitmap's pixels, interpolated linearly in float64.

    A pixel of the box belongs to the mask where its logit is above that of the mask threshold.
    """
    column, across = cells_before(placement, letterbox, spec, 0)
    row, down = cells_before(placement, letterbox, spec, 1)
    plane = logits.astype(np.float64)
    next_column, next_row = np.minimum(column + 1, plane.shape[1] - 1), np.minimum(row + 1, plane.shape[0] - 1)
    upper = between(plane[np.ix_(row, column)], plane[np.ix_(row, next_column)], across)
    lower = between(plane[np.ix_(next_row, column)], plane[np.ix_(next_row, next_column)], across)
    return between(upper, lower, down[:, np.newaxis])


def cells_before(
    placement: Placement, letterbox: Letterbox, spec: ModelSpec, axis: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the cell at or before each column (axis 0) or row (axis 1) of a bitmap, and the fraction to the next one.

    Positions are among the centres of cells, which begin at 0; beyond the outer cells their values hold.
    """
    num_cells = spec.prototypes.shape[2 - axis]
    cell_px = spec.input_hw[1 - axis] / num_cells
    pixel = placement.origin_xy[axis] + np.arange(placement.size_wh[axis])
    position = ((pixel + 0.5) * letterbox.scale_xy[axis] + letterbox.pad_xy[axis]) / cell_px - 0.5
    position = np.clip(position, 0, num_cells - 1)
    cell = np.floor(position).astype(np.int64)
    return cell, position - cell


def between(start: NDArray[np.float64], end: NDArray[np.float64], fraction: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the numbers that lie a fraction of the way from `start` to `end`."""
    return start + (end - start) * fraction
