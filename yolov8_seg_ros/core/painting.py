"""Paint bitmaps over an image: with the compiled library where there is one, else with OpenCV."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.library import StampStruct, installed_library


def paint(
    image: NDArray[np.uint8], bitmaps: Sequence[tuple[int, int, NDArray[np.bool_]]], values: Sequence[int]
) -> None:
    """Paint a value where a bitmap is True; later bitmaps end on top.

    Args:
        image: uint8 (height, width).
        bitmaps: column and row of each one's top left pixel in the image, and bool (height, width); inside the image.
        values: one for each, 0 to 255.
    """
    library = installed_library()
    is_in_rows = all(array.strides[1] == 1 for array in (image, *(bitmap for _, _, bitmap in bitmaps)))
    if library is None or not is_in_rows:
        _paint_with_opencv(image, bitmaps, values)
        return
    stamps = [
        (bitmap.ctypes.data, bitmap.strides[0], left, top, bitmap.shape[1], bitmap.shape[0], value)
        for (left, top, bitmap), value in zip(bitmaps, values, strict=True)
    ]
    library.seg_paint(
        ctypes.c_void_p(image.ctypes.data),
        ctypes.c_int64(image.strides[0]),
        (StampStruct * len(stamps))(*stamps),  # type: ignore[misc]
        ctypes.c_int32(len(stamps)),
    )


def _paint_with_opencv(
    image: NDArray[np.uint8], bitmaps: Sequence[tuple[int, int, NDArray[np.bool_]]], values: Sequence[int]
) -> None:
    for (left, top, bitmap), value in zip(bitmaps, values, strict=True):
        height, width = bitmap.shape
        region = image[top : top + height, left : left + width]
        # Several times faster than what NumPy has to write where a mask is set.
        cv2.copyTo(np.full(bitmap.shape, value, np.uint8), bitmap.view(np.uint8), region)
