"""Test the engine: overlap, order, newest frame, several streams, errors, memory, warm-up and the end."""

from __future__ import annotations

import threading
import time
import tracemalloc
from contextlib import contextmanager

import numpy as np
import pytest
from support.fakes import FLOAT32, FakeBackend, make_spec, stored_outputs
from support.tiny_models import default_head, default_prototypes

from yolov8_seg_ros.core.backend import BackendInfo
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.errors import BackendError, ImageError, RunInterruptedError
from yolov8_seg_ros.node.engine import Engine, WarmUp
from yolov8_seg_ros.node.frame_queue import FrameCounts

TIMEOUT_S = 10.0
READ, RUN, PUBLISH = STAGES = ("read", "run", "publish")
KINDS = {"one worker": False, "overlapping": True}


class Gate:
    """A stage that waits to be let through, and notices that it was reached."""

    def __init__(self) -> None:
        self.is_open = True
        self.reached = threading.Semaphore(0)
        self._passes = threading.Semaphore(0)

    def pass_through(self) -> None:
        self.reached.release()
        assert self.is_open or self._passes.acquire(timeout=TIMEOUT_S)

    def let(self, count: int = 1) -> None:
        self._passes.release(count)

    def open(self) -> None:
        self.is_open = True
        self._passes.release(100)

    def await_frame(self) -> None:
        assert self.reached.acquire(timeout=TIMEOUT_S)


class Backend(FakeBackend):
    """A backend behind a gate that fails for what `errors` names."""

    def __init__(self, gate: Gate, is_accelerator: bool, frames_in_flight: int = 1) -> None:
        spec = make_spec()
        super().__init__(spec, stored_outputs(spec, default_head(2, 4, (64, 64)), default_prototypes(4, (64, 64))))
        self.info = BackendInfo("a gate", is_accelerator=is_accelerator, frames_in_flight=frames_in_flight)
        self.gate = gate
        self.errors: dict[int, Exception] = {}
        self.inside, self.most_inside = 0, 0
        self.end = threading.Event()
        self._lock = threading.Lock()

    def run(self, network_input):
        number = int(network_input.view(np.uint8)[0, 32, 32, 0] ^ 0x80)
        with self._lock:
            self.inside += 1
            self.most_inside = max(self.most_inside, self.inside)
        try:
            self.gate.pass_through()
            if number in self.errors:
                raise self.errors[number]
            return super().run(network_input)
        finally:
            with self._lock:
                self.inside -= 1

    def close(self) -> None:
        super().close()
        self.end.set()


class Stream:
    """A stream of numbered grey images; the number, up to 199, is the brightness."""

    def __init__(self, gates: dict[str, Gate]) -> None:
        self.gates = gates
        self.read_errors: dict[int, Exception] = {}
        self.publish_errors: dict[int, Exception] = {}
        self.published: list[int] = []
        self.reported: list[str] = []
        self.masks = False
        self.frames: set[int] = set()
        self.results = []
        self._busy = {name: threading.Lock() for name in gates}

    def read(self, message, buffer):
        with self._alone(READ):
            self.gates[READ].pass_through()
            if message in self.read_errors:
                raise self.read_errors[message]
            return ColorImage(np.full((64, 64, 3), message % 200, np.uint8))

    def wants_masks(self):
        return self.masks

    def publish(self, frame):
        with self._alone(PUBLISH):
            self.gates[PUBLISH].pass_through()
            if frame.message in self.publish_errors:
                raise self.publish_errors[frame.message]
            self.frames.add(id(frame))
            self.results.append(frame.instances)
            self.published.append(frame.message)

    def report(self, error):
        self.reported.append(str(error))

    @contextmanager
    def _alone(self, name):
        assert self._busy[name].acquire(blocking=False), f"two frames in {name} at a time"
        try:
            yield
        finally:
            self._busy[name].release()


class Harness:
    """An engine with one stream, all of whose stages may be held up."""

    def __init__(self, is_accelerator: bool = True, frames_in_flight: int = 1, gated=()) -> None:
        self.gates = {name: Gate() for name in STAGES}
        for name in gated:
            self.gates[name].is_open = False
        self.backend = Backend(self.gates[RUN], is_accelerator, frames_in_flight)
        self.engine = Engine(self.backend, SegmenterOptions())
        self.stream = Stream(self.gates)
        self.entrance = self.engine.add(self.stream)

    def put(self, *numbers: int) -> None:
        for number in numbers:
            self.entrance.put(number)

    def settled(self) -> FrameCounts:
        """Return the counts once no frame is on its way."""
        return await_settled(self.entrance)

    def close(self) -> None:
        for gate in self.gates.values():
            gate.open()
        assert self.engine.close(TIMEOUT_S)


def await_settled(entrance) -> FrameCounts:
    end_s = time.monotonic() + TIMEOUT_S
    while True:
        counts = entrance.counts
        if counts.received == counts.processed + counts.dropped + counts.invalid + counts.failed:
            return counts
        assert time.monotonic() < end_s, f"{counts} after {TIMEOUT_S} s"
        time.sleep(0.001)


@pytest.fixture
def start():
    """Start harnesses that are closed with the test."""
    started = []

    def make(*args, **kwargs) -> Harness:
        started.append(Harness(*args, **kwargs))
        return started[-1]

    yield make
    for harness in started:
        harness.close()


@pytest.fixture(params=KINDS, ids=str)
def is_accelerator(request):
    return KINDS[request.param]


def test_the_newest_frame_wins_and_the_others_are_counted(start, is_accelerator):
    harness = start(is_accelerator, gated=[READ])
    harness.put(1)
    harness.gates[READ].await_frame()
    harness.put(2, 3, 4)
    harness.gates[READ].let(2)
    assert harness.settled() == FrameCounts(received=4, processed=2, dropped=2)
    assert harness.stream.published == [1, 4]


def test_with_an_accelerator_three_frames_are_on_their_way(start):
    harness = start(gated=[RUN, PUBLISH])
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
def test_as_many_frames_as_the_backend_takes_are_in_it(start, frames_in_flight):
    harness = start(frames_in_flight=frames_in_flight, gated=[RUN])
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


def test_frames_keep_their_order_where_the_second_leaves_the_network_first(start):
    harness = start(frames_in_flight=2)
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


def test_one_worker_overlaps_nothing(start):
    harness = start(is_accelerator=False, gated=[PUBLISH])
    harness.put(1)
    harness.gates[PUBLISH].await_frame()
    harness.gates[READ].await_frame()
    harness.put(2)
    assert not harness.gates[READ].reached.acquire(timeout=0.05)


def test_a_thousand_frames_keep_their_order(start, is_accelerator):
    harness = start(is_accelerator)
    for number in range(1000):
        harness.put(number)
        if number % 50 == 0:
            harness.settled()
    counts = harness.settled()
    assert harness.stream.published == sorted(harness.stream.published)
    assert harness.stream.published[-1] == 999
    assert counts == FrameCounts(1000, len(harness.stream.published), 1000 - len(harness.stream.published))


@pytest.mark.parametrize("stage", STAGES)
def test_an_error_is_reported_and_the_next_frame_follows(start, is_accelerator, stage):
    harness = start(is_accelerator)
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


def test_a_message_without_an_image_counts_as_invalid(start):
    harness = start()
    harness.stream.read_errors[1] = ImageError("no image")
    harness.put(1)
    assert harness.settled() == FrameCounts(received=1, invalid=1)
    assert harness.stream.reported == ["no image"]


def test_an_interrupted_run_counts_as_dropped_and_is_not_reported(start):
    harness = start()
    harness.backend.errors[1] = RunInterruptedError("paused")
    harness.put(1)
    assert harness.settled() == FrameCounts(received=1, dropped=1)
    assert harness.stream.reported == []


def test_pause_drops_what_waits(start):
    harness = start(gated=[READ])
    harness.put(1)
    harness.gates[READ].await_frame()
    harness.put(2)
    harness.engine.pause()
    harness.gates[READ].open()
    assert harness.settled() == FrameCounts(received=2, processed=1, dropped=1)
    assert harness.stream.published == [1]


def test_put_and_close_do_not_wait_for_a_slow_frame(start):
    harness = start(gated=[RUN])
    harness.put(1)
    harness.gates[RUN].await_frame()
    harness.put(2)
    assert not harness.engine.close(timeout_s=0.0)
    assert harness.stream.published == []


def test_at_the_end_a_frame_in_the_network_is_published_and_one_before_it_dropped(start):
    harness = start(gated=[RUN])
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


def test_a_stream_that_fails_leaves_the_others_alone(start):
    harness = start()
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


@pytest.mark.parametrize("masks", [False, True])
def test_masks_are_made_where_the_stream_wants_them(start, masks):
    harness = start()
    harness.stream.masks = masks
    harness.put(1)
    harness.settled()
    (instances,) = harness.stream.results
    assert len(instances) == 1
    assert (instances.masks is not None) == masks


def test_other_instances_are_kept_from_the_next_image_on(start):
    harness = start()
    harness.put(1)
    harness.settled()
    harness.engine.set_detection(DetectionOptions(score_threshold=0.95))
    harness.put(2)
    harness.settled()
    assert [len(instances) for instances in harness.stream.results] == [1, 0]


# Memory


@pytest.mark.parametrize(
    "quant", [None, FLOAT32, QuantParams(np.dtype("uint8"), 0.005, 3)], ids=["int8", "float32", "odd"]
)
@pytest.mark.parametrize("interpolation", ["area", "linear"])
def test_a_frame_is_preprocessed_without_new_memory_of_an_image(rng, quant, interpolation):
    spec = make_spec(input_hw=(256, 256))
    if quant is not None:
        object.__setattr__(spec.input, "quant", quant)
    engine = Engine(FakeBackend(spec, ()), SegmenterOptions(interpolation=interpolation))
    image = ColorImage(rng.integers(0, 256, (480, 640, 3), np.uint8))
    frame = engine.segmenter.new_frame()
    engine.segmenter.preprocess(frame, image)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        engine.segmenter.preprocess(frame, image)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 256 * 256
    assert engine.close(TIMEOUT_S)


# Warm-up


def test_warming_up_segments_an_image_of_shapes_several_times(start):
    harness = start()
    times = harness.engine.warm_up()
    assert len(harness.backend.inputs) > 1
    assert len(set(harness.backend.inputs[0].ravel().tolist())) > 10
    assert min(times.first_ms, times.steady_ms) > 0


def test_a_backend_that_needs_no_warm_up_gets_none(start):
    harness = start()
    harness.backend.info = BackendInfo("warm", needs_warm_up=False)
    assert harness.engine.warm_up() is None
    assert harness.backend.inputs == []


def test_the_first_run_counts_where_opening_made_it(start):
    harness = start()
    harness.backend.info = BackendInfo("compiled", first_run_ms=21000.0)
    assert harness.engine.warm_up().first_ms == 21000.0


def test_a_backend_that_fails_while_warming_up_says_so(start):
    harness = start()
    harness.backend.run = lambda network_input: (_ for _ in ()).throw(BackendError("the NPU does not answer"))
    with pytest.raises(BackendError, match="the NPU does not answer"):
        harness.engine.warm_up()


def test_times_in_words():
    assert str(WarmUp(21000.4, 30.12)) == "the first image took 21000 ms, those after it 30.1 ms"
