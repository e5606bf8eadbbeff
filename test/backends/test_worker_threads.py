"""Test where the threads of a runtime may run."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.backends.worker_threads import WorkerThreads, running_threads
from yolov8_seg_ros.model_files.store import SCENE_MODEL, find_model

PROCESSORS = sorted(os.sched_getaffinity(0))
needs_two_processors = pytest.mark.skipif(len(PROCESSORS) < 2, reason="this machine has one processor")


@contextmanager
def sleeping_threads(count: int) -> Iterator[list[int]]:
    """Return the kernel's numbers of threads that wait until the block ends."""
    done = threading.Event()
    threads = [threading.Thread(target=done.wait) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield [thread.native_id for thread in threads]
    finally:
        done.set()
        for thread in threads:
            thread.join()


def run_on(processor: int, work: Callable[[], None]) -> None:
    """Run some work in a thread of its own that runs on one processor."""

    def run() -> None:
        os.sched_setaffinity(0, {processor})
        work()

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


@needs_two_processors
def test_they_avoid_the_processor_of_their_caller():
    with sleeping_threads(1) as threads:
        workers = WorkerThreads(threads)
        for processor in (PROCESSORS[0], PROCESSORS[1], PROCESSORS[1], PROCESSORS[0]):
            run_on(processor, workers.avoid_caller)
            assert os.sched_getaffinity(threads[0]) == set(PROCESSORS) - {processor}


def test_they_stay_where_there_is_not_enough_room():
    with sleeping_threads(len(PROCESSORS)) as threads:
        run_on(PROCESSORS[0], WorkerThreads(threads).avoid_caller)
        assert [os.sched_getaffinity(thread) for thread in threads] == [set(PROCESSORS)] * len(threads)


@needs_two_processors
def test_one_that_has_ended_harms_nobody():
    with sleeping_threads(1) as threads:
        workers = WorkerThreads(threads)
    # The kernel takes a moment after Python has seen the end.
    while os.path.exists(f"/proc/self/task/{threads[0]}"):
        time.sleep(0.01)
    for processor in PROCESSORS[:2]:
        run_on(processor, workers.avoid_caller)


def test_running_threads_are_those_of_our_name():
    with sleeping_threads(2) as threads:
        assert {os.getpid(), *threads} <= running_threads()


@needs_two_processors
@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_networks_threads_avoid_their_caller(num_threads):
    before = running_threads()
    with TfliteBackend(find_model(SCENE_MODEL), num_threads) as backend:
        threads = running_threads() - before
        assert len(threads) == num_threads - 1
        for processor in PROCESSORS[:2]:
            run_on(processor, lambda: backend.run(np.zeros(backend.spec.input.shape, np.int8)))
            for thread in threads:
                assert os.sched_getaffinity(thread) == set(PROCESSORS) - {processor}
