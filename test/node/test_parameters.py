"""Test how settings become parameters: names of an earlier release, unknown names, descriptions and help."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy")

from rclpy.node import Node
from rclpy.parameter import Parameter

from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.node.parameters import checked_changes, declare_parameters, descriptor, print_help, read_parameters
from yolov8_seg_ros.settings.setting import Setting
from yolov8_seg_ros.settings.tables import IMAGE_SOURCE_SETTINGS, OLD_PARAMETERS, SEG_NODE_SETTINGS

COUNT = Setting("count", 3, "How many.", minimum=1, maximum=255)
SCORE = Setting("score", 0.25, "Lowest score.", can_change=True, minimum=0.0, maximum=1.0)
FIT = Setting("fit", "letterbox", "How it fits.", choices=("letterbox", "stretch"))


@pytest.fixture
def declared(ros, capfd):
    """Return a function that declares the node's settings with values given at start; it returns what was logged."""

    def declare(settings=SEG_NODE_SETTINGS, old_names=OLD_PARAMETERS, **values):
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        node = ros.add(Node("yolov8_seg", parameter_overrides=overrides))
        declare_parameters(node, settings, old_names, read_only=False)
        lines = "".join(capfd.readouterr()).splitlines()
        return node, [line for line in lines if "[WARN]" in line and "[yolov8_seg]" in line]

    return declare


@pytest.mark.parametrize("old", [old for old in OLD_PARAMETERS if not old.advice], ids=lambda old: old.name)
def test_the_value_of_an_old_name_is_taken_over(declared, old):
    default = next(setting.default for setting in SEG_NODE_SETTINGS if setting.name == old.setting)
    value = {"n6_protocol": "stedgeai"}.get(old.name, 115200 if isinstance(default, int) else "given")
    node, [warning] = declared(**{old.name: value})
    assert read_parameters(node, SEG_NODE_SETTINGS)[old.setting] == value
    assert f"the parameter {old.name} is now called {old.setting}" in warning
    assert not node.has_parameter(old.name)


@pytest.mark.parametrize("old", [old for old in OLD_PARAMETERS if old.advice], ids=lambda old: old.name)
def test_a_name_that_is_gone_says_what_to_do(declared, old):
    node, [warning] = declared(**{old.name: 1})
    assert f"the parameter {old.name} is gone and has no effect: {old.advice}" in warning
    assert read_parameters(node, SEG_NODE_SETTINGS) == {s.name: s.default for s in SEG_NODE_SETTINGS}


def test_a_new_name_overrules_the_old_one(declared):
    node, [warning] = declared(**{"serial_port": "/dev/old", "n6.port": "/dev/new"})
    assert read_parameters(node, SEG_NODE_SETTINGS)["n6.port"] == "/dev/new"
    assert "the value under the new name is used" in warning


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("score_treshold", "there is no parameter score_treshold: it has no effect; did you mean score_threshold?"),
        ("npu.delegat", "there is no parameter npu.delegat: it has no effect; did you mean npu.delegate?"),
        ("npu", "did you mean npu.delegate or npu.cache_dir or npu.options?"),
        ("robot_radius", "there is no parameter robot_radius: it has no effect"),
    ],
)
def test_an_unknown_name_is_a_warning_with_the_nearest_one(declared, name, message):
    _, [warning] = declared(**{name: 0.5})
    assert warning.endswith(message)


def test_names_of_the_other_node_and_of_ros_are_no_warning(declared):
    values = {"width": 640, "use_sim_time": False, "qos_overrides./x.publisher.depth": 1}
    assert declared(**values)[1] == []
    assert declared(IMAGE_SOURCE_SETTINGS, (), classes="dog", serial_port="/dev/x")[1] == []


def test_a_wrong_value_is_declared_and_refused_when_it_is_read(declared):
    node, _ = declared([COUNT], (), count=0)
    with pytest.raises(OptionError, match="count: expected 1 to 255, got 0"):
        read_parameters(node, [COUNT])


def test_a_list_of_classes_is_read(declared):
    node, _ = declared(classes=["person", "dog"])
    assert read_parameters(node, SEG_NODE_SETTINGS)["classes"] == ["person", "dog"]


@pytest.mark.parametrize(
    ("change", "is_configured", "checked"),
    [
        (Parameter("score", value=1), True, {"score": 1.0}),
        (Parameter("count", value=3), True, {"count": 3}),
        (Parameter("count", value=4), False, {"count": 4}),
        (Parameter("use_sim_time", value=True), True, {}),
    ],
    ids=["changeable", "the same value", "unconfigured", "of ROS"],
)
def test_changes_that_are_allowed(declared, change, is_configured, checked):
    node, _ = declared([COUNT, SCORE], ())
    assert checked_changes(node, [COUNT, SCORE], [change], is_configured=is_configured) == checked


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (Parameter("count", value=4), "count can be changed only while the node is unconfigured"),
        (Parameter("score", value=2.0), "score: expected 0.0 to 1.0, got 2.0"),
    ],
    ids=["configured", "out of range"],
)
def test_changes_that_are_refused(declared, change, message):
    node, _ = declared([COUNT, SCORE], ())
    with pytest.raises(OptionError, match=message):
        checked_changes(node, [COUNT, SCORE], [change], is_configured=True)


def test_the_descriptor_has_range_and_choices():
    (count,) = descriptor(COUNT).integer_range
    assert (count.from_value, count.to_value) == (1, 255)
    (score,) = descriptor(SCORE).floating_point_range
    assert (score.from_value, score.to_value) == (0.0, 1.0)
    assert descriptor(FIT).additional_constraints == "one of letterbox, stretch"
    assert descriptor(FIT, read_only=True).read_only


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--help"], True),
        (["-h", "--ros-args"], True),
        ([], False),
        (["--ros-args", "-p", "x:=1", "--help"], False),
    ],
    ids=["long", "short", "none", "an argument of ROS"],
)
def test_help_is_printed_where_it_is_asked_for(arguments, expected, capsys):
    assert print_help(arguments, "seg_node", "Segment.", [COUNT, FIT]) is expected
    text = capsys.readouterr().out
    assert ("  count (default: 3; values: 1 to 255)\n      How many.\n" in text) is expected
    assert ("  fit (default: letterbox; values: letterbox, stretch)" in text) is expected


@pytest.mark.parametrize(
    ("program", "settings"), [("seg_node", SEG_NODE_SETTINGS), ("image_source", IMAGE_SOURCE_SETTINGS)]
)
def test_a_program_prints_its_parameters_and_ends(program, settings):
    command = [sys.executable, "-m", "yolov8_seg_ros.executables", program, "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert all(f"  {setting.name} (default: " in done.stdout for setting in settings)


def test_help_ends_quietly_with_its_reader():
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "yolov8_seg_ros.executables", "seg_node", "--help"]
    try:
        done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=True)
    finally:
        os.close(write_end)
    assert done.stderr == ""
