"""Replace operators that XNNPACK, which computes on the CPU, has no fast code for; every number stays the same.

Nothing of this is for an NPU, nor for files that are written: an NPU's compiler has operators of its own for these.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from yolov8_seg_ros.model_files.extended_graph import ExtendedGraph, new_operator
from yolov8_seg_ros.model_files.flatbuffer import FlatBufferError
from yolov8_seg_ros.model_files.flatbuffer_front import NewTable, Number
from yolov8_seg_ros.model_files.tflite_graph import ABSENT, Operator
from yolov8_seg_ros.model_files.tflite_schema import VALID, ConvolutionField, Op, OptionsType

#: A tensor is doubled in height and width.
_FACTOR = 2
_ONE_PIXEL_AROUND = ((0, 0), (1, 1), (1, 1), (0, 0))
_ONE_PAIR_BEFORE = ((0, 0), (1, 1), (1, 0), (0, 0))


@dataclass(frozen=True)
class CpuGraph:
    """A .tflite file for the CPU.

    Attributes:
        content: the file.
        input_shape: of the original file's input, whose numbers the new one takes in the same order.
    """

    content: bytes
    input_shape: tuple[int, ...]


def for_cpu(model: bytes) -> CpuGraph | None:
    """Return a .tflite file that computes the same numbers faster on the CPU; None where nothing is replaced.

    Only operators of int8 or uint8 are replaced, since sums of floats depend on their order.

    Args:
        model: the content of a .tflite file.
    """
    try:
        graph = ExtendedGraph(model)
        replaced = [_replaces(graph, operator) for operator in graph.operators]
        replaced += [_pairs_columns(graph)]
        return CpuGraph(graph.extended(), graph.shape(graph.inputs[0])) if any(replaced) else None
    except FlatBufferError:
        # What is damaged is left to the runtime, which says what is wrong.
        return None


def _replaces(graph: ExtendedGraph, operator: Operator) -> bool:
    """Replace an operator that doubles a tensor's height and width; return whether it is one."""
    rewriting = _REWRITINGS.get(operator.kind)
    if rewriting is None or len(operator.outputs) != 1:
        return False
    new = rewriting(graph, operator)
    if new:
        graph.replace(operator, new)
    return bool(new)


def _split_transposed_convolution(graph: ExtendedGraph, operator: Operator) -> list[NewTable]:
    """Return a convolution of 1x1 pixels, and its channels laid out as 2x2 pixels; nothing where that is not the same.

    Kernels of 2x2 pixels that step by 2 do not overlap. XNNPACK computes a transposed convolution pixel by pixel.
    """
    code = graph.code_of(Op.CONV_2D)
    if code is None or len(operator.inputs) != 4 or ABSENT in operator.inputs:
        return []
    _, weights, source, bias = operator.inputs
    kernels, offsets = graph.constant(weights), graph.constant(bias)
    strides = [operator.option(field) for field in (ConvolutionField.STRIDE_X, ConvolutionField.STRIDE_Y)]
    if kernels is None or offsets is None or strides != [_FACTOR, _FACTOR] or offsets.dtype != np.int32:
        return []
    [output] = operator.outputs
    if not _is_doubled(graph, source, output) or not _is_byte(graph, source, weights, output):
        return []
    count, channels = graph.shape(output)[3], graph.shape(source)[3]
    if kernels.shape != (count, _FACTOR, _FACTOR, channels) or offsets.shape != (count,):
        return []
    if not (_is_quantized(graph, weights, count) and _is_quantized(graph, bias, count)):
        return []
    parts = _FACTOR * _FACTOR
    one_by_one = kernels.transpose(1, 2, 0, 3).reshape(parts * count, 1, 1, channels)
    inputs = (
        source,
        graph.add_constant(weights, one_by_one, parts),
        graph.add_constant(bias, np.tile(offsets, parts), parts),
    )
    stacked = _stacked(graph, output)
    return [_convolution(code, inputs, stacked, (1, 1), operator), _depth_to_space(graph, stacked, output)]


def _stack_nearest(graph: ExtendedGraph, operator: Operator) -> list[NewTable]:
    """Return a concatenation of a tensor with itself, and its channels laid out as 2x2 pixels.

    XNNPACK has no enlarging by the nearest pixel, which so would cut the graph into parts.
    """
    [output] = operator.outputs
    code, aligns_corners = graph.code_of(Op.CONCATENATION), operator.option(0, "<b")
    if code is None or aligns_corners or not operator.inputs or ABSENT in operator.inputs:
        return []
    source = operator.inputs[0]
    if not _is_doubled(graph, source, output) or graph.quantization(source) != graph.quantization(output):
        return []
    stacked = _stacked(graph, output)
    inputs = [source] * _FACTOR * _FACTOR
    concatenation = new_operator(code, inputs, stacked, OptionsType.CONCATENATION, {0: Number(3)})
    return [concatenation, _depth_to_space(graph, stacked, output)]


def _pairs_columns(graph: ExtendedGraph) -> bool:
    """Make the first convolution read pairs of columns, of 6 channels; return whether it is one that can.

    It reads 2x3 pixels for 3x3 then, of which one is multiplied by nothing: XNNPACK copies fewer and longer pieces.
    The input's numbers stay in the same order.
    """
    first = _first_convolution(graph)
    if first is None:
        return False
    pad, convolution = first
    [image], [padded], weights = graph.inputs, pad.outputs, convolution.inputs[1]
    kernels, zero_point = graph.constant(weights), graph.zero_points(weights)[0]
    pad_code, code = graph.code_of(Op.PAD), graph.code_of(Op.CONV_2D)
    if kernels is None or pad_code is None or code is None:
        return False
    _, height, width, channels = graph.shape(image)
    pairs = np.full((len(kernels), 3, 4, channels), zero_point, kernels.dtype)
    pairs[:, :, 1:] = kernels
    paired = graph.add_constant(weights, pairs.reshape(len(kernels), 3, 2, 2 * channels))
    graph.reshape(image, (1, height, width // 2, 2 * channels))
    graph.reshape(padded, (1, height + 2, width // 2 + 1, 2 * channels))
    before = graph.add_constant(pad.inputs[1], np.array(_ONE_PAIR_BEFORE, "<i4"))
    graph.replace(pad, [new_operator(pad_code, (image, before), padded, OptionsType.PAD, {})])
    inputs = (padded, paired, convolution.inputs[2])
    graph.replace(convolution, [_convolution(code, inputs, convolution.outputs[0], (1, 2), convolution)])
    return True


def _first_convolution(graph: ExtendedGraph) -> tuple[Operator, Operator] | None:
    """Return the operators that pad the image by a pixel and convolve it, 3x3 with stride 2; None where they do not."""
    if len(graph.inputs) != 1:
        return None
    pad = _only_reader(graph, graph.inputs[0], Op.PAD, 2)
    convolution = pad and _only_reader(graph, pad.outputs[0], Op.CONV_2D, 3)
    if pad is None or convolution is None:
        return None
    around, kernels = graph.constant(pad.inputs[1]), graph.constant(convolution.inputs[1])
    shape, output = graph.shape(graph.inputs[0]), graph.shape(convolution.outputs[0])
    if around is None or kernels is None or len(shape) != 4 or len(output) != 4 or around.dtype != np.int32:
        return None
    _, height, width, channels = shape
    fields = ConvolutionField
    options = [convolution.option(field) for field in (fields.STRIDE_X, fields.STRIDE_Y)]
    options += [convolution.option(field, default=1) for field in (fields.DILATION_X, fields.DILATION_Y)]
    matches = (
        np.array_equal(around, _ONE_PIXEL_AROUND)
        and options == [2, 2, 1, 1]
        and convolution.option(fields.PADDING, "<b") == VALID
        and height % 2 == width % 2 == 0
        and kernels.shape == (output[3], 3, 3, channels)
        and output == (1, height // 2, width // 2, output[3])
        and graph.shape(pad.outputs[0]) == (1, height + 2, width + 2, channels)
        and _is_byte(graph, graph.inputs[0], pad.outputs[0], convolution.inputs[1], convolution.outputs[0])
        and _is_quantized(graph, convolution.inputs[1], output[3])
        and len(set(graph.zero_points(convolution.inputs[1]).tolist())) == 1
    )
    return (pad, convolution) if matches else None


def _only_reader(graph: ExtendedGraph, tensor: int, kind: Op, num_inputs: int) -> Operator | None:
    """Return what reads a tensor, as its first input, if that is one operator of this kind, with one output."""
    readers = [operator for operator in graph.operators if tensor in operator.inputs]
    if len(readers) != 1 or tensor in graph.outputs or readers[0].kind != kind or readers[0].inputs[0] != tensor:
        return None
    [reader] = readers
    is_whole = len(reader.inputs) == num_inputs and ABSENT not in reader.inputs and len(reader.outputs) == 1
    return reader if is_whole else None


def _is_doubled(graph: ExtendedGraph, source: int, output: int) -> bool:
    """Return whether a map of bytes has twice the height and width of another one."""
    shape, doubled = graph.shape(source), graph.shape(output)
    if len(shape) != 4 or len(doubled) != 4 or not _is_byte(graph, source, output):
        return False
    return doubled[:3] == (1, _FACTOR * shape[1], _FACTOR * shape[2]) and shape[0] == 1


def _is_byte(graph: ExtendedGraph, *tensors: int) -> bool:
    """Return whether tensors are all int8, or all uint8."""
    dtypes = {graph.dtype(tensor) for tensor in tensors}
    return len(dtypes) == 1 and dtypes.pop().itemsize == 1


def _is_quantized(graph: ExtendedGraph, tensor: int, channels: int) -> bool:
    """Return whether a tensor has one scale, or one a channel along axis 0, and as many zero points."""
    scales, zero_points = graph.scales(tensor), graph.zero_points(tensor)
    return len(scales) == len(zero_points) and len(scales) in (1, channels)


def _stacked(graph: ExtendedGraph, doubled: int) -> int:
    """Return a new tensor that has each 2x2 pixels of another one as channels of one pixel."""
    _, height, width, channels = graph.shape(doubled)
    return graph.add_tensor(doubled, (1, height // _FACTOR, width // _FACTOR, _FACTOR * _FACTOR * channels))


def _depth_to_space(graph: ExtendedGraph, stacked: int, output: int) -> NewTable:
    code = graph.add_code(Op.DEPTH_TO_SPACE, 2 if graph.dtype(output) == np.int8 else 1)
    return new_operator(code, [stacked], output, OptionsType.DEPTH_TO_SPACE, {0: Number(_FACTOR)})


def _convolution(code: int, inputs: Sequence[int], output: int, strides: tuple[int, int], like: Operator) -> NewTable:
    """Return a convolution without padding, with the activation of another one; strides in x and y."""
    activation = like.option(ConvolutionField.ACTIVATION, "<b")
    options: dict[int, Number] = {
        ConvolutionField.PADDING: Number(VALID, "<b"),
        ConvolutionField.STRIDE_X: Number(strides[0]),
        ConvolutionField.STRIDE_Y: Number(strides[1]),
        ConvolutionField.ACTIVATION: Number(activation, "<b"),
    }
    return new_operator(code, inputs, output, OptionsType.CONVOLUTION, options)


_REWRITINGS: dict[int, Callable[[ExtendedGraph, Operator], list[NewTable]]] = {
    Op.TRANSPOSE_CONV: _split_transposed_convolution,
    Op.RESIZE_NEAREST_NEIGHBOR: _stack_nearest,
}
