"""Give simulated boards to tests: with networks whose outputs tell which input they belong to, and with faults."""

from __future__ import annotations

import fcntl
import os
import random
import termios
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from fakes import INT8, make_spec
from numpy.typing import NDArray

from yolov8_seg_ros.backends.n6.client import BoardClient
from yolov8_seg_ros.backends.n6.exchange import TimeLimits
from yolov8_seg_ros.backends.n6.simulated_board import SimulatedBoard
from yolov8_seg_ros.backends.n6.simulated_line import LineClosed, PtyLine
from yolov8_seg_ros.backends.n6.simulated_network import SimulatedNetwork
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.errors import LinkError

DEADLINE_S = 60.0
#: A test that waits for a fault to be noticed has no time for those of a real line.
SHORT_LIMITS = TimeLimits(
    silence_s=0.01, sync_s=0.05, answer_s=0.06, models_s=0.06, go_ahead_s=0.06, inference_s=0.06, align_s=0.002
)
SHORT_PAUSES_S = (0.01, 0.05)


class EchoNetwork(SimulatedNetwork):
    """A network of YOLOv8-seg's form whose outputs are made of the input's numbers."""

    def __init__(self, input_hw: tuple[int, int] = (32, 32), num_classes: int = 2, name: str = "echo") -> None:
        self.spec: ModelSpec = make_spec(num_classes=num_classes, input_hw=input_hw, quant=INT8)
        self.name = name
        self.inputs, self.outputs = (self.spec.input,), self.spec.outputs
        self.error: RuntimeError | None = None

    def run(self, inputs: Sequence[NDArray[Any]]) -> list[NDArray[Any]]:
        """Repeat the input in the outputs, from another place in each."""
        if self.error:
            raise self.error
        return self.expected(inputs[0])

    def expected(self, network_input: NDArray[Any]) -> list[NDArray[Any]]:
        """Give the outputs of an input."""
        flat = network_input.ravel()
        return [np.resize(np.roll(flat, -7 * i), output.shape) for i, output in enumerate(self.outputs, 1)]


def frame(rng: random.Random, network: EchoNetwork) -> NDArray[np.int8]:
    """Give an input that differs from all others."""
    shape = network.inputs[0].shape
    return np.frombuffer(rng.randbytes(int(np.prod(shape))), np.int8).reshape(shape)


def connect_again(client: BoardClient, attempts: int = 20) -> None:
    """Connect as a backend does: again where it fails, since short limits are too short for a busy machine."""
    for _ in range(attempts - 1):
        with suppress(LinkError):
            return client.connect()
    client.connect()


class BoardResetError(Exception):
    """The board starts anew, whatever it was doing."""


class CablePulledError(Exception):
    """The port is gone."""


class FaultyLine(PtyLine):
    """A line on which something happens once, after so many bytes both ways.

    Attributes:
        mute: whether what the board sends is lost.
    """

    def __init__(self) -> None:
        super().__init__()
        self._fault: Callable[[FaultyLine], None] | None = None
        self._left = 0
        self.mute = False

    def arm(self, after_bytes: int, fault: Callable[[FaultyLine], None]) -> None:
        """Let something happen when the line has carried so many bytes more."""
        self._left = after_bytes
        self._fault = fault

    @property
    def armed(self) -> bool:
        """Tell whether it has yet to happen."""
        return self._fault is not None

    def read(self, num_bytes: int) -> bytes:
        """Wait for bytes, and count them."""
        received = super().read(num_bytes)
        self._pass(num_bytes)
        return received

    def write(self, data: bytes) -> None:
        """Send bytes, and let it happen among them."""
        before = data[: self._left] if self.armed and self._left < len(data) else data
        self._send(before)
        self._pass(len(before) or 1)
        if rest := data[len(before) :]:
            self.write(rest)

    def insert(self, data: bytes) -> None:
        """Send bytes that are not the board's."""
        super().write(data)

    def forget(self) -> None:
        """Lose what has come and was not read."""
        self._received = b""
        termios.tcflush(self._fd, termios.TCIFLUSH)

    def _send(self, data: bytes) -> None:
        if data and not self.mute:
            super().write(data)

    def _pass(self, num_bytes: int) -> None:
        self._left -= num_bytes
        if self._fault is not None and self._left <= 0:
            fault, self._fault = self._fault, None
            fault(self)


class BoardBench:
    """A simulated board in a thread, at a path that stays when it is replaced.

    Args:
        folder: for the path.
        network: that it runs.
        header_size: of packets.
    """

    def __init__(self, folder: Path, network: SimulatedNetwork, header_size: int = 1) -> None:
        self.path = folder / "board"
        self.network = network
        self.errors: list[Exception] = []
        self._header_size = header_size
        self._hold_next = False
        self._holder = -1
        self._may_plug_in = threading.Event()
        self._may_plug_in.set()
        self._ending = threading.Event()
        self._plug_in()
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    @property
    def port(self) -> str:
        """Give the path as a host takes it."""
        return str(self.path)

    def pull(self) -> None:
        """Pull the cable, whatever is being said; it is plugged in again at once, unless `stay_out` was called."""
        self.line.close()

    def stay_out(self) -> None:
        """Leave the cable out after the next pull, until `plug_in`."""
        self._may_plug_in.clear()

    def plug_in(self) -> None:
        """Plug the cable in again."""
        self._may_plug_in.set()

    def hold_next_port(self) -> None:
        """Let another program take the port that the board has after the next pull."""
        self._hold_next = True

    def let_go_of_port(self) -> None:
        """Let the other program end."""
        os.close(self._holder)

    def close(self) -> None:
        """End the board; tell what went wrong with it."""
        self._ending.set()
        self._may_plug_in.set()
        while self._thread.is_alive():
            self.line.close()
            self._thread.join(0.05)
        assert not self.errors, self.errors

    def _plug_in(self) -> None:
        self.line = FaultyLine()
        if self._hold_next:
            self._hold_next = False
            self._holder = os.open(self.line.path, os.O_RDWR | os.O_NOCTTY)
            # The lock by which programs keep a serial port to themselves.
            fcntl.flock(self._holder, fcntl.LOCK_EX)
        self.path.unlink(missing_ok=True)
        self.path.symlink_to(self.line.path)

    def _live(self) -> None:
        while not self._ending.is_set():
            try:
                SimulatedBoard(self.network, self.line, self._header_size).serve()
                raise CablePulledError
            except BoardResetError:
                self.line.forget()
            except (CablePulledError, LineClosed):
                self._replug()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test shall fail
                self.errors.append(error)
                return

    def _replug(self) -> None:
        self.path.unlink(missing_ok=True)
        self.line.release()
        self._may_plug_in.wait()
        if not self._ending.is_set():
            self._plug_in()
