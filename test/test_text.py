"""Test that any text can be printed, drawn and sent after it was cleaned."""

from __future__ import annotations

import pytest

from yolov8_seg_ros.errors import UserError, one_line
from yolov8_seg_ros.text import clean_text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("traffic light", "traffic light", id="plain"),
        pytest.param("Käse 猫 🐟 👨‍👩‍👧", "Käse 猫 🐟 👨‍👩‍👧", id="unicode"),
        pytest.param("fish \ud83d\udc1f", "fish 🐟", id="surrogate-pair"),
        pytest.param("a\ud800b", "a�b", id="single-surrogate"),
        pytest.param("\udc1f\ud83d", "��", id="surrogates-swapped"),
        pytest.param("caf\udce9.jpg", "caf�.jpg", id="file-name-not-utf-8"),
        pytest.param("a\x1b[2Jb\x00\x7f\x9b", "a�[2Jb���", id="terminal-codes"),
        pytest.param("a\r\nb\tc\u2028d", "a  b c d", id="line-ends"),
        pytest.param("a\u202egpj.exe", "a�gpj.exe", id="reversed"),
        pytest.param("", "", id="empty"),
    ],
)
def test_text_is_cleaned(text, expected):
    assert clean_text(text) == expected
    clean_text(text).encode("utf-8")


@pytest.mark.parametrize(("text", "expected"), [("x" * 9, "x" * 9), ("x" * 10, "x" * 8 + "…"), ("🐟" * 9, "🐟" * 9)])
def test_long_text_is_cut(text, expected):
    assert clean_text(text, limit=9) == expected


def test_an_error_is_one_line_of_limited_length():
    assert one_line(UserError("a\n  b\x1b")) == "a b�"
    assert one_line(UserError()) == "UserError"
    assert len(one_line("x" * 100_000)) <= 2000
