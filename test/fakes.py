"""Stand in for models and backends, for tests that need neither a file nor a runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.model_spec import PROTOTYPE_STRIDE_PX, ModelSpec, TensorSpec, anchor_count
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.core.segmenter import Backend

INT8 = QuantParams(np.dtype("int8"), 0.02, -64)
UINT8 = QuantParams(np.dtype("uint8"), 0.02, 64)
FLOAT32 = QuantParams(np.dtype("float32"))


def make_spec(
    num_classes: int = 2,
    num_coefficients: int = 4,
    input_hw: tuple[int, int] = (64, 64),
    quant: QuantParams = INT8,
    channels_first: bool = True,
    prototypes_first: bool = False,
) -> ModelSpec:
    """Give the spec of a model with these properties, both of whose outputs are stored alike."""
    head = (4 + num_classes + num_coefficients, anchor_count(input_hw))
    rows, columns = (size // PROTOTYPE_STRIDE_PX for size in input_hw)
    outputs = [
        TensorSpec("head", (1, *(head if channels_first else head[::-1])), quant),
        TensorSpec("prototypes", (1, rows, columns, num_coefficients), quant),
    ]
    if prototypes_first:
        outputs.reverse()
    network_input = TensorSpec("images", (1, *input_hw, 3), QuantParams(np.dtype("int8"), 1 / 255, -128))
    return ModelSpec.from_tensors([network_input], outputs)


def stored_outputs(
    spec: ModelSpec, head: NDArray[Any], prototypes: NDArray[Any] | None = None
) -> tuple[NDArray[Any], ...]:
    """Give outputs as a backend would, of real numbers (channels, anchors) and (rows, columns, count)."""
    if prototypes is None:
        prototypes = np.zeros(spec.prototypes.shape[1:])
    stored = [spec.boxes.quant.quantize(head if spec.boxes.channels_first else head.T)[np.newaxis]]
    stored.insert(spec.prototypes_index, spec.prototypes.quant.quantize(prototypes)[np.newaxis])
    return tuple(stored)


class FakeBackend(Backend):
    """A backend that hands out the same outputs each time, and keeps what it was given."""

    description = "constants"
    reason = ""

    def __init__(self, spec: ModelSpec, outputs: Sequence[NDArray[Any]]) -> None:
        self.spec = spec
        self.inputs: list[NDArray[Any]] = []
        self.closed = False
        self._outputs = outputs

    def run(self, network_input: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Keep a copy of the input; give copies of the outputs."""
        self.inputs.append(network_input.copy())
        return tuple(output.copy() for output in self._outputs)

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True
