"""Cut the decoded head off a YOLOv8-seg .tflite file, so that its outputs are logits with scales of their own.

A published file rounds boxes to 5 px and scores to 0.02 in its last thirty operators, since one scale serves them all.
The outputs of the convolutions before are finer. A head is recognised by what its operators do, never by names.

Source of the boxes' bins: Li et al., Generalized Focal Loss, https://arxiv.org/abs/2006.04388
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from yolov8_seg_ros.core.model_spec import (
    BOX_CHANNELS,
    PROTOTYPE_STRIDE_PX,
    STRIDES_PX,
    TENSOR_TYPES,
    TensorSpec,
    anchor_count,
)
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.errors import NoDecodedHeadError
from yolov8_seg_ros.model_files.flatbuffer import FlatBufferError
from yolov8_seg_ros.model_files.head_trace import CONVOLUTION, SCORE, HeadTrace, Labels, convolutions_of
from yolov8_seg_ros.model_files.rejoined_slices import rejoin_slices
from yolov8_seg_ros.model_files.tflite_graph import ABSENT, Graph, Operator
from yolov8_seg_ros.model_files.tflite_schema import Op

#: The outputs of a raw head: these for each stride, finest first, as in `boxes_8`, then `PROTOTYPES`.
MAPS = ("boxes", "scores", "coefficients")
PROTOTYPES = "prototypes"
NUM_OUTPUTS = len(MAPS) * len(STRIDES_PX) + 1
#: The product of what coefficients and prototypes are multiplied by may differ by this from 1, by quantization.
_GAIN_TOLERANCE = 0.01
_TO_CHANNELS_FIRST = (0, 3, 1, 2)


@dataclass(frozen=True)
class GraphSummary:
    """Summary of a .tflite file's graph.

    Attributes:
        num_operators: how many operators it runs.
        outputs: its outputs; scale 0 where a tensor has none, or one a channel.
    """

    num_operators: int
    outputs: tuple[TensorSpec, ...]


def expose(model: bytes) -> bytes:
    """Return a .tflite file whose outputs are the raw head, without the operators that decode it.

    Slices that are concatenated to the whole again are left out, too; no number changes.

    The outputs are `boxes_8`, `scores_8`, `coefficients_8`, the same for strides 16 and 32, then `prototypes`. Each is
    NHWC as its convolution yields it: box logits 1 x H/s x W/s x 4 * bins (left, top, right, bottom; a side's bins
    together), class logits and mask coefficients 1 x H/s x W/s x count, prototypes 1 x H/4 x W/4 x count. Weights, and
    metadata appended as a zip archive, keep their bytes.

    Args:
        model: the content of a .tflite file.

    Raises:
        NoDecodedHeadError: if the file has no decoded YOLOv8-seg head; the text says what was found instead.
    """
    try:
        graph = Graph(model)
        outputs = _raw_outputs(graph)
        rejoin_slices(graph)
        return graph.cut(outputs)
    except FlatBufferError as error:
        raise NoDecodedHeadError(str(error)) from error


def summarize(model: bytes) -> GraphSummary:
    """Return the number of operators and the outputs of a .tflite file.

    Raises:
        NoDecodedHeadError: if this is no .tflite file, or is damaged.
    """
    try:
        graph = Graph(model)
        return GraphSummary(len(graph.operators), tuple(_tensor_spec(graph, tensor) for tensor in graph.outputs))
    except FlatBufferError as error:
        raise NoDecodedHeadError(str(error)) from error


def _tensor_spec(graph: Graph, tensor: int) -> TensorSpec:
    dtype = graph.dtype(tensor)
    scale, zero_point = graph.quantization(tensor) or (0.0, 0)
    quant = QuantParams(dtype) if dtype.kind == "f" else QuantParams(dtype, scale, zero_point)
    return TensorSpec(graph.name(tensor), graph.shape(tensor), quant)


def _raw_outputs(graph: Graph) -> dict[str, int]:
    """Return the tensors that become outputs, by their new names."""
    input_hw = _input_hw(graph)
    maps_of_input = [(input_hw[0] // stride, input_hw[1] // stride) for stride in STRIDES_PX]
    heads, prototypes = _split_outputs(graph)

    def is_head_map(shape: tuple[int, ...]) -> bool:
        return len(shape) == 4 and shape[0] == 1 and shape[1:3] in maps_of_input

    trace = HeadTrace(graph, heads, is_head_map)
    roles = _roles(trace, anchor_count(input_hw))
    maps = {role: _by_stride(graph, trace, role, numbers, maps_of_input) for role, numbers in roles.items()}
    _check_bins(graph, trace, roles[MAPS[0]])
    outputs = {f"{role}_{stride}": maps[role][level] for level, stride in enumerate(STRIDES_PX) for role in MAPS}
    expected = (1, *(size // PROTOTYPE_STRIDE_PX for size in input_hw), graph.shape(maps[MAPS[2]][0])[3])
    outputs[PROTOTYPES] = _prototypes(graph, trace, prototypes, _coefficient_gain(trace, roles), expected)
    for name, tensor in outputs.items():
        _check_type(name, _tensor_spec(graph, tensor).quant)
    return outputs


def _check_type(name: str, quant: QuantParams) -> None:
    if quant.dtype.name not in TENSOR_TYPES:
        raise NoDecodedHeadError(f"{name} would be {quant.dtype.name}, expected {', '.join(TENSOR_TYPES)}")
    if not quant.is_float and not quant.scale > 0:
        raise NoDecodedHeadError(f"{name} would have no scale, or one for each channel")


def _input_hw(graph: Graph) -> tuple[int, int]:
    shapes = [graph.shape(tensor) for tensor in graph.inputs]
    for shape in shapes[:1]:
        if len(shapes) == 1 and len(shape) == 4 and shape[0] == 1:
            height, width = shape[1:3] if shape[3] == 3 else shape[2:4]
            if 3 in (shape[3], shape[1]) and height % STRIDES_PX[-1] == width % STRIDES_PX[-1] == 0:
                return height, width
    raise NoDecodedHeadError(
        f"the graph has inputs of {shapes}, expected one RGB image of multiples of {STRIDES_PX[-1]} pixels"
    )


def _split_outputs(graph: Graph) -> tuple[list[int], int]:
    """Return the outputs that are a head, and the one that is the prototypes."""
    by_rank = {rank: [tensor for tensor in graph.outputs if len(graph.shape(tensor)) == rank] for rank in (3, 4)}
    if len(by_rank[4]) == len(graph.outputs) == NUM_OUTPUTS:
        raise NoDecodedHeadError("the head is raw already")
    if len(by_rank[3]) not in (1, len(MAPS)) or len(by_rank[4]) != 1 or len(graph.outputs) != len(by_rank[3]) + 1:
        shapes = [graph.shape(tensor) for tensor in graph.outputs]
        raise NoDecodedHeadError(f"the outputs are {shapes}, expected a head of rank 3 and prototypes of rank 4")
    return by_rank[3], by_rank[4][0]


def _roles(trace: HeadTrace, num_anchors: int) -> dict[str, list[int]]:
    """Return the numbers of the convolutions of box logits, class logits and coefficients.

    Box logits are what goes through the softmax, class logits through the logistic function, coefficients through none.
    """
    if not trace.bins:
        raise NoDecodedHeadError("no softmax over the bins of a box lies before the outputs")
    rows = np.concatenate([_channels(labels, num_anchors) for labels in trace.labels])
    is_decoded, is_score = rows < 0, rows >= SCORE
    if (is_decoded != is_decoded[:, :1]).any() or (is_score != is_score[:, :1]).any():
        raise NoDecodedHeadError("a channel of the head holds different things for different anchor points")
    num_decoded = int(is_decoded[:, 0].sum())
    if num_decoded != BOX_CHANNELS:
        raise NoDecodedHeadError(f"the head has {num_decoded} channels of boxes, expected {BOX_CHANNELS}")
    scores, coefficients = rows[is_score[:, 0]], rows[~(is_score | is_decoded)[:, 0]]
    if not len(scores) or not len(coefficients):
        raise NoDecodedHeadError(
            f"{len(scores)} channels of the head went through a logistic function and {len(coefficients)} "
            "through none, expected class scores and mask coefficients"
        )
    for channels in (scores, coefficients):
        if (channels % CONVOLUTION != np.arange(len(channels))[:, np.newaxis]).any():
            raise NoDecodedHeadError("the head's channels are in another order than those of the convolutions")
    return dict(zip(MAPS, (sorted(trace.bins), convolutions_of(scores), convolutions_of(coefficients)), strict=True))


def _channels(labels: Labels, num_anchors: int) -> Labels:
    """Return the labels of an output as (channels, anchors)."""
    batch, rows, columns = labels.shape
    if batch != 1 or num_anchors not in (rows, columns):
        raise NoDecodedHeadError(f"an output has the shape {labels.shape}, expected {num_anchors} anchor points")
    return labels[0] if columns == num_anchors else labels[0].T


def _by_stride(
    graph: Graph, trace: HeadTrace, role: str, numbers: Sequence[int], maps_of_input: Sequence[tuple[int, int]]
) -> list[int]:
    """Return the tensor of each stride, of the convolutions that make `role`."""
    tensors = {graph.shape(trace.convolutions[number])[1:3]: trace.convolutions[number] for number in numbers}
    channels = {graph.shape(tensor)[3] for tensor in tensors.values()}
    if len(numbers) != len(STRIDES_PX) or set(tensors) != set(maps_of_input) or len(channels) != 1:
        shapes = [graph.shape(trace.convolutions[number]) for number in numbers]
        raise NoDecodedHeadError(f"{role} come from convolutions of {shapes}, expected one for each of 3 strides")
    return [tensors[size] for size in maps_of_input]


def _check_bins(graph: Graph, trace: HeadTrace, numbers: Sequence[int]) -> None:
    for number in numbers:
        channels, bins = graph.shape(trace.convolutions[number])[3], trace.bins[number]
        if channels != BOX_CHANNELS * bins:
            raise NoDecodedHeadError(f"box logits have {channels} channels, expected {BOX_CHANNELS} times {bins} bins")


def _coefficient_gain(trace: HeadTrace, roles: dict[str, list[int]]) -> float:
    """Return what the head multiplies coefficients by, which the raw head leaves to the prototypes."""
    gains = {role: {trace.gains[number] for number in numbers} for role, numbers in roles.items()}
    *others, coefficients = gains.values()
    if any(gain != {1.0} for gain in others) or len(coefficients) != 1:
        raise NoDecodedHeadError(f"logits or coefficients are multiplied by differing factors: {gains}")
    return coefficients.pop()


def _prototypes(graph: Graph, trace: HeadTrace, output: int, gain: float, shape: tuple[int, ...]) -> int:
    """Return the tensor of the prototypes, NHWC.

    Args:
        graph: the model.
        trace: of its head.
        output: the model's output that is the prototypes.
        gain: what the head multiplies coefficients by; what undoes it is left out, so that masks stay as they are.
        shape: as expected.
    """
    tensor = _before_conversion(graph, output)
    if gain != 1.0:
        factor, source = trace.factor(graph.producers.get(tensor))
        if not abs(gain * factor - 1) < _GAIN_TOLERANCE:
            raise NoDecodedHeadError(
                f"coefficients are multiplied by {gain:.3g}, prototypes by {factor or 1:.3g}, expected the inverse"
            )
        tensor = _before_conversion(graph, source)
    if graph.shape(tensor) != shape:
        raise NoDecodedHeadError(f"the prototypes have the shape {graph.shape(tensor)}, expected {shape} (NHWC)")
    return tensor


def _before_conversion(graph: Graph, tensor: int) -> int:
    """Return the tensor that is dequantized, or transposed to channels first, to make the given one."""
    for _ in graph.operators:
        operator = graph.producers.get(tensor)
        if operator is None or not _is_conversion(graph, operator):
            break
        tensor = operator.inputs[0]
    return tensor


def _is_conversion(graph: Graph, operator: Operator) -> bool:
    if ABSENT in operator.inputs or not operator.inputs:
        return False
    if operator.kind == Op.DEQUANTIZE:
        return True
    if operator.kind != Op.TRANSPOSE or len(operator.inputs) != 2:
        return False
    axes = graph.constant(operator.inputs[1])
    return axes is not None and tuple(axes.flat) == _TO_CHANNELS_FIRST
