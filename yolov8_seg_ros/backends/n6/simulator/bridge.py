"""Simulate a board with this package's firmware: its core behind a stream, with LiteRT as the NPU."""

from __future__ import annotations

import os
import select
import threading
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

from yolov8_seg_ros.backends.model_forms import read_forms
from yolov8_seg_ros.backends.n6.simulator.bridge_core import BoardOptions, BridgeCore
from yolov8_seg_ros.backends.n6.simulator.streams import Stream
from yolov8_seg_ros.backends.tflite import TfliteBackend, automatic_threads
from yolov8_seg_ros.core.quantization import Tensor

_BITS_PER_BYTE = 10
#: The core wants to be called so often, whatever comes.
_REST_S = 0.01
#: A line that is held to a rate carries bytes in portions of so much time.
_PORTION_S = 0.002
#: It may be behind by so much and catch up, since sleeps are not exact.
_CATCH_UP_S = 0.05
_UNLIMITED_BYTES = 1 << 16
_FAILED = -1


class Budget:
    """Number of bytes that a line of a baud rate may carry now, in one direction.

    Args:
        baud_rate: in bits per second; 0: any number.
    """

    def __init__(self, baud_rate: int) -> None:
        self.bytes_per_s = baud_rate / _BITS_PER_BYTE
        self._num_bytes = 0.0
        self._counted_s = time.monotonic()

    def available(self) -> int:
        """Return how many bytes may be carried."""
        if not self.bytes_per_s:
            return _UNLIMITED_BYTES
        now_s = time.monotonic()
        grown = self._num_bytes + (now_s - self._counted_s) * self.bytes_per_s
        self._num_bytes, self._counted_s = min(grown, _CATCH_UP_S * self.bytes_per_s), now_s
        return int(self._num_bytes)

    def spend(self, num_bytes: int) -> None:
        """Count bytes that were carried."""
        self._num_bytes -= num_bytes


class NetworkThread:
    """A thread in which the network runs, as an NPU does beside the processor.

    Args:
        core: whose slots it works on.
        run: returns the outputs for an input.
        device_ms: shortest duration of a run.
        end: called when a run has ended, from this thread.
    """

    def __init__(
        self, core: BridgeCore, run: Callable[[Tensor], Sequence[Tensor]], device_ms: float, end: Callable[[], None]
    ) -> None:
        self._core = core
        self._run = run
        self._device_s = device_ms / 1e3
        self._end = end
        self._changed = threading.Condition()
        self._slot: int | None = None
        self._result: int | None = None
        self._is_closing = False
        self._thread = threading.Thread(target=self._work, name="simulated NPU", daemon=True)
        self._thread.start()

    def start(self, slot: int) -> None:
        """Run the network on a slot, unless it runs already."""
        with self._changed:
            if self._slot is None:
                self._slot = slot
                self._changed.notify()

    def take_result(self) -> int | None:
        """Return the result of a run that has ended, once: 0, or below 0 for a failure."""
        with self._changed:
            result = self._result
            if result is not None:
                self._slot = self._result = None
            return result

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_closing or (self._slot is not None and self._result is None))
                if self._is_closing:
                    return
                slot = self._slot
            assert slot is not None
            result = self._run_on(slot)
            with self._changed:
                self._result = result
            self._end()

    def _run_on(self, slot: int) -> int:
        end_s = time.monotonic() + self._device_s
        try:
            outputs = self._run(self._core.read_input(slot))
        except RuntimeError:
            return _FAILED
        time.sleep(max(0.0, end_s - time.monotonic()))
        self._core.write_outputs(slot, outputs)
        return 0


class SimulatedBridge:
    """A board with this package's firmware.

    Args:
        core: of the firmware.
        run: returns the network's outputs for an input; raises RuntimeError if that fails.
        stream: to the host.
        baud_rate: of both directions, in bits per second; 0: as fast as possible.
        device_ms: shortest duration of the network's run.
    """

    def __init__(
        self,
        core: BridgeCore,
        run: Callable[[Tensor], Sequence[Tensor]],
        stream: Stream,
        baud_rate: int = 0,
        device_ms: float = 0.0,
    ) -> None:
        self._core = core
        self._stream = stream
        self._in, self._out = Budget(baud_rate), Budget(baud_rate)
        self._received, self._sending = b"", b""
        self._is_closing = threading.Event()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        #: Held while the pipe is written or closed.
        self._waking = threading.Lock()
        self._has_ended = False
        self._network = NetworkThread(core, run, device_ms, self._wake_up)

    def serve(self) -> None:
        """Answer hosts until `close` is called."""
        while not self._is_closing.is_set():
            is_busy = self._receive() + self._send() + self._work()
            if not is_busy:
                self._rest()
        self._network.close()
        with self._waking:
            self._has_ended = True
            for descriptor in (self._woken, self._wake):
                os.close(descriptor)

    def close(self) -> None:
        """End `serve`; from any thread."""
        self._is_closing.set()
        self._wake_up()

    def _receive(self) -> bool:
        if not self._received and (budget := self._in.available()) > 0:
            self._received = self._stream.read(budget)
            self._in.spend(len(self._received))
        if self._stream.has_reopened():
            self._core.reopen()
        if not self._received:
            return False
        taken = self._core.receive(self._received)
        self._received = self._received[taken:]
        return taken > 0

    def _send(self) -> bool:
        if not self._sending and (budget := self._out.available()) > 0:
            self._sending = self._core.send(budget)
            self._out.spend(len(self._sending))
        if not self._sending:
            return False
        written = self._stream.write(self._sending)
        self._sending = self._sending[written:]
        return written > 0

    def _work(self) -> bool:
        if (result := self._network.take_result()) is not None:
            self._core.end_run(result)
        is_busy = self._core.poll(time.monotonic_ns() // 1000)
        if (slot := self._core.wanted_run()) is not None:
            self._network.start(slot)
        return is_busy or result is not None

    def _rest(self) -> None:
        """Wait for bytes, for the network, or until the line may carry on."""
        is_held = self._in.bytes_per_s > 0 and self._in.available() < _PORTION_S * self._in.bytes_per_s
        readable: list[Any] = [self._woken] if is_held or self._received else [self._woken, self._stream]
        writable = [self._stream] if self._sending else []
        ready, _, _ = select.select(readable, writable, [], _PORTION_S if self._in.bytes_per_s else _REST_S)
        if self._woken in ready:
            os.read(self._woken, 64)

    def _wake_up(self) -> None:
        with self._waking:
            if not self._has_ended and select.select([], [self._wake], [], 0)[1]:
                os.write(self._wake, b"x")


def simulate_model(
    model_path: Path,
    stream: Stream,
    baud_rate: int = 0,
    device_ms: float = 0.0,
    options: BoardOptions | None = None,
    raw_head: bool = True,
) -> SimulatedBridge:
    """Return a simulated board that runs a model file with LiteRT.

    Raises:
        ModelError: if the file is not a YOLOv8-seg model.
        BackendError: if no runtime is installed, or the firmware refuses the model.
    """
    network = TfliteBackend(model_path, automatic_threads(), None, raw_head)
    forms = read_forms(model_path, raw_head)
    used = forms[0] if network.spec.is_raw else forms[-1]
    core = BridgeCore(network.spec, model_path.stem, sha256(used.content).digest(), options)
    return SimulatedBridge(core, network.run, stream, baud_rate, device_ms)
