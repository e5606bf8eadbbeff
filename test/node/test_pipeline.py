"""Test the newest-frame pipeline: order, overwriting, errors, ending."""

from __future__ import annotations

import threading

import pytest

from yolov8_seg_ros.node.pipeline import FrameCounts, NewestFramePipeline

TIMEOUT_S = 10.0


class Worker:
    """Work that waits to be let through, and keeps what it was given."""

    def __init__(self) -> None:
        self.begun = threading.Semaphore(0)
        self.go_on = threading.Semaphore(0)
        self.done: list[int] = []

    def __call__(self, frame: int) -> None:
        self.begun.release()
        assert self.go_on.acquire(timeout=TIMEOUT_S)
        if frame < 0:
            raise ValueError(f"frame {frame}")
        self.done.append(frame)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def errors():
    return []


@pytest.fixture
def pipeline(worker, errors):
    made = NewestFramePipeline(worker, errors.append)
    yield made
    worker.go_on.release(100)
    assert made.close(TIMEOUT_S)


def test_newest_frame_wins_and_the_others_are_counted(pipeline, worker):
    pipeline.put(1)
    assert worker.begun.acquire(timeout=TIMEOUT_S)
    for frame in (2, 3, 4):
        pipeline.put(frame)
    worker.go_on.release(2)
    assert worker.begun.acquire(timeout=TIMEOUT_S)
    assert pipeline.close(TIMEOUT_S)
    assert worker.done == [1, 4]
    assert pipeline.counts == FrameCounts(received=4, done=2, overwritten=2)


def test_an_error_is_reported_and_the_next_frame_follows(pipeline, worker, errors):
    worker.go_on.release(2)
    pipeline.put(-1)
    assert worker.begun.acquire(timeout=TIMEOUT_S)
    pipeline.put(1)
    assert worker.begun.acquire(timeout=TIMEOUT_S)
    assert pipeline.close(TIMEOUT_S)
    assert [str(error) for error in errors] == ["frame -1"]
    assert worker.done == [1]


def test_clear_forgets_the_waiting_frame(pipeline, worker):
    pipeline.put(1)
    assert worker.begun.acquire(timeout=TIMEOUT_S)
    pipeline.put(2)
    pipeline.clear()
    worker.go_on.release(2)
    assert pipeline.close(TIMEOUT_S)
    assert worker.done == [1]


def test_put_and_close_do_not_wait_for_a_slow_frame(pipeline, worker):
    pipeline.put(1)
    assert worker.begun.acquire(timeout=TIMEOUT_S)
    pipeline.put(2)
    assert not pipeline.close(timeout_s=0.0)
    assert worker.done == []


def test_finish_is_called_once_after_the_last_frame(worker):
    finished = []
    made = NewestFramePipeline(worker, lambda error: None, finish=lambda: finished.append(list(worker.done)))
    made.put(1)
    worker.go_on.release(1)
    assert worker.begun.acquire(timeout=TIMEOUT_S)
    assert made.close(TIMEOUT_S)
    assert finished == [[1]]
