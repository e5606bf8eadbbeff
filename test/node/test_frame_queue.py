"""Test the order in which streams are served: newest frame, fair shares, bounded waits, rates."""

from __future__ import annotations

import math
import random

import pytest

from yolov8_seg_ros.node.frame_queue import FairQueue, FrameCounts, StreamSlot


def queue_of(*slots: StreamSlot) -> FairQueue:
    queue = FairQueue()
    for slot in slots:
        queue.add(slot)
    return queue


def serve(queue, slots, period_s, seconds, service_s):
    """Return how often each stream is served by an engine that takes `service_s` a frame.

    Args:
        queue: of the slots.
        slots: of the streams.
        period_s: time between the frames of each stream.
        seconds: how long.
        service_s: time of the engine for a frame.
    """
    due_s = [0.001 * index for index in range(len(slots))]
    served, longest_s, waiting_since_s = [0] * len(slots), [0.0] * len(slots), [math.inf] * len(slots)
    now_s = 0.0
    while now_s < seconds:
        for index, slot in enumerate(slots):
            while due_s[index] <= now_s:
                queue.put(slot, due_s[index])
                waiting_since_s[index] = min(waiting_since_s[index], due_s[index])
                due_s[index] += period_s[index]
        if queue.wait_s(now_s) == 0.0:
            slot, _ = queue.take(now_s)
            index = slots.index(slot)
            served[index] += 1
            longest_s[index] = max(longest_s[index], now_s - waiting_since_s[index])
            waiting_since_s[index] = math.inf
            now_s += service_s
        else:
            now_s += 0.001
    return served, longest_s


def test_the_newest_message_waits_and_the_others_are_dropped():
    slot = StreamSlot()
    queue = queue_of(slot)
    for message in "abc":
        queue.put(slot, message)
    assert queue.take(0.0) == (slot, "c")
    assert queue.wait_s(0.0) is None
    assert slot.counts == FrameCounts(received=3, dropped=2)


def test_clear_drops_what_waits():
    slots = StreamSlot(), StreamSlot()
    queue = queue_of(*slots)
    queue.put(slots[0], "a")
    queue.clear()
    assert queue.wait_s(0.0) is None
    assert [slot.counts for slot in slots] == [FrameCounts(received=1, dropped=1), FrameCounts()]


@pytest.mark.parametrize(
    ("rates_hz", "weights", "shares"),
    [
        ((15, 15, 30, 60), (1, 1, 1, 1), (0.25, 0.25, 0.25, 0.25)),
        ((60, 60, 60, 60), (1, 2, 3, 4), (0.1, 0.2, 0.3, 0.4)),
        ((60, 60), (1, 1.5), (0.4, 0.6)),
        ((60, 60, 60), (1, 0.5, 0.1), (1 / 1.6, 0.5 / 1.6, 0.1 / 1.6)),
        # A camera that needs less than its share leaves the rest to the others.
        ((5, 60, 60), (1, 1, 1), (5 / 50, 22.5 / 50, 22.5 / 50)),
    ],
    ids=["equal", "one to four", "uneven", "fractions", "a slow one"],
)
def test_shares_follow_the_weights(rates_hz, weights, shares):
    slots = [StreamSlot(weight) for weight in weights]
    served, _ = serve(queue_of(*slots), slots, [1 / rate for rate in rates_hz], seconds=60.0, service_s=0.02)
    assert [count / sum(served) for count in served] == pytest.approx(shares, rel=0.05)


@pytest.mark.parametrize("seed", range(20))
def test_no_stream_waits_longer_than_the_bound(seed):
    rng = random.Random(seed)
    weights = [rng.choice([0.1, 0.5, 1, 2, 7]) for _ in range(rng.randint(2, 8))]
    period_s = [1 / rng.uniform(1, 120) for _ in weights]
    slots = [StreamSlot(weight) for weight in weights]
    service_s = 0.02
    served, longest_s = serve(queue_of(*slots), slots, period_s, seconds=30.0, service_s=service_s)
    for own, weight in enumerate(weights):
        others = sum(1 + math.ceil(other / weight) for index, other in enumerate(weights) if index != own)
        # Besides the others' turns, the frame in service when this one came.
        assert longest_s[own] <= (others + 1) * service_s + 1e-9
        assert served[own] > 0


def test_a_stream_that_was_silent_has_saved_nothing_up():
    slots = StreamSlot(), StreamSlot()
    queue = queue_of(*slots)
    for _ in range(100):
        queue.put(slots[0], "busy")
        queue.take(0.0)
    order = []
    for _ in range(6):
        for slot in slots:
            queue.put(slot, "new")
        order.append(slots.index(queue.take(0.0)[0]))
    assert sorted(order) == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize(
    ("camera_hz", "max_rate_hz", "expected_hz"),
    [(30, 10, 10), (30, 7, 7), (30, 29, 29), (10, 15, 10), (30, 0, 30), (59.9, 30, 30)],
)
def test_the_rate_of_a_stream_is_limited(camera_hz, max_rate_hz, expected_hz):
    slot = StreamSlot(max_rate_hz=max_rate_hz)
    (served,), _ = serve(queue_of(slot), [slot], [1 / camera_hz], seconds=20.0, service_s=0.001)
    assert served / 20.0 == pytest.approx(expected_hz, rel=0.03)


def test_a_limited_stream_that_was_silent_does_not_hold_up_the_others():
    limited, free = StreamSlot(max_rate_hz=1.0), StreamSlot()
    queue = queue_of(limited, free)
    queue.put(limited, "first")
    assert queue.take(10.0)[0] is limited
    queue.put(limited, "too early")
    queue.put(free, "on time")
    assert queue.take(10.1)[0] is free
    assert queue.wait_s(10.1) == pytest.approx(0.4)
    assert queue.take(10.5) == (limited, "too early")
