"""Hold the pixels of one instance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class BoxMask:
    """A bitmap cropped to its box.

    Attributes:
        origin_xy: column and row, in image pixels, of the bitmap's top left pixel.
        bitmap: bool (height, width), True where the instance is.
    """

    origin_xy: tuple[int, int]
    bitmap: NDArray[np.bool_]

    @property
    def region(self) -> tuple[slice, slice]:
        """Give the rows and columns of the image that the bitmap covers."""
        x, y = self.origin_xy
        height, width = self.bitmap.shape
        return slice(y, y + height), slice(x, x + width)
