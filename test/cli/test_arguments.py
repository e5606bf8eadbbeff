"""Test the command-line options that are made from the settings."""

from __future__ import annotations

import argparse

import pytest

from yolov8_seg_ros.cli.arguments import add_backend_arguments, add_segmenter_arguments, with_option_names
from yolov8_seg_ros.settings.tables import OLD_OPTIONS, SEG_NODE_SETTINGS, TOOL_GROUPS

OPTIONS = [setting for setting in SEG_NODE_SETTINGS if setting.group in TOOL_GROUPS]
#: A value of each setting of which an old option takes the value.
VALUES = {
    "--score": ("0.5", 0.5),
    "--iou": ("0.6", 0.6),
    "--threads": ("2", 2),
    "--class-names": ("names.txt", "names.txt"),
    "--port": ("/dev/x", "/dev/x"),
    "--baud": ("115200", 115200),
}


@pytest.fixture
def parser():
    made = argparse.ArgumentParser("yolov8_seg")
    add_backend_arguments(made)
    add_segmenter_arguments(made)
    return made


def test_each_setting_is_an_option_with_its_default(parser):
    assert vars(parser.parse_args([])) == {setting.name: setting.default for setting in OPTIONS}


@pytest.mark.parametrize("setting", OPTIONS, ids=lambda setting: setting.name)
def test_the_help_names_option_meaning_values_and_default(setting, parser):
    text = " ".join(parser.format_help().split())
    assert f"{setting.option}" in text
    assert setting.description.removesuffix(".") in text
    if isinstance(setting.default, bool):
        assert f"{setting.description.removesuffix('.')} (default: false)" in text


def test_a_boolean_option_can_be_switched_both_ways(parser):
    assert vars(parser.parse_args(["--agnostic-nms"]))["agnostic_nms"] is True
    assert vars(parser.parse_args(["--agnostic-nms", "--no-agnostic-nms"]))["agnostic_nms"] is False


def test_more_instances_than_a_label_image_holds_are_allowed(parser):
    assert parser.parse_args(["--max-instances", "300"]).max_instances == 300


@pytest.mark.parametrize("old", [old for old in OLD_OPTIONS if not old.advice], ids=lambda old: old.name)
def test_an_old_option_is_accepted_with_a_line(old, parser, capsys):
    text, value = VALUES[old.name]
    assert vars(parser.parse_args([old.name, text]))[old.setting] == value
    option = next(setting.option for setting in OPTIONS if setting.name == old.setting)
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"yolov8_seg: {old.name} is now called {option}")
    assert f"{old.name} " not in parser.format_help()


@pytest.mark.parametrize("old", [old for old in OLD_OPTIONS if old.advice], ids=lambda old: old.name)
def test_an_option_that_is_gone_says_what_to_do(old, parser, capsys):
    assert parser.parse_args([old.name, "1"]) == parser.parse_args([])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"yolov8_seg: {old.name} is gone and has no effect: ")
    assert f"{old.name} " not in parser.format_help()


def test_a_wrong_value_of_an_old_option_is_refused(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["--score", "2"])
    assert "argument --score: expected 0.0 to 1.0, got 2.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("install it, or set npu.delegate to its path", "install it, or set --npu-delegate to its path"),
        ("plug it in, or set n6.port", "plug it in, or set --n6-port"),
        ("npu.options: expected key=value", "--npu-options: expected key=value"),
        ("set n6.port.", "set --n6-port."),
        ("classes: class 'model' is not one of the model's", "--classes: class 'model' is not one of the model's"),
        ("/data/n6.port: no such file", "/data/n6.port: no such file"),
        ("num_threads.txt: no such file", "num_threads.txt: no such file"),
        ("the model has no backend", "the model has no backend"),
    ],
)
def test_messages_name_options(text, expected):
    assert with_option_names(text) == expected
