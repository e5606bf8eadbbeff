"""Set up what the tests of the firmware share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from support.bridge_board import Session
from support.decoder_cases import SPECS, likely_outputs

from yolov8_seg_ros.core.model_spec import ModelSpec


@pytest.fixture
def spec() -> ModelSpec:
    return SPECS["raw-published"]()


@pytest.fixture
def image(spec, rng) -> bytes:
    height, width = spec.input_hw
    return rng.integers(0, 256, height * width * 3, dtype=np.uint8).tobytes()


@pytest.fixture
def open_session(spec, rng) -> Callable[..., Session]:
    """Return a function that opens a session with a board whose network answers always alike."""
    outputs = likely_outputs(spec, rng)

    def opened(settings: bytes | None = b"", run: Any = lambda image: outputs, **options: Any) -> Session:
        session = Session(spec, run, settings, **options)
        session.outputs = outputs
        return session

    return opened
