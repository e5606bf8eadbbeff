"""Test that a parameter's value is taken where its meaning is plain, and refused with a reason where it is not."""

from __future__ import annotations

import pytest

from yolov8_seg_ros.errors import OptionError

pytest.importorskip("rclpy")

from yolov8_seg_ros.node.parameters import Parameter

FLAG = Parameter("flag", False, "")
COUNT = Parameter("count", 3, "", minimum=1, maximum=255)
SCORE = Parameter("score", 0.25, "", minimum=0.0, maximum=1.0)
SOURCE = Parameter("source", "demo", "")
FIT = Parameter("fit", "letterbox", "", choices=("letterbox", "stretch"))
CLASSES = Parameter("classes", [], "")


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        (FLAG, True, True),
        (COUNT, 255, 255),
        (SCORE, 0.5, 0.5),
        (SCORE, 1, 1.0),
        (SOURCE, "a.png", "a.png"),
        (SOURCE, 0, "0"),
        (FIT, "stretch", "stretch"),
        (CLASSES, [], []),
        (CLASSES, ["person", "dog"], ["person", "dog"]),
        (CLASSES, [0, 16], ["0", "16"]),
    ],
    ids=str,
)
def test_values_are_taken_as_they_are_meant(parameter, value, expected):
    checked = parameter.check(value)
    assert checked == expected
    assert type(checked) is type(expected)


@pytest.mark.parametrize(
    ("parameter", "value", "message"),
    [
        (FLAG, 1, "flag: expected true or false, got 1"),
        (COUNT, 0, "count: expected 1 to 255, got 0"),
        (COUNT, 2.0, "count: expected a whole number, got 2.0"),
        (COUNT, True, "count: expected a whole number, got True"),
        (SCORE, 1.5, "score: expected 0.0 to 1.0, got 1.5"),
        (SCORE, float("nan"), "score: expected 0.0 to 1.0, got nan"),
        (SCORE, "high", "score: expected a number, got 'high'"),
        (SOURCE, 1.5, "source: expected a text, got 1.5"),
        (FIT, "crop", "fit: expected one of letterbox, stretch; got 'crop'"),
        (CLASSES, "person", "classes: expected a list, got 'person'"),
        (SCORE, None, "score: expected a number, got None"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_with_what_was_expected(parameter, value, message):
    with pytest.raises(OptionError) as caught:
        parameter.check(value)
    assert str(caught.value) == message


def test_the_descriptor_tells_tools_the_range():
    (count,) = COUNT.descriptor().integer_range
    assert (count.from_value, count.to_value) == (1, 255)
    (score,) = SCORE.descriptor().floating_point_range
    assert (score.from_value, score.to_value) == (0.0, 1.0)
    assert FIT.descriptor().additional_constraints == "one of letterbox, stretch"
    assert SOURCE.descriptor().read_only
