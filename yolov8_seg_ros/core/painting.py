"""Paint masks over an image: with the compiled library where there is one, else with OpenCV."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.box_mask import BoxMask
from yolov8_seg_ros.core.library import StampStruct, installed_library


def paint(image: NDArray[np.uint8], masks: Sequence[BoxMask], values: Sequence[int]) -> None:
    """Paint a value where a mask is; later masks end on top.

    Args:
        image: uint8 (height, width).
        masks: inside the image.
        values: one for each, 0 to 255.
    """
    library = installed_library()
    is_in_rows = all(array.strides[1] == 1 for array in (image, *(mask.bitmap for mask in masks)))
    if library is None or not is_in_rows:
        _paint_with_opencv(image, masks, values)
        return
    stamps = [
        (mask.bitmap.ctypes.data, mask.bitmap.strides[0], *mask.origin_xy, *mask.bitmap.shape[::-1], value)
        for mask, value in zip(masks, values, strict=True)
    ]
    library.seg_paint(
        ctypes.c_void_p(image.ctypes.data),
        ctypes.c_int64(image.strides[0]),
        (StampStruct * len(stamps))(*stamps),  # type: ignore[misc]
        ctypes.c_int32(len(stamps)),
    )


def _paint_with_opencv(image: NDArray[np.uint8], masks: Sequence[BoxMask], values: Sequence[int]) -> None:
    for mask, value in zip(masks, values, strict=True):
        # Several times faster than what NumPy has to write where a mask is set.
        cv2.copyTo(np.full(mask.bitmap.shape, value, np.uint8), mask.bitmap.view(np.uint8), image[mask.region])
