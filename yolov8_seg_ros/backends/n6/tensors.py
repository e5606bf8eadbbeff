"""Read and write how the board describes its tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolov8_seg_ros.backends.n6.messages import decoded, encoded
from yolov8_seg_ros.core.model_spec import TensorSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import BoardError

_TYPE_FLOAT, _TYPE_INTEGER, _TYPE_BOOL = 1, 2, 3
_TYPE_SHIFT, _BITS_SHIFT, _SIGNED_BIT, _FLOAT_BIT = 17, 7, 1 << 23, 1 << 24
#: Stands for "no fractional bits": a plain integer or float.
_NO_FRACTION = 64
_NUM_DIMS_MASK = 0xFFFFFF
_MAX_DIMS = 8
#: A tensor of more would not fit any board's memory.
_MAX_TENSOR_BYTES = 1 << 26
_KINDS = {(_TYPE_FLOAT, True): "f", (_TYPE_INTEGER, True): "i", (_TYPE_INTEGER, False): "u", (_TYPE_BOOL, False): "b"}


@dataclass(frozen=True)
class BoardTensor:
    """A tensor as the board describes it.

    Attributes:
        spec: name, shape with the batch, stored type and quantisation.
        flags: see `TensorFlag`.
    """

    spec: TensorSpec
    flags: int

    @property
    def num_bytes(self) -> int:
        """Give the size of its data."""
        return math.prod(self.spec.shape) * self.spec.quant.dtype.itemsize

    def array(self, data: bytes) -> Tensor:
        """Give data off the line as stored numbers, the caller's own.

        Raises:
            BoardError: if they are too few or too many.
        """
        if len(data) != self.num_bytes:
            raise BoardError(f"the board sent {len(data)} bytes for {self.spec}, expected {self.num_bytes}")
        return np.frombuffer(data, self.spec.quant.dtype.newbyteorder("<")).reshape(self.spec.shape).copy()

    def same_form(self, other: BoardTensor) -> bool:
        """Tell whether another tensor has this one's shape and stored type."""
        return (self.spec.shape, self.spec.quant.dtype) == (other.spec.shape, other.spec.quant.dtype)


def read_description(description: Any, fallback_name: str) -> BoardTensor:
    """Read a tensor's description.

    Args:
        description: a TensorDescription.
        fallback_name: for a tensor that has no name.

    Raises:
        BoardError: if it cannot be understood.
    """
    name = decoded(description.name) or fallback_name
    shape = tuple(description.dims)
    if not 0 < len(shape) <= _MAX_DIMS or description.n_dims & _NUM_DIMS_MASK != len(shape):
        raise BoardError(f"tensor '{name}': {description.n_dims & _NUM_DIMS_MASK} dimensions announced, got {shape}")
    dtype = read_format(description.format, name)
    if not 0 < math.prod(shape) * dtype.itemsize <= _MAX_TENSOR_BYTES:
        raise BoardError(f"tensor '{name}': a shape of {shape} cannot be")
    quantised = dtype.kind in "iu" and math.isfinite(description.scale)
    quant = QuantParams(dtype, description.scale, description.zeropoint) if quantised else QuantParams(dtype)
    return BoardTensor(TensorSpec(name, shape, quant), description.flags)


def write_description(description: Any, tensor: TensorSpec, flags: int) -> None:
    """Describe a tensor.

    Args:
        description: a TensorDescription to be filled in.
        tensor: of a type that NumPy has.
        flags: see `TensorFlag`.
    """
    description.name, description.flags, description.addr = encoded(tensor.name), flags, 0
    description.format = write_format(tensor.quant.dtype)
    description.size = math.prod(tensor.shape)
    description.n_dims = len(tensor.shape)
    description.dims.extend(tensor.shape)
    description.scale = 0.0 if tensor.quant.is_float else tensor.quant.scale
    description.zeropoint = tensor.quant.zero_point


def read_format(word: int, name: str) -> np.dtype[Any]:
    """Give the stored type that a format word stands for.

    Raises:
        BoardError: if NumPy has no such type.
    """
    bits, fraction = word >> _BITS_SHIFT & 0x7F, word & 0x7F
    kind = _KINDS.get((word >> _TYPE_SHIFT & 0xF, bool(word & _SIGNED_BIT)))
    if kind is None or bits not in (8, 16, 32, 64) or fraction != _NO_FRACTION:
        raise BoardError(
            f"tensor '{name}': its numbers (format 0x{word:08x}) are neither whole bytes of an integer nor a float; "
            "generate the network with plain int8, uint8 or float32 inputs and outputs"
        )
    try:
        return np.dtype(f"{kind}{bits // 8}")
    except TypeError as error:
        raise BoardError(f"tensor '{name}': there is no type of format 0x{word:08x}") from error


def write_format(dtype: np.dtype[Any]) -> int:
    """Give the format word of a stored type."""
    kind = {"f": _TYPE_FLOAT, "i": _TYPE_INTEGER, "u": _TYPE_INTEGER, "b": _TYPE_BOOL}[dtype.kind]
    word = kind << _TYPE_SHIFT | dtype.itemsize * 8 << _BITS_SHIFT | _NO_FRACTION
    if dtype.kind in "if":
        word |= _SIGNED_BIT
    return word | _FLOAT_BIT if dtype.kind == "f" else word
