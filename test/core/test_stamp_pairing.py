"""Test which messages are found to belong together."""

from __future__ import annotations

import pytest

from yolov8_seg_ros.core.stamp_pairing import DEPTH, DETECTIONS, INSTANCES, StampPairing, WaitingFrames
from yolov8_seg_ros.errors import DepthError, FrameError

MS = 1_000_000
KINDS = {"d": DETECTIONS, "i": INSTANCES, "z": DEPTH}


def paired(pairing, words):
    """Return (stamp, offset) in ms of the frames that come of messages such as 'z100': a depth image at 100 ms."""
    frames = []
    for word in words.split():
        frames += pairing.put(KINDS[word[0]], int(word[1:]) * MS, word)
    return [(frame.stamp_ns // MS, frame.depth_offset_ns // MS) for frame in frames]


#: Messages in the order of their arrival, and the frames that come of them within 20 ms.
CASES = {
    "equal stamps": ("z100 d100 i100", [(100, 0)]),
    "in any order": ("i100 z100 d100", [(100, 0)]),
    "depth comes last": ("d100 i100 z100", [(100, 0)]),
    "the nearest one": ("z90 z105 d100 i100", [(100, 5)]),
    "exact though a later one is there": ("z100 z101 d100 i100", [(100, 0)]),
    "an earlier one is not certain yet": ("z95 d100 i100", []),
    "until a later one comes": ("z95 d100 i100 z128", [(100, -5)]),
    "too far away": ("z50 z150 d100 i100", []),
    "two frames at once": ("d100 i100 d133 i133 z134", [(100, None), (133, 1)]),
    "without masks": ("z100 d100", []),
    "a faster depth camera": ("z90 z100 z110 d100 i100 z120 z130 d130 i130", [(100, 0), (130, 0)]),
    "one depth image for two frames": ("z100 d95 i95 d105 i105 z140", [(95, 5), (105, -5)]),
}


@pytest.mark.parametrize("case", CASES)
def test_what_belongs_together(case):
    words, expected = CASES[case]
    assert paired(StampPairing(20 * MS), words) == [pair for pair in expected if pair[1] is not None]


def test_without_a_limit_only_equal_stamps_belong_together():
    assert paired(StampPairing(0), "z99 z101 d100 i100 z133 d133 i133") == [(133, 0)]


def test_all_is_counted():
    pairing = StampPairing(20 * MS)
    paired(pairing, "z100 d100 i100 z130 d133 i133 z160 d200 i200 z400 d400")
    counts = pairing.counts
    assert (counts.detections, counts.instances, counts.depth) == (4, 3, 4)
    assert (counts.exact, counts.near, counts.unmatched, counts.clock_jumps) == (1, 1, 1, 0)


def test_no_more_is_kept_than_there_is_room_for():
    pairing = StampPairing(20 * MS, capacity=3)
    paired(pairing, " ".join(f"d{stamp}" for stamp in range(100, 700, 100)))
    assert pairing.counts.incomplete == 3
    assert paired(pairing, "z300 i300") == []
    assert paired(pairing, "z600 i600") == [(600, 0)]


def test_frames_without_depth_are_counted_once():
    pairing = StampPairing(20 * MS, capacity=2)
    paired(pairing, " ".join(f"d{stamp} i{stamp}" for stamp in range(100, 600, 100)))
    assert (pairing.counts.unmatched, pairing.counts.incomplete) == (3, 0)


def test_a_clock_that_jumps_back_begins_anew():
    pairing = StampPairing(20 * MS)
    assert paired(pairing, "z9000 d9000 i9000 d9033") == [(9000, 0)]
    assert paired(pairing, "z100 d100 i100") == [(100, 0)]
    assert pairing.counts.clock_jumps == 1


def test_a_message_that_is_a_little_late_is_no_jump():
    pairing = StampPairing(20 * MS)
    assert paired(pairing, "z133 d133 i133 z100 d100 i100") == [(133, 0), (100, 0)]
    assert pairing.counts.clock_jumps == 0


@pytest.mark.parametrize(
    ("words", "expected", "unmatched"),
    [("z95 d100 i100", [(100, -5)], 0), ("z50 d100 i100", [], 1), ("d100 i100", [], 1), ("z95 d100", [], 0)],
    ids=["near enough", "too far away", "no depth image", "without masks"],
)
def test_at_the_end_the_nearest_depth_image_is_certain(words, expected, unmatched):
    pairing = StampPairing(20 * MS)
    assert paired(pairing, words) == []
    assert [(frame.stamp_ns // MS, frame.depth_offset_ns // MS) for frame in pairing.finish()] == expected
    assert pairing.counts.unmatched == unmatched
    assert pairing.finish() == []


def test_frames_that_a_jump_of_the_clock_takes_are_counted():
    pairing = StampPairing(20 * MS)
    paired(pairing, "d9000 i9000 d9033 i9033 d100 i100 z100")
    assert (pairing.counts.clock_jumps, pairing.counts.unmatched, pairing.counts.exact) == (1, 2, 1)


class Work:
    """Frames, which are texts here, that succeed once they are known."""

    def __init__(self, max_wait=2.0):
        self.known, self.done, self.failed = set(), [], []
        self.waiting = WaitingFrames(self._process, lambda error: self.failed.append(str(error)), max_wait)

    def _process(self, frame):
        if frame == "damaged":
            raise DepthError("damaged")
        if frame not in self.known:
            raise FrameError(f"no transform for {frame}")
        self.done.append(frame)


def test_frames_wait_in_order():
    work = Work()
    work.waiting.add(["a", "b"], 0.0)
    work.known = {"b"}
    work.waiting.work(1.0)
    assert (work.done, len(work.waiting)) == ([], 2)
    work.known = {"a", "b"}
    work.waiting.work(1.5)
    assert (work.done, work.failed, len(work.waiting)) == (["a", "b"], [], 0)


def test_a_frame_that_has_waited_too_long_fails():
    work = Work()
    work.known = {"b"}
    work.waiting.add(["a", "b"], 0.0)
    work.waiting.work(2.0)
    assert (work.done, work.failed) == (["b"], ["no transform for a"])


def test_a_frame_that_nothing_helps_fails_at_once():
    work = Work()
    work.waiting.add(["damaged"], 0.0)
    work.waiting.work(0.0)
    assert (work.failed, len(work.waiting)) == (["damaged"], 0)


def test_no_more_frames_wait_than_there_is_room_for():
    work = Work()
    work.waiting.add([str(number) for number in range(13)], 0.0)
    assert (len(work.failed), len(work.waiting)) == (3, 10)


def test_an_error_that_nobody_expects_stops_no_other_frame():
    failed, done = [], []

    def process(frame):
        if frame == "a":
            raise OverflowError("odd")
        done.append(frame)

    waiting = WaitingFrames(process, failed.append, 1.0)
    waiting.add(["a", "b"], 0.0)
    waiting.work(0.0)
    assert (done, [str(error) for error in failed], len(waiting)) == (["b"], ["odd"], 0)
