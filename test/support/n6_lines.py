"""Serial lines for tests of the N6 backend: in memory, written down, and with faults."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any

from yolov8_seg_ros.backends.n6.port import Stop, never
from yolov8_seg_ros.backends.n6.simulator.line import LineClosed, PtyLine
from yolov8_seg_ros.errors import LinkError, RunInterruptedError


class MemoryLine:
    """A line in memory on which no time passes: a host's wait is over as soon as the board waits too.

    Attributes:
        num_held_timeouts: the board's bytes reach the host after so many of its waits have ended without a byte.
    """

    path = "memory"

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._to_board, self._to_host, self._held = bytearray(), bytearray(), bytearray()
        self._num_wanted: int | None = None
        self._is_closed = False
        self.num_held_timeouts = 0

    def read(self, num_bytes: int) -> bytes:
        with self._changed:
            self._num_wanted = num_bytes
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._is_closed or len(self._to_board) >= num_bytes)
            self._num_wanted = None
            if self._is_closed:
                raise LineClosed
            taken = bytes(self._to_board[:num_bytes])
            del self._to_board[:num_bytes]
            return taken

    def write(self, data: bytes) -> None:
        with self._changed:
            if self._is_closed:
                raise LineClosed
            (self._held if self.num_held_timeouts else self._to_host).extend(data)
            self._changed.notify_all()

    def discard(self) -> None:
        with self._changed:
            self._to_board.clear()

    def close(self) -> None:
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()

    def release(self) -> None:
        self.close()

    def host_read(self, stop: Stop) -> bytes:
        with self._changed:
            while not self._to_host and not self._is_board_waiting():
                self._raise_ended(stop)
                self._changed.wait(0.01)
            self._raise_ended(stop)
            received = bytes(self._to_host)
            self._to_host.clear()
            if not received and self.num_held_timeouts:
                self.num_held_timeouts -= 1
                if not self.num_held_timeouts:
                    self._to_host.extend(self._held)
                    self._held.clear()
            return received

    def host_write(self, data: bytes, stop: Stop) -> None:
        with self._changed:
            self._raise_ended(stop)
            self._to_board.extend(data)
            self._changed.notify_all()

    def host_discard(self) -> bytes:
        with self._changed:
            received = bytes(self._to_host)
            self._to_host.clear()
            return received

    def _is_board_waiting(self) -> bool:
        return self._num_wanted is not None and len(self._to_board) < self._num_wanted

    def _raise_ended(self, stop: Stop) -> None:
        if self._is_closed:
            raise LinkError("memory: the port is gone")
        if stop():
            raise RunInterruptedError("the transfer was interrupted")


class MemoryPort:
    """The host's end of a `MemoryLine`: what SerialPort is to a real one."""

    path = MemoryLine.path

    def __init__(self, line: MemoryLine, baud_rate: int = 921600, stop: Stop = never) -> None:
        self.baud_rate = baud_rate
        self._line = line
        self._stop = stop

    def read(self, limit_s: float) -> bytes:
        return self._line.host_read(self._stop)

    def write(self, data: bytes, limit_s: float) -> None:
        self._line.host_write(data, self._stop)

    def write_paced(self, packets: Sequence[bytes], go_ahead: bytes, stall_limit_s: float, limit_s: float) -> None:
        self.write(packets[0], limit_s)
        for packet in packets[1:]:
            answer = self.read(stall_limit_s)
            if answer != go_ahead:
                raise LinkError(f"memory: expected the board to ask for the next packet, got {answer[:8]!r}")
            self.write(packet, limit_s)

    def is_gone(self) -> bool:
        return False

    def discard(self) -> bytes:
        return self._line.host_discard()

    def close(self) -> None:
        self._line.host_discard()


class ScriptedPort:
    """A port at which the other end sends what is written down, once it is spoken to, and asks for every packet.

    Attributes:
        written: what the host has sent, packet by packet.
    """

    path, baud_rate = "scripted", 921600

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.written: list[bytes] = []

    def read(self, limit_s: float) -> bytes:
        return self.pieces.pop(0) if self.pieces and self.written else b""

    def discard(self) -> bytes:
        return b""

    def write(self, data: bytes, limit_s: float) -> None:
        self.written.append(data)

    def write_paced(self, packets: Sequence[bytes], go_ahead: bytes, stall_limit_s: float, limit_s: float) -> None:
        self.written += packets


class Faulty:
    """A line on which something happens once, after so many bytes both ways.

    Attributes:
        mute: whether what the board sends is lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fault: Callable[[Any], None] | None = None
        self._num_left = 0
        self.mute = False

    def arm(self, after_bytes: int, fault: Callable[[Any], None]) -> None:
        """Set what happens once the line has carried this many bytes more."""
        self._num_left = after_bytes
        self._fault = fault

    @property
    def armed(self) -> bool:
        """Return whether it has yet to happen."""
        return self._fault is not None

    def read(self, num_bytes: int) -> bytes:
        received = super().read(num_bytes)
        self._pass(num_bytes)
        return received

    def write(self, data: bytes) -> None:
        before = data[: self._num_left] if self.armed and self._num_left < len(data) else data
        if before and not self.mute:
            super().write(before)
        self._pass(len(before) or 1)
        if rest := data[len(before) :]:
            self.write(rest)

    def insert(self, data: bytes) -> None:
        """Send bytes that are not the board's."""
        super().write(data)

    def _pass(self, num_bytes: int) -> None:
        self._num_left -= num_bytes
        if self._fault is not None and self._num_left <= 0:
            fault, self._fault = self._fault, None
            fault(self)


class FaultyPtyLine(Faulty, PtyLine):
    pass


class FaultyMemoryLine(Faulty, MemoryLine):
    pass
