"""Change .tflite files and their graphs at random."""

from __future__ import annotations

import numpy as np

from support.head_graphs import HeadGraph


def damage(content: bytearray, rng: np.random.Generator) -> None:
    """Change a byte, or an aligned number to one that often is an edge."""
    position = int(rng.integers(len(content)))
    if rng.random() < 0.5:
        content[position] = rng.integers(256)
    else:
        position -= position % 4
        value = int(rng.choice([0, 1, 4, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(content), len(content) - position]))
        content[position : position + 4] = value.to_bytes(4, "little")


def mutate(graph: HeadGraph, rng: np.random.Generator) -> None:
    """Make one change to a graph, of ten kinds."""
    [inner] = graph.model.subgraphs
    operator = inner.operators[rng.integers(len(inner.operators))]
    tensor = inner.tensors[rng.integers(len(inner.tensors))]
    match rng.integers(10):
        case 0:
            inner.operators.remove(operator)
        case 1:
            rng.shuffle(inner.operators)
        case 2:
            operator.inputs = [int(rng.integers(-2, len(inner.tensors) + 2)) for _ in operator.inputs]
        case 3:
            operator.outputs = [int(rng.integers(len(inner.tensors)))]
        case 4:
            operator.inputs = operator.inputs[1:]
        case 5:
            tensor.shape = [int(size) for size in rng.choice([-1, 0, 1, 2, 4, 1 << 20, 1 << 30], rng.integers(10))]
        case 6:
            tensor.buffer = int(rng.integers(len(graph.model.buffers) + 2))
        case 7:
            tensor.type = int(rng.integers(20))
        case 8:
            operator.opcodeIndex = int(rng.integers(len(graph.model.operatorCodes) + 1))
        case 9:
            operator.builtinOptionsType, operator.builtinOptions = 0, None
