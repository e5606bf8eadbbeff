"""Read and write what leads to a board, with time limits and interruption: a serial port, or a TCP connection."""

from __future__ import annotations

import os
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from yolov8_seg_ros.errors import LinkError, RunInterruptedError

TCP_SCHEME = "tcp://"
#: Returns whether a transfer is to end now; called from the thread that reads or writes.
Stop = Callable[[], bool]
#: While waiting, `stop` is called this often.
SLICE_S = 0.1
_READ_BYTES = 1 << 16
_CONNECT_LIMIT_S = 3.0
_GONE_EVENTS = select.POLLHUP | select.POLLRDHUP | select.POLLERR | select.POLLNVAL


def never() -> bool:
    """Return False: a transfer that nobody interrupts."""
    return False


class Port(ABC):
    """An open port.

    Attributes:
        path: by which it was opened.
        baud_rate: in bits per second.
        has_baud_rate: whether bytes travel at that rate; False where they go as fast as they can.
        num_written: bytes that were written.
        num_read: bytes that were read.

    Args:
        path: by which it was opened.
        baud_rate: in bits per second.
        descriptor: of the open file, which does not block.
        stop: whatever waits raises RunInterruptedError as soon as this returns True.
    """

    has_baud_rate: bool = True

    def __init__(self, path: str, baud_rate: int, descriptor: int, stop: Stop) -> None:
        self.path = path
        self.baud_rate = baud_rate
        self.num_written = self.num_read = 0
        self._stop = stop
        self._fd = descriptor
        self._readable = select.poll()
        self._readable.register(self._fd, select.POLLIN | select.POLLRDHUP)
        self._writable = select.poll()
        self._writable.register(self._fd, select.POLLOUT)

    def __str__(self) -> str:
        return f"{self.path} at {self.baud_rate} baud" if self.has_baud_rate else self.path

    def read(self, limit_s: float) -> bytes:
        """Return what has come, at least one byte; nothing if nothing comes within the limit.

        Raises:
            LinkError: if the port is gone.
            RunInterruptedError: if `stop` returns True.
        """
        deadline_s = time.monotonic() + limit_s
        while True:
            if self._wait(self._readable, deadline_s) and (received := self._read_available()):
                return received
            if time.monotonic() >= deadline_s:
                return b""

    def write(self, data: bytes, limit_s: float) -> None:
        """Write all of the data.

        Raises:
            LinkError: if the port is gone, or does not take the data within the limit.
            RunInterruptedError: if `stop` returns True.
        """
        deadline_s = time.monotonic() + limit_s
        left = memoryview(data)
        while left:
            left = left[self._write_some(left) :]
            if left and not self._wait(self._writable, deadline_s):
                raise LinkError(f"{self.path}: the port takes no bytes, {len(left)} are left after {limit_s:g} s")

    def write_paced(self, packets: Sequence[bytes], go_ahead: bytes, stall_limit_s: float, limit_s: float) -> None:
        """Write packets: the first at once, each further one after the board has sent a go-ahead.

        Args:
            packets: at least one.
            go_ahead: what the board sends before each packet but the first.
            stall_limit_s: longest wait for one go-ahead, and for the port to take a packet.
            limit_s: longest time for all packets.

        Raises:
            LinkError: if the port is gone, a go-ahead does not come within the limit, or something else comes.
            RunInterruptedError: if `stop` returns True.
        """
        # This loop runs thousands of times per frame: it is what an upload costs the host.
        end_s = time.monotonic() + limit_s
        poll, stop = self._readable.poll, self._stop
        self.write(packets[0], stall_limit_s)
        for index in range(1, len(packets)):
            if stop() or not poll(SLICE_S * 1e3):
                self._wait_for_go_ahead(index, min(time.monotonic() + stall_limit_s, end_s))
            answer = self._read_available()
            if answer != go_ahead:
                raise LinkError(
                    f"{self.path}: expected the board to ask for packet {index} of {len(packets)} by "
                    f"0x{go_ahead.hex()}, got 0x{answer[:8].hex()}"
                )
            packet = packets[index]
            if self._write_some(packet) != len(packet):
                raise LinkError(f"{self.path}: the port does not take a packet of {len(packet)} bytes at once")
            if not index & 0xFF and time.monotonic() > end_s:
                raise LinkError(f"{self.path}: sending {len(packets)} packets takes longer than {limit_s:g} s")

    def is_gone(self) -> bool:
        """Return whether the cable was pulled, or the connection closed by the other side; without waiting."""
        return any(events & _GONE_EVENTS for _, events in self._readable.poll(0))

    def discard(self) -> bytes:
        """Return what has come so far, without waiting."""
        return self._read_available() if self._readable.poll(0) else b""

    @abstractmethod
    def close(self) -> None:
        """Close the port."""

    def _wait(self, poller: select.poll, deadline_s: float) -> bool:
        """Wait until the port is ready or broken; return False if the deadline passes first."""
        while True:
            if self._stop():
                raise RunInterruptedError("the transfer was interrupted")
            left_s = deadline_s - time.monotonic()
            if poller.poll(max(0.0, min(left_s, SLICE_S)) * 1e3):
                return True
            if left_s <= 0:
                return False

    def _wait_for_go_ahead(self, index: int, deadline_s: float) -> None:
        if not self._wait(self._readable, deadline_s):
            raise LinkError(f"{self.path}: the board has stopped asking for data, at packet {index}")

    def _read_available(self) -> bytes:
        """Return what is there; nothing if the port was ready for no reason."""
        try:
            received = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise LinkError(f"{self.path}: {_gone(error)}") from error
        if not received:
            raise LinkError(f"{self.path}: the port is gone; is the cable plugged in?")
        self.num_read += len(received)
        return received

    def _write_some(self, data: bytes | memoryview) -> int:
        try:
            written = os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise LinkError(f"{self.path}: {_gone(error)}") from error
        self.num_written += written
        return written


class TcpPort(Port):
    """A TCP connection to a board, or to what passes on its serial line.

    Args:
        path: `tcp://host:port`.
        baud_rate: of the serial line, where there is one.
        stop: whatever waits raises RunInterruptedError as soon as this returns True.

    Raises:
        LinkError: if there is nothing to connect to.
    """

    has_baud_rate = False

    def __init__(self, path: str, baud_rate: int, stop: Stop = never) -> None:
        self._socket = _connect(path)
        super().__init__(path, baud_rate, self._socket.fileno(), stop)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()


def _connect(path: str) -> socket.socket:
    host, _, number = path.removeprefix(TCP_SCHEME).rpartition(":")
    if not host or not number.isdecimal() or int(number) > 0xFFFF:
        raise LinkError(f"{path}: expected {TCP_SCHEME}HOST:PORT, such as {TCP_SCHEME}localhost:5000")
    try:
        connection = socket.create_connection((host.strip("[]"), int(number)), _CONNECT_LIMIT_S)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        raise LinkError(f"{path}: nothing answers there ({error.strerror or error})") from error
    connection.setblocking(False)
    return connection


def _gone(error: OSError) -> str:
    return f"the port is gone ({error.strerror}); is the cable plugged in?"
