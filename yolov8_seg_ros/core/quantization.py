"""Describe how a tensor's stored numbers stand for real ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: What an int8, uint8 or float32 tensor hands out.
Tensor = NDArray[Any]


@dataclass(frozen=True)
class QuantParams:
    """Per-tensor affine quantisation: real = scale * (stored - zero_point).

    A float tensor is the case of scale 1 and zero point 0.

    Attributes:
        scale: real size of one step, above 0.
        zero_point: the stored number that stands for 0.0.
        dtype: int8, uint8 or float32.
    """

    dtype: np.dtype[Any]
    scale: float = 1.0
    zero_point: int = 0

    @property
    def is_float(self) -> bool:
        """Tell whether the tensor stores real numbers as they are."""
        return self.dtype.kind == "f"

    def dequantize(self, stored: Tensor) -> NDArray[np.float32]:
        """Turn stored numbers of any shape into real ones."""
        if self.is_float:
            return stored.astype(np.float32)
        return self._real_of_stored[stored]

    @cached_property
    def _real_of_stored(self) -> NDArray[np.float32]:
        # Negative numbers count from the end, in Python and here alike.
        limits = np.iinfo(self.dtype)
        stored = np.concatenate([np.arange(limits.max + 1), np.arange(limits.min, 0)])
        return (stored - self.zero_point).astype(np.float32) * np.float32(self.scale)

    def quantize(self, real: Tensor) -> Tensor:
        """Turn real numbers of any shape into stored ones, rounded to the nearest and clipped to the type."""
        if self.is_float:
            return real.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.rint(np.asarray(real, np.float64) / self.scale) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)

    def smallest_stored_at_least(self, real: float) -> float:
        """Give the smallest stored number that stands for `real` or more; it may lie outside the type.

        Comparing stored numbers with it equals comparing dequantised ones with `real`.
        """
        if self.is_float:
            return real
        limits = np.iinfo(self.dtype)
        every_real = self.dequantize(np.arange(limits.min, limits.max + 1))
        return limits.min + int(np.searchsorted(every_real, np.float32(real)))
