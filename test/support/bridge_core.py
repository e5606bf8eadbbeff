"""Call functions of the firmware's core that n6_board.h does not show."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from cffi import FFI
from numpy.typing import NDArray

from support.bridge_board import BOARD_LIBRARY

CHECKOUT = Path(__file__).resolve().parents[2]
CORE = CHECKOUT / "firmware" / "n6_bridge" / "core"
HEADERS = (
    CHECKOUT / "yolov8_seg_ros" / "native" / "seg.h",
    *[
        CORE / f"{name}.h"
        for name in (
            "model_description",
            "protocol",
            "checksums",
            "receiver",
            "answers",
            "results",
            "jpeg_port",
            "baseline_jpeg",
        )
    ],
)


@lru_cache(maxsize=1)
def core() -> tuple[Any, Any]:
    """Return cffi's types and the library's functions."""
    ffi = FFI()
    for header in HEADERS:
        text = re.sub(r"^(#|static const).*$", "", header.read_text(encoding="utf-8"), flags=re.MULTILINE)
        ffi.cdef(text)
    return ffi, ffi.dlopen(str(BOARD_LIBRARY))


def decode_jpeg(data: bytes, width: int, height: int) -> tuple[int, NDArray[np.uint8]]:
    """Return what the decoder says in the end, and the RGB picture."""
    ffi, lib = core()
    decoder = ffi.new("struct n6_baseline_jpeg *")
    port = lib.n6_baseline_jpeg_port(decoder)
    rgb = np.full((height, width, 3), 77, np.uint8)
    source = ffi.new("uint8_t[]", data)
    state = port.start(port.context, source, len(data), ffi.cast("uint8_t *", rgb.ctypes.data), width, height)
    while state == 0:
        state = port.step(port.context)
    return state, rgb
