"""Test instances that a backend decodes itself: placed and drawn as those that are decoded here."""

from __future__ import annotations

import numpy as np
import pytest
from support.fakes import FakeBackend, FakeDetectingBackend, make_spec, stored_outputs
from support.tiny_models import default_head, default_prototypes

from yolov8_seg_ros.core import native as native_module
from yolov8_seg_ros.core.network_instances import GridMasks, NetworkInstances, PackedMaskError, unpack_masks
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter

SPEC = make_spec()
GRID_HW = SPEC.prototypes.shape[1:3]
OPTIONS = DetectionOptions(mask_threshold=0.5)
#: The object of `default_head`: the middle half of the input; and of `default_prototypes`: the left half of the grid.
MIDDLE_XYXY = (16.0, 16.0, 48.0, 48.0)


def grid_masks(windows: list[tuple[int, int, int, int]]) -> GridMasks:
    """Return masks of the left half of the grid."""
    rows, columns = GRID_HW
    plane = np.where(np.arange(columns) < columns // 2, 1, -1) * np.ones((rows, 1))
    cells = [plane[top : top + height, left : left + width].ravel() for left, top, width, height in windows]
    logits = np.concatenate(cells) if cells else np.empty(0)
    return GridMasks(SPEC.input_hw, GRID_HW, np.array(windows, np.int32).reshape(-1, 4), logits.astype(np.float32), 0.0)


def detected(*boxes: tuple[float, ...], masks: bool = True) -> NetworkInstances:
    whole = (0, 0, *GRID_HW[::-1])
    return NetworkInstances(
        np.array(boxes, np.float32).reshape(-1, 4),
        np.linspace(0.9, 0.8, len(boxes), dtype=np.float32),
        np.arange(len(boxes), dtype=np.int64),
        grid_masks([whole] * len(boxes)) if masks else None,
    )


def segment(found: NetworkInstances, image_hw: tuple[int, int], fit: str = "letterbox", masks: bool = True):
    backend = FakeDetectingBackend(SPEC, found)
    segmenter = Segmenter(backend, SegmenterOptions(fit, detection=OPTIONS))
    return segmenter.segment(np.zeros((*image_hw, 3), np.uint8), masks), backend


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize(
    "image_hw", [(64, 64), (480, 640), (427, 639), (3, 4000), (1, 1)], ids=lambda hw: f"{hw[1]}x{hw[0]}"
)
def test_they_are_placed_and_drawn_as_those_decoded_here(image_hw, fit):
    outputs = stored_outputs(SPEC, default_head(2, 4, SPEC.input_hw), default_prototypes(4, SPEC.input_hw))
    here = Segmenter(FakeBackend(SPEC, outputs), SegmenterOptions(fit, detection=OPTIONS))
    expected = here.segment(np.zeros((*image_hw, 3), np.uint8))
    found, _ = segment(detected(MIDDLE_XYXY), image_hw, fit)
    assert len(found) == len(expected) == 1
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)
    assert found.masks[0].origin_xy == expected.masks[0].origin_xy
    np.testing.assert_array_equal(found.masks[0].bitmap, expected.masks[0].bitmap)


def test_masks_stay_with_their_instances_where_some_lie_in_the_border():
    """Rows 16 to 47 of the network's input are image; the second instance lies above."""
    boxes = (MIDDLE_XYXY, (16.0, 0.0, 48.0, 8.0), (32.0, 16.0, 64.0, 48.0))
    found, _ = segment(detected(*boxes), (32, 64))
    assert found.class_id.tolist() == [0, 2]
    np.testing.assert_allclose(found.score, [0.9, 0.8])
    assert [mask.origin_xy for mask in found.masks] == [(16, 0), (32, 0)]
    assert found.masks[0].bitmap[:, :16].all()
    assert not found.masks[0].bitmap[:, 16:].any()
    assert not found.masks[1].bitmap.any()


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_the_worst_ones_are_left_out_where_masks_would_not_fit(masks, monkeypatch):
    monkeypatch.setattr(native_module, "MAX_MASKS_BYTES", 2 * 32 * 32)
    found, _ = segment(detected(*[MIDDLE_XYXY] * 3), (64, 64), masks=masks)
    assert found.class_id.tolist() == [0, 1]


def test_beside_its_window_a_mask_goes_on_as_at_the_window_s_edge():
    small = NetworkInstances(
        np.array([MIDDLE_XYXY], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), grid_masks([(6, 6, 3, 3)])
    )
    found, _ = segment(small, (64, 64))
    assert found.masks[0].bitmap[:, :16].all()
    assert not found.masks[0].bitmap[:, 16:].any()


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_nothing_found(masks):
    found, _ = segment(detected(masks=masks), (48, 64), masks=masks)
    assert len(found) == 0
    assert found.masks == (() if masks else None)


def test_the_backend_gets_the_options_and_whether_masks_are_wanted():
    for masks in (True, False):
        found, backend = segment(detected(MIDDLE_XYXY, masks=masks), (48, 64), masks=masks)
        assert backend.requests == [(OPTIONS, masks)]
        assert (found.masks is None) is not masks


def test_masks_that_were_left_out_cannot_be_drawn():
    backend = FakeDetectingBackend(SPEC, detected(MIDDLE_XYXY, masks=False))
    with pytest.raises(ValueError, match="carry no masks: ask for them where the network is run"):
        Segmenter(backend).segment(np.zeros((48, 64, 3), np.uint8))


def test_packed_masks_of_several_instances():
    windows = np.array([[0, 0, 3, 1], [2, 2, 2, 2]], np.int32)
    outside_3, inside_2, outside_2 = bytes([2]), bytes([1 << 6 | 1]), bytes([1])
    logits = unpack_masks(outside_3 + inside_2 + outside_2, np.array([1, 2], np.int32), windows, 0.5)
    np.testing.assert_allclose(logits, [-0.5] * 3 + [1.5] * 2 + [-0.5] * 2)
    with pytest.raises(PackedMaskError, match="mask 1 of 1 bytes does not fill its 4 cells"):
        unpack_masks(outside_3 + inside_2, np.array([1, 1], np.int32), windows, 0.5)
