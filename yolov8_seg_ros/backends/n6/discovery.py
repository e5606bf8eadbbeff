"""Find the serial port of an ST-LINK, which boards with STM32 microcontrollers carry."""

from __future__ import annotations

from typing import Any

from serial.tools import list_ports

from yolov8_seg_ros.errors import LinkError

ST_VENDOR_ID = 0x0483
#: USB products with a virtual COM port: ST-LINK/V2-1, V3 and V3PWR, with and without their other functions.
ST_LINK_PRODUCT_IDS = frozenset({0x374B, 0x374E, 0x374F, 0x3752, 0x3753, 0x3754, 0x3755, 0x3757})


def find_port() -> str:
    """Give the device of the only ST-LINK that is plugged in.

    Raises:
        LinkError: if there is none, or more than one.
    """
    ports = sorted(list_ports.comports(), key=lambda port: str(port.device))
    found = [port for port in ports if _is_st_link(port)]
    if len(found) == 1:
        return str(found[0].device)
    if found:
        listed = ", ".join(f"{port.device} ({port.serial_number})" for port in found)
        raise LinkError(f"there are {len(found)} ports of ST-LINKs: {listed}; name one by serial_port")
    others = ", ".join(f"{port.device} ({port.description})" for port in ports) or "none at all"
    raise LinkError(f"no ST-LINK is plugged in (serial ports: {others}); plug it in, or name the port by serial_port")


def _is_st_link(port: Any) -> bool:
    return port.vid == ST_VENDOR_ID and port.pid in ST_LINK_PRODUCT_IDS
