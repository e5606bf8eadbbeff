"""Time the network alone: `invoke()` of the same interpreter, with nothing around it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from yolov8_seg_ros.backends.tflite import load_runtime, open_interpreter
from yolov8_seg_ros.model_files.store import find_model


@dataclass(frozen=True)
class InvokeTimes:
    """Medians, in milliseconds.

    Attributes:
        loop_ms: of one run after the other.
        paced_ms: of runs at the camera's rate, between which threads go to sleep and caches grow cold.
        paced_cpu_ms: processor time of a paced run, all threads together (a mean).
    """

    loop_ms: float
    paced_ms: float
    paced_cpu_ms: float


class BareInvoke:
    """An interpreter as the node has it.

    Raises:
        ModelError: if there is no such model.
    """

    def __init__(self, model: str, threads: int) -> None:
        self._invoke: Callable[[], object] = open_interpreter(load_runtime(), find_model(model), threads).invoke

    def measure(self, runs: int, rate_hz: float) -> InvokeTimes:
        """Run the network so often, in a loop and at a rate."""
        loop_ms = self._median_ms(runs, 0.0)
        before_s = time.process_time()
        paced_ms = self._median_ms(runs, 1 / rate_hz)
        return InvokeTimes(loop_ms, paced_ms, (time.process_time() - before_s) * 1e3 / runs)

    def _median_ms(self, runs: int, period_s: float) -> float:
        times_s = []
        due_s = time.monotonic()
        for _ in range(runs):
            started_s = time.perf_counter()
            self._invoke()
            times_s.append(time.perf_counter() - started_s)
            due_s += period_s
            time.sleep(max(0.0, due_s - time.monotonic()))
        return float(np.median(times_s)) * 1e3
