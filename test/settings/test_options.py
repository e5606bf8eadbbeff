"""Test the conversion of settings into the options of backends and segmenter."""

from __future__ import annotations

import pytest
from support.fakes import make_spec

from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.npu import NpuOptions
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.settings.options import (
    backend_arguments,
    detection_options,
    n6_options,
    npu_options,
    segmenter_options,
)
from yolov8_seg_ros.settings.tables import SEG_NODE_SETTINGS

DEFAULTS = {setting.name: setting.default for setting in SEG_NODE_SETTINGS}


def test_defaults_are_those_of_the_options():
    assert segmenter_options(DEFAULTS, make_spec()) == SegmenterOptions()
    assert detection_options(DEFAULTS, make_spec()) == DetectionOptions()
    assert npu_options(DEFAULTS) == NpuOptions()
    assert n6_options(DEFAULTS) == N6Options()


def test_each_value_arrives():
    settings = DEFAULTS | {
        "npu.delegate": "a.so",
        "npu.cache_dir": "none",
        "npu.options": "device_id=1",
        "n6.port": "/dev/x",
        "n6.baud_rate": 115200,
        "n6.protocol": "stedgeai",
        "fit": "stretch",
        "score_threshold": 0.5,
        "iou_threshold": 0.6,
        "max_instances": 7,
        "classes": "1",
        "agnostic_nms": True,
    }
    assert npu_options(settings) == NpuOptions("a.so", "none", "device_id=1")
    assert n6_options(settings) == N6Options("/dev/x", 115200, "stedgeai")
    detection = DetectionOptions(0.5, 0.6, 7, (1,), agnostic_nms=True)
    assert segmenter_options(settings, make_spec()) == SegmenterOptions(fit="stretch", detection=detection)


def test_zero_and_no_are_values_too():
    settings = DEFAULTS | {"score_threshold": 0.0, "vote_boxes": False}
    detection = DetectionOptions(score_threshold=0.0, vote_boxes=False)
    assert detection_options(settings, make_spec()) == detection


def test_ultralytics_sets_what_it_decides_about_and_leaves_the_rest():
    options = segmenter_options(DEFAULTS | {"decoding": "ultralytics", "score_threshold": 0.4}, make_spec())
    assert options == SegmenterOptions(detection=DetectionOptions(score_threshold=0.4)).with_decoding("ultralytics")


def test_a_single_switch_overrules_the_decoding():
    settings = DEFAULTS | {"decoding": "ultralytics", "vote_boxes": True, "interpolation": "area", "multi_label": None}
    options = segmenter_options(settings, make_spec())
    assert (options.detection.vote_boxes, options.interpolation) == (True, "area")
    assert not options.detection.multi_label


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, True),
        ({"decoding": "ultralytics"}, False),
        ({"decoding": "ultralytics", "raw_head": True}, True),
        ({"raw_head": None}, True),
        ({"raw_head": False}, False),
    ],
    ids=str,
)
def test_the_raw_head_follows_the_decoding_unless_it_is_given(settings, expected):
    assert backend_arguments(DEFAULTS | settings)["raw_head"] is expected


@pytest.mark.parametrize(
    ("classes", "indices"),
    [("", None), (" , ", None), ([], None), ("0", (0,)), ("1, 0", (1, 0)), (["1"], (1,))],
    ids=repr,
)
def test_classes_are_a_text_or_a_list(classes, indices):
    assert detection_options(DEFAULTS | {"classes": classes}, make_spec()).classes == indices


def test_an_unknown_class_is_refused():
    with pytest.raises(OptionError, match="classes: class 'bird' is not one of the model's: "):
        detection_options(DEFAULTS | {"classes": "bird"}, make_spec())
