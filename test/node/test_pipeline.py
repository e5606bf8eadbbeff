"""Test the newest-frame pipeline: overlap, order, overwriting, errors, ending."""

from __future__ import annotations

import threading

import pytest

from yolov8_seg_ros.node.pipeline import OVERLAPPING_LANES, FrameCounts, NewestFramePipeline

TIMEOUT_S = 10.0


class Gate:
    """A stage that waits to be let through, and tells that it was reached."""

    def __init__(self, is_open: bool) -> None:
        self.reached = threading.Semaphore(0)
        self._go_on = threading.Semaphore(0)
        self._is_open = is_open

    def pass_through(self) -> None:
        self.reached.release()
        assert self._is_open or self._go_on.acquire(timeout=TIMEOUT_S)

    def let(self, count: int = 1) -> None:
        self._go_on.release(count)

    def open(self) -> None:
        self._is_open = True
        self._go_on.release(100)

    def await_frame(self) -> None:
        assert self.reached.acquire(timeout=TIMEOUT_S)


class Stages:
    """Three stages, those named behind a gate; a negative frame fails in the stage `fails_in`."""

    def __init__(self, *gated: str, fails_in: str = "infer") -> None:
        self.gates = {name: Gate(name not in gated) for name in ("prepare", "infer", "finish")}
        self.fails_in = fails_in
        self.prepared: list[tuple[int, int]] = []
        self.done: list[int] = []
        self.errors: list[str] = []
        self._busy = {name: threading.Lock() for name in self.gates}

    def prepare(self, frame: int, lane: int) -> int:
        self._pass("prepare", frame)
        self.prepared.append((frame, lane))
        return frame

    def infer(self, frame: int) -> int:
        self._pass("infer", frame)
        return frame

    def finish(self, frame: int) -> None:
        self._pass("finish", frame)
        self.done.append(frame)

    def report(self, error: Exception) -> None:
        self.errors.append(str(error))

    def _pass(self, name: str, frame: int) -> None:
        assert self._busy[name].acquire(blocking=False), f"two frames in {name} at a time"
        try:
            self.gates[name].pass_through()
            if frame < 0 and name == self.fails_in:
                raise ValueError(f"frame {frame}")
        finally:
            self._busy[name].release()


@pytest.fixture
def run():
    """Start pipelines that are ended with the test."""
    started = []

    def start(stages: Stages, lanes: int = OVERLAPPING_LANES, **options) -> NewestFramePipeline:
        started.append((NewestFramePipeline(stages, lanes, **options), stages))
        return started[-1][0]

    yield start
    for pipeline, stages in started:
        for gate in stages.gates.values():
            gate.open()
        assert pipeline.close(TIMEOUT_S)


def await_done(pipeline: NewestFramePipeline, count: int) -> None:
    ended = threading.Event()
    for _ in range(int(TIMEOUT_S * 1000)):
        if pipeline.counts.done >= count:
            return
        ended.wait(0.001)
    raise AssertionError(f"{pipeline.counts} after {TIMEOUT_S} s, expected {count} done")


@pytest.mark.parametrize("lanes", [1, OVERLAPPING_LANES])
def test_newest_frame_wins_and_the_others_are_counted(run, lanes):
    stages = Stages("prepare")
    pipeline = run(stages, lanes)
    pipeline.put(1)
    stages.gates["prepare"].await_frame()
    for frame in (2, 3, 4):
        pipeline.put(frame)
    stages.gates["prepare"].let(2)
    await_done(pipeline, 2)
    assert stages.done == [1, 4]
    assert pipeline.counts == FrameCounts(received=4, done=2, overwritten=2)


def test_the_next_frame_is_prepared_and_the_last_one_finished_during_an_inference(run):
    stages = Stages("infer", "finish")
    pipeline = run(stages)
    pipeline.put(1)
    stages.gates["infer"].await_frame()
    stages.gates["infer"].let()
    stages.gates["finish"].await_frame()
    pipeline.put(2)
    stages.gates["infer"].await_frame()
    for _ in range(2):
        stages.gates["prepare"].await_frame()
    pipeline.put(3)
    stages.gates["prepare"].await_frame()
    # Frame 1 is being finished, 2 inferred, and 3 prepared, each in a lane of its own.
    stages.gates["finish"].open()
    stages.gates["infer"].open()
    await_done(pipeline, 3)
    assert stages.done == [1, 2, 3]
    assert len({lane for _, lane in stages.prepared}) == 3


def test_one_lane_overlaps_nothing(run):
    stages = Stages("finish")
    pipeline = run(stages, lanes=1)
    pipeline.put(1)
    stages.gates["finish"].await_frame()
    pipeline.put(2)
    stages.gates["prepare"].await_frame()
    assert not stages.gates["prepare"].reached.acquire(timeout=0.05)


@pytest.mark.parametrize("lanes", [1, OVERLAPPING_LANES])
def test_a_thousand_frames_keep_their_order(run, lanes):
    stages = Stages()
    pipeline = run(stages, lanes)
    for frame in range(1000):
        pipeline.put(frame)
    last = threading.Event()
    for _ in range(int(TIMEOUT_S * 1000)):
        counts = pipeline.counts
        if counts.done + counts.overwritten == counts.received:
            break
        last.wait(0.001)
    assert stages.done == sorted(stages.done)
    assert stages.done[-1] == 999
    assert counts == FrameCounts(1000, len(stages.done), 1000 - len(stages.done))


@pytest.mark.parametrize("lanes", [1, OVERLAPPING_LANES])
@pytest.mark.parametrize("stage", ["prepare", "infer", "finish"])
def test_an_error_is_reported_and_the_next_frame_follows(run, stage, lanes):
    stages = Stages(fails_in=stage)
    pipeline = run(stages, lanes)
    for count, frame in enumerate([-1, 1, -2, 2], start=1):
        pipeline.put(frame)
        await_done(pipeline, count)
    assert stages.errors == ["frame -1", "frame -2"]
    assert stages.done == [1, 2]


def test_clear_forgets_the_waiting_frame(run):
    stages = Stages("prepare")
    pipeline = run(stages)
    pipeline.put(1)
    stages.gates["prepare"].await_frame()
    pipeline.put(2)
    pipeline.clear()
    stages.gates["prepare"].open()
    await_done(pipeline, 1)
    assert pipeline.close(TIMEOUT_S)
    assert stages.done == [1]


def test_put_and_close_do_not_wait_for_a_slow_frame(run):
    stages = Stages("infer")
    pipeline = run(stages)
    pipeline.put(1)
    stages.gates["infer"].await_frame()
    pipeline.put(2)
    assert not pipeline.close(timeout_s=0.0)
    assert stages.done == []


def test_a_frame_that_is_only_prepared_is_dropped_at_the_end(run):
    stages = Stages("infer")
    pipeline = run(stages)
    pipeline.put(1)
    stages.gates["infer"].await_frame()
    pipeline.put(2)
    for _ in range(2):
        stages.gates["prepare"].await_frame()
    assert not pipeline.close(timeout_s=0.0)
    stages.gates["infer"].open()
    assert pipeline.close(TIMEOUT_S)
    assert stages.done == [1]


@pytest.mark.parametrize("lanes", [1, OVERLAPPING_LANES])
def test_the_end_is_told_once_after_the_last_frame(run, lanes):
    ended = []
    stages = Stages()
    pipeline = run(stages, lanes, end=lambda: ended.append(list(stages.done)))
    pipeline.put(1)
    await_done(pipeline, 1)
    assert pipeline.close(TIMEOUT_S)
    assert ended == [[1]]
