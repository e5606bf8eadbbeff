"""Write small .tflite files of YOLOv8's form without a training framework.

Their outputs are constants, so a test knows them: by default one object of the last class, whose box is the middle half
of the network's input and whose mask is the left half of that box. The head is decoded or raw.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from support.fakes import LOGIT_STEP, RawLevel
from yolov8_seg_ros.core.model_spec import HEAD_PARTS, PROTOTYPE_STRIDE_PX, STRIDES_PX, anchor_count
from yolov8_seg_ros.core.quantization import QuantParams

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3
#: The score of the default object, a whole number of steps of the default quantization.
DEFAULT_SCORE = 0.9
#: A logit that nothing reaches.
LOW_LOGIT = -30.0
_TENSOR_TYPES = {
    "float32": schema.TensorType.FLOAT32,
    "int8": schema.TensorType.INT8,
    "uint8": schema.TensorType.UINT8,
    "int16": schema.TensorType.INT16,
}


def input_quant(dtype: str = "int8") -> QuantParams:
    """Return the quantization of the input: a pixel is a whole number of steps."""
    zero_point = {"int8": -128}.get(dtype, 0)
    return QuantParams(np.dtype(dtype)) if dtype == "float32" else QuantParams(np.dtype(dtype), 1 / 255, zero_point)


def output_quant(dtype: str = "int8") -> QuantParams:
    """Return the quantization of a decoded head, coefficients and prototypes: -1.28 to 3.82 in steps of 0.02."""
    zero_point = {"int8": -64, "uint8": 64}.get(dtype, 0)
    return QuantParams(np.dtype(dtype)) if dtype == "float32" else QuantParams(np.dtype(dtype), 0.02, zero_point)


def logits_quant(dtype: str = "int8") -> QuantParams:
    """Return the quantization of box and class logits: -35 to 11."""
    zero_point = {"int8": 64, "uint8": 192}.get(dtype, 0)
    return QuantParams(np.dtype(dtype)) if dtype == "float32" else QuantParams(np.dtype(dtype), LOGIT_STEP, zero_point)


@dataclass(frozen=True)
class Tensor:
    """A tensor of a model to be written; one with `values` (quantized numbers) is constant."""

    name: str
    shape: tuple[int, ...]
    quant: QuantParams
    values: NDArray[Any] | None = None
    channel_scales: Sequence[float] = ()


def default_head(num_classes: int, num_coefficients: int, input_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return real numbers (channels, anchors) of a decoded head with one object, on the last anchor."""
    head = np.zeros((4 + num_classes + num_coefficients, anchor_count(input_hw)), np.float32)
    head[:4, -1] = 0.5
    head[4 + num_classes - 1, -1] = DEFAULT_SCORE
    head[4 + num_classes, -1] = 1
    return head


def default_raw_head(
    num_classes: int, num_coefficients: int, input_hw: tuple[int, int], box_bins: int = 16
) -> list[RawLevel]:
    """Return real numbers of a raw head with one object, on the anchor of stride 32 at the middle of the input."""
    levels = []
    for stride in STRIDES_PX:
        anchors = (input_hw[0] // stride) * (input_hw[1] // stride)
        boxes = np.full((4 * box_bins, anchors), LOW_LOGIT, np.float32)
        scores = np.full((num_classes, anchors), LOW_LOGIT, np.float32)
        levels.append((boxes, scores, np.zeros((num_coefficients, anchors), np.float32)))
    boxes, scores, coefficients = levels[-1]
    stride, columns = STRIDES_PX[-1], input_hw[1] // STRIDES_PX[-1]
    row, column = (size // stride // 2 for size in input_hw)
    anchor = row * columns + column
    for side in range(4):
        size, index = (input_hw[1], column) if side % 2 == 0 else (input_hw[0], row)
        centre, edge = (index + 0.5) * stride, size * (0.25 if side < 2 else 0.75)
        boxes[side * box_bins : (side + 1) * box_bins, anchor] = box_logits(abs(centre - edge) / stride, box_bins)
    scores[-1, anchor] = np.log(DEFAULT_SCORE / (1 - DEFAULT_SCORE))
    coefficients[0, anchor] = 1
    return levels


def box_logits(distance: float, box_bins: int = 16) -> NDArray[np.float32]:
    """Return logits (bins,) whose distribution has that mean, in strides; for quarters whole numbers of steps."""
    lower, fraction = int(distance), distance % 1
    weights = np.zeros(box_bins, np.float32)
    weights[lower] = 1 - fraction
    weights[min(lower + 1, box_bins - 1)] += fraction
    with np.errstate(divide="ignore"):
        return np.maximum(np.log(weights / weights.max()), LOW_LOGIT)


def default_prototypes(num_coefficients: int, input_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return real numbers (rows, columns, prototypes): 1 in the left half, -1 in the right half."""
    height, width = (size // PROTOTYPE_STRIDE_PX for size in input_hw)
    prototypes = np.ones((height, width, num_coefficients), np.float32)
    prototypes[:, width // 2 :] = -1
    return prototypes


def write_segmentation_model(
    path: Path,
    *,
    num_classes: int = 2,
    num_coefficients: int = 4,
    input_hw: tuple[int, int] = (64, 64),
    input_dtype: str = "int8",
    output_dtype: str = "int8",
    channels_first: bool = True,
    prototypes_first: bool = False,
    head: NDArray[np.float32] | None = None,
    raw: bool = False,
    names: Mapping[int, str] | Sequence[str] | None = None,
    metadata: str | None = None,
) -> Path:
    """Write a model of YOLOv8-seg's form.

    Args:
        path: the file.
        num_classes: classes of the head.
        num_coefficients: mask coefficients of an anchor.
        input_hw: height and width of the input in pixels, multiples of 32.
        input_dtype: int8, uint8 or float32.
        output_dtype: int8, uint8 or float32.
        channels_first: whether a decoded head is 1 x channels x anchors rather than 1 x anchors x channels.
        prototypes_first: whether the prototypes are output 0.
        head: real numbers (channels, anchors) of a decoded head; one object where None.
        raw: whether the head is raw, maps for each stride, with one object; `channels_first` and `head` do not count.
        names: class names to put into the metadata; no metadata where None.
        metadata: the metadata's whole text instead.
    """
    if raw:
        outputs = _raw_outputs(default_raw_head(num_classes, num_coefficients, input_hw), input_hw, output_dtype)
    else:
        head = default_head(num_classes, num_coefficients, input_hw) if head is None else head
        quantized = output_quant(output_dtype).quantize(head if channels_first else head.T)[np.newaxis]
        outputs = [Tensor("head", quantized.shape, output_quant(output_dtype), quantized)]
    prototypes = output_quant(output_dtype).quantize(default_prototypes(num_coefficients, input_hw))[np.newaxis]
    outputs.insert(
        0 if prototypes_first else len(outputs),
        Tensor("prototypes", prototypes.shape, output_quant(output_dtype), prototypes),
    )
    write_model(path, [Tensor("images", (1, *input_hw, 3), input_quant(input_dtype))], outputs)
    if names is not None or metadata is not None:
        append_metadata(path, metadata if metadata is not None else repr({"names": names, "task": "segment"}))
    return path


def _raw_outputs(levels: Sequence[RawLevel], input_hw: tuple[int, int], dtype: str) -> list[Tensor]:
    """Return outputs 1 x rows x columns x channels, three for each stride."""
    outputs = []
    for stride, parts in zip(STRIDES_PX, levels, strict=True):
        quants = (logits_quant(dtype), logits_quant(dtype), output_quant(dtype))
        for name, quant, real in zip(HEAD_PARTS, quants, parts, strict=True):
            shape = (1, input_hw[0] // stride, input_hw[1] // stride, len(real))
            outputs.append(Tensor(f"{name}_{stride}", shape, quant, quant.quantize(real.T).reshape(shape)))
    return outputs


def write_detection_model(path: Path, num_classes: int = 2, input_hw: tuple[int, int] = (64, 64)) -> Path:
    """Write a model of YOLOv8's form that has no prototypes."""
    quantized = np.zeros((1, 4 + num_classes, anchor_count(input_hw)), np.int8)
    head = Tensor("head", quantized.shape, output_quant(), quantized)
    return write_model(path, [Tensor("images", (1, *input_hw, 3), input_quant())], [head])


def write_model(path: Path, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> Path:
    """Write a model whose outputs are constants."""
    path.write_bytes(model_bytes(inputs, outputs))
    return path


def model_bytes(inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> bytes:
    """Return a model file in which each output is a constant, reshaped to itself."""
    model = schema.ModelT()
    model.version = SCHEMA_VERSION
    model.description = "constants"
    # Buffer 0 is empty by convention: a tensor of it is computed.
    model.buffers = [schema.BufferT()]
    graph = schema.SubGraphT()
    graph.tensors, graph.operators = [], []
    graph.inputs = [_add_tensor(model, graph, tensor) for tensor in inputs]
    graph.outputs = [_add_constant_output(model, graph, tensor) for tensor in outputs]
    model.subgraphs = [graph]
    model.operatorCodes = [_reshape_code()]
    builder = flatbuffers.Builder(0)
    builder.Finish(model.Pack(builder), FILE_IDENTIFIER)
    return bytes(builder.Output())


def append_metadata(path: Path, text: str, member: str = "metadata.txt") -> None:
    """Append a zip archive with one text member, as the exporters do; without the time, so equal models are equal."""
    archive_bytes = io.BytesIO()
    with zipfile.ZipFile(archive_bytes, "w") as archive:
        archive.writestr(zipfile.ZipInfo(member), text)
    with path.open("ab") as file:
        file.write(archive_bytes.getvalue())


def _reshape_code() -> Any:
    code = schema.OperatorCodeT()
    code.deprecatedBuiltinCode = code.builtinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    return code


def _add_constant_output(model: Any, graph: Any, tensor: Tensor) -> int:
    constant = _add_tensor(model, graph, tensor)
    output = _add_tensor(
        model, graph, Tensor(f"{tensor.name}_out", tensor.shape, tensor.quant, None, tensor.channel_scales)
    )
    operator = schema.OperatorT()
    operator.opcodeIndex = 0
    operator.inputs, operator.outputs = [constant], [output]
    operator.builtinOptionsType = schema.BuiltinOptions.ReshapeOptions
    operator.builtinOptions = schema.ReshapeOptionsT()
    operator.builtinOptions.newShape = list(tensor.shape)
    graph.operators.append(operator)
    return output


def _add_tensor(model: Any, graph: Any, tensor: Tensor) -> int:
    record = schema.TensorT()
    record.name = tensor.name
    record.shape = list(tensor.shape)
    record.type = _TENSOR_TYPES[tensor.quant.dtype.name]
    record.quantization = _quantization(tensor)
    record.buffer = 0
    if tensor.values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.values).tobytes(), np.uint8)
        record.buffer = len(model.buffers)
        model.buffers.append(buffer)
    graph.tensors.append(record)
    return len(graph.tensors) - 1


def _quantization(tensor: Tensor) -> Any:
    if tensor.quant.is_float:
        return None
    quantization = schema.QuantizationParametersT()
    scales = list(tensor.channel_scales) or [tensor.quant.scale]
    quantization.scale = scales
    quantization.zeroPoint = [tensor.quant.zero_point] * len(scales)
    quantization.quantizedDimension = 1 if tensor.channel_scales else 0
    return quantization
