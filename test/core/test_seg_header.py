"""Test what seg.h says to those who call it without this package: a board's firmware."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import reference
from numpy.typing import NDArray
from support.decoder_cases import SPECS, Outputs, likely_outputs

from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.native import model_fields, native


class Calls:
    """The functions of seg.h for one model, without the package's wrapper."""

    def __init__(self, spec: ModelSpec, max_candidates: int = 100, **changes: Any) -> None:
        self.seg = native()
        self.model = self.seg.ffi.new("struct seg_model *", model_fields(spec, self.seg.types) | changes)
        self.size = self.seg.lib.seg_workspace_size(self.model, max_candidates)
        self.workspace = np.zeros(max(self.size, 8) // 8 + 1, np.uint64)
        self.result = self.seg.lib.seg_init(self.pointer, self.size, self.model, max_candidates)

    @property
    def pointer(self) -> Any:
        return self.seg.ffi.cast("struct seg_workspace *", self.seg.address(self.workspace))

    def window_of_box(self, xyxy_px: Any) -> tuple[int, int, int, int]:
        window = self.seg.lib.seg_window_of_box(self.pointer, self.seg.ffi.new("float[4]", list(xyxy_px)))
        return window.left, window.top, window.columns, window.rows

    def mask_logits(self, outputs: Outputs, anchor: int, window: tuple[int, int, int, int]) -> NDArray[np.float32]:
        logits = np.full(window[2] * window[3], np.nan, np.float32)
        pointers = self.seg.ffi.new("void *[]", [self.seg.address(output) for output in outputs])
        self.seg.lib.seg_mask_logits(
            self.pointer,
            pointers,
            anchor,
            self.seg.ffi.new("struct seg_window *", window),
            self.seg.ffi.cast("float *", self.seg.address(logits)),
        )
        return logits.reshape(window[3], window[2])


@pytest.mark.parametrize("name", SPECS)
def test_mask_logits_of_a_window(name, rng):
    spec = SPECS[name]()
    outputs, calls = likely_outputs(spec, rng), Calls(spec)
    for anchor in (0, spec.num_anchors // 2, spec.num_anchors - 1):
        expected = reference.mask_logits(outputs, spec, anchor)
        for left, top, columns, rows in ((0, 0, *expected.shape[::-1]), (2, 1, 5, 3), (7, 7, 1, 1)):
            found = calls.mask_logits(outputs, anchor, (left, top, columns, rows))
            np.testing.assert_array_equal(found, expected[top : top + rows, left : left + columns])


@pytest.mark.parametrize(
    ("xyxy", "window"),
    [
        pytest.param([16, 16, 32, 32], (4, 4, 4, 4), id="whole-cells"),
        pytest.param([15.9, 16.1, 32.1, 31.9], (3, 4, 6, 4), id="parts-of-cells"),
        pytest.param([17, 17, 17.5, 18], (4, 4, 1, 1), id="at-least-one"),
        pytest.param([-8, -8, 70, 200], (0, 0, 18, 16), id="cut-at-the-edge"),
        pytest.param([-30, 170, -20, 190], (0, 15, 1, 1), id="outside"),
        pytest.param([-3e38, -np.inf, 3e38, np.inf], (0, 0, 24, 16), id="huge"),
    ],
)
def test_window_of_a_box(xyxy, window):
    spec = SPECS["raw-published"]()
    assert Calls(spec).window_of_box(xyxy) == window == reference.window_of_box(xyxy, spec)


def test_window_of_what_is_no_box():
    assert Calls(SPECS["raw-published"]()).window_of_box([np.nan] * 4) == (0, 0, 1, 1)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({}, 0, id="none"),
        pytest.param({"box_bins": 1}, "SEG_BAD_MODEL", id="one-bin"),
        pytest.param({"box_bins": 65}, "SEG_BAD_MODEL", id="many-bins"),
        pytest.param({"box_bins": 0}, "SEG_BAD_MODEL", id="decoded-head-of-three-levels"),
        pytest.param({"num_classes": 0}, "SEG_BAD_MODEL", id="no-classes"),
        pytest.param({"num_classes": 10001}, "SEG_BAD_MODEL", id="many-classes"),
        pytest.param({"num_coefficients": 4097}, "SEG_BAD_MODEL", id="many-coefficients"),
        pytest.param({"num_levels": 0}, "SEG_BAD_MODEL", id="no-levels"),
        pytest.param({"num_levels": 9}, "SEG_BAD_MODEL", id="many-levels"),
        # An unused level is full of zeros.
        pytest.param({"num_levels": 4}, "SEG_BAD_MODEL", id="an-empty-level"),
        pytest.param({"input_width_px": 65537}, "SEG_BAD_MODEL", id="wide"),
        pytest.param({"prototype_rows": 0}, "SEG_BAD_MODEL", id="no-prototypes"),
        pytest.param({"prototype_columns": -1}, "SEG_BAD_MODEL", id="negative"),
    ],
)
def test_limits_of_a_model(changes, error):
    calls = Calls(SPECS["raw-published"](), **changes)
    assert calls.seg.errors.get(calls.result, calls.result) == error
    assert (calls.size > 0) == (calls.result == 0)


@pytest.mark.parametrize(
    ("part", "changes"),
    [
        pytest.param("quant", {"scale": 0.0}, id="scale-0"),
        pytest.param("quant", {"scale": float("inf")}, id="scale-infinite"),
        pytest.param("quant", {"scale": float("nan")}, id="scale-nan"),
        pytest.param("quant", {"zero_point": 128}, id="zero-point-above-int8"),
        pytest.param("quant", {"zero_point": -129}, id="zero-point-below-int8"),
        pytest.param("quant", {"type": 3}, id="type"),
        pytest.param(None, {"channel_step": 2}, id="scores-with-gaps"),
    ],
)
def test_limits_of_a_part(part, changes):
    calls = Calls(SPECS["raw-published"]())
    target = calls.model.levels[1].scores
    for name, value in changes.items():
        setattr(target.quant if part else target, name, value)
    assert calls.seg.lib.seg_workspace_size(calls.model, 100) == calls.seg.lib.SEG_BAD_MODEL


@pytest.mark.parametrize(
    ("max_candidates", "size_change", "offset_bytes", "error"),
    [
        pytest.param(0, 0, 0, "SEG_BAD_OPTIONS", id="no-candidates"),
        pytest.param(2**24 + 1, 0, 0, "SEG_BAD_OPTIONS", id="many-candidates"),
        pytest.param(100, -1, 0, "SEG_BAD_WORKSPACE", id="a-byte-short"),
        pytest.param(100, 0, 4, "SEG_BAD_WORKSPACE", id="not-aligned"),
    ],
)
def test_limits_of_a_workspace(max_candidates, size_change, offset_bytes, error):
    calls = Calls(SPECS["raw-published"]())
    pointer = calls.seg.ffi.cast("struct seg_workspace *", int(calls.workspace.ctypes.data) + offset_bytes)
    result = calls.seg.lib.seg_init(pointer, calls.size + size_change, calls.model, max_candidates)
    assert calls.seg.errors[result] == error


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"score_threshold": -0.1}, id="score-below"),
        pytest.param({"score_threshold": float("nan")}, id="score-nan"),
        pytest.param({"iou_threshold": 1.1}, id="iou-above"),
        pytest.param({"max_instances": 0}, id="no-instances"),
    ],
)
def test_limits_of_options(changes, rng):
    spec = SPECS["raw-published"]()
    calls, outputs = Calls(spec), likely_outputs(spec, rng)
    ffi, lib = calls.seg.ffi, calls.seg.lib
    options = {"score_threshold": 0.5, "iou_threshold": 0.5, "max_instances": 1} | changes
    pointers = ffi.new("void *[]", [calls.seg.address(output) for output in outputs])
    result = lib.seg_decode(
        calls.pointer, pointers, ffi.new("struct seg_options *", options), ffi.new("struct seg_instance[1]")
    )
    assert result == lib.SEG_BAD_OPTIONS


def test_the_workspace_depends_on_the_model_alone(rng):
    """A workspace of the size that a function returns serves any image: nothing beyond it is written."""
    spec = SPECS["raw-published"]()
    calls = Calls(spec)
    assert calls.size == Calls(spec).size
    assert Calls(spec, 1000).size > calls.size
