"""Build and find the packets of the bridge protocol, which docs/n6_bridge_protocol.md defines byte by byte."""

from __future__ import annotations

import binascii
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

SYNC = b"\xc5\x6e"
_HEADER = struct.Struct("<2sBBHHIH")
HEADER_BYTES = _HEADER.size
CHUNK_BYTES = 8192
_CHECKSUM = struct.Struct("<I")
#: Longest payload of a packet that carries an image, a result or a model, and of any other.
_MAX_LONG_BYTES, _MAX_SHORT_TO_BOARD_BYTES, _MAX_SHORT_TO_HOST_BYTES = 1 << 24, 16_384, 2048
#: After so long without a byte, the rest of a packet does not come any more.
GAP_S = 0.05
#: A sequence number may be ahead by so many lost packets; one that is further ahead is an old one.
_MAX_AHEAD = 1023
_SEQUENCE_MODULUS = 1 << 16
_FROM_BOARD = 0x80


class PacketType(IntEnum):
    """Types of packets; those from 0x80 on are the board's."""

    HELLO = 0x01
    DESCRIBE = 0x02
    CONFIGURE = 0x03
    PICTURE = 0x04
    PING = 0x05
    WELCOME = 0x81
    MODEL = 0x82
    CONFIGURED = 0x83
    RESULT = 0x84
    PONG = 0x85
    CREDIT = 0x86
    ERROR = 0x87


_LONG_TYPES = frozenset({PacketType.PICTURE, PacketType.RESULT, PacketType.MODEL})


@dataclass(frozen=True)
class Packet:
    """A packet whose checksums are right.

    Attributes:
        type: one of `PacketType`, or an unknown one.
        session: 1 to 65535.
        sequence: 0 to 65535.
        payload: without checksums.
    """

    type: int
    session: int
    sequence: int
    payload: bytes = b""

    def to_bytes(self) -> bytes:
        """Return the packet as it travels."""
        header = _HEADER.pack(SYNC, self.type, 0, self.session, self.sequence, len(self.payload), 0)[:-2]
        header += struct.pack("<H", crc16(header))
        return b"".join((header, *_chunks(header, self.payload)))


def crc16(data: bytes | bytearray) -> int:
    """Return the checksum of a header: CRC-16/IBM-3740."""
    return binascii.crc_hqx(data, 0xFFFF)


def num_line_bytes(payload_bytes: int) -> int:
    """Return the bytes that a packet with so long a payload has on the line."""
    return HEADER_BYTES + payload_bytes + _CHECKSUM.size * -(-payload_bytes // CHUNK_BYTES)


def _chunks(header: bytes, payload: bytes) -> Iterator[bytes | memoryview]:
    """Return the payload's chunks, each followed by its checksum, which covers all before it."""
    checksum, view = zlib.crc32(header), memoryview(payload)
    for start in range(0, len(payload), CHUNK_BYTES):
        chunk = view[start : start + CHUNK_BYTES]
        checksum = zlib.crc32(chunk, checksum)
        yield chunk
        yield _CHECKSUM.pack(checksum)


class Receiver:
    """Finder of packets in what comes off a line, however the bytes arrive, and whatever was lost or damaged.

    Args:
        from_board: whether the board's packets are searched for, or those of a host.
    """

    def __init__(self, from_board: bool = True) -> None:
        self._from_board = from_board
        self._buffer = bytearray()
        self._header: tuple[int, int, int, int] | None = None
        #: Of the packet at the start of the buffer, so many bytes are checked, and this is their checksum.
        self._num_checked, self._checksum = 0, 0
        self.num_damaged = 0

    @property
    def is_amid_packet(self) -> bool:
        """Return whether the rest of a packet, or of what may be one, is expected."""
        return bool(self._buffer)

    def feed(self, received: bytes) -> list[Packet]:
        """Add bytes off the line; return the packets that they complete."""
        self._buffer += received
        packets = []
        while (packet := self._next()) is not None:
            packets.append(packet)
        return packets

    def give_up(self) -> list[Packet]:
        """Drop the packet of which nothing has come for `GAP_S`; return those that were found behind its start."""
        packets = []
        if self._header is not None:
            self._drop_damaged()
            packets = self.feed(b"")
        if self._header is None:
            # Of a header that nothing has come of either, so that no other one begins in it.
            self._buffer.clear()
        return packets

    def _next(self) -> Packet | None:
        while self._header is not None or self._find_header():
            if not self._check_chunks():
                return None
            if self._header is not None:
                return self._take()
        return None

    def _find_header(self) -> bool:
        """Find a header and drop what is before it; return False where more bytes are needed for one."""
        buffer = self._buffer
        start = 0
        while True:
            start = buffer.find(SYNC, start)
            if start < 0:
                # The last byte may be the first one of the next header.
                start = len(buffer) - (buffer[-1:] == SYNC[:1])
                break
            if len(buffer) - start < HEADER_BYTES or self._read_header(buffer[start : start + HEADER_BYTES]):
                break
            start += 1
        del buffer[:start]
        return self._header is not None

    def _read_header(self, data: bytearray) -> bool:
        """Return whether these are a valid header, and keep its fields."""
        _, kind, flags, session, sequence, length, checksum = _HEADER.unpack(data)
        is_valid = (
            crc16(data[:-2]) == checksum
            and flags == 0
            and session != 0
            and kind not in (0, _FROM_BOARD)
            and (kind > _FROM_BOARD) == self._from_board
            and length <= self._max_bytes(kind)
        )
        if is_valid:
            self._header = (kind, session, sequence, length)
            self._num_checked, self._checksum = HEADER_BYTES, zlib.crc32(data)
        return is_valid

    def _max_bytes(self, kind: int) -> int:
        if kind in _LONG_TYPES:
            return _MAX_LONG_BYTES
        return _MAX_SHORT_TO_HOST_BYTES if self._from_board else _MAX_SHORT_TO_BOARD_BYTES

    def _check_chunks(self) -> bool:
        """Check the chunks that have come; return False where more bytes are needed.

        Where one is damaged the packet is dropped, and the buffer begins with that chunk.
        """
        assert self._header is not None
        end = num_line_bytes(self._header[3])
        while self._num_checked < end:
            chunk_end = min(self._num_checked + CHUNK_BYTES, end - _CHECKSUM.size)
            if len(self._buffer) < chunk_end + _CHECKSUM.size:
                return False
            with memoryview(self._buffer) as view:
                checksum = zlib.crc32(view[self._num_checked : chunk_end], self._checksum)
            if _CHECKSUM.unpack_from(self._buffer, chunk_end)[0] != checksum:
                self._drop_damaged()
                return True
            self._num_checked, self._checksum = chunk_end + _CHECKSUM.size, checksum
        return True

    def _drop_damaged(self) -> None:
        del self._buffer[: self._num_checked]
        self._header = None
        self.num_damaged += 1

    def _take(self) -> Packet:
        """Return the packet at the start of the buffer, all of whose chunks are right."""
        assert self._header is not None
        kind, session, sequence, _ = self._header
        step = CHUNK_BYTES + _CHECKSUM.size
        with memoryview(self._buffer)[: self._num_checked] as view:
            starts = range(HEADER_BYTES, self._num_checked, step)
            payload = b"".join(view[start : min(start + step, self._num_checked) - _CHECKSUM.size] for start in starts)
        del self._buffer[: self._num_checked]
        self._header = None
        return Packet(kind, session, sequence, payload)


class SequenceCheck:
    """Distinction of repeated and overtaken packets of one session from those that follow, of which some may be lost.

    Args:
        expected: number of the next packet.
    """

    def __init__(self, expected: int = 0) -> None:
        self._expected = expected
        self.num_lost = 0

    def accept(self, sequence: int) -> bool:
        """Return whether the packet follows the last one that was accepted."""
        ahead = (sequence - self._expected) % _SEQUENCE_MODULUS
        if ahead > _MAX_AHEAD:
            return False
        self.num_lost += ahead
        self._expected = next_sequence(sequence)
        return True


def next_sequence(sequence: int) -> int:
    """Return the number of the packet after this one."""
    return (sequence + 1) % _SEQUENCE_MODULUS
