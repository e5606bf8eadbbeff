"""Decode pictures that may be damaged."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.errors import PictureError


def decode_picture(data: bytes | memoryview) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, BMP, TIFF, WebP or PPM picture as uint8 (height, width, 3) in BGR order.

    Pictures are turned upright as their EXIF data say.

    Raises:
        PictureError: if there is nothing, no picture, or one that is cut short.
    """
    raw = bytes(data)
    if is_cut_short(raw):
        raise PictureError(f"the picture is cut short at {len(raw)} bytes")
    try:
        picture = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_COLOR) if raw else None
    except cv2.error as error:
        raise PictureError(f"OpenCV cannot decode it: {error.err}") from error
    if picture is None:
        raise PictureError(
            f"{len(raw)} bytes are not a picture OpenCV can read; expected JPEG, PNG, BMP, TIFF, WebP or PPM"
        )
    return picture.astype(np.uint8, copy=False)


def is_cut_short(data: bytes) -> bool:
    """Tell whether JPEG or PNG data lack their end: OpenCV would fill the rest of the picture with grey."""
    if data.startswith(b"\xff\xd8"):
        # Neither marker can occur inside a scan; those of a thumbnail come before the picture's own.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data
