"""Images for people of any image: depth maps, labels, temperatures."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from .conversion import convert, saturate
from .encodings import LIKELY_ENCODINGS, Encoding, parse_encoding
from .errors import CvBridgeError

BACKGROUND_LABEL = -1
HUES = 180  # of OpenCV's 8-bit HSV
HUE_STEP = 111  # golden section of HUES: neighbouring labels differ well
MIDDLE_GREY = 128


def cvtColorForDisplay(  # noqa: N802 (the distribution's name)
    source: NDArray[Any],
    encoding_in: str,
    encoding_out: str,
    do_dynamic_scaling: bool = False,
    min_image_value: float = 0.0,
    max_image_value: float = 0.0,
    colormap: int = -1,
) -> NDArray[Any]:
    """Make an 8-bit image for a person of any image.

    Args:
        source: the image.
        encoding_in: its encoding. 32SC1 as bgr8 gives each label a colour, and -1 black.
        encoding_out: an 8-bit colour or grey encoding; empty means bgr8.
        do_dynamic_scaling: let the image's own range be black to white.
        min_image_value: what is shown as black, where it differs from `max_image_value`.
        max_image_value: what is shown as white.
        colormap: of OpenCV, such as cv2.COLORMAP_JET, for scaled images; -1 for grey.

    Raises:
        CvBridgeError: if there is no such conversion.
    """
    encoding_out = encoding_out or _default_output(encoding_in)
    target = _displayable(encoding_out)
    if (encoding_in, encoding_out) == ("32SC1", "bgr8"):
        return _label_colors(source)
    low, high = min_image_value, max_image_value
    if do_dynamic_scaling:
        low, high = _finite_range(source)
        if low == high:
            return _plain_grey(source, target)
    if low == high:
        return convert(source, LIKELY_ENCODINGS.get(encoding_in, encoding_in), encoding_out)
    return _scaled(source, encoding_in, encoding_out, (low, high), colormap)


def _default_output(encoding_in: str) -> str:
    if parse_encoding(encoding_in).depth == "64F":
        raise CvBridgeError(f"name an output encoding: none can be guessed for {encoding_in}")
    return "bgr8"


def _displayable(encoding_out: str) -> Encoding:
    target = parse_encoding(encoding_out)
    if target.depth != "8U" or target.color not in ("gray", "rgb", "bgr", "rgba", "bgra"):
        raise CvBridgeError(f"images for display are mono8, bgr8, rgb8, bgra8 or rgba8, not {encoding_out}")
    return target


def _label_colors(labels: NDArray[Any]) -> NDArray[Any]:
    hues = (labels.astype(np.int64) * HUE_STEP % HUES).astype(np.uint8)
    full = np.full_like(hues, 255)
    value = np.where(labels == BACKGROUND_LABEL, 0, 255).astype(np.uint8)
    return cv2.cvtColor(np.stack([hues, full, value], axis=-1), cv2.COLOR_HSV2BGR)


def _finite_range(image: NDArray[Any]) -> tuple[float, float]:
    finite = image[np.isfinite(image)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


def _plain_grey(image: NDArray[Any], target: Encoding) -> NDArray[Any]:
    channels = (target.channels,) if target.channels > 1 else ()
    return np.full((*image.shape[:2], *channels), MIDDLE_GREY, np.uint8)


def _scaled(
    image: NDArray[Any], encoding_in: str, encoding_out: str, limits: tuple[float, float], colormap: int
) -> NDArray[Any]:
    if parse_encoding(encoding_in).channels != 1:
        raise CvBridgeError(f"only images of one channel can be scaled for display, not {encoding_in}")
    low, high = limits
    grey = saturate((image.astype(np.float64) - low) * (255.0 / (high - low)), "uint8").astype(np.uint8)
    if colormap == -1:
        return convert(grey, "mono8", encoding_out)
    colored = cv2.applyColorMap(grey, colormap)
    colored[np.isnan(image)] = 0
    return convert(colored, "bgr8", encoding_out)
