"""Test the simulated line: its pace, and what becomes of bytes that nobody reads."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest

from yolov8_seg_ros.backends.n6.serial_port import SerialPort
from yolov8_seg_ros.backends.n6.simulator import line as simulator_line
from yolov8_seg_ros.backends.n6.simulator.line import LineClosed, Pace, PtyLine

PACKET_S = 33 * 10 / 921600


class Clock:
    """A clock whose sleeps last longer than asked for, as real ones do."""

    overshoot_s = 0.0001

    def __init__(self):
        self.now_s = 100.0

    def monotonic(self):
        return self.now_s

    def sleep(self, duration_s):
        self.now_s += duration_s + self.overshoot_s


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(simulator_line, "time", made)
    return made


@pytest.fixture
def line():
    made = PtyLine()
    yield made
    made.release()


def test_a_pace_is_kept_though_sleeps_are_too_long(clock):
    pace = Pace(921600)
    for _ in range(6145):
        pace.pass_time(33 * pace.byte_s)
    assert clock.now_s - 100.0 == pytest.approx(6145 * PACKET_S, abs=0.001)


def test_idle_time_is_no_credit(clock):
    pace = Pace(921600)
    pace.pass_time(PACKET_S)
    clock.now_s = 200.0
    pace.pass_time(PACKET_S)
    assert clock.now_s == pytest.approx(200.0 + PACKET_S, abs=0.0002)


def test_without_a_baud_rate_no_time_passes(clock):
    pace = Pace(0)
    pace.pass_time(1000 * pace.byte_s)
    assert clock.now_s == 100.0


def test_bytes_that_nobody_reads_are_lost_and_the_line_goes_on(line, monkeypatch):
    monkeypatch.setattr(simulator_line, "_LOST_AFTER_S", 0.0)
    monkeypatch.setattr(simulator_line, "_SLICE_MS", 1)
    line.write(bytes(1 << 20))
    with closing(SerialPort(line.path, 921600)) as host:
        while host.read(0.05):
            pass
        line.write(b"still here")
        assert host.read(10.0) == b"still here"


def test_what_came_before_the_start_is_discarded(line):
    with closing(SerialPort(line.path, 921600)) as host:
        host.write(b"from a former life", 1.0)
        line.discard()
        host.write(b"now", 1.0)
        assert line.read(3) == b"now"


def test_closing_ends_a_wait(line):
    ended = []

    def wait():
        try:
            line.read(1)
        except LineClosed:
            ended.append(True)

    thread = threading.Thread(target=wait)
    thread.start()
    line.close()
    thread.join(10.0)
    assert ended == [True]
