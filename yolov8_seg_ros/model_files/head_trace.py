"""Follow the channels of a YOLOv8-seg head from its convolutions to the model's outputs.

Each number of a tensor is replaced by a label that says where it comes from; the operators that only rearrange numbers
then rearrange labels. What the softmax and the logistic function are applied to shows what a convolution is for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.errors import NoDecodedHeadError
from yolov8_seg_ros.model_files.tflite_graph import ABSENT, Graph, Operator
from yolov8_seg_ros.model_files.tflite_schema import Op

#: int32, in the shape of a tensor. A raw number has convolution * CONVOLUTION + channel.
Labels = NDArray[np.int32]
CONVOLUTION = 1 << 16
#: Added to the label of a class logit that went through the logistic function.
SCORE = 1 << 28
#: The label of a constant, and of all that is computed from box logits.
DECODED = -1
#: A head has three convolutions for each stride.
MAX_CONVOLUTIONS = 9
#: Labels of all tensors together, to bound memory; a head of 1280x1280 pixels and 80 classes needs two thirds of it.
_MAX_LABELS = 1 << 26
#: Numbers of one operator's parameter, such as the axes of a transposition.
_MAX_PARAMETERS = 1 << 12


#: Which inputs hold the numbers that are rearranged; the others hold sizes and axes.
_REARRANGED_INPUTS: dict[int, slice] = {
    **dict.fromkeys((Op.CONCATENATION, Op.PACK), slice(None)),
    **dict.fromkeys((Op.DEQUANTIZE, Op.QUANTIZE, Op.CAST, Op.RESHAPE, Op.SQUEEZE, Op.EXPAND_DIMS), slice(1)),
    **dict.fromkeys((Op.TRANSPOSE, Op.GATHER, Op.SLICE, Op.STRIDED_SLICE, Op.SPLIT_V, Op.UNPACK), slice(1)),
    Op.SPLIT: slice(1, 2),
}
_ARITHMETIC = (Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.SUM, Op.CONV_2D, Op.FULLY_CONNECTED, Op.BATCH_MATMUL)


class HeadTrace:
    """Trace of the numbers that a model's head convolutions yield.

    Args:
        graph: the model.
        heads: the outputs to start from.
        is_head_map: whether a shape is that of a head convolution's output.

    Attributes:
        convolutions: the outputs of the head convolutions, as indices of tensors; labels number them in this order.
        labels: of the `heads`.
        bins: for each box convolution, by number, how many bins the softmax has.
        gains: for each convolution, by number, what its numbers are multiplied by before they reach `heads`.

    Raises:
        NoDecodedHeadError: if something else than a decoded head lies between convolutions and outputs.
    """

    def __init__(self, graph: Graph, heads: Sequence[int], is_head_map: Callable[[tuple[int, ...]], bool]) -> None:
        self._graph = graph
        self._is_head_map = is_head_map
        self.convolutions: list[int] = []
        self.bins: dict[int, int] = {}
        self.gains: dict[int, float] = {}
        self._num_labels = 0
        self._labels: dict[int, Labels] = {}
        for operator in self._tail(heads):
            self._follow(operator)
        self.labels = [self._known(tensor) for tensor in heads]

    def source(self, tensor: int) -> Operator | None:
        """Return the operator that computes a tensor's numbers, before they are rearranged; None if there is none."""
        seen: set[int] = set()
        operator = self._graph.producers.get(tensor)
        while operator is not None and operator.kind in _REARRANGED_INPUTS and tensor not in seen:
            seen.add(tensor)
            tensor = [*operator.inputs[_REARRANGED_INPUTS[operator.kind]], ABSENT][0]
            operator = self._graph.producers.get(tensor)
        return operator

    def _tail(self, heads: Sequence[int]) -> list[Operator]:
        """Return the operators between the head convolutions and the outputs, in the order of the graph."""
        tail: dict[int, Operator] = {}
        left = list(heads)
        seen: set[int] = set()
        while left:
            tensor = left.pop()
            if tensor in seen:
                continue
            seen.add(tensor)
            operator = self._graph.producers.get(tensor)
            if operator is None:
                self._require_constant(tensor)
            elif self._is_head_convolution(operator, tensor):
                self._add_convolution(tensor)
            else:
                tail[operator.table.position] = operator
                left += self._numbers(operator)
        return [operator for operator in self._graph.operators if operator.table.position in tail]

    def _numbers(self, operator: Operator) -> tuple[int, ...]:
        """Return the inputs that hold numbers rather than sizes and axes."""
        if operator.kind in _REARRANGED_INPUTS:
            numbers = operator.inputs[_REARRANGED_INPUTS[operator.kind]]
        elif operator.kind in _ARITHMETIC or operator.kind in (Op.SOFTMAX, Op.LOGISTIC):
            numbers = operator.inputs[:2]
        else:
            raise NoDecodedHeadError(f"operator {operator.kind} (of the schema) is no part of a decoded head")
        numbers = tuple(tensor for tensor in numbers if tensor != ABSENT)
        if not numbers or not operator.outputs:
            raise NoDecodedHeadError(f"{_name(operator)} has {len(numbers)} inputs, {len(operator.outputs)} outputs")
        return numbers

    def _is_head_convolution(self, operator: Operator, output: int) -> bool:
        if operator.kind != Op.CONV_2D or not operator.inputs:
            return False
        source = self.source(operator.inputs[0])
        # The convolution behind the softmax averages distances.
        is_average = source is not None and source.kind == Op.SOFTMAX
        return not is_average and self._is_head_map(self._graph.shape(output))

    def _add_convolution(self, tensor: int) -> None:
        shape = self._graph.shape(tensor)
        if shape[-1] >= CONVOLUTION:
            raise NoDecodedHeadError(f"a convolution has {shape[-1]} channels, expected less than {CONVOLUTION}")
        number = len(self.convolutions)
        if number == MAX_CONVOLUTIONS:
            raise NoDecodedHeadError(
                f"the outputs come from more than {MAX_CONVOLUTIONS} convolutions, 3 for each stride"
            )
        self._count([shape])
        first = number * CONVOLUTION
        self.convolutions.append(tensor)
        self.gains[number] = 1.0
        self._labels[tensor] = np.broadcast_to(np.arange(first, first + shape[-1], dtype=np.int32), shape)

    def _require_constant(self, tensor: int) -> None:
        if self._graph.constant(tensor) is None:
            raise NoDecodedHeadError(f"the outputs depend on the network's input by no convolution (tensor {tensor})")
        self._labels[tensor] = _decoded(self._graph.shape(tensor))

    def _known(self, tensor: int) -> Labels:
        if tensor not in self._labels:
            raise NoDecodedHeadError(f"tensor {tensor} is used before it is computed")
        return self._labels[tensor]

    def _count(self, shapes: Sequence[tuple[int, ...]]) -> None:
        self._num_labels += sum(map(math.prod, shapes))
        if self._num_labels > _MAX_LABELS:
            raise NoDecodedHeadError(f"the head has more than {_MAX_LABELS} numbers")

    def _follow(self, operator: Operator) -> None:
        inputs = [self._known(tensor) for tensor in self._numbers(operator)]
        shapes = [self._graph.shape(tensor) for tensor in operator.outputs]
        self._count(shapes)
        if operator.kind in _REARRANGED_INPUTS:
            results = self._rearranged(operator, inputs, shapes)
        elif operator.kind == Op.SOFTMAX:
            results = [self._softmax(operator, inputs[0])]
        elif operator.kind == Op.LOGISTIC:
            results = [self._logistic(inputs[0])]
        else:
            results = [self._arithmetic(operator, inputs, shapes[0])]
        if [result.shape for result in results] != shapes:
            raise NoDecodedHeadError(f"{_name(operator)} does not yield the sizes {shapes}")
        self._labels.update(zip(operator.outputs, results, strict=True))

    def _softmax(self, operator: Operator, labels: Labels) -> Labels:
        """Trace the softmax over the bins of one side of the box for what makes box logits."""
        if not labels.ndim or labels.min() < 0 or labels.max() >= SCORE:
            raise NoDecodedHeadError("the softmax is applied to something else than logits")
        first, bins = labels[..., :1], labels.shape[-1]
        in_order = labels == first + np.arange(bins, dtype=np.int32)
        if (first % CONVOLUTION % bins).any() or not in_order.all():
            raise NoDecodedHeadError("the softmax is not taken over the bins of one side of a box, as in YOLOv8")
        if operator.option(0, "<f", 0.0) != 1.0:
            raise NoDecodedHeadError("the softmax has a factor, expected none")
        self.bins.update(dict.fromkeys(convolutions_of(labels), bins))
        return _decoded(labels.shape)

    @staticmethod
    def _logistic(labels: Labels) -> Labels:
        if labels.min() < 0 or labels.max() >= SCORE:
            raise NoDecodedHeadError("the logistic function is applied to something else than logits")
        return labels + np.int32(SCORE)

    def _arithmetic(self, operator: Operator, inputs: Sequence[Labels], shape: tuple[int, ...]) -> Labels:
        raw = [labels for labels in inputs if labels.max() > DECODED]
        if not raw:
            return _decoded(shape)
        factor, _ = self.factor(operator)
        if factor == 0 or raw[0].min() < 0 or raw[0].max() >= SCORE:
            raise NoDecodedHeadError(f"{_name(operator)} changes logits, scores or coefficients, not by one factor")
        for convolution in convolutions_of(raw[0]):
            self.gains[convolution] *= factor
        return raw[0]

    def factor(self, operator: Operator | None) -> tuple[float, int]:
        """Return the constant above 0 by which an operator multiplies a tensor, and the tensor; 0 if it does not."""
        nothing = (0.0, ABSENT)
        # A fused activation function would be the first option.
        if operator is None or operator.kind not in (Op.MUL, Op.DIV) or operator.option(0, "<b"):
            return nothing
        if len(operator.inputs) != 2 or ABSENT in operator.inputs:
            return nothing
        source, number = operator.inputs
        if operator.kind == Op.MUL and self._graph.constant(number) is None:
            source, number = number, source
        content = self._graph.constant(number)
        if content is None or (content != content.flat[0]).any():
            return nothing
        scale, zero_point = self._graph.quantization(number) or (1.0, 0)
        value = scale * (float(content.flat[0]) - zero_point)
        if not 0 < value < math.inf:
            return nothing
        return (1 / value if operator.kind == Op.DIV else value), source

    def _rearranged(
        self, operator: Operator, inputs: Sequence[Labels], shapes: Sequence[tuple[int, ...]]
    ) -> list[Labels]:
        # What is copied is no larger than what the file says.
        if operator.kind in (Op.CONCATENATION, Op.PACK) and sum(x.size for x in inputs) != math.prod(shapes[0]):
            raise NoDecodedHeadError(f"{_name(operator)} does not yield the size {shapes[0]}")
        try:
            return self._rearrange(operator, inputs, shapes)
        except (ValueError, IndexError, TypeError) as error:
            raise NoDecodedHeadError(f"{_name(operator)} cannot be followed ({error})") from error

    def _rearrange(
        self, operator: Operator, inputs: Sequence[Labels], shapes: Sequence[tuple[int, ...]]
    ) -> list[Labels]:
        labels, count = inputs[0], len(shapes)
        match operator.kind:
            case Op.CONCATENATION:
                return [np.concatenate(inputs, axis=operator.option(0))]
            case Op.PACK:
                return [np.stack(inputs, axis=operator.option(1))]
            case Op.TRANSPOSE:
                return [labels.transpose(self._parameter(operator, 1))]
            case Op.SLICE:
                begin, size = self._parameter(operator, 1), self._parameter(operator, 2)
                stop = [None if n == -1 else b + n for b, n in zip(begin, size, strict=True)]
                return [labels[tuple(map(slice, begin, stop))]]
            case Op.STRIDED_SLICE:
                return [self._strided_slice(operator, labels).reshape(shapes[0])]
            case Op.SPLIT:
                [axis] = self._parameter(operator, 0)
                return np.split(labels, count, axis=axis)
            case Op.SPLIT_V:
                [axis], sizes = self._parameter(operator, 2), self._parameter(operator, 1)
                return np.split(labels, np.cumsum(sizes[:-1]), axis=axis)
            case Op.UNPACK:
                return list(np.moveaxis(labels, operator.option(1), 0))
            case Op.GATHER:
                return [self._gather(operator, labels, shapes[0])]
            case _:
                # The order of the numbers stays.
                return [labels.reshape(shapes[0])]

    def _strided_slice(self, operator: Operator, labels: Labels) -> Labels:
        begin, end, step = (self._parameter(operator, number) for number in (1, 2, 3))
        begin_mask, end_mask, ellipsis, new_axis, shrink = map(operator.option, range(5))
        if ellipsis or new_axis:
            raise ValueError("an ellipsis or a new axis")
        where = []
        for axis, (first, last, stride) in enumerate(zip(begin, end, step, strict=True)):
            bit = 1 << axis
            if shrink & bit:
                where.append(slice(first, first + 1 or None))
            else:
                where.append(slice(None if begin_mask & bit else first, None if end_mask & bit else last, stride))
        return labels[tuple(where)]

    def _gather(self, operator: Operator, labels: Labels, shape: tuple[int, ...]) -> Labels:
        axis, batch_dims = operator.option(0), operator.option(1)
        indices = self._graph.constant(operator.inputs[1])
        if indices is None or batch_dims or not 0 <= axis < labels.ndim:
            raise ValueError("indices are computed")
        if labels.shape[:axis] + indices.shape + labels.shape[axis + 1 :] != shape:
            raise ValueError("sizes do not fit")
        return labels.take(indices, axis=axis)

    def _parameter(self, operator: Operator, number: int) -> list[int]:
        """Return the numbers of a constant input."""
        content = self._graph.constant(operator.inputs[number])
        if content is None or content.dtype.kind != "i" or content.size > _MAX_PARAMETERS:
            raise ValueError("a size or an axis is computed")
        return [int(value) for value in content.flat]


def convolutions_of(labels: Labels) -> list[int]:
    """Return the numbers of the convolutions that labels of at least 0 name."""
    counts: NDArray[Any] = np.bincount((labels % SCORE // CONVOLUTION).ravel())
    return np.flatnonzero(counts).tolist()


def _decoded(shape: tuple[int, ...]) -> Labels:
    return np.broadcast_to(np.int32(DECODED), shape)


def _name(operator: Operator) -> str:
    return Op(operator.kind).name
