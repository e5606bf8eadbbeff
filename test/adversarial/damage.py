"""Damage files and messages, the same way for the same random numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Damage = Callable[[bytes, np.random.Generator], bytes]

#: Numbers at which programs stumble.
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
#: What a file says about the rest of it stands at its beginning.
_HEADER_BYTES = 4096
_MAX_CHANGES = 16
_FILE_IDENTIFIER = b"TFL3"
_SHAPES_OF_DIMENSIONS = (-1, 0, 1, 2, 3, 7, 1 << 16, (1 << 31) - 1, -(1 << 31))
_SCALES = (0.0, -1.0, 1e-45, 1e-20, 1e20, 3e38, float("inf"), float("-inf"), float("nan"))
_ZERO_POINTS = (-(1 << 63), -(1 << 31), -129, 128, 256, 1 << 31, (1 << 63) - 1)


def some_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """Change some bytes anywhere."""
    return _changed(data, rng, 0, len(data))


def header(data: bytes, rng: np.random.Generator) -> bytes:
    """Change some bytes at the beginning."""
    return _changed(data, rng, 0, min(_HEADER_BYTES, len(data)))


def tail(data: bytes, rng: np.random.Generator) -> bytes:
    """Change some bytes at the end, where a flatbuffer has its tables and an image its last pixels."""
    return _changed(data, rng, max(0, len(data) - _HEADER_BYTES), len(data))


def numbers(data: bytes, rng: np.random.Generator) -> bytes:
    """Put numbers at the edges of their types into some places."""
    damaged = bytearray(data)
    for _ in range(rng.integers(1, _MAX_CHANGES)):
        place = int(rng.integers(0, max(1, len(damaged) - 4)))
        damaged[place : place + 4] = int(rng.choice(EDGES)).to_bytes(4, rng.choice(["little", "big"]))
    return bytes(damaged)


def length(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut the data, or take a piece out of it or put it in twice."""
    start, end = sorted(rng.integers(0, len(data) + 1, 2).tolist())
    return [data[:start], data[:start] + data[end:], data[:end] + data[start:]][rng.integers(0, 3)]


ANY_DATA: Mapping[str, Damage] = {d.__name__: d for d in (some_bytes, header, tail, numbers, length)}


def buffers(data: bytes, rng: np.random.Generator) -> bytes:
    """Empty, shorten or exchange the buffers of a model."""

    def change(model: Any) -> None:
        used = [buffer for buffer in model.buffers if buffer.data is not None and len(buffer.data)]
        for _ in range(rng.integers(1, 4)):
            one, other = (used[k] for k in rng.integers(0, len(used), 2))
            kind = rng.integers(0, 3)
            if kind == 0:
                one.data = None
            elif kind == 1 and one.data is not None:
                one.data = one.data[: int(rng.integers(0, len(one.data) + 1))]
            else:
                one.data, other.data = other.data, one.data

    return _remade(data, change)


def quantization(data: bytes, rng: np.random.Generator) -> bytes:
    """Set absurd scales, zero points and dimensions of quantization of some tensors of a model."""

    def change(model: Any) -> None:
        quantized = [t for t in model.subgraphs[0].tensors if t.quantization and t.quantization.scale is not None]
        for _ in range(rng.integers(1, 4)):
            params = quantized[rng.integers(0, len(quantized))].quantization
            kind, count = rng.integers(0, 4), len(params.scale)
            if kind == 0:
                params.scale = [float(rng.choice(_SCALES))] * count
            elif kind == 1:
                params.zeroPoint = [_ZERO_POINTS[rng.integers(0, len(_ZERO_POINTS))]] * count
            elif kind == 2:
                params.quantizedDimension = int(rng.choice([-1, 0, 1, 3, 9]))
            else:
                count = int(rng.choice([0, 1, 2, 1000]))
                params.scale, params.zeroPoint = [1.0] * count, [0] * count

    return _remade(data, change)


def shapes(data: bytes, rng: np.random.Generator) -> bytes:
    """Change shapes and types of some tensors of a model, and what its operators read."""

    def change(model: Any) -> None:
        graph = model.subgraphs[0]
        for _ in range(rng.integers(1, 4)):
            tensor = graph.tensors[rng.integers(0, len(graph.tensors))]
            kind = rng.integers(0, 4)
            if kind == 0 and tensor.shape is not None and len(tensor.shape):
                shape = [int(size) for size in tensor.shape]
                shape[rng.integers(0, len(shape))] = int(rng.choice(_SHAPES_OF_DIMENSIONS))
                tensor.shape = shape
            elif kind == 1:
                tensor.shape = [int(size) for size in rng.choice(_SHAPES_OF_DIMENSIONS, rng.integers(0, 7))]
            elif kind == 2:
                tensor.type = int(rng.integers(0, 18))
            else:
                operator = graph.operators[rng.integers(0, len(graph.operators))]
                inputs = [int(number) for number in operator.inputs]
                inputs[rng.integers(0, len(inputs))] = int(rng.choice([-1, len(graph.tensors), *range(9)]))
                operator.inputs = inputs

    return _remade(data, change)


ANY_MODEL: Mapping[str, Damage] = {**ANY_DATA, **{d.__name__: d for d in (buffers, quantization, shapes)}}


def _changed(data: bytes, rng: np.random.Generator, start: int, end: int) -> bytes:
    damaged = bytearray(data)
    for place in rng.integers(start, max(start + 1, end), rng.integers(1, _MAX_CHANGES)):
        damaged[place] = rng.integers(0, 256) if rng.random() < 0.5 else damaged[place] ^ 1 << rng.integers(0, 8)
    return bytes(damaged)


def _remade(data: bytes, change: Callable[[Any], None]) -> bytes:
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    change(model)
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), _FILE_IDENTIFIER)
    return bytes(builder.Output())
