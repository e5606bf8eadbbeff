"""Define fakes of models and backends, for tests that need neither a file nor a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.backend import BackendInfo, DetectingBackend, TensorBackend
from yolov8_seg_ros.core.model_spec import (
    HEAD_PARTS,
    PROTOTYPE_STRIDE_PX,
    STRIDES_PX,
    ModelSpec,
    TensorSpec,
    anchor_count,
)
from yolov8_seg_ros.core.network_instances import NetworkInstances
from yolov8_seg_ros.core.network_spec import NetworkSpec
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.quantization import QuantParams

INT8 = QuantParams(np.dtype("int8"), 0.02, -64)
UINT8 = QuantParams(np.dtype("uint8"), 0.02, 64)
FLOAT32 = QuantParams(np.dtype("float32"))
#: One step of quantized logits: ln(3) is 6 of them, and the logit of 0.9, which is ln(9), is 12.
LOGIT_STEP = float(np.log(3) / 6)
#: Logits from -35 to 11.
INT8_LOGITS = QuantParams(np.dtype("int8"), LOGIT_STEP, 64)
UINT8_LOGITS = QuantParams(np.dtype("uint8"), LOGIT_STEP, 192)
NETWORK_INPUT_QUANT = QuantParams(np.dtype("int8"), 1 / 255, -128)
#: How a level of a raw head lies in memory.
RAW_LAYOUTS = ("maps", "anchors-first", "channels-first")
#: Real numbers of a level of a raw head: boxes, scores and coefficients, each (channels, anchors).
RawLevel = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]


def network_input(input_hw: tuple[int, int]) -> TensorSpec:
    """Return an int8 input of that height and width in pixels."""
    return TensorSpec("images", (1, *input_hw, 3), NETWORK_INPUT_QUANT)


def prototypes_spec(input_hw: tuple[int, int], num_coefficients: int, quant: QuantParams = INT8) -> TensorSpec:
    """Return the prototypes' tensor of a network of that input."""
    rows, columns = (size // PROTOTYPE_STRIDE_PX for size in input_hw)
    return TensorSpec("prototypes", (1, rows, columns, num_coefficients), quant)


def make_spec(
    num_classes: int = 2,
    num_coefficients: int = 4,
    input_hw: tuple[int, int] = (64, 64),
    quant: QuantParams = INT8,
    channels_first: bool = True,
    prototypes_first: bool = False,
) -> ModelSpec:
    """Return the spec of a model with a decoded head in one output, quantized like the prototypes."""
    head = (4 + num_classes + num_coefficients, anchor_count(input_hw))
    outputs = [
        TensorSpec("head", (1, *(head if channels_first else head[::-1])), quant),
        prototypes_spec(input_hw, num_coefficients, quant),
    ]
    if prototypes_first:
        outputs.reverse()
    return ModelSpec.from_tensors([network_input(input_hw)], outputs)


def make_raw_spec(
    num_classes: int = 2,
    num_coefficients: int = 4,
    input_hw: tuple[int, int] = (64, 64),
    logits_quant: QuantParams = INT8_LOGITS,
    quant: QuantParams = INT8,
    box_bins: int = 16,
    layout: str = "maps",
) -> ModelSpec:
    """Return the spec of a model with a raw head.

    Args:
        num_classes: classes.
        num_coefficients: mask coefficients of an anchor.
        input_hw: height and width of the input in pixels, multiples of 32.
        logits_quant: of the box and class logits.
        quant: of the mask coefficients and the prototypes.
        box_bins: bins a side.
        layout: one of `RAW_LAYOUTS`.
    """
    counts = (4 * box_bins, num_classes, num_coefficients)
    outputs = [
        TensorSpec(f"{part}_{stride}", raw_shape(input_hw, stride, count, layout), part_quant)
        for stride in STRIDES_PX
        for part, count, part_quant in zip(HEAD_PARTS, counts, (logits_quant, logits_quant, quant), strict=True)
    ]
    outputs.append(prototypes_spec(input_hw, num_coefficients, quant))
    return ModelSpec.from_tensors([network_input(input_hw)], outputs)


def raw_shape(input_hw: tuple[int, int], stride: int, channels: int, layout: str) -> tuple[int, ...]:
    """Return the shape of an output of a raw head."""
    rows, columns = (size // stride for size in input_hw)
    return {
        "maps": (1, rows, columns, channels),
        "anchors-first": (1, rows * columns, channels),
        "channels-first": (1, channels, rows * columns),
    }[layout]


def stored_outputs(
    spec: ModelSpec, head: NDArray[Any], prototypes: NDArray[Any] | None = None
) -> tuple[NDArray[Any], ...]:
    """Return quantized outputs of a decoded head, of real numbers (channels, anchors) and (rows, columns, count)."""
    bounds = np.cumsum([4, len(spec.class_names)])
    return raw_outputs(spec, [tuple(np.split(head, bounds))], prototypes)  # type: ignore[list-item]


def raw_outputs(
    spec: ModelSpec, levels: Sequence[RawLevel], prototypes: NDArray[Any] | None = None
) -> tuple[NDArray[Any], ...]:
    """Return quantized outputs of a head of any layout.

    Args:
        spec: the model.
        levels: real numbers, one element a level.
        prototypes: real numbers (rows, columns, count); 0 where None.
    """
    outputs = tuple(np.zeros(tensor.shape, tensor.quant.dtype) for tensor in spec.outputs)
    for level, parts in zip(spec.levels, levels, strict=True):
        for name, real in zip(HEAD_PARTS, parts, strict=True):
            part = getattr(level, name)
            part.view(outputs)[...] = part.quant.quantize(real)
    quant = spec.prototypes.quant
    plane = outputs[spec.prototypes_index]
    plane[...] = quant.quantize(np.zeros(plane.shape) if prototypes is None else prototypes)
    return outputs


class FakeDetectingBackend(DetectingBackend):
    """A backend that finds the same instances each time and records what it is asked for."""

    info = BackendInfo("constants")

    def __init__(self, spec: NetworkSpec, found: NetworkInstances) -> None:
        self.spec = spec
        self.requests: list[tuple[DetectionOptions, bool]] = []
        self._found = found

    def detect(self, network_input: NDArray[Any], options: DetectionOptions, masks: bool) -> NetworkInstances:
        """Record the request; return the instances."""
        self.requests.append((options, masks))
        return self._found

    def close(self) -> None:
        """Do nothing."""


class FakeBackend(TensorBackend):
    """A backend that returns the same outputs each time and records its inputs."""

    info = BackendInfo("constants")

    def __init__(self, spec: ModelSpec, outputs: Sequence[NDArray[Any]]) -> None:
        self.spec = spec
        self.inputs: list[NDArray[Any]] = []
        self.closed = False
        self._outputs = outputs

    def run(self, network_input: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Record a copy of the input; return copies of the outputs."""
        self.inputs.append(network_input.copy())
        return tuple(output.copy() for output in self._outputs)

    def close(self) -> None:
        """Record that it was closed."""
        self.closed = True
