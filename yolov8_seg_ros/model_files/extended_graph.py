"""Replace operators of a .tflite graph by others, with new tensors and constants."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.model_files.flatbuffer import FlatBufferError, Table
from yolov8_seg_ros.model_files.flatbuffer_front import Content, Existing, NewTable, Number, put_in_front
from yolov8_seg_ros.model_files.tflite_graph import Graph, Operator
from yolov8_seg_ros.model_files.tflite_schema import (
    FILE_IDENTIFIER,
    BufferField,
    ModelField,
    Op,
    OperatorCodeField,
    OperatorField,
    OptionsType,
    QuantizationField,
    SubGraphField,
    TensorField,
)

_SCHEMA_VERSION = 3
_MAX_SIZE = (1 << 31) - 1


class ExtendedGraph(Graph):
    """The only graph of a .tflite file, and what is added to it.

    Numbers of tensors stay as they are. What is read of the graph is what the file has; additions show in `extended`.

    Raises:
        FlatBufferError: as `Graph`; also for operators with options of their own kind, which lie at fixed places.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        if any(operator.kind == Op.CUSTOM for operator in self.operators):
            raise FlatBufferError("the graph has custom operators")
        self._all_tensors: list[Table | NewTable] = [*self._tensors]
        self._all_codes: list[Table | NewTable] = [*self._codes]
        self._all_buffers: list[Table | NewTable] = [*self._buffers]
        # Many operators with one constant could make a small file large.
        self._bytes_left = len(data)
        self._replacements: dict[int, list[NewTable]] = {}

    def add_tensor(self, like: int, shape: Sequence[int]) -> int:
        """Return a new tensor that is computed: type and quantization as another one's, and a shape of its own."""
        return self._add_tensor(self._like(like, shape))

    def add_constant(self, like: int, values: NDArray[Any], repeats: int = 1) -> int:
        """Return a new constant, of type and quantization of another one.

        Args:
            like: the other one.
            values: quantized numbers of the other one's type.
            repeats: how often the other one's scales, one a channel along axis 0, are repeated.
        """
        self._bytes_left -= values.nbytes
        if self._bytes_left < 0:
            raise FlatBufferError("tables or vectors overlap")
        self._all_buffers.append(NewTable({BufferField.DATA: np.frombuffer(values.tobytes(), np.uint8)}))
        fields = self._like(like, values.shape) | {TensorField.BUFFER: Number(len(self._all_buffers) - 1, "<I")}
        old = self._tensors[like].table(TensorField.QUANTIZATION)
        if old is not None and len(old.array(QuantizationField.SCALE, "<f4")) > 1:
            fields[TensorField.QUANTIZATION] = NewTable(
                {
                    QuantizationField.SCALE: np.tile(old.array(QuantizationField.SCALE, "<f4"), repeats),
                    QuantizationField.ZERO_POINT: np.tile(old.array(QuantizationField.ZERO_POINT, "<i8"), repeats),
                    QuantizationField.AXIS: Number(0),
                }
            )
        return self._add_tensor(fields)

    def reshape(self, tensor: int, shape: Sequence[int]) -> None:
        """Change the shape of a tensor."""
        name = self._tensors[tensor].target(TensorField.NAME)
        fields = self._like(tensor, shape) | {TensorField.NAME: None if name is None else Existing(name)}
        self._all_tensors[tensor] = NewTable(fields)

    def scales(self, tensor: int) -> NDArray[np.float32]:
        """Return a tensor's scales, one or one a channel; none where it has none."""
        quantization = self._tensors[tensor].table(TensorField.QUANTIZATION)
        return np.empty(0, np.float32) if quantization is None else quantization.array(QuantizationField.SCALE, "<f4")

    def zero_points(self, tensor: int) -> NDArray[np.int64]:
        """Return a tensor's zero points, one or one a channel; none where it has none."""
        quantization = self._tensors[tensor].table(TensorField.QUANTIZATION)
        return (
            np.empty(0, np.int64) if quantization is None else quantization.array(QuantizationField.ZERO_POINT, "<i8")
        )

    def code_of(self, kind: int) -> int | None:
        """Return the index of the newest version of a kind of operators, of those in the file; None if it has none."""
        versions = {
            code.scalar(OperatorCodeField.VERSION, "<i", 1): index
            for index, code in enumerate(self._codes)
            if self._kind(code) == kind
        }
        return versions[max(versions)] if versions else None

    def add_code(self, kind: int, version: int) -> int:
        """Return the index of a new kind of operators, one of the first 127 in the schema."""
        self._all_codes.append(
            NewTable(
                {
                    OperatorCodeField.SHORT_BUILTIN: Number(kind, "<b"),
                    OperatorCodeField.VERSION: Number(version),
                    OperatorCodeField.BUILTIN: Number(kind),
                }
            )
        )
        return len(self._all_codes) - 1

    def replace(self, operator: Operator, new: Sequence[NewTable]) -> None:
        """Put other operators in the place of one of the file."""
        self._replacements[operator.table.position] = list(new)

    def extended(self) -> bytes:
        """Return the file with all changes; what nothing refers to any more stays in it."""
        kept = (ModelField.DESCRIPTION, ModelField.METADATA_BUFFER, ModelField.METADATA, ModelField.SIGNATURES)
        root: dict[int, Content] = {
            **{number: self._existing(self._model, number) for number in kept},
            ModelField.VERSION: Number(self._model.scalar(ModelField.VERSION, "<I", _SCHEMA_VERSION), "<I"),
            ModelField.OPERATOR_CODES: self._all_codes,
            ModelField.SUBGRAPHS: [self._extended_subgraph()],
            ModelField.BUFFERS: self._all_buffers,
        }
        content, moved = put_in_front(NewTable(root), FILE_IDENTIFIER, self.data)
        self._move_contents(content, moved)
        return bytes(content)

    def _extended_subgraph(self) -> NewTable:
        tables = [operator.table for operator in self.operators]
        operators = [new for table in tables for new in self._replacements.get(table.position, [table])]
        kept = (SubGraphField.INPUTS, SubGraphField.OUTPUTS, SubGraphField.NAME)
        return NewTable(
            {
                **{number: self._existing(self._subgraph, number) for number in kept},
                SubGraphField.TENSORS: self._all_tensors,
                SubGraphField.OPERATORS: operators,
            }
        )

    def _move_contents(self, content: bytearray, moved: int) -> None:
        # Constants behind the tables are found by their place in the file.
        for table in self._buffers:
            slot, start = table.slot(BufferField.OFFSET), table.scalar(BufferField.OFFSET, "<Q")
            if slot is not None and start > 1:
                struct.pack_into("<Q", content, moved + slot, moved + start)

    def _like(self, tensor: int, shape: Sequence[int]) -> dict[int, Content]:
        table = self._tensors[tensor]
        if max(shape, default=0) > _MAX_SIZE:
            raise FlatBufferError(f"a tensor would have the shape {shape}")
        return {
            TensorField.SHAPE: np.array(shape, "<i4"),
            TensorField.TYPE: Number(table.scalar(TensorField.TYPE, "<b"), "<b"),
            TensorField.QUANTIZATION: self._existing(table, TensorField.QUANTIZATION),
        }

    def _add_tensor(self, fields: dict[int, Content]) -> int:
        self._all_tensors.append(NewTable(fields))
        return len(self._all_tensors) - 1

    @staticmethod
    def _existing(table: Table, field: int) -> Existing | None:
        position = table.target(field)
        return None if position is None else Existing(position)


def new_operator(
    code: int, inputs: Sequence[int], output: int, options_type: OptionsType, options: Mapping[int, Number]
) -> NewTable:
    """Return an operator.

    Args:
        code: the index of its kind.
        inputs: indices of tensors.
        output: index of a tensor.
        options_type: which kind of options it has.
        options: by their numbers in the schema.
    """
    return NewTable(
        {
            OperatorField.CODE: Number(code, "<I"),
            OperatorField.INPUTS: np.array(inputs, "<i4"),
            OperatorField.OUTPUTS: np.array([output], "<i4"),
            OperatorField.OPTIONS_TYPE: Number(options_type, "<B"),
            OperatorField.OPTIONS: NewTable(options),
        }
    )
