"""Read the results of the bridge protocol: instances with packed masks, and the board's times."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.backends.n6.bridge_messages import (
    STATUS,
    BoardModel,
    Configuration,
    MaskForm,
    MessageError,
    unpack,
)
from yolov8_seg_ros.core.network_instances import GridMasks, NetworkInstances, PackedMaskError, unpack_masks

_RESULT = struct.Struct("<IIIIIIIHH")
_MASKS_LEFT_OUT = 1
_RECORD = np.dtype(
    {
        "names": ["xyxy_px", "score", "class_id", "window", "reserved", "mask_bytes"],
        "formats": [("<f4", (4,)), "<f4", "<u2", ("<u2", (4,)), "<u2", "<u4"],
        "offsets": [0, 16, 20, 22, 30, 32],
        "itemsize": 36,
    }
)


@dataclass(frozen=True)
class BoardTimes:
    """Milliseconds that a board took for one picture.

    Attributes:
        receive_ms: from the picture's header to its last byte.
        prepare_ms: conversion, or decoding of the JPEG.
        wait_ms: for the network to be free.
        inference_ms: of the network.
        decode_ms: of instances and masks.
    """

    receive_ms: float = 0.0
    prepare_ms: float = 0.0
    wait_ms: float = 0.0
    inference_ms: float = 0.0
    decode_ms: float = 0.0


@dataclass(frozen=True)
class Result:
    """Instances that a board found in one picture.

    Attributes:
        frame: its number.
        configuration: by which it was made.
        times: of the board.
        masks_left_out: whether the masks would have made the result too long for the board.
        instances: found.
    """

    frame: int
    configuration: int
    times: BoardTimes
    masks_left_out: bool
    instances: NetworkInstances


def read_result(payload: bytes, model: BoardModel, configuration: Configuration) -> Result:
    """Read RESULT.

    Args:
        payload: of the packet.
        model: that the board runs.
        configuration: by which the result was made.

    Raises:
        MessageError: if it makes no sense.
    """
    frame, number, receive, prepare, wait, inference, decode, count, flags = unpack(_RESULT, payload, STATUS.size)
    start = STATUS.size + _RESULT.size
    masks_start = start + count * _RECORD.itemsize
    if len(payload) < masks_start:
        raise MessageError(f"a result of {len(payload)} bytes is too short for {count} instances")
    records = np.frombuffer(payload, _RECORD, count, start)
    if len(payload) != masks_start + int(records["mask_bytes"].sum(dtype=np.int64)):
        raise MessageError(f"a result of {len(payload)} bytes does not have the length that it announces")
    _check_records(records, configuration)
    masks_left_out = bool(flags & _MASKS_LEFT_OUT)
    has_masks = configuration.masks != MaskForm.NONE and not masks_left_out
    masks = _read_masks(records, payload[masks_start:], model, configuration.mask_logit) if has_masks else None
    instances = NetworkInstances(
        records["xyxy_px"].astype(np.float32),
        records["score"].astype(np.float32),
        records["class_id"].astype(np.int64),
        masks,
    )
    times = BoardTimes(*(microseconds / 1e3 for microseconds in (receive, prepare, wait, inference, decode)))
    return Result(frame, number, times, masks_left_out, instances)


def result_numbers(payload: bytes) -> tuple[int, int]:
    """Return the frame and the configuration that a RESULT is about.

    Raises:
        MessageError: if it is too short.
    """
    frame, number = unpack(_RESULT, payload, STATUS.size)[:2]
    return frame, number


def _check_records(records: NDArray[np.void], configuration: Configuration) -> None:
    boxes, score, class_id = (records[name] for name in ("xyxy_px", "score", "class_id"))
    if len(records) > configuration.detection.max_instances:
        raise MessageError(f"{len(records)} instances, {configuration.detection.max_instances} were asked for")
    is_right = np.isfinite(boxes).all() and (boxes[:, :2] < boxes[:, 2:]).all()
    is_right = is_right and ((score >= 0) & (score <= 1)).all() and (score[1:] <= score[:-1]).all()
    if not is_right or (class_id >= configuration.num_classes).any():
        raise MessageError("a result has a box, score or class that cannot be")


def _read_masks(records: NDArray[np.void], packed: bytes, model: BoardModel, mask_logit: float) -> GridMasks:
    windows = records["window"].astype(np.int32)
    rows, columns = model.grid_hw
    is_inside = (windows[:, 2:] > 0) & (windows[:, :2] + windows[:, 2:] <= (columns, rows))
    if not is_inside.all():
        raise MessageError("a mask leaves the grid")
    try:
        logits = unpack_masks(packed, records["mask_bytes"].astype(np.int32), windows, mask_logit)
    except PackedMaskError as error:
        raise MessageError(str(error)) from error
    return GridMasks(model.input_hw, model.grid_hw, windows, logits, mask_logit)
