"""Test what several verbs print."""

from __future__ import annotations

from yolov8_seg_ros.cli.output import counted, print_table


def test_numbers_stand_to_the_right(capsys):
    print_table([["", "AP", "AR"], ["box", "0.3", "0.25"], ["segment", "0.1234", "1"]])
    assert capsys.readouterr().out.splitlines() == [
        "             AP    AR",
        "box         0.3  0.25",
        "segment  0.1234     1",
    ]


def test_text_is_wrapped_beside_its_title(capsys):
    print_table([("file", "a.tflite"), ("classes", " ".join(["person"] * 20)), ("", "more")], of_text=True)
    assert capsys.readouterr().out.splitlines() == [
        "file     a.tflite",
        f"classes  {' '.join(['person'] * 14)}",
        f"         {' '.join(['person'] * 6)}",
        "         more",
    ]


def test_one_thing_has_no_s():
    assert [counted(number, "image") for number in (0, 1, 2)] == ["0 images", "1 image", "2 images"]
