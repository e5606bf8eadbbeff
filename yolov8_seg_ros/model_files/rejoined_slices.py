"""Make concatenations read a whole tensor in the place of all its slices: the same numbers, with fewer copies.

YOLOv8 halves the channels of a tensor, computes with one half, and concatenates both halves with what it computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from yolov8_seg_ros.model_files.tflite_graph import ABSENT, Graph, Operator
from yolov8_seg_ros.model_files.tflite_schema import Op

_NUM_INPUTS = 4
#: Options of a strided slice: ellipsis, new axis, shrunk axis, and ends that count from the begin.
_UNUSED_OPTIONS = range(2, 6)


@dataclass(frozen=True)
class _Slice:
    """The part of a tensor between two places along one axis, whole along all other axes."""

    source: int
    start: int
    stop: int
    size: int


def rejoin_slices(graph: Graph) -> None:
    """Make concatenations read the tensor itself where they read all its slices, side by side."""
    for operator in list(graph.operators):
        if operator.kind == Op.CONCATENATION and operator.outputs and ABSENT not in operator.inputs:
            inputs = _rejoined(graph, operator)
            if len(inputs) < len(operator.inputs):
                graph.replace_inputs(operator, inputs)


def _rejoined(graph: Graph, operator: Operator) -> list[int]:
    rank, axis = len(graph.shape(operator.outputs[0])), operator.option(0)
    slices = [_slice_along(graph, tensor, axis % rank if rank else 0) for tensor in operator.inputs]
    inputs: list[int] = []
    at = 0
    while at < len(slices):
        first = slices[at]
        count = _number_that_is_whole(slices, at)
        inputs.append(first.source if first is not None and count else operator.inputs[at])
        at += count or 1
    return inputs


def _number_that_is_whole(slices: Sequence[_Slice | None], at: int) -> int:
    """Return how many slices, side by side from `at` on, make up a whole tensor; 0 if none do."""
    source, end = None, 0
    for number in range(at, len(slices)):
        part = slices[number]
        if part is None or part.start != end or source not in (None, part.source):
            return 0
        source, end = part.source, part.stop
        if end == part.size:
            return number - at + 1
    return 0


def _slice_along(graph: Graph, tensor: int, axis: int) -> _Slice | None:
    """Return which slice of another tensor a tensor is; None if it is none, or an empty one."""
    operator = graph.producers.get(tensor)
    if operator is None or operator.kind != Op.STRIDED_SLICE or len(operator.inputs) != _NUM_INPUTS:
        return None
    source, *parameters = operator.inputs
    if ABSENT in operator.inputs or any(operator.option(number, "<b") for number in _UNUSED_OPTIONS):
        return None
    shape = graph.shape(source)
    begin, end, step = (graph.constant(parameter) for parameter in parameters)
    if begin is None or end is None or step is None or axis >= len(shape) or (step != 1).any():
        return None
    if any(numbers.shape != (len(shape),) or numbers.dtype.kind != "i" for numbers in (begin, end, step)):
        return None
    if (graph.dtype(source), graph.quantization(source)) != (graph.dtype(tensor), graph.quantization(tensor)):
        return None
    begin_mask, end_mask = operator.option(0), operator.option(1)
    spans = [
        slice(
            None if begin_mask >> k & 1 else int(begin[k]),
            None if end_mask >> k & 1 else int(end[k]),
        ).indices(size)[:2]
        for k, size in enumerate(shape)
    ]
    start, stop = spans.pop(axis)
    others = [*shape[:axis], *shape[axis + 1 :]]
    if start >= stop or spans != [(0, size) for size in others]:
        return None
    return _Slice(source, start, stop, shape[axis]) if graph.shape(tensor)[axis] == stop - start else None
