"""Read the graph of a .tflite file, and cut off what a choice of outputs does not need.

Fields are named by their numbers in the schema.

Source: https://github.com/google-ai-edge/LiteRT/blob/main/tflite/converter/schema/schema.fbs
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.model_files.flatbuffer import Editor, FlatBufferError, Table, root_table
from yolov8_seg_ros.model_files.tflite_schema import (
    FILE_IDENTIFIER,
    BufferField,
    MetadataField,
    ModelField,
    OperatorCodeField,
    OperatorField,
    QuantizationField,
    SubGraphField,
    TensorField,
)

#: An input of an operator that is left out.
ABSENT = -1
_MAX_RANK = 8
_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 7: "<i2", 9: "i1"}
#: What `zipfile` raises for the ways in which an archive can be damaged.
_ARCHIVE_ERRORS = (zipfile.BadZipFile, NotImplementedError, ValueError, OSError, RuntimeError)


@dataclass(frozen=True)
class Operator:
    """An operator of a graph.

    Attributes:
        kind: its number in the schema's `BuiltinOperator`.
        inputs: indices of tensors; `ABSENT` where one is left out.
        outputs: indices of tensors.
        table: as the file has it.
    """

    kind: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    table: Table

    def option(self, field: int, form: str = "<i", default: Any = 0) -> Any:
        """Return a number of the operator's options, read as `struct` reads `form`."""
        options = self.table.table(OperatorField.OPTIONS)
        return default if options is None else options.scalar(field, form, default)


class Graph:
    """The only graph of a .tflite file.

    Args:
        data: the file's content.

    Attributes:
        inputs: indices of tensors.
        outputs: indices of tensors.
        operators: in the order in which they run.
        producers: for the index of each tensor that is computed, the operator that does so.

    Raises:
        FlatBufferError: if the file is no .tflite file, is damaged, or has not exactly one graph. Methods raise it too.
    """

    def __init__(self, data: bytes) -> None:
        if data[4:8] != FILE_IDENTIFIER:
            raise FlatBufferError("this is no .tflite file")
        self.data = data
        self._model = root_table(data)
        subgraphs = self._model.tables(ModelField.SUBGRAPHS)
        if len(subgraphs) != 1:
            raise FlatBufferError(f"the file has {len(subgraphs)} graphs, expected 1")
        [self._subgraph] = subgraphs
        self._tensors = self._subgraph.tables(SubGraphField.TENSORS)
        self._codes = self._model.tables(ModelField.OPERATOR_CODES)
        self._buffers = self._model.tables(ModelField.BUFFERS)
        # Vectors that lie on one another could make a small file take long.
        self._indices_left = len(data) // 4
        self.inputs = self._tensor_indices(self._subgraph, SubGraphField.INPUTS)
        self.outputs = self._tensor_indices(self._subgraph, SubGraphField.OUTPUTS)
        kinds = [self._kind(code) for code in self._codes]
        self.operators = [self._operator(table, kinds) for table in self._subgraph.tables(SubGraphField.OPERATORS)]
        self.producers = {tensor: operator for operator in self.operators for tensor in operator.outputs}

    def shape(self, tensor: int) -> tuple[int, ...]:
        """Return a tensor's shape; a scalar's is empty."""
        shape = self._tensors[tensor].array(TensorField.SHAPE, "<i4")
        if len(shape) > _MAX_RANK or (shape < 1).any():
            raise FlatBufferError(f"tensor {tensor} has a shape of {len(shape)} sizes, {shape[:_MAX_RANK].tolist()}")
        return tuple(shape.tolist())

    def name(self, tensor: int) -> str:
        """Return a tensor's name; empty where it has none."""
        return self._tensors[tensor].array(TensorField.NAME, "u1").tobytes().decode("utf-8", "replace")

    def dtype(self, tensor: int) -> np.dtype[Any]:
        """Return a tensor's type of numbers."""
        number = self._tensors[tensor].scalar(TensorField.TYPE, "<b")
        if number not in _DTYPES:
            raise FlatBufferError(f"tensor {tensor} is of type {number}, expected one of {sorted(_DTYPES)}")
        return np.dtype(_DTYPES[number])

    def quantization(self, tensor: int) -> tuple[float, int] | None:
        """Return scale and zero point of a tensor that has one of each; else None."""
        quantization = self._tensors[tensor].table(TensorField.QUANTIZATION)
        if quantization is None:
            return None
        scales = quantization.array(QuantizationField.SCALE, "<f4")
        zero_points = quantization.array(QuantizationField.ZERO_POINT, "<i8")
        return (float(scales[0]), int(zero_points[0])) if len(scales) == len(zero_points) == 1 else None

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """Return the quantized numbers of a constant tensor, in its shape; None for one that is computed or given."""
        if tensor == ABSENT or tensor in self.producers or tensor in self.inputs:
            return None
        content = self._content(self._buffer_index(self._tensors[tensor]))
        shape, dtype = self.shape(tensor), self.dtype(tensor)
        if len(content) == 0:
            return None
        if len(content) != math.prod(shape) * dtype.itemsize:
            raise FlatBufferError(f"constant tensor {tensor} has {len(content)} bytes, expected {shape} of {dtype}")
        return np.frombuffer(content, dtype).reshape(shape)

    def replace_inputs(self, operator: Operator, inputs: Sequence[int]) -> None:
        """Make an operator of the graph read these tensors, no more than before; `cut` writes it so."""
        if len(inputs) > len(operator.inputs):
            raise ValueError(f"{len(inputs)} inputs in the place of {len(operator.inputs)}")
        changed = replace(operator, inputs=tuple(inputs))
        self.operators[self.operators.index(operator)] = changed
        self.producers.update(dict.fromkeys(operator.outputs, changed))

    def cut(self, outputs: Mapping[str, int]) -> bytes:
        """Return a file whose outputs are other tensors of the graph, without what they do not need.

        Operators, tensors, buffers and operator codes are removed and those left are numbered anew; signatures are
        removed, since they name the old outputs. All else keeps its bytes: weights, and an archive at the end.

        Args:
            outputs: a new name for each tensor that becomes an output, in the order of the outputs.
        """
        operators = self._needed_operators(outputs.values())
        used = {tensor for operator in operators for tensor in self._tensors_of(operator)}
        tensors = sorted(used.union(self.inputs, outputs.values()))
        editor = Editor(self.data, self._end_of_tables())
        new_tensors = {old: new for new, old in enumerate(tensors)}
        self._keep(editor, self._subgraph, SubGraphField.TENSORS, self._tensors, tensors)
        self._renumber_operators(editor, operators, new_tensors)
        self._renumber_buffers(editor, tensors)
        self._replace(editor, self._subgraph, SubGraphField.INPUTS, new_tensors)
        editor.refer_to_int32s(
            self._slot(self._subgraph, SubGraphField.OUTPUTS), [new_tensors[tensor] for tensor in outputs.values()]
        )
        for name, tensor in outputs.items():
            editor.refer_to_text(self._slot(self._tensors[tensor], TensorField.NAME), name)
        self._keep(editor, self._model, ModelField.SIGNATURES, [], [])
        return editor.result()

    def _operator(self, table: Table, kinds: Sequence[int]) -> Operator:
        code = table.scalar(OperatorField.CODE, "<I")
        if code >= len(kinds):
            raise FlatBufferError(f"an operator has code {code} of {len(kinds)}")
        inputs = self._tensor_indices(table, OperatorField.INPUTS, lowest=ABSENT)
        return Operator(kinds[code], inputs, self._tensor_indices(table, OperatorField.OUTPUTS), table)

    @staticmethod
    def _kind(code: Table) -> int:
        # The older field has no room for newer operators.
        return max(code.scalar(OperatorCodeField.SHORT_BUILTIN, "<b"), code.scalar(OperatorCodeField.BUILTIN, "<i"))

    def _tensor_indices(self, table: Table, field: int, lowest: int = 0) -> tuple[int, ...]:
        indices = table.array(field, "<i4")
        self._indices_left -= len(indices)
        if self._indices_left < 0:
            raise FlatBufferError("tables or vectors overlap")
        if len(indices) and not (lowest <= indices.min() and indices.max() < len(self._tensors)):
            raise FlatBufferError(f"a tensor of number {indices.max()} or {indices.min()}, of {len(self._tensors)}")
        return tuple(indices.tolist())

    def _tensors_of(self, operator: Operator) -> set[int]:
        intermediates = operator.table.array(OperatorField.INTERMEDIATES, "<i4").tolist()
        if any(not ABSENT <= tensor < len(self._tensors) for tensor in intermediates):
            raise FlatBufferError("an operator's intermediate tensor does not exist")
        return {*operator.inputs, *operator.outputs, *intermediates} - {ABSENT}

    def _buffer_index(self, table: Table, field: int = TensorField.BUFFER) -> int:
        index: int = table.scalar(field, "<I")
        if index >= len(self._buffers):
            raise FlatBufferError(f"a buffer of number {index}, of {len(self._buffers)}")
        return index

    def _content(self, buffer: int) -> bytes | memoryview:
        table = self._buffers[buffer]
        start, size = table.scalar(BufferField.OFFSET, "<Q"), table.scalar(BufferField.SIZE, "<Q")
        # Offsets 0 and 1 say that the data are in the table.
        if start > 1:
            if start + size > len(self.data):
                raise FlatBufferError(f"buffer {buffer} ends behind the file")
            return memoryview(self.data)[start : start + size]
        return table.array(BufferField.DATA, "u1").data

    def _needed_operators(self, outputs: Iterable[int]) -> list[Operator]:
        """Return what computes the outputs, in the order of the graph."""
        needed: set[int] = set()
        left = list(outputs)
        while left:
            operator = self.producers.get(left.pop())
            if operator is not None and operator.table.position not in needed:
                needed.add(operator.table.position)
                left += operator.inputs
        return [operator for operator in self.operators if operator.table.position in needed]

    def _renumber_operators(self, editor: Editor, operators: Sequence[Operator], new_tensors: dict[int, int]) -> None:
        codes = sorted({operator.table.scalar(OperatorField.CODE, "<I") for operator in operators})
        new_codes = {old: new for new, old in enumerate(codes)}
        self._keep(editor, self._model, ModelField.OPERATOR_CODES, self._codes, codes)
        tables = [operator.table for operator in operators]
        self._keep(editor, self._subgraph, SubGraphField.OPERATORS, tables, range(len(tables)))
        for operator, table in zip(operators, tables, strict=True):
            self._renumber(editor, table, OperatorField.CODE, new_codes)
            self._replace(editor, table, OperatorField.INPUTS, new_tensors, operator.inputs)
            for field in (OperatorField.OUTPUTS, OperatorField.INTERMEDIATES):
                self._replace(editor, table, field, new_tensors)

    def _renumber_buffers(self, editor: Editor, tensors: Sequence[int]) -> None:
        metadata = self._model.tables(ModelField.METADATA)
        users = [(self._tensors[tensor], int(TensorField.BUFFER)) for tensor in tensors]
        users += [(entry, int(MetadataField.BUFFER)) for entry in metadata]
        used = {self._buffer_index(table, field) for table, field in users}
        used.update(self._model.array(ModelField.METADATA_BUFFER, "<i4").tolist())
        dropped = {self._buffer_index(table) for table in self._tensors} - used
        # Buffer 0 is empty by convention.
        kept = [index for index in range(len(self._buffers)) if index == 0 or index not in dropped]
        new_buffers = {old: new for new, old in enumerate(kept)}
        self._keep(editor, self._model, ModelField.BUFFERS, self._buffers, kept)
        self._replace(editor, self._model, ModelField.METADATA_BUFFER, new_buffers)
        for table, field in users:
            self._renumber(editor, table, field, new_buffers)

    @staticmethod
    def _renumber(editor: Editor, table: Table, field: int, new: Mapping[int, int]) -> None:
        # Where the field is not stored it is 0, which stays 0: numbers are only closed up.
        slot = table.slot(field)
        if slot is not None:
            editor.set_uint32(slot, new[table.scalar(field, "<I")])

    @staticmethod
    def _replace(
        editor: Editor, table: Table, field: int, new: Mapping[int, int], numbers: Sequence[int] | None = None
    ) -> None:
        """Number anew what a field holds, or these numbers in its place."""
        vector = table.vector(field, 4)
        if vector is not None:
            numbers = table.array(field, "<i4").tolist() if numbers is None else numbers
            editor.set_int32s(vector, [new.get(number, ABSENT) for number in numbers])

    @staticmethod
    def _keep(editor: Editor, table: Table, field: int, tables: Sequence[Table], indices: Iterable[int]) -> None:
        vector = table.vector(field, 4)
        if vector is not None:
            editor.keep_tables(vector, [tables[index] for index in indices])

    @staticmethod
    def _slot(table: Table, field: int) -> int:
        slot = table.slot(field)
        if slot is None:
            raise FlatBufferError("a tensor has no name, or the graph no outputs")
        return slot

    def _end_of_tables(self) -> int:
        """Return where an archive behind the tables begins, in bytes; else where the file ends."""
        try:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                start = min((member.header_offset for member in archive.infolist()), default=len(self.data))
        except _ARCHIVE_ERRORS:
            return len(self.data)
        if not 0 <= start <= len(self.data):
            raise FlatBufferError("the archive at the end of the file is damaged")
        return start
