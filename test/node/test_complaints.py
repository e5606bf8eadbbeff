"""Test that a warning is not logged again and again, and that one does not hide another."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy")

from yolov8_seg_ros.node.complaints import MAX_REMEMBERED, PERIOD_S, Complaints


class Log:
    """A logger and a clock."""

    def __init__(self):
        self.texts, self.now_s = [], 100.0

    def warning(self, text):
        self.texts.append(text)

    def time_s(self):
        return self.now_s


@pytest.fixture
def log():
    return Log()


def test_a_kind_is_logged_once_in_a_period(log):
    complaints = Complaints(log, log.time_s)
    for text, passed_s in (("first", 0.0), ("second", PERIOD_S - 0.1), ("third", 0.2)):
        log.now_s += passed_s
        complaints.add("kind", text)
    assert log.texts == ["first", "third"]


def test_one_kind_does_not_hide_another(log):
    complaints = Complaints(log, log.time_s)
    for kind in "abab":
        complaints.add(kind, kind)
    assert log.texts == ["a", "b"]


def test_the_oldest_of_many_kinds_is_forgotten(log):
    complaints = Complaints(log, log.time_s)
    for number in (*range(MAX_REMEMBERED + 1), 0, MAX_REMEMBERED):
        complaints.add(str(number), str(number))
    assert log.texts == [*map(str, range(MAX_REMEMBERED + 1)), "0"]
