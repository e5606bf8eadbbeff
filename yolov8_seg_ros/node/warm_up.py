"""Run a network a few times before it counts: the first run compiles, loads and allocates."""

from __future__ import annotations

import time
from dataclasses import dataclass

import cv2

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.scene import SyntheticScene

#: Drawn small, since drawing takes longer than anything else here, and brought to a camera's size.
_DRAWN_HW = (96, 128)
_IMAGE_WH = (640, 480)
#: Runs after the first one; the fastest of them counts.
_STEADY_RUNS = 3


@dataclass(frozen=True)
class WarmUp:
    """Milliseconds that the first image took, and each after it."""

    first_ms: float
    steady_ms: float

    def __str__(self) -> str:
        return f"the first image took {self.first_ms:.0f} ms, those after it {self.steady_ms:.1f} ms"


def warm_up(segmenter: Segmenter) -> WarmUp:
    """Segment a picture of shapes several times, masks included.

    Raises:
        BackendError: if the backend fails at it.
    """
    image = ColorImage(cv2.resize(SyntheticScene(_DRAWN_HW).frame(0).image, _IMAGE_WH))  # type: ignore[arg-type]
    first_ms, *steady_ms = (_timed_ms(segmenter, image) for _ in range(1 + _STEADY_RUNS))
    return WarmUp(first_ms, min(steady_ms))


def _timed_ms(segmenter: Segmenter, image: ColorImage) -> float:
    started = time.perf_counter()
    segmenter.segment(image)
    return (time.perf_counter() - started) * 1e3
