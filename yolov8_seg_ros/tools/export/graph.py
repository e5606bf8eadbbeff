"""Follow the operators of a .tflite model from its outputs back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.tools.export.network import anchor_points

#: Operators that hand numbers on as they are.
_PASSING = ("CONCATENATION", "RESHAPE", "TRANSPOSE")
_OPERATOR_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


@dataclass(frozen=True)
class Tensor:
    """A tensor of the graph.

    Attributes:
        index: its place among the tensors.
        name: as the file has it.
        rank: number of its dimensions.
        values: of a constant.
    """

    index: int
    name: str
    rank: int
    values: NDArray[np.float32] | None


class Graph:
    """Which operator makes which tensor of a model, from what.

    Attributes:
        by_name: inputs and outputs by their names in the signature.
    """

    def __init__(self, model: bytes) -> None:
        content = schema.ModelT.InitFromPackedBuf(model, 0)
        self._tensors, self._buffers = content.subgraphs[0].tensors, content.buffers
        # Codes below 128 stand in the older field, which had but one byte.
        kinds = [_OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in content.operatorCodes]
        self._maker = {
            output: (kinds[operator.opcodeIndex], operator.inputs)
            for operator in content.subgraphs[0].operators
            for output in operator.outputs
        }
        input_hw = self._tensors[content.subgraphs[0].inputs[0]].shape[1:3]
        grids = [anchor_points(input_hw, stride).numpy() for stride in STRIDES_PX]
        self._anchor_grids = [np.sort(grid, axis=None) for grid in (*grids, np.concatenate(grids, axis=1))]
        [signature] = content.signatureDefs
        self.by_name = {
            entry.name.decode(): self._tensor(entry.tensorIndex) for entry in [*signature.inputs, *signature.outputs]
        }

    def handed_on(self, tensor: Tensor) -> list[Tensor]:
        """Give a tensor and all those whose numbers it only hands on: of one range, they are rounded but once."""
        kind, inputs = self.made_of(tensor)
        sources = inputs if kind in _PASSING else []
        return [tensor, *(each for source in sources for each in self.handed_on(source))]

    def is_anchor_grid(self, tensor: Tensor) -> bool:
        """Tell whether a tensor holds the anchor points of one stride, or of all."""
        if tensor.values is None:
            return False
        return any(
            grid.size == tensor.values.size and np.allclose(np.sort(tensor.values, axis=None), grid)
            for grid in self._anchor_grids
        )

    def made_of(self, tensor: Tensor) -> tuple[str, list[Tensor]]:
        """Give the operator that makes a tensor, and its inputs but for sizes and axes."""
        kind, inputs = self._maker.get(tensor.index, ("", []))
        numbers = [index for index in inputs if self._tensors[index].type == schema.TensorType.FLOAT32]
        return kind, [self._tensor(index) for index in numbers]

    def _tensor(self, index: int) -> Tensor:
        tensor = self._tensors[index]
        data = self._buffers[tensor.buffer].data
        is_constant = data is not None and len(data) and tensor.type == schema.TensorType.FLOAT32
        values = np.frombuffer(bytes(data), np.float32).reshape(tensor.shape) if is_constant else None
        return Tensor(index, tensor.name.decode(), len(tensor.shape), values)
