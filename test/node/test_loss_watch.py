"""Test when lost images deserve a warning."""

from __future__ import annotations

import pytest

from yolov8_seg_ros.node.image_loss import LossWatch


def fates(*stretches):
    """Return images that arrive (True) or not: each stretch is (how many, every how manyth is lost; 0: none)."""
    return [every == 0 or (index + 1) % every != 0 for count, every in stretches for index in range(count)]


def warnings(watch, arrives, received=0):
    """Send images through a lossy line; return the number of the image at which each warning came, and its text."""
    told = []
    for number, arrived in enumerate(arrives, start=1):
        received += arrived
        loss = None if arrived else watch.add(1, received)
        if loss is not None:
            told.append((number, str(loss)))
    return told


@pytest.mark.parametrize(
    ("arrives", "expected"),
    [
        (fates((1000, 0)), []),
        (fates((49, 1)), []),
        (fates((1000, 1)), [(50, "50 of 50")]),
        (fates((1000, 2)), [(50, "25 of 50")]),
        (fates((1000, 9)), [(54, "6 of 54")]),
        (fates((1000, 100)), []),
        (fates((1000, 0), (3, 1), (1000, 0)), []),
        (fates((100_000, 0), (60, 1)), [(100_051, "50 of 50")]),
    ],
    ids=["none lost", "too few to judge", "all", "every other", "every ninth", "one in 100", "hiccup", "late"],
)
def test_a_warning_comes_once_where_many_are_lost(arrives, expected):
    watch = LossWatch()
    assert warnings(watch, arrives) == expected
    assert watch.lost == arrives.count(False)


def test_losses_that_are_told_together_are_counted_all():
    watch = LossWatch()
    assert watch.add(20, received=3) is None
    assert str(watch.add(40, received=10)) == "60 of 70"


def test_each_listening_may_warn_once_and_begins_without_a_past():
    watch = LossWatch()
    warnings(watch, fates((49, 1)))
    watch.restart(received=1000)
    assert warnings(watch, fates((100, 0), (1, 1)), received=1000) == []
    for received in (2000, 3000):
        watch.restart(received)
        assert warnings(watch, fates((500, 1)), received) == [(50, "50 of 50")]
    assert watch.lost == 49 + 1 + 2 * 500
