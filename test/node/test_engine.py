"""Test the engine: overlap, order, newest frame, masks and detection options."""

from __future__ import annotations

import threading

import pytest
from support.engine_harness import PUBLISH, READ, RUN, TIMEOUT_S, await_settled

from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.node.frame_queue import FrameCounts


def test_the_newest_frame_wins_and_the_others_are_counted(start_engine, is_accelerator):
    harness = start_engine(is_accelerator, gated=[READ])
    harness.put(1)
    harness.gates[READ].await_frame()
    harness.put(2, 3, 4)
    harness.gates[READ].let(2)
    assert harness.settled() == FrameCounts(received=4, processed=2, dropped=2)
    assert harness.stream.published == [1, 4]


def test_with_an_accelerator_three_frames_are_on_their_way(start_engine):
    harness = start_engine(gated=[RUN, PUBLISH])
    harness.put(1)
    harness.gates[RUN].await_frame()
    harness.gates[RUN].let()
    harness.gates[PUBLISH].await_frame()
    harness.put(2)
    harness.gates[RUN].await_frame()
    for _ in range(2):
        harness.gates[READ].await_frame()
    harness.put(3)
    harness.gates[READ].await_frame()
    # Frame 1 is being published, 2 is in the network, and 3 is preprocessed, each in a frame of its own.
    harness.gates[PUBLISH].open()
    harness.gates[RUN].open()
    assert harness.settled().processed == 3
    assert harness.stream.published == [1, 2, 3]
    assert len(harness.stream.frames) == 3


@pytest.mark.parametrize("frames_in_flight", [1, 2, 3])
def test_as_many_frames_as_the_backend_takes_are_in_it(start_engine, frames_in_flight):
    harness = start_engine(frames_in_flight=frames_in_flight, gated=[RUN])
    for number in range(1, frames_in_flight + 1):
        harness.put(number)
        harness.gates[RUN].await_frame()
    harness.put(50)
    for _ in range(frames_in_flight + 1):
        harness.gates[READ].await_frame()
    harness.gates[RUN].open()
    assert harness.settled().processed == frames_in_flight + 1
    assert harness.backend.most_inside == frames_in_flight
    assert harness.stream.published == [*range(1, frames_in_flight + 1), 50]


def test_frames_keep_their_order_where_the_second_leaves_the_network_first(start_engine):
    harness = start_engine(frames_in_flight=2)
    first, second = threading.Event(), threading.Event()
    run = harness.backend.run

    def run_crossed(network_input):
        if not first.is_set():
            first.set()
            assert second.wait(TIMEOUT_S)
        else:
            second.set()
        return run(network_input)

    harness.backend.run = run_crossed
    harness.put(1)
    assert first.wait(TIMEOUT_S)
    harness.put(2)
    harness.settled()
    assert harness.stream.published == [1, 2]


def test_one_worker_overlaps_nothing(start_engine):
    harness = start_engine(is_accelerator=False, gated=[PUBLISH])
    harness.put(1)
    harness.gates[PUBLISH].await_frame()
    harness.gates[READ].await_frame()
    harness.put(2)
    assert not harness.gates[READ].reached.acquire(timeout=0.05)


def test_a_thousand_frames_keep_their_order(start_engine, is_accelerator):
    harness = start_engine(is_accelerator)
    for number in range(1000):
        harness.put(number)
        if number % 50 == 0:
            harness.settled()
    counts = harness.settled()
    assert harness.stream.published == sorted(harness.stream.published)
    assert harness.stream.published[-1] == 999
    assert counts == FrameCounts(1000, len(harness.stream.published), 1000 - len(harness.stream.published))


@pytest.mark.parametrize("masks", [False, True])
def test_masks_are_made_where_the_stream_wants_them(start_engine, masks):
    harness = start_engine()
    harness.stream.masks = masks
    harness.put(1)
    harness.settled()
    (instances,) = harness.stream.results
    assert len(instances) == 1
    assert (instances.masks is not None) == masks


def test_other_instances_are_kept_from_the_next_image_on(start_engine):
    harness = start_engine()
    harness.put(1)
    harness.settled()
    harness.engine.set_detection(DetectionOptions(score_threshold=0.95))
    harness.put(2)
    harness.settled()
    assert [len(instances) for instances in harness.stream.results] == [1, 0]


def test_an_engine_at_rest_serves_a_frame_in_the_thread_that_has_it(start_engine):
    harness = start_engine(is_accelerator=False)
    threads = []
    publish = harness.stream.publish

    def publish_observed(frame):
        threads.append(threading.current_thread())
        publish(frame)

    harness.stream.publish = publish_observed
    for number in range(10):
        harness.entrance.serve(number)
        assert harness.stream.published[-1] == number
    assert set(threads) == {threading.current_thread()}
    assert harness.settled() == FrameCounts(received=10, processed=10)


@pytest.mark.parametrize("stage", [READ, RUN, PUBLISH])
def test_a_frame_for_a_busy_engine_is_left_to_the_worker(start_engine, stage):
    harness = start_engine(is_accelerator=False, gated=[stage])
    harness.put(1)
    harness.gates[stage].await_frame()
    harness.entrance.serve(2)
    harness.entrance.serve(3)
    harness.gates[stage].open()
    assert harness.settled().processed >= 2
    assert harness.stream.published[-1] == 3


def test_an_accelerator_s_frames_overlap_whoever_has_them(start_engine):
    harness = start_engine(gated=[RUN])
    harness.entrance.serve(1)
    harness.gates[RUN].await_frame()
    harness.entrance.serve(2)
    harness.gates[RUN].open()
    harness.settled()
    assert harness.stream.published == [1, 2]


def test_frames_that_were_missed_are_counted(start_engine, is_accelerator):
    harness = start_engine(is_accelerator)
    harness.entrance.serve(1, missed=0)
    harness.settled()
    harness.entrance.serve(2, missed=3)
    assert harness.settled() == FrameCounts(received=5, processed=2, dropped=3)


def test_a_backend_is_closed_by_the_last_thread_that_uses_it(start_engine):
    harness = start_engine(is_accelerator=False, gated=[PUBLISH])
    serving = threading.Thread(target=harness.entrance.serve, args=(1,))
    serving.start()
    harness.gates[PUBLISH].await_frame()
    assert harness.engine.close(TIMEOUT_S)
    assert not harness.backend.end.is_set()
    harness.gates[PUBLISH].open()
    assert harness.backend.end.wait(TIMEOUT_S)
    serving.join()
    harness.entrance.serve(2)
    assert harness.stream.published == [1]


def test_two_threads_that_serve_and_a_worker_lose_no_frame(start_engine):
    harness = start_engine(is_accelerator=False)
    others = [harness.engine.add(harness.stream) for _ in range(2)]

    def serve(entrance):
        for number in range(300):
            entrance.serve(number)

    threads = [threading.Thread(target=serve, args=(entrance,)) for entrance in others]
    for thread in threads:
        thread.start()
    for number in range(300):
        harness.put(number)
    for thread in threads:
        thread.join()
    for entrance in (harness.entrance, *others):
        counts = await_settled(entrance)
        assert counts.received == 300 == counts.processed + counts.dropped
    assert len(harness.stream.published) == sum(entrance.counts.processed for entrance in (harness.entrance, *others))
