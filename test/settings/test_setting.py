"""Test that a setting takes a value where its meaning is plain, and refuses others with a reason."""

from __future__ import annotations

import array

import pytest

from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.settings.setting import Setting, nearest_name

FLAG = Setting("flag", False, "")
COUNT = Setting("count", 3, "", minimum=1, maximum=255)
FRAMES = Setting("num_frames", 0, "", minimum=0)
SCORE = Setting("score", 0.25, "", minimum=0.0, maximum=1.0)
SOURCE = Setting("source", "demo", "")
FIT = Setting("fit", "letterbox", "", choices=("letterbox", "stretch"))
CLASSES = Setting("classes", "", "", takes_list=True)


@pytest.mark.parametrize(
    ("setting", "value", "expected"),
    [
        (FLAG, True, True),
        (COUNT, 255, 255),
        (FRAMES, 10**9, 10**9),
        (SCORE, 0.5, 0.5),
        (SCORE, 1, 1.0),
        (SOURCE, "a.png", "a.png"),
        (SOURCE, 0, "0"),
        (FIT, "stretch", "stretch"),
        (CLASSES, "person, dog", "person, dog"),
        (CLASSES, ["person", "dog"], ["person", "dog"]),
        (CLASSES, array.array("q", [0, 16]), ["0", "16"]),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_value_is_taken_as_it_is_meant(setting, value, expected):
    checked = setting.check(value)
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        (FLAG, 1, "flag: expected true or false, got 1"),
        (COUNT, 0, "count: expected 1 to 255, got 0"),
        (COUNT, 2.0, "count: expected a whole number, got 2.0"),
        (COUNT, True, "count: expected a whole number, got True"),
        (FRAMES, -1, "num_frames: expected 0 or more, got -1"),
        (SCORE, 1.5, "score: expected 0.0 to 1.0, got 1.5"),
        (SCORE, float("nan"), "score: expected 0.0 to 1.0, got nan"),
        (SCORE, "high", "score: expected a number, got 'high'"),
        (SCORE, None, "score: expected a number, got None"),
        (SOURCE, 1.5, "source: expected a text, got 1.5"),
        (SOURCE, ["a"], "source: expected a text, got ['a']"),
        (FIT, "crop", "fit: expected one of letterbox, stretch; got 'crop'"),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_wrong_value_is_refused_with_what_was_expected(setting, value, message):
    with pytest.raises(OptionError) as caught:
        setting.check(value)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("setting", "text", "expected"),
    [(COUNT, "7", 7), (SCORE, "1", 1.0), (SOURCE, "0", "0"), (FIT, "stretch", "stretch"), (CLASSES, "a,b", "a,b")],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_text_is_read(setting, text, expected):
    assert setting.parse(text) == expected


@pytest.mark.parametrize(
    ("setting", "text", "message"),
    [
        (COUNT, "7.5", "count: expected a whole number, got '7.5'"),
        (COUNT, "0", "count: expected 1 to 255, got 0"),
        (SCORE, "much", "score: expected a number, got 'much'"),
        (SCORE, "inf", "score: expected 0.0 to 1.0, got inf"),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_a_wrong_text_is_refused(setting, text, message):
    with pytest.raises(OptionError) as caught:
        setting.parse(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "option"),
    [("model", "--model"), ("score_threshold", "--score-threshold"), ("n6.baud_rate", "--n6-baud-rate")],
)
def test_an_option_has_the_name_of_its_setting(name, option):
    assert Setting(name, "", "").option == option


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("score_treshold", "score_threshold"), ("npu.delegat", "npu.delegate"), ("robot_radius", "")],
)
def test_the_nearest_name(name, nearest):
    assert nearest_name(name, ["model", "score_threshold", "iou_threshold", "npu.delegate"]) == nearest
