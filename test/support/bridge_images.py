"""Images in every encoding, the same values each time."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("cv_bridge.messages", reason="tests the underlay's cv_bridge, not the distribution's")

from cv_bridge.encodings import NAMED, parse_encoding

GENERIC = [f"{depth}C{c}" for depth in ("8U", "8S", "16U", "16S", "32S", "32F", "64F") for c in (1, 2, 3, 4)]
ENCODINGS = [*NAMED, *GENERIC, "8U", "16U", "64F", "8UC5", "32FC7"]
HEIGHT, WIDTH = 6, 8


def example_image(encoding: str, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """Return the same random values each time, of all sizes that the type has."""
    kind = parse_encoding(encoding)
    shape = (int(height * kind.rows), width) + ((kind.channels,) if kind.channels > 1 else ())
    raw = np.random.default_rng(7).integers(0, 256, (*shape, np.dtype(kind.dtype).itemsize), np.uint8)
    if kind.depth.endswith("F"):
        return (raw[..., 0] / 7 - 9).astype(kind.dtype)
    return raw.view(kind.dtype).reshape(shape)
