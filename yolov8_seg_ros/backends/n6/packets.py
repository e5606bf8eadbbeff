"""Cut messages into packets and put them together again, without doing any input or output.

Each packet is a header and 32 bytes of payload. Towards the board a message begins with its length, and each packet
but the first waits for a go-ahead byte; towards the host the last packet carries a flag. A header of two bytes is
big-endian and has its flag in the first byte.
"""

from __future__ import annotations

import numpy as np

PAYLOAD_BYTES = 32
#: What the board sends when it wants the next packet.
GO_AHEAD = b"\xaa"
HEADER_SIZES = (1, 2)
#: Marks the last packet of a message towards the host; in the header's first byte.
LAST_FLAG = 0x80
#: No message of either side comes near this: whoever announces more is out of step.
MAX_MESSAGE_BYTES = 1 << 26
_VARINT_BITS = 7
_MAX_VARINT_BYTES = 5


class PacketError(ValueError):
    """Bytes that cannot be packets of a message: sender and receiver are out of step."""


def packet_bytes(header_size: int) -> int:
    """Give the size of a packet."""
    return header_size + PAYLOAD_BYTES


def host_packets(message: bytes, header_size: int = 1) -> list[bytes]:
    """Cut a message for the board: its length goes first, the rest of the last packet is zeros."""
    packed, count = _packed(_varint(len(message)) + message, header_size)
    size = packet_bytes(header_size)
    return [packed[start : start + size] for start in range(0, count * size, size)]


def board_packets(message: bytes, header_size: int = 1) -> bytes:
    """Cut a message for the host; one whose length is a multiple of the payload ends with an empty packet."""
    packed, count = _packed(message, header_size)
    last_bytes = len(message) % PAYLOAD_BYTES
    if last_bytes or not message:
        end = bytearray(packed)
        end[(count - 1) * packet_bytes(header_size)] |= LAST_FLAG
        return bytes(end)
    return packed + _header(LAST_FLAG, 0, header_size) + bytes(PAYLOAD_BYTES)


def _packed(message: bytes, header_size: int) -> tuple[bytes, int]:
    """Give packets without flags, and how many these are."""
    count = max(1, -(-len(message) // PAYLOAD_BYTES))
    packets = np.zeros((count, packet_bytes(header_size)), np.uint8)
    packets[:, header_size - 1] = PAYLOAD_BYTES
    packets[-1, header_size - 1] = len(message) - (count - 1) * PAYLOAD_BYTES
    padded = np.zeros(count * PAYLOAD_BYTES, np.uint8)
    padded[: len(message)] = np.frombuffer(message, np.uint8)
    packets[:, header_size:] = padded.reshape(count, PAYLOAD_BYTES)
    return packets.tobytes(), count


def _header(flag: int, num_bytes: int, header_size: int) -> bytes:
    return bytes([flag | num_bytes]) if header_size == 1 else bytes([flag, num_bytes])


def _varint(number: int) -> bytes:
    groups = []
    while number >= 1 << _VARINT_BITS:
        groups.append(number & 0x7F | 0x80)
        number >>= _VARINT_BITS
    return bytes([*groups, number])


class HostReceiver:
    """Put together what a board sends, however the bytes arrive.

    Args:
        header_size: 1 or 2 bytes.
    """

    def __init__(self, header_size: int = 1) -> None:
        self._header_size = header_size
        self._packet_bytes = packet_bytes(header_size)
        self.clear()

    def clear(self) -> None:
        """Forget what has come so far."""
        self._buffer = bytearray()
        self._searched = 0

    @property
    def pending(self) -> int:
        """Tell how many bytes wait for the rest of their message."""
        return len(self._buffer)

    def feed(self, received: bytes) -> None:
        """Take bytes off the line."""
        self._buffer += received

    def next_message(self) -> bytes | None:
        """Give the next whole message, or None while it is incomplete.

        Raises:
            PacketError: if what came cannot be a message; `clear` before going on.
        """
        size = self._packet_bytes
        complete = len(self._buffer) // size
        last = self._find_last(complete)
        if last is None:
            self._searched = complete
            if len(self._buffer) > MAX_MESSAGE_BYTES:
                raise PacketError(f"{len(self._buffer)} bytes have come without an end: this is no message")
            return None
        message = self._join(last)
        del self._buffer[: (last + 1) * size]
        self._searched = 0
        return message

    def _find_last(self, complete: int) -> int | None:
        """Give the index of the first packet with the flag among those not looked at yet."""
        size = self._packet_bytes
        flags = np.frombuffer(self._buffer[self._searched * size : complete * size : size], np.uint8)
        [found] = np.nonzero(flags & LAST_FLAG)
        return self._searched + int(found[0]) if len(found) else None

    def _join(self, last: int) -> bytes:
        size, header_size = self._packet_bytes, self._header_size
        header = bytes(self._buffer[last * size : last * size + header_size])
        last_bytes = int.from_bytes(header, "big") & ~(LAST_FLAG << 8 * (header_size - 1))
        if last_bytes >= PAYLOAD_BYTES:
            raise PacketError(f"the last packet's header is 0x{header.hex()}: it announces {last_bytes} bytes of 31")
        packets = np.frombuffer(bytes(self._buffer[: (last + 1) * size]), np.uint8).reshape(-1, size)
        payload = packets[:, header_size:].tobytes()
        return payload[: last * PAYLOAD_BYTES + last_bytes]


class BoardReceiver:
    """Put together what a host sends: packet by packet, since each one is asked for.

    Args:
        header_size: 1 or 2 bytes.
        max_bytes: of a message.
    """

    def __init__(self, header_size: int = 1, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._header_size = header_size
        self._max_bytes = max_bytes
        self._parts: list[bytes] = []
        self._have = 0
        self._wanted: int | None = None

    def take(self, packet: bytes) -> bytes | None:
        """Take one packet; give the message that it completes, or None where the next packet is to be asked for.

        What a packet holds beyond the message's end is dropped: each message starts in a packet of its own.

        Raises:
            PacketError: if the message announces an impossible length; the next packet starts anew.
        """
        num_bytes = min(int.from_bytes(packet[: self._header_size], "big") & 0x7F, PAYLOAD_BYTES)
        self._parts.append(packet[self._header_size : self._header_size + num_bytes])
        self._have += num_bytes
        if self._wanted is None:
            self._read_length()
        if self._wanted is None or self._have < self._wanted:
            return None
        message = b"".join(self._parts)[: self._wanted]
        self._restart()
        return message

    def _read_length(self) -> None:
        start = b"".join(self._parts)
        for index, byte in enumerate(start[:_MAX_VARINT_BYTES]):
            if not byte & 0x80:
                length = sum((start[i] & 0x7F) << _VARINT_BITS * i for i in range(index + 1))
                self._set_length(length, start[index + 1 :])
                return
        if len(start) >= _MAX_VARINT_BYTES:
            self._restart()
            raise PacketError("the message's length has no end")

    def _set_length(self, length: int, rest: bytes) -> None:
        if length > self._max_bytes:
            self._restart()
            raise PacketError(f"a message of {length} bytes is announced")
        self._parts, self._have, self._wanted = [rest], len(rest), length

    def _restart(self) -> None:
        self._parts, self._have, self._wanted = [], 0, None
