"""Move bytes over a serial port: with time limits, and so that another thread can stop it."""

from __future__ import annotations

import errno
import os
import select
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import serial

from yolov8_seg_ros.backends.n6.packets import GO_AHEAD
from yolov8_seg_ros.errors import LinkError, RunInterruptedError

#: Whoever waits looks this often whether it shall stop.
SLICE_S = 0.1
_READ_BYTES = 1 << 16
_BROKEN = select.POLLERR | select.POLLHUP | select.POLLNVAL


class SerialLine:
    """An open serial port: 8 data bits, no parity, one stop bit, no flow control, locked against other programs.

    Args:
        path: of the device.
        baud_rate: in bits a second.

    Attributes:
        stop: asked while waiting; when it says so, whatever waits raises RunInterruptedError.

    Raises:
        LinkError: if the port cannot be opened.
    """

    def __init__(self, path: str, baud_rate: int) -> None:
        self.path = path
        self.baud_rate = baud_rate
        self.stop: Callable[[], bool] = lambda: False
        self._port = _open(path, baud_rate)
        self._fd: int = self._port.fileno()
        self._readable = select.poll()
        self._readable.register(self._fd, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._fd, select.POLLOUT)

    def read(self, limit_s: float) -> bytes:
        """Give what has come, at least a byte; nothing if nothing comes within the limit.

        Raises:
            LinkError: if the port is gone.
            RunInterruptedError: if it shall stop.
        """
        deadline_s = time.monotonic() + limit_s
        while True:
            if self._wait(self._readable, deadline_s) and (received := self._read_available()):
                return received
            if time.monotonic() >= deadline_s:
                return b""

    def write(self, data: bytes, limit_s: float) -> None:
        """Hand over all of it to the port.

        Raises:
            LinkError: if the port is gone, or does not take it within the limit.
            RunInterruptedError: if it shall stop.
        """
        deadline_s = time.monotonic() + limit_s
        left = memoryview(data)
        while left:
            left = left[self._write_some(left) :]
            if left and not self._wait(self._writable, deadline_s):
                raise LinkError(f"{self.path}: the port takes no bytes, {len(left)} are left after {limit_s:g} s")

    def write_paced(self, packets: Sequence[bytes], stall_limit_s: float, limit_s: float) -> None:
        """Write packets, the second and each further one when the board has asked for it.

        Raises:
            LinkError: if the port is gone, the board does not ask within the limit, or sends something else.
            RunInterruptedError: if it shall stop.
        """
        # Thousands of turn-arounds a frame: this loop is what an upload costs the host.
        end_s = time.monotonic() + limit_s
        poll, stop = self._readable.poll, self.stop
        self.write(packets[0], stall_limit_s)
        for index in range(1, len(packets)):
            if stop() or not poll(SLICE_S * 1e3):
                self._wait_for_go_ahead(index, min(time.monotonic() + stall_limit_s, end_s))
            answer = self._read_available()
            if answer != GO_AHEAD:
                raise LinkError(
                    f"{self.path}: expected the board to ask for packet {index} of {len(packets)} by "
                    f"0x{GO_AHEAD.hex()}, got 0x{answer[:8].hex()}"
                )
            packet = packets[index]
            if self._write_some(packet) != len(packet):
                raise LinkError(f"{self.path}: the port does not take a packet of {len(packet)} bytes at once")
            if not index & 0xFF and time.monotonic() > end_s:
                raise LinkError(f"{self.path}: sending {len(packets)} packets takes longer than {limit_s:g} s")

    def drain(self, silence_s: float, limit_s: float) -> bytes:
        """Read until nothing has come for a while; give the beginning of what came.

        Raises:
            LinkError: if the port is gone, or something is still coming at the limit.
            RunInterruptedError: if it shall stop.
        """
        deadline_s = time.monotonic() + limit_s
        kept = b""
        while received := self.read(silence_s):
            kept = (kept + received)[:_READ_BYTES]
            if time.monotonic() > deadline_s:
                raise LinkError(
                    f"{self.path}: the line never falls silent (it begins with {kept[:24]!r}): "
                    "is this the board's port, and the baud rate the board's?"
                )
        return kept

    def discard(self) -> bytes:
        """Throw away what has come unasked; give it."""
        return self._read_available() if self._readable.poll(0) else b""

    def close(self) -> None:
        """Close the port."""
        # Bytes that a hanging device does not take would hold up closing for half a minute.
        with suppress(termios.error, OSError):
            termios.tcflush(self._fd, termios.TCIOFLUSH)
        with suppress(OSError):
            self._port.close()

    def _wait(self, poller: select.poll, deadline_s: float) -> bool:
        """Wait until the port is ready or broken; False where the deadline passes."""
        while True:
            if self.stop():
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
        """Give what is there; nothing where the port was ready for no reason."""
        try:
            received = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise LinkError(f"{self.path}: {_gone(error)}") from error
        if not received:
            raise LinkError(f"{self.path}: the port is gone; is the cable plugged in?")
        return received

    def _write_some(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise LinkError(f"{self.path}: {_gone(error)}") from error


def _gone(error: OSError) -> str:
    return f"the port is gone ({error.strerror}); is the cable plugged in?"


def _open(path: str, baud_rate: int) -> serial.Serial:
    try:
        port = serial.Serial(path, baud_rate, timeout=0, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        raise LinkError(f"{path}: {_why_closed(error)}") from error
    try:
        _prepare(port)
    except (termios.error, OSError) as error:
        port.close()
        raise LinkError(f"{path}: this is no serial port ({error})") from error
    return port


def _prepare(port: serial.Serial) -> None:
    settings = termios.tcgetattr(port.fileno())
    # Then reading nothing differs from reading from a port that is gone.
    settings[6][termios.VMIN] = 1
    termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
    # Many adapters hold bytes back for up to 16 ms otherwise; not every driver can be asked.
    with suppress(OSError, ValueError, NotImplementedError):
        port.set_low_latency_mode(True)


def _why_closed(error: Exception) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.ENOENT:
        return "there is no such port; is the board plugged in?"
    if number == errno.EACCES:
        return "no permission; add yourself to the group that owns it (dialout) and log in again"
    if number in (errno.EAGAIN, errno.EBUSY) or "lock" in str(error):
        return "the port is in use by another program; close that one first"
    return f"the port cannot be opened: {error}"
