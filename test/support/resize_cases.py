"""Make random images, and random places of the pixels of their resized form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference import Places

from yolov8_seg_ros.core.native import Native

#: Of random images; more than what the library works on at once.
MAX_SIDE_PX = 150
#: Of the four bytes of a pair of pixels in YUV, the first luma, u and v.
YUYV, UYVY = (0, 1, 3), (1, 0, 2)


@dataclass(frozen=True)
class ResizeCase:
    """The arguments of one resize."""

    pixels: NDArray[np.uint8]
    columns: Places
    rows: Places
    is_halved: bool
    rgb: tuple[int, int, int]
    flip: int

    def resized_by(self, library: Native) -> NDArray[np.uint8]:
        """Return what the library makes of it."""
        width, channels = self.pixels.shape[1:]
        places = {
            name: (len(axis.first), library.address(axis.first), library.address(axis.next_weight))
            for name, axis in (("columns", self.columns), ("rows", self.rows))
        }
        others = {"is_halved": self.is_halved, "num_channels": channels, "rgb": self.rgb, "flip": self.flip}
        plan = library.ffi.new("struct seg_resize *", places | others)
        # Allocated as small as seg.h allows.
        target = np.empty((len(self.rows.first), len(self.columns.first), 3), np.uint8)
        library.lib.seg_resize(
            plan, library.address(self.pixels), width * channels, library.address(target), target.strides[0]
        )
        return target


def random_places(size: int, rng: np.random.Generator) -> Places:
    """Return places among `size` pixels, ascending; some on a pixel, the last one perhaps on the last pixel."""
    thirty_seconds = np.sort(rng.integers(0, (size - 1) * 32 + 1, rng.integers(1, size + 3)))
    if rng.random() < 0.3:
        thirty_seconds -= thirty_seconds % 32
    return Places((thirty_seconds // 32).astype(np.int32), (thirty_seconds % 32).astype(np.uint16))


def random_resize(rng: np.random.Generator) -> ResizeCase:
    """Return a case with an image of any size and any number of channels."""
    channels = int(rng.choice([1, 2, 3, 4]))
    is_halved = channels == 2 or bool(rng.integers(2))
    height, width = (int(side) for side in rng.integers(2 if is_halved else 1, MAX_SIDE_PX, 2))
    if channels == 2:
        width -= width % 2
    pixels = rng.choice([rng.integers(0, 256, 1)[0], 255], (height, width, channels)).astype(np.uint8)
    if rng.random() < 0.8:
        pixels = rng.integers(0, 256, pixels.shape, np.uint8)
    halved = 2 if is_halved else 1
    columns, rows = random_places(width // halved, rng), random_places(height // halved, rng)
    rgb: Any = tuple(int(channel) for channel in rng.integers(0, channels, 3))
    if channels == 2:
        rgb = YUYV if rng.integers(2) else UYVY
    return ResizeCase(pixels, columns, rows, is_halved, rgb, int(rng.integers(256)))
