"""Test that subscribers are seen, and not looked for too often."""

from __future__ import annotations

import pytest

from yolov8_seg_ros.node import subscribers
from yolov8_seg_ros.node.subscribers import LOOK_PERIOD_S, SubscriberWatch


class Publisher:
    def __init__(self):
        self.count = self.looks = 0

    def get_subscription_count(self):
        self.looks += 1
        return self.count


@pytest.fixture
def clock(monkeypatch):
    """Return a clock that stands still, as the list of its time in seconds."""
    now_s = [1000.0]
    monkeypatch.setattr(subscribers.time, "monotonic", lambda: now_s[0])
    return now_s


def test_those_who_come_and_go_are_seen_a_period_later(clock):
    first, second = Publisher(), Publisher()
    watch = SubscriberWatch([first, second])
    assert not watch.subscribed()
    first.count, second.count = 1, 2
    clock[0] += 0.9 * LOOK_PERIOD_S
    assert not watch.subscribed()
    clock[0] += 0.1 * LOOK_PERIOD_S
    assert watch.subscribed() == {first, second}
    first.count = 0
    clock[0] += LOOK_PERIOD_S
    assert watch.subscribed() == {second}


def test_a_second_at_30_hz_takes_ten_looks(clock):
    publisher = Publisher()
    watch = SubscriberWatch([publisher])
    for _ in range(30):
        watch.subscribed()
        watch.subscribed()
        clock[0] += 1 / 30
    assert publisher.looks == pytest.approx(10, abs=3)
