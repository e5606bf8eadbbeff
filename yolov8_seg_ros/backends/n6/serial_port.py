"""Find and open a serial port."""

from __future__ import annotations

import errno
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import serial
from serial.tools import list_ports

from yolov8_seg_ros.backends.n6.port import TCP_SCHEME, Port, Stop, TcpPort, never
from yolov8_seg_ros.errors import LinkError

ST_VENDOR_ID = 0x0483
#: USB products with a virtual COM port: ST-LINK/V2-1, V3 and V3PWR, with and without their other functions.
ST_LINK_PRODUCT_IDS = frozenset({0x374B, 0x374E, 0x374F, 0x3752, 0x3753, 0x3754, 0x3755, 0x3757})
#: USB vendor, product and name of this package's firmware, on the board's own USB port. Others use these numbers too.
BRIDGE_USB_ID, BRIDGE_USB_NAME = (0x1209, 0x0001), "N6 bridge"


def find_port(with_bridge: bool = False) -> str:
    """Return the path of the only board that is plugged in: its ST-LINK.

    Args:
        with_bridge: whether the USB port of a board with this package's firmware is preferred to an ST-LINK.

    Raises:
        LinkError: if there is none, or more than one.
    """
    ports = sorted(list_ports.comports(), key=lambda port: str(port.device))
    bridges = [port for port in ports if with_bridge and _is_bridge(port)]
    found = bridges or [port for port in ports if _is_st_link(port)]
    if len(found) == 1:
        return str(found[0].device)
    if found:
        kind = "boards" if bridges else "ST-LINKs"
        listed = ", ".join(f"{port.device} ({port.serial_number})" for port in found)
        raise LinkError(f"there are {len(found)} ports of {kind}: {listed}; set n6.port to one of them")
    others = ", ".join(f"{port.device} ({port.description})" for port in ports) or "none at all"
    raise LinkError(f"no ST-LINK is plugged in (serial ports: {others}); plug it in, or set n6.port")


def _is_st_link(port: Any) -> bool:
    return port.vid == ST_VENDOR_ID and port.pid in ST_LINK_PRODUCT_IDS


def _is_bridge(port: Any) -> bool:
    return (port.vid, port.pid) == BRIDGE_USB_ID and port.product == BRIDGE_USB_NAME


class SerialPort(Port):
    """An open serial port: 8 data bits, no parity, one stop bit, no flow control, locked against other programs.

    Args:
        path: of the device.
        baud_rate: in bits per second.
        stop: whatever waits raises RunInterruptedError as soon as this returns True.

    Raises:
        LinkError: if the port cannot be opened.
    """

    def __init__(self, path: str, baud_rate: int, stop: Stop = never) -> None:
        self._port = _open(path, baud_rate)
        super().__init__(path, baud_rate, self._port.fileno(), stop)
        # The board's own USB port has no line of that rate behind it.
        self.has_baud_rate = not any(_is_bridge(port) and _is_same(port.device, path) for port in list_ports.comports())

    def close(self) -> None:
        """Close the port."""
        # Bytes that a hanging device does not take would hold up closing for half a minute.
        with suppress(termios.error, OSError):
            termios.tcflush(self._fd, termios.TCIOFLUSH)
        with suppress(OSError):
            self._port.close()


def _is_same(device: str, path: str) -> bool:
    return Path(device).resolve() == Path(path).resolve()


def open_port(path: str, baud_rate: int, stop: Stop = never) -> Port:
    """Open a port by its path: of a serial device, or `tcp://host:port`.

    Raises:
        LinkError: if it cannot be opened.
    """
    kind = TcpPort if path.startswith(TCP_SCHEME) else SerialPort
    return kind(path, baud_rate, stop)


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
