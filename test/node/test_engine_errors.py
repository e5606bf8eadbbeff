"""Test the engine: stages that fail, pause and end."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from support.engine_harness import PUBLISH, READ, RUN, STAGES, TIMEOUT_S, Stream, await_settled

from yolov8_seg_ros.errors import BackendError, ImageError, RunInterruptedError
from yolov8_seg_ros.node import engine
from yolov8_seg_ros.node.frame_queue import FrameCounts


@pytest.mark.parametrize("stage", STAGES)
def test_an_error_is_reported_and_the_next_frame_follows(start_engine, is_accelerator, stage):
    harness = start_engine(is_accelerator)
    errors = {
        READ: harness.stream.read_errors,
        RUN: harness.backend.errors,
        PUBLISH: harness.stream.publish_errors,
    }[stage]
    errors.update({1: BackendError("frame 1"), 3: ValueError("frame 3")})
    for number in (1, 2, 3, 4):
        harness.put(number)
        harness.settled()
    assert harness.stream.reported == ["frame 1", "frame 3"]
    assert harness.stream.published == [2, 4]
    assert harness.settled() == FrameCounts(received=4, processed=2, failed=2)


def test_a_frame_that_waits_for_an_inference_is_taken_when_that_one_fails(start_engine, monkeypatch):
    clock = SimpleNamespace(now_s=0.0)
    monkeypatch.setattr(engine, "time", SimpleNamespace(monotonic=lambda: clock.now_s, perf_counter=time.perf_counter))
    harness = start_engine(gated=[RUN])
    harness.backend.errors[2] = BackendError("the board was unplugged")
    harness.put(1)
    harness.gates[RUN].await_frame()
    clock.now_s = 1000.0
    harness.gates[RUN].let()
    harness.settled()
    # By the one before, this inference takes 1000 s.
    harness.put(2)
    harness.gates[RUN].await_frame()
    harness.put(3)
    harness.gates[RUN].open()
    assert harness.settled() == FrameCounts(received=3, processed=2, failed=1)
    assert harness.stream.published == [1, 3]


def test_a_message_without_an_image_counts_as_invalid(start_engine):
    harness = start_engine()
    harness.stream.read_errors[1] = ImageError("no image")
    harness.put(1)
    assert harness.settled() == FrameCounts(received=1, invalid=1)
    assert harness.stream.reported == ["no image"]


def test_an_interrupted_run_counts_as_dropped_and_is_not_reported(start_engine):
    harness = start_engine()
    harness.backend.errors[1] = RunInterruptedError("paused")
    harness.put(1)
    assert harness.settled() == FrameCounts(received=1, dropped=1)
    assert harness.stream.reported == []


def test_pause_drops_what_waits(start_engine):
    harness = start_engine(gated=[READ])
    harness.put(1)
    harness.gates[READ].await_frame()
    harness.put(2)
    harness.engine.pause()
    harness.gates[READ].open()
    assert harness.settled() == FrameCounts(received=2, processed=1, dropped=1)
    assert harness.stream.published == [1]


def test_put_and_close_do_not_wait_for_a_slow_frame(start_engine):
    harness = start_engine(gated=[RUN])
    harness.put(1)
    harness.gates[RUN].await_frame()
    harness.put(2)
    assert not harness.engine.close(timeout_s=0.0)
    assert harness.stream.published == []


def test_at_the_end_a_frame_in_the_network_is_published_and_one_before_it_dropped(start_engine):
    harness = start_engine(gated=[RUN])
    harness.put(1)
    harness.gates[RUN].await_frame()
    harness.put(2)
    for _ in range(2):
        harness.gates[READ].await_frame()
    assert not harness.engine.close(timeout_s=0.0)
    assert not harness.backend.closed
    harness.gates[RUN].open()
    assert harness.engine.close(TIMEOUT_S)
    assert harness.settled() == FrameCounts(received=2, processed=1, dropped=1)
    assert harness.backend.closed


def test_a_stream_that_fails_leaves_the_others_alone(start_engine):
    harness = start_engine()
    other = Stream(harness.gates)
    other_entrance = harness.engine.add(other)
    harness.stream.read_errors.update(dict.fromkeys(range(1, 20), ImageError("garbage")))
    for number in range(1, 20):
        harness.put(number)
        other_entrance.put(number)
        await_settled(other_entrance)
        harness.settled()
    assert other.published == list(range(1, 20))
    assert other.reported == []
    assert harness.settled() == FrameCounts(received=19, invalid=19)
