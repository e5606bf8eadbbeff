"""Conversion of arrays from one encoding to another: colours by OpenCV, depths with rounding and saturation."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .encodings import Encoding, parse_encoding
from .errors import CvBridgeError

Image = NDArray[Any]

PLAIN_COLORS = {"gray": "GRAY", "rgb": "RGB", "bgr": "BGR", "rgba": "RGBA", "bgra": "BGRA"}

# OpenCV names a Bayer pattern by the second row's second and third pixel, messages by the first two rows.
BAYER_NAMES = {"bayer_rggb": "BG", "bayer_bggr": "RG", "bayer_gbrg": "GR", "bayer_grbg": "GB"}
YUV_NAMES = {"uyvy": "UYVY", "yuyv": "YUY2", "nv12": "NV12", "nv21": "NV21"}

# The largest value of 16 bits stands for the same brightness as that of 8 bits.
SCALES = {(8, 16): 65535 / 255, (16, 8): 255 / 65535}


def convert(image: Image, source_name: str, target_name: str) -> Image:
    """Return a copy of an image in another encoding.

    Args:
        image: (height, width) or (height, width, channels), of the type that `source_name` asks for.
        source_name: its encoding.
        target_name: the encoding wanted; the same one, or none, gives a plain copy.

    Raises:
        CvBridgeError: if there is no such conversion.
    """
    if target_name in ("", source_name):
        return image.copy()
    source, target = parse_encoding(source_name), parse_encoding(target_name)
    _check(source, source_name, target, target_name)
    changes_color = bool(source.color and target.color and source.color != target.color)
    if image.size == 0:
        return _empty_like(image, source, target)
    if changes_color:
        image = _change_color(image, source.color, target.color, f"from [{source_name}] to [{target_name}]")
    elif source.depth == target.depth:
        return image.copy()
    return _change_depth(image, source, target)


def _check(source: Encoding, source_name: str, target: Encoding, target_name: str) -> None:
    if target.color and not source.color:
        raise CvBridgeError(
            f"[{source_name}] does not tell its colors but [{target_name}] does: convert from an encoding that names "
            "them, such as bgr8 or mono8"
        )
    if not (source.color and target.color) and source.channels != target.channels:
        raise CvBridgeError(f"[{source_name}] and [{target_name}] do not have the same number of channels")


def _change_color(image: Image, source: str, target: str, what: str) -> Image:
    if source == "nv24" and target in PLAIN_COLORS:
        image, source = _uyvy_from_nv24(image), "uyvy"
        return _change_color(image, source, target, what)[:, ::2].copy()
    try:
        return cv2.cvtColor(np.ascontiguousarray(image), _color_code(source, target, what))
    except cv2.error as error:
        raise CvBridgeError(f"OpenCV cannot convert {image.shape} {image.dtype} {what}: {error.err}") from error


def _color_code(source: str, target: str, what: str) -> int:
    name = PLAIN_COLORS.get(target, "")
    if source in PLAIN_COLORS:
        name = f"COLOR_{PLAIN_COLORS[source]}2{name}"
    elif source in BAYER_NAMES:
        name = f"COLOR_Bayer{BAYER_NAMES[source]}2{name}" if target in ("gray", "rgb", "bgr") else ""
    else:
        name = f"COLOR_YUV2{name}_{YUV_NAMES.get(source)}"
    code = getattr(cv2, name, None) if target in PLAIN_COLORS else None
    if code is None:
        raise CvBridgeError(f"Unsupported conversion {what}")
    return int(code)


def _uyvy_from_nv24(image: Image) -> Image:
    """Widen to twice the columns, since OpenCV knows no 4:4:4 planes but pixel pairs that share their colour."""
    height = image.shape[0] // 3
    luma, chroma = image[:height], image[height:].reshape(height, -1, 2)
    pairs = np.stack([chroma[..., 0], luma, chroma[..., 1], luma], axis=-1)
    return pairs.reshape(height, -1, 2)


def _change_depth(image: Image, source: Encoding, target: Encoding) -> Image:
    if source.depth == target.depth:
        return image
    values = image.astype(np.float64) * SCALES.get((source.bits, target.bits), 1.0)
    if np.issubdtype(np.dtype(target.dtype), np.integer):
        values = saturate(values, target.dtype)
    return values.astype(target.dtype)


def saturate(values: Image, dtype: str) -> Image:
    """Round to the nearest integer, half to even as OpenCV does, within the range of `dtype`; NaN is its least."""
    limits = np.iinfo(dtype)
    clipped: Image = np.clip(np.rint(np.nan_to_num(values, nan=limits.min)), limits.min, limits.max)
    return clipped


def _empty_like(image: Image, source: Encoding, target: Encoding) -> Image:
    height = int(image.shape[0] / source.rows * target.rows)
    channels = (target.channels,) if target.channels > 1 else ()
    return np.zeros((height, image.shape[1], *channels), target.dtype)
