"""Run the network on an STM32N6 board behind a serial port, and simulate such a board.

Importing this package needs neither pyserial nor protobuf; its modules do.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Protocols that a board may speak; the first is the default, and finds out which of the others the board speaks.
N6_PROTOCOLS = ("auto", "bridge", "stedgeai")


@dataclass(frozen=True)
class N6Options:
    """Port, baud rate and protocol of an STM32N6 board.

    Attributes:
        port: path of the serial device, or `tcp://host:port`; empty: the only board that is plugged in.
        baud_rate: in bits per second, tried before the usual rates; 0: only the usual rates.
        protocol: one of `N6_PROTOCOLS`.
        jpeg_quality: of images on their way to a board with the bridge firmware, 1 to 100; 0: raw; -1: raw where the
            line is fast.
    """

    port: str = ""
    baud_rate: int = 0
    protocol: str = N6_PROTOCOLS[0]
    jpeg_quality: int = -1
