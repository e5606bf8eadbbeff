"""Run an engine whose stages can be stopped and observed."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager

import numpy as np

from support.fakes import FakeBackend, make_spec, stored_outputs
from support.tiny_models import default_head, default_prototypes
from yolov8_seg_ros.core.backend import BackendInfo
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.options import SegmenterOptions
from yolov8_seg_ros.node.engine import Engine
from yolov8_seg_ros.node.frame_queue import FrameCounts

TIMEOUT_S = 10.0
READ, RUN, PUBLISH = STAGES = ("read", "run", "publish")


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
