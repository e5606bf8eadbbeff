"""Find and open a serial port; read and write it with time limits and interruption."""

from __future__ import annotations

import errno
import os
import select
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import serial
from serial.tools import list_ports

from yolov8_seg_ros.errors import LinkError, RunInterruptedError

ST_VENDOR_ID = 0x0483
#: USB products with a virtual COM port: ST-LINK/V2-1, V3 and V3PWR, with and without their other functions.
ST_LINK_PRODUCT_IDS = frozenset({0x374B, 0x374E, 0x374F, 0x3752, 0x3753, 0x3754, 0x3755, 0x3757})
#: Returns whether a transfer is to end now; called from the thread that reads or writes.
Stop = Callable[[], bool]
#: While waiting, `stop` is called this often.
SLICE_S = 0.1
_READ_BYTES = 1 << 16


def find_port() -> str:
    """Return the path of the only ST-LINK that is plugged in.

    Raises:
        LinkError: if there is none, or more than one.
    """
    ports = sorted(list_ports.comports(), key=lambda port: str(port.device))
    found = [port for port in ports if _is_st_link(port)]
    if len(found) == 1:
        return str(found[0].device)
    if found:
        listed = ", ".join(f"{port.device} ({port.serial_number})" for port in found)
        raise LinkError(f"there are {len(found)} ports of ST-LINKs: {listed}; set n6.port to one of them")
    others = ", ".join(f"{port.device} ({port.description})" for port in ports) or "none at all"
    raise LinkError(f"no ST-LINK is plugged in (serial ports: {others}); plug it in, or set n6.port")


def _is_st_link(port: Any) -> bool:
    return port.vid == ST_VENDOR_ID and port.pid in ST_LINK_PRODUCT_IDS


def never() -> bool:
    """Return False: a transfer that nobody interrupts."""
    return False


class SerialPort:
    """An open serial port: 8 data bits, no parity, one stop bit, no flow control, locked against other programs.

    Args:
        path: of the device.
        baud_rate: in bits per second.
        stop: whatever waits raises RunInterruptedError as soon as this returns True.

    Raises:
        LinkError: if the port cannot be opened.
    """

    def __init__(self, path: str, baud_rate: int, stop: Stop = never) -> None:
        self.path = path
        self.baud_rate = baud_rate
        self._stop = stop
        self._port = _open(path, baud_rate)
        self._fd: int = self._port.fileno()
        self._readable = select.poll()
        self._readable.register(self._fd, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._fd, select.POLLOUT)

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

    def discard(self) -> bytes:
        """Return what has come so far, without waiting."""
        return self._read_available() if self._readable.poll(0) else b""

    def close(self) -> None:
        """Close the port."""
        # Bytes that a hanging device does not take would hold up closing for half a minute.
        with suppress(termios.error, OSError):
            termios.tcflush(self._fd, termios.TCIOFLUSH)
        with suppress(OSError):
            self._port.close()

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
        _configure(port)
    except (termios.error, OSError) as error:
        port.close()
        raise LinkError(f"{path}: this is not a serial port ({error})") from error
    return port


def _configure(port: serial.Serial) -> None:
    settings = termios.tcgetattr(port.fileno())
    # Then reading nothing differs from reading from a port that is gone.
    settings[6][termios.VMIN] = 1
    termios.tcsetattr(port.fileno(), termios.TCSANOW, settings)
    # Otherwise many adapters keep bytes back for up to 16 ms; some drivers do not have this setting.
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
