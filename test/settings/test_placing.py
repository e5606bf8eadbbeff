"""Test the conversion of the depth node's settings into options."""

from __future__ import annotations

import pytest

from yolov8_seg_ros.core.object_placing import PlacingOptions
from yolov8_seg_ros.errors import CalibrationError, OptionError
from yolov8_seg_ros.settings.depth_table import DEPTH_NODE_SETTINGS
from yolov8_seg_ros.settings.placing import placing_options


def depth_settings(**changes):
    return {setting.name: changes.get(setting.name, setting.default) for setting in DEPTH_NODE_SETTINGS}


def test_defaults_of_placing_are_those_of_its_options():
    assert placing_options(depth_settings()) == PlacingOptions()


def test_settings_of_placing():
    options = placing_options(
        depth_settings(boxes="yaw", target_frame="map", stride=3, depth_extrinsics="1 2 3 0 0 0 2", smoothing_s=0.5)
    )
    assert (options.turned, options.depth.stride, options.smoothing_s) == (True, 3, 0.5)
    assert options.extrinsics.translation_m.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": "yaw"}, "needs a target_frame"),
        ({"min_depth_m": 5.0, "max_depth_m": 2.0}, "min_depth_m 5.0 must be less"),
        ({"depth_extrinsics": "1 2 3"}, "depth_extrinsics: expected 'x y z qx qy qz qw', got '1 2 3'"),
        ({"depth_extrinsics": "0 0 0 0 0 0 0"}, "expected a quaternion"),
    ],
    ids=["a turned box without an upright frame", "an empty range", "too few numbers", "no rotation"],
)
def test_settings_of_placing_that_do_not_go_together(changes, message):
    with pytest.raises((OptionError, CalibrationError), match=message):
        placing_options(depth_settings(**changes))
