"""Convert between quantized and real numbers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: The numbers of an int8, uint8 or float32 tensor.
Tensor = NDArray[Any]


@dataclass(frozen=True)
class QuantParams:
    """Per-tensor affine quantization: real = scale * (quantized - zero_point).

    A float tensor is the case of scale 1 and zero point 0.

    Attributes:
        scale: real size of one step, above 0.
        zero_point: the quantized number that stands for 0.0.
        dtype: int8, uint8 or float32.
    """

    dtype: np.dtype[Any]
    scale: float = 1.0
    zero_point: int = 0

    @property
    def is_float(self) -> bool:
        """Return whether the tensor holds real numbers as they are."""
        return self.dtype.kind == "f"

    @property
    def limits(self) -> tuple[int, int]:
        """Return the lowest and the highest number of an integer type."""
        limits = np.iinfo(self.dtype)
        return int(limits.min), int(limits.max)

    def dequantize(self, quantized: Tensor) -> NDArray[np.float32]:
        """Return the real numbers, float32, of quantized ones of any shape."""
        if self.is_float:
            return quantized.astype(np.float32)
        return self._real_of_quantized[quantized]

    @cached_property
    def _real_of_quantized(self) -> NDArray[np.float32]:
        # Negative numbers count from the end, in Python and here alike.
        limits = np.iinfo(self.dtype)
        quantized = np.concatenate([np.arange(limits.max + 1), np.arange(limits.min, 0)])
        return (quantized - self.zero_point).astype(np.float32) * np.float32(self.scale)

    def quantize(self, real: Tensor) -> Tensor:
        """Return the quantized numbers of real ones of any shape, rounded to the nearest and clipped to the type."""
        if self.is_float:
            return real.astype(self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.rint(np.asarray(real, np.float64) / self.scale) + self.zero_point
        return np.clip(steps, limits.min, limits.max).astype(self.dtype)
