"""Read results, and compute what they must be."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.bridge_board import CREDIT, ERROR, RESULT, Packet
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.native import model_fields, native
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


def errors(packets: Sequence[Packet]) -> list[tuple[int, ...]]:
    """Return code, request type, sequence, frame and detail of each packet but CREDIT, which must be errors."""
    packets = [packet for packet in packets if packet.type != CREDIT]
    assert all(packet.type == ERROR for packet in packets), packets
    return [struct.unpack_from("<HBxHxxII", packet.payload, 8) for packet in packets]


def results(packets: Sequence[Packet]) -> list[Result]:
    """Return the results among packets."""
    return [read_result(packet.payload) for packet in packets if packet.type == RESULT]


class LocalDecoder:
    """The functions of seg.h for the outputs of one image, as a board calls them.

    Args:
        spec: of the model.
        outputs: of the network.
        max_candidates: so many boxes are compared with each other.
    """

    def __init__(self, spec: ModelSpec, outputs: Sequence[NDArray[Any]], max_candidates: int = 1000) -> None:
        seg = self._seg = native()
        self._spec = spec
        self._held = [np.ascontiguousarray(output) for output in outputs]
        self._outputs = seg.ffi.new("void *[]", [seg.address(output) for output in self._held])
        model = seg.ffi.new("struct seg_model *", model_fields(spec, seg.types))
        size = seg.lib.seg_workspace_size(model, max_candidates)
        self._memory = np.zeros(-(-size // 8), np.uint64)
        self._workspace = seg.ffi.cast("struct seg_workspace *", seg.address(self._memory))
        assert seg.lib.seg_init(self._workspace, size, model, max_candidates) == 0
        rows, columns = spec.prototypes.shape[1:3]
        self.grid = seg.ffi.new("struct seg_grid *", (*spec.input_hw[::-1], columns, rows))

    def decode(self, options: DetectionOptions) -> NDArray[Any]:
        """Return the instances in network pixels."""
        seg = self._seg
        classes = range(len(self._spec.class_names)) if options.classes is None else options.classes
        wanted = np.zeros(len(self._spec.class_names), np.uint8)
        wanted[list(classes)] = 1
        fields = {name: getattr(options, name) for name in ("score_threshold", "iou_threshold", "max_instances")}
        fields |= {name: getattr(options, name) for name in ("agnostic_nms", "multi_label", "vote_boxes")}
        settings = seg.ffi.new("struct seg_options *", {**fields, "is_class_wanted": seg.address(wanted)})
        instances = np.zeros(options.max_instances, seg.instance)
        target = seg.ffi.cast("struct seg_instance *", seg.address(instances))
        return instances[: seg.lib.seg_decode(self._workspace, self._outputs, settings, target)]

    def window_and_logits(self, instance: Any) -> tuple[tuple[int, ...], NDArray[np.float32]]:
        """Return the window that an instance is drawn in, and its logits there."""
        seg = self._seg
        window = seg.ffi.new("struct seg_window *")
        window[0] = seg.lib.seg_drawing_window(self.grid, seg.ffi.new("float[4]", instance["xyxy_px"].tolist()))
        logits = np.empty((window.rows, window.columns), np.float32)
        pointer = seg.ffi.cast("float *", seg.address(logits))
        seg.lib.seg_mask_logits(self._workspace, self._outputs, int(instance["anchor"]), window, pointer)
        return (window.left, window.top, window.columns, window.rows), logits


def check_masks(result: Result, decoder: LocalDecoder, instances: NDArray[Any], mask_logit: float = 0.5) -> None:
    """Compare the sides of all cells, and that the windows are those of the boxes."""
    for mask, instance in zip(result.masks, instances, strict=True):
        if mask is None:
            continue
        window, logits = decoder.window_and_logits(instance)
        assert mask[0] == window
        np.testing.assert_array_equal(mask[1] > mask_logit, logits > mask_logit)
