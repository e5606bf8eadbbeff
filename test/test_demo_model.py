"""Test the bundled model: its head, and its accuracy on scenes used neither for training nor for calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.evaluate import held_out_frames, measure
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.iou import best_iou
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.scene import SCENE_CLASSES, SyntheticScene, touching
from yolov8_seg_ros.model_files.class_names import read_metadata

MODEL = Path(__file__).resolve().parents[1] / "models" / "shapes_256x192.tflite"
MAX_BYTES = 400_000
BOX_BINS = 8
MIN_BOX_AP = 0.90
MIN_MASK_AP = 0.91
MIN_MASK_AP_50 = 0.96
MIN_FREE_IOU = 0.93


@pytest.fixture(scope="module")
def backend():
    with TfliteBackend(MODEL, 1) as opened:
        yield opened


def test_metadata(backend):
    metadata = read_metadata(MODEL)
    assert MODEL.stat().st_size < MAX_BYTES
    assert backend.spec.class_names == SCENE_CLASSES
    assert backend.spec.input_hw == tuple(metadata["imgsz"])
    assert (metadata["task"], metadata["license"]) == ("segment", "Apache-2.0")


def test_the_file_has_a_raw_head():
    with TfliteBackend(MODEL, 1, raw_head=False) as as_it_is:
        assert as_it_is.spec.is_raw
        assert as_it_is.spec.box_bins == BOX_BINS


def test_accuracy_on_held_out_scenes(backend):
    accuracy = measure(backend, held_out_frames(60))
    print(accuracy)
    assert accuracy.box >= MIN_BOX_AP
    assert accuracy.mask >= MIN_MASK_AP
    assert accuracy.mask_50 >= MIN_MASK_AP_50


def test_shapes_that_touch_no_other_are_outlined_well(backend):
    segmenter, scene = Segmenter(backend), SyntheticScene()
    ious = []
    for index in range(0, 60, 6):
        frame = scene.frame(index)
        found = segmenter.segment(frame.image)
        free = np.flatnonzero(~touching(frame.truth))
        ious += [
            best_iou(frame.truth.full_mask(k), found.label_image(), found.class_id == frame.truth.class_id[k])
            for k in free
        ]
    assert np.mean(ious) >= MIN_FREE_IOU
