"""Read results, and compute what they must be."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.native import Decoder, native
from yolov8_seg_ros.core.options import DetectionOptions

RECORD = np.dtype(
    [
        ("xyxy_px", "<f4", 4),
        ("score", "<f4"),
        ("class_id", "<u2"),
        ("window", "<u2", 4),
        ("reserved", "<u2"),
        ("mask_bytes", "<u4"),
    ]
)


@dataclass(frozen=True)
class Result:
    """A result's fields; of each mask, the window and its logits, None where there is no mask."""

    frame: int
    configuration: int
    times: tuple[int, ...]
    flags: int
    records: NDArray[Any]
    masks: list[tuple[tuple[int, ...], NDArray[np.float32]] | None]


def read_result(payload: bytes, mask_logit: float = 0.5) -> Result:
    """Return a result's fields; raise AssertionError where the payload breaks a rule."""
    frame, configuration, *times, count, flags = struct.unpack_from("<II5IHH", payload, 8)
    records = np.frombuffer(payload, RECORD, count, 40)
    at, masks = 40 + RECORD.itemsize * count, []
    assert not records["reserved"].any()
    for record in records:
        size = int(record["mask_bytes"])
        masks.append(_mask(payload[at : at + size], record["window"], mask_logit) if size else None)
        assert size or not record["window"].any()
        at += size
    assert at == len(payload)
    return Result(frame, configuration, tuple(times), flags, records, masks)


def _mask(packed: bytes, window: Any, mask_logit: float) -> tuple[tuple[int, ...], NDArray[np.float32]]:
    seg, place = native(), tuple(window.tolist())
    logits = np.empty((place[3], place[2]), np.float32)
    pointer = seg.ffi.cast("float *", seg.address(logits))
    assert (
        seg.lib.seg_unpack_mask(packed, len(packed), seg.ffi.new("struct seg_window *", place), mask_logit, pointer)
        == 0
    )
    return place, logits


def expected_instances(
    spec: ModelSpec, outputs: Sequence[NDArray[Any]], options: DetectionOptions, max_candidates: int = 1000
) -> tuple[Decoder, NDArray[Any]]:
    """Return what the package's own decoder finds, in network pixels."""
    decoder = Decoder(spec, max_candidates)
    count = decoder.decode(outputs, options)
    return decoder, np.frombuffer(native().ffi.buffer(decoder._instances), native().instance, count).copy()


def check_masks(
    result: Result, spec: ModelSpec, decoder: Decoder, instances: NDArray[Any], mask_logit: float = 0.5
) -> None:
    """Compare the sides of all cells, and that the windows are those of the boxes."""
    seg = native()
    rows, columns = spec.prototypes.shape[1:3]
    grid = seg.ffi.new("struct seg_grid *", (*spec.input_hw[::-1], columns, rows))
    for mask, instance in zip(result.masks, instances, strict=True):
        if mask is None:
            continue
        place, logits = mask
        window = seg.ffi.new("struct seg_window *")
        window[0] = seg.lib.seg_drawing_window(grid, seg.ffi.new("float[4]", instance["xyxy_px"].tolist()))
        assert place == (window.left, window.top, window.columns, window.rows)
        expected = np.empty_like(logits)
        seg.lib.seg_mask_logits(
            decoder._workspace, decoder._outputs, int(instance["anchor"]), window,
            seg.ffi.cast("float *", seg.address(expected)),
        )  # fmt: skip
        np.testing.assert_array_equal(logits > mask_logit, expected > mask_logit)
