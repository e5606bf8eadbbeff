"""Read tables and vectors of a flatbuffer, and edit a copy of it in place.

Every position that is read lies inside the data, or FlatBufferError is raised. No schema package
is needed, since fields are named by their numbers in the schema.

Source: https://flatbuffers.dev/internals
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: More tables in one vector are taken for damage; the largest YOLOv8 network has some thousand tensors.
MAX_TABLES = 1 << 16
_OFFSET_BYTES = 4
_ALIGNMENT = 16


class FlatBufferError(Exception):
    """Data that are no flatbuffer, or a damaged one."""


@dataclass(frozen=True)
class Vector:
    """A vector of a flatbuffer.

    Attributes:
        position: of its first element in the data, in bytes; the element count lies in the four bytes before.
        length: number of elements.
    """

    position: int
    length: int


@dataclass(frozen=True)
class Table:
    """A table of a flatbuffer.

    Attributes:
        data: the whole flatbuffer.
        position: of the table in the data, in bytes.
    """

    data: bytes
    position: int

    def slot(self, field: int) -> int | None:
        """Return the position of a field's value or offset in the data; None where it is not stored."""
        vtable = self.position - self._read("<i", self.position)
        vtable_bytes = self._read("<H", vtable)
        entry = 4 + 2 * field
        if entry + 2 > vtable_bytes:
            return None
        offset = self._read("<H", vtable + entry)
        return self.position + offset if offset else None

    def scalar(self, field: int, form: str, default: Any = 0) -> Any:
        """Return a number, read as `struct` reads `form`; the schema's default where it is not stored."""
        slot = self.slot(field)
        return default if slot is None else self._read(form, slot)

    def table(self, field: int) -> Table | None:
        """Return the table that a field refers to; None where there is none."""
        position = self.target(field)
        return None if position is None else Table(self.data, position)

    def target(self, field: int) -> int | None:
        """Return the position of what a field refers to; None where there is nothing."""
        slot = self.slot(field)
        return None if slot is None else self._target(slot)

    def tables(self, field: int) -> list[Table]:
        """Return the tables of a vector of tables; none where there is no vector."""
        vector = self.vector(field, _OFFSET_BYTES)
        if vector is None:
            return []
        if vector.length > MAX_TABLES:
            raise FlatBufferError(f"a vector of {vector.length} tables")
        positions = range(vector.position, vector.position + _OFFSET_BYTES * vector.length, _OFFSET_BYTES)
        return [Table(self.data, self._target(position)) for position in positions]

    def array(self, field: int, dtype: str) -> NDArray[Any]:
        """Return a vector of numbers, read-only and not copied; empty where there is no vector."""
        kind = np.dtype(dtype)
        vector = self.vector(field, kind.itemsize)
        if vector is None:
            return np.empty(0, kind)
        return np.frombuffer(self.data, kind, vector.length, vector.position)

    def vector(self, field: int, item_bytes: int) -> Vector | None:
        """Return the place of a vector whose elements take `item_bytes` each; None where there is none."""
        slot = self.slot(field)
        if slot is None:
            return None
        position = self._target(slot)
        vector = Vector(position + 4, self._read("<I", position))
        if vector.position + vector.length * item_bytes > len(self.data):
            raise FlatBufferError(f"a vector of {vector.length} elements at byte {position} is longer than the file")
        return vector

    def _target(self, slot: int) -> int:
        offset: int = self._read("<I", slot)
        return slot + offset

    def _read(self, form: str, position: int) -> Any:
        if not 0 <= position <= len(self.data) - struct.calcsize(form):
            raise FlatBufferError(f"an offset leads to byte {position} of {len(self.data)}")
        return struct.unpack_from(form, self.data, position)[0]


def root_table(data: bytes) -> Table:
    """Return the table that a flatbuffer begins with."""
    # The first four bytes are an offset, like one in a table at byte 0.
    return Table(data, Table(data, 0)._target(0))


class Editor:
    """Changes to a flatbuffer; nothing moves, and what is new is inserted at one place behind all tables.

    What is removed from a vector stays in the file, but nothing refers to it.

    Args:
        data: the flatbuffer and what follows it.
        insert_at: where new vectors are put, in bytes.
    """

    def __init__(self, data: bytes, insert_at: int) -> None:
        self._data = data
        self._insert_at = insert_at
        self._new = bytearray(-insert_at % _ALIGNMENT)
        self._changes: dict[int, bytes] = {}

    def set_uint32(self, position: int, value: int) -> None:
        """Change the number at a position."""
        self._change(position, struct.pack("<I", value))

    def set_int32s(self, vector: Vector, values: Sequence[int]) -> None:
        """Change all numbers of a vector, which becomes shorter where there are fewer."""
        content = struct.pack(f"<I{len(values)}i", len(values), *values)
        self._change(vector.position - 4, content.ljust(4 + 4 * vector.length, b"\0"))

    def keep_tables(self, vector: Vector, tables: Sequence[Table]) -> None:
        """Shorten a vector of tables to some of them, in their order in the vector."""
        offsets = [table.position - (vector.position + _OFFSET_BYTES * k) for k, table in enumerate(tables)]
        content = struct.pack(f"<{len(offsets) + 1}I", len(offsets), *offsets)
        self._change(vector.position - 4, content.ljust(4 + _OFFSET_BYTES * vector.length, b"\0"))

    def refer_to_text(self, slot: int, text: str) -> None:
        """Set the field at `slot` to a new string."""
        content = text.encode()
        self._refer(slot, struct.pack("<I", len(content)) + content + b"\0")

    def refer_to_int32s(self, slot: int, values: Sequence[int]) -> None:
        """Set the field at `slot` to a new vector of numbers."""
        self._refer(slot, struct.pack(f"<I{len(values)}i", len(values), *values))

    def result(self) -> bytes:
        """Return the edited data.

        Raises:
            FlatBufferError: if two changes contradict each other, since tables or vectors lie on one another.
        """
        edited, end = bytearray(self._data), 0
        for position, content in sorted(self._changes.items()):
            if position < end or position + len(content) > self._insert_at:
                raise FlatBufferError("tables or vectors overlap")
            end = position + len(content)
            edited[position:end] = content
        edited[self._insert_at : self._insert_at] = self._new
        return bytes(edited)

    def _refer(self, slot: int, content: bytes) -> None:
        # Offsets only lead forwards.
        if slot > self._insert_at:
            raise FlatBufferError("a table lies in the archive behind the tables")
        self.set_uint32(slot, self._insert_at + len(self._new) - slot)
        self._new += content
        self._new += bytes(-len(self._new) % 4)

    def _change(self, position: int, content: bytes) -> None:
        if self._changes.setdefault(position, content) != content:
            raise FlatBufferError("tables or vectors overlap")
