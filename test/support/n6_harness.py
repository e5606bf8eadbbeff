"""Run simulated boards in tests: with networks whose outputs show which input they belong to, and with faults.

A board is behind a pseudo terminal (`PtyHarness`), or behind a line in memory on which no time passes
(`MemoryHarness`).
"""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.fakes import INT8, make_spec
from support.n6_lines import FaultyMemoryLine, FaultyPtyLine, MemoryLine, MemoryPort
from yolov8_seg_ros.backends.n6.port import Stop, never
from yolov8_seg_ros.backends.n6.serial_port import SerialPort
from yolov8_seg_ros.backends.n6.simulator.board import SimulatedBoard
from yolov8_seg_ros.backends.n6.simulator.line import LineClosed
from yolov8_seg_ros.backends.n6.simulator.network import SimulatedNetwork
from yolov8_seg_ros.backends.n6.stedgeai import StedgeaiConnection
from yolov8_seg_ros.backends.n6.stedgeai_exchange import BoardLog, Exchange, TimeLimits
from yolov8_seg_ros.backends.n6.stedgeai_wire import PacketFormat
from yolov8_seg_ros.errors import LinkError

DEADLINE_S = 60.0
#: On a pseudo terminal, a test that waits for a fault to be noticed has no time for the limits of a real line.
SHORT_LIMITS = TimeLimits(
    silence_s=0.01, sync_s=0.05, answer_s=0.06, models_s=0.06, go_ahead_s=0.06, inference_s=0.06, align_s=0.002
)
SHORT_PAUSES_S = (0.002, 0.01)
ONE_BYTE_HEADER = PacketFormat(1)


class EchoNetwork(SimulatedNetwork):
    """A network of YOLOv8-seg's form whose outputs are made of the input's numbers."""

    def __init__(self, name: str = "echo", **spec: Any) -> None:
        made = make_spec(**{"input_hw": (32, 32), "quant": INT8, **spec})
        self.name = name
        self.inputs, self.outputs = (made.input,), made.outputs
        self.error: RuntimeError | None = None

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        if self.error:
            raise self.error
        return self.expected(inputs[0])

    def expected(self, network_input: NDArray[Any]) -> list[NDArray[Any]]:
        """Return the outputs of an input: its numbers, from another place on in each."""
        flat = network_input.ravel()
        return [np.resize(np.roll(flat, -7 * i), output.shape) for i, output in enumerate(self.outputs, 1)]


def frame(rng: random.Random, network: EchoNetwork) -> NDArray[np.int8]:
    """Return an input that differs from all others."""
    shape = network.inputs[0].shape
    return np.frombuffer(rng.randbytes(int(np.prod(shape))), np.int8).reshape(shape)


def connected(
    port: SerialPort, first_request_id: int = 1, clock: Callable[[], float] = lambda: 0.0
) -> StedgeaiConnection:
    """Return a connection that takes the board to be in step."""
    exchange = Exchange(port, itertools.count(first_request_id), TimeLimits(), BoardLog(clock), clock)
    return StedgeaiConnection(exchange)


class BoardResetError(Exception):
    """The board starts anew, whatever it was doing."""


class CablePulledError(Exception):
    """The port is gone."""


class BoardHarness:
    """A simulated board in a thread, at a port that stays when the cable is pulled and plugged in again.

    Args:
        network: that it runs.
        packets: their format.
        wrap: makes of the board's line what the board reads and writes.

    Attributes:
        line: to the board.
        port: path by which `open_port` opens it.
    """

    port: str
    line: Any

    def __init__(
        self,
        network: SimulatedNetwork,
        packets: PacketFormat = ONE_BYTE_HEADER,
        wrap: Callable[[Any], Any] = lambda line: line,
    ) -> None:
        self.network = network
        self.errors: list[Exception] = []
        self._packets = packets
        self._wrap = wrap
        self._may_plug_in = threading.Event()
        self._may_plug_in.set()
        self._ending = threading.Event()
        self._plug_in()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def open_port(self, path: str, baud_rate: int, stop: Stop = never) -> Any:
        """Open the port for a host."""
        raise NotImplementedError

    @property
    def is_plugged_in(self) -> bool:
        """Return whether a host finds the port."""
        raise NotImplementedError

    def pull(self) -> None:
        """Pull the cable; it is plugged in again at once, unless `stay_out` was called."""
        self.line.close()

    def stay_out(self) -> None:
        """Set that the cable stays out after the next pull, until `plug_in`."""
        self._may_plug_in.clear()

    def plug_in(self) -> None:
        """Plug the cable in again."""
        self._may_plug_in.set()

    def close(self) -> None:
        """End the board; fail if anything went wrong with it."""
        self._ending.set()
        self._may_plug_in.set()
        while self._thread.is_alive():
            self.line.close()
            self._thread.join(0.05)
        assert not self.errors, self.errors

    def _plug_in(self) -> None:
        raise NotImplementedError

    def _unplug(self) -> None:
        raise NotImplementedError

    def _live(self) -> None:
        while not self._ending.is_set():
            try:
                SimulatedBoard(self.network, self._wrap(self.line), self._packets).serve()
                raise CablePulledError
            except BoardResetError:
                continue
            except (CablePulledError, LineClosed):
                self._replug()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shall fail
                self.errors.append(error)
                return

    def _replug(self) -> None:
        self._unplug()
        self.line.release()
        self._may_plug_in.wait()
        if not self._ending.is_set():
            self._plug_in()


class PtyHarness(BoardHarness):
    """A board behind a pseudo terminal.

    Args:
        folder: for a symbolic link to it.
        board: see `BoardHarness`.
    """

    def __init__(self, folder: Path, *board: Any, **options: Any) -> None:
        self._path = folder / "board"
        self.port = str(self._path)
        self._hold_next = False
        self._holder = -1
        super().__init__(*board, **options)

    def open_port(self, path: str, baud_rate: int, stop: Stop = never) -> SerialPort:
        return SerialPort(path, baud_rate, stop)

    @property
    def is_plugged_in(self) -> bool:
        return self._path.is_symlink()

    def hold_next_port(self) -> None:
        """Occupy the port that the board has after the next pull, as another program would."""
        self._hold_next = True

    def let_go_of_port(self) -> None:
        """Release the port that another program occupied."""
        os.close(self._holder)

    def _plug_in(self) -> None:
        self.line = FaultyPtyLine()
        if self._hold_next:
            self._hold_next = False
            self._holder = os.open(self.line.path, os.O_RDWR | os.O_NOCTTY)
            # The lock by which programs keep a serial port to themselves.
            fcntl.flock(self._holder, fcntl.LOCK_EX)
        self._unplug()
        self._path.symlink_to(self.line.path)

    def _unplug(self) -> None:
        self._path.unlink(missing_ok=True)


class MemoryHarness(BoardHarness):
    """A board behind a line in memory."""

    port = MemoryLine.path
    _plugged: FaultyMemoryLine | None = None

    def open_port(self, path: str, baud_rate: int = 921600, stop: Stop = never) -> MemoryPort:
        if self._plugged is None:
            raise LinkError(f"{path}: there is no such port")
        return MemoryPort(self._plugged, baud_rate, stop)

    @property
    def is_plugged_in(self) -> bool:
        return self._plugged is not None

    def _plug_in(self) -> None:
        self.line = self._plugged = FaultyMemoryLine()

    def _unplug(self) -> None:
        self._plugged = None
