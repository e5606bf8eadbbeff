"""Put new tables in front of a flatbuffer; they refer to each other and to what is in it.

Offsets only lead forwards, so the new root table, and all that refers to an old table, lies before it. The old bytes
stay as they are.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.model_files.flatbuffer import FlatBufferError, Table

_ALIGNMENT = 16


@dataclass(frozen=True)
class Number:
    """A number in a table, as `struct` writes `form`."""

    value: int
    form: str = "<i"


@dataclass(frozen=True)
class Existing:
    """A table, a vector or a string of the old flatbuffer, at a position in bytes."""

    position: int


@dataclass(frozen=True)
class NewTable:
    """A table to be written: the content of its fields, by their numbers.

    An array becomes a vector of its numbers, a sequence a vector of tables; what is None is not stored.
    """

    fields: Mapping[int, Content]


Content = Number | Existing | NewTable | NDArray[Any] | Sequence["Table | NewTable"] | None


def put_in_front(root: NewTable, identifier: bytes, data: bytes) -> tuple[bytearray, int]:
    """Return a flatbuffer with a new root table, and by how many bytes the old one has moved.

    Args:
        root: the new root table, with all new tables in it.
        identifier: of the file's kind, four bytes.
        data: the old flatbuffer, and what follows it.

    Raises:
        FlatBufferError: if the new tables refer to what lies behind the data.
    """
    front = _Front(root, identifier)
    return front.joined(data), len(front.content)


class _Front:
    """The new bytes: each table or vector before those that it refers to."""

    def __init__(self, root: NewTable, identifier: bytes) -> None:
        self.content = bytearray(bytes(4) + identifier)
        self._outward: dict[int, int] = {}
        self._refer(0, root)
        self._align()

    def joined(self, data: bytes) -> bytearray:
        """Return the new bytes and the old ones, which they refer to."""
        for slot, position in self._outward.items():
            if position >= len(data):
                raise FlatBufferError(f"an offset leads to byte {position} of {len(data)}")
            self._set(slot, "<I", len(self.content) + position - slot)
        return self.content + data

    def _refer(self, slot: int, content: Content | Table) -> None:
        """Write what the offset at `slot` refers to, and the offset."""
        if isinstance(content, Existing | Table):
            self._outward[slot] = content.position
        elif isinstance(content, NewTable):
            self._set(slot, "<I", self._table(content) - slot)
        elif isinstance(content, np.ndarray):
            self._set(slot, "<I", self._vector(len(content), content.tobytes()) - slot)
        elif isinstance(content, Sequence):
            vector = self._vector(len(content), bytes(4 * len(content)))
            self._set(slot, "<I", vector - slot)
            for number, table in enumerate(content):
                self._refer(vector + 4 + 4 * number, table)

    def _table(self, table: NewTable) -> int:
        """Append a table, each field in four bytes, behind its own vtable; return its position."""
        fields = {number: content for number, content in table.fields.items() if content is not None}
        offsets = [0] * (max(fields, default=-1) + 1)
        for index, number in enumerate(fields):
            offsets[number] = 4 + 4 * index
        vtable = self._append(struct.pack(f"<{2 + len(offsets)}H", 4 + 2 * len(offsets), 4 + 4 * len(fields), *offsets))
        position = self._append(bytes(4 + 4 * len(fields)))
        self._set(position, "<i", position - vtable)
        for number, content in fields.items():
            if isinstance(content, Number):
                self._set(position + offsets[number], content.form, content.value)
            else:
                self._refer(position + offsets[number], content)
        return position

    def _vector(self, length: int, elements: bytes) -> int:
        """Append a vector whose elements are aligned as those of a buffer are; return its position."""
        self._align(4)
        return self._append(struct.pack("<I", length) + elements)

    def _append(self, content: bytes) -> int:
        position = len(self.content)
        self.content += content
        self.content += bytes(-len(self.content) % 4)
        return position

    def _align(self, before: int = 0) -> None:
        self.content += bytes(-(len(self.content) + before) % _ALIGNMENT)

    def _set(self, position: int, form: str, value: int) -> None:
        struct.pack_into(form, self.content, position, value)
