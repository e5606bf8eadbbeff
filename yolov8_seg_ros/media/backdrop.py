"""Draw the varied backgrounds of the synthetic scene."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

#: Strokes of clutter: open curves, so that no class name would be right for them.
MAX_STROKES = 6
#: Amplitude in grey levels of the smooth blotches, and of the pattern of tiles or stripes.
MAX_BLOTCH = 28.0
MAX_PATTERN = 14.0
#: Standard deviation in grey levels of the noise that `noise_sheet` holds.
NOISE_SHEET_SIGMA = 32.0
#: How far a window of the image's size can be moved about the noise sheet.
NOISE_MARGIN_PX = 64


class Backdrop:
    """A background, drawn at random.

    Attributes:
        image: bgr8 (height, width, 3).
        palette: float32 (3, 3), the BGR colours from one end of its gradient to the other.
    """

    def __init__(self, rng: np.random.Generator, image_hw: tuple[int, int]) -> None:
        ends = np.stack([_muted_colour(rng), _muted_colour(rng)])
        self.palette = np.stack([ends[0], ends.mean(axis=0), ends[1]])
        canvas = _gradient(rng, image_hw, ends)
        canvas += (_blotches(rng, image_hw) + _pattern(rng, image_hw))[..., None]
        self.image: NDArray[np.uint8] = np.clip(canvas, 0, 255).astype(np.uint8)
        _draw_strokes(rng, self.image)


@lru_cache(maxsize=4)
def noise_sheet(image_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return uint8 noise about 128, NOISE_MARGIN_PX higher and wider than the image; made only once."""
    height, width = image_hw
    shape = (height + NOISE_MARGIN_PX, width + NOISE_MARGIN_PX, 3)
    noise = np.random.default_rng(0).standard_normal(shape, np.float32)
    return np.clip(np.rint(128 + NOISE_SHEET_SIGMA * noise), 0, 255).astype(np.uint8)


def colour_bgr(hue: float, saturation: float, value: float) -> NDArray[np.float32]:
    """Return float32 (3,) BGR, 0 to 255; hue, saturation and value are 0 to 1."""
    hsv = np.array([[[360 * (hue % 1.0), saturation, value]]], np.float32)
    return np.asarray(255 * cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)[0, 0], np.float32)


def _muted_colour(rng: np.random.Generator) -> NDArray[np.float32]:
    return colour_bgr(rng.random(), rng.uniform(0.0, 0.35), rng.uniform(0.15, 0.9))


def _ramp(rng: np.random.Generator, image_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return float32 (height, width), rising from about 0 to 1 in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    ys, xs = np.linspace(-0.5, 0.5, image_hw[0])[:, None], np.linspace(-0.5, 0.5, image_hw[1])[None]
    return (0.5 + 0.7 * (np.cos(angle) * xs + np.sin(angle) * ys)).astype(np.float32)


def _gradient(rng: np.random.Generator, image_hw: tuple[int, int], ends: NDArray[np.float32]) -> NDArray[np.float32]:
    return ends[0] + _ramp(rng, image_hw)[..., None] * (ends[1] - ends[0])


def _blotches(rng: np.random.Generator, image_hw: tuple[int, int]) -> NDArray[np.float32]:
    cells = tuple(rng.integers(3, 14, 2))
    coarse = rng.uniform(-1, 1, cells).astype(np.float32) * np.float32(rng.uniform(0, MAX_BLOTCH))
    smooth = cv2.resize(coarse, (image_hw[1], image_hw[0]), interpolation=cv2.INTER_CUBIC)
    return np.asarray(smooth, np.float32)


def _pattern(rng: np.random.Generator, image_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return float32 (height, width) of tiles, of stripes, or of nothing."""
    waves = int(rng.integers(0, 3))
    amplitude = rng.uniform(0.3, 1.0) * MAX_PATTERN
    pattern = np.full(image_hw, amplitude if waves else 0.0, np.float32)
    period, angle = rng.uniform(0.06, 0.2) * min(image_hw), rng.uniform(0, np.pi)
    ys, xs = np.arange(image_hw[0], dtype=np.float32)[:, None], np.arange(image_hw[1], dtype=np.float32)[None]
    for turn in range(waves):
        direction = angle + turn * np.pi / 2
        along = np.float32(np.cos(direction)) * xs + np.float32(np.sin(direction)) * ys
        pattern *= np.clip(3 * np.sin(along * np.float32(2 * np.pi / period)), -1, 1)
    return pattern


def _draw_strokes(rng: np.random.Generator, image: NDArray[np.uint8]) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(0, MAX_STROKES + 1))):
        corners = rng.uniform(-0.1, 1.1, (3, 2)) * (width, height)
        colour = colour_bgr(rng.random(), rng.uniform(0, 0.8), rng.uniform(0.1, 1.0))
        thickness = max(1, round(rng.uniform(0.002, 0.012) * min(height, width)))
        cv2.polylines(image, [_curve(corners)], False, colour.tolist(), thickness, cv2.LINE_AA)


def _curve(corners: NDArray[np.float64]) -> NDArray[np.int32]:
    """Return int32 (25, 2): a quadratic Bezier curve through three control points (3, 2)."""
    t = np.linspace(0, 1, 25)[:, None]
    start, middle, end = corners
    return np.rint((1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end).astype(np.int32)
