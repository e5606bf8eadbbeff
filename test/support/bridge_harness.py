"""Run simulated boards with the bridge firmware in tests: the real core, a network of known outputs, and a bad line."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from support.fakes import make_raw_spec
from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.n6.backend import WantedModel
from yolov8_seg_ros.backends.n6.bridge import BridgeLimits, BridgeProtocol
from yolov8_seg_ros.backends.n6.bridge_backend import BridgeBackend
from yolov8_seg_ros.backends.n6.simulator.bridge import SimulatedBridge
from yolov8_seg_ros.backends.n6.simulator.bridge_core import BoardOptions, BridgeCore
from yolov8_seg_ros.backends.n6.simulator.streams import PtyStream, Stream, TcpStream
from yolov8_seg_ros.core.backend import BackendInfo, TensorBackend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError

DEADLINE_S = 60.0
SHORT_PAUSES_S = (0.002, 0.01)
#: Of a line in this machine, on which nothing is on its way for long.
SHORT_LIMITS = BridgeLimits(answer_s=0.06, welcome_s=0.06, frame_s=10.0)
#: At which little is on its way when a port has taken all.
BAUD_RATE = 12_000_000
OPTIONS = SegmenterOptions(detection=DetectionOptions(score_threshold=0.5, max_instances=20))
#: Not made smaller, so that pixels stay far from grey and logits far from 0.
IMAGE_HW = (24, 32)


class EchoNetwork(TensorBackend):
    """A network of YOLOv8-seg's form whose outputs are made of the input's numbers; also the backend to compare with.

    Attributes:
        error: raised by runs, where it is not None.
    """

    info = BackendInfo("echo")

    def __init__(self, spec: ModelSpec | None = None) -> None:
        self.spec = spec or make_raw_spec(input_hw=(32, 32))
        self.error: RuntimeError | None = None

    def run(self, network_input: NDArray[Any]) -> Sequence[NDArray[Any]]:
        """Return the outputs of an input: its numbers, from another place on in each."""
        if self.error is not None:
            raise self.error
        flat = network_input.ravel()
        return [
            np.resize(np.roll(flat, -(400 + 211 * i)), output.shape).astype(output.quant.dtype)
            for i, output in enumerate(self.spec.outputs, 1)
        ]

    def close(self) -> None:
        """Do nothing."""


@dataclass
class Noise:
    """Rates of what happens to a byte of the line, in either direction."""

    flipped_bits: float = 0.0
    lost: float = 0.0
    doubled: float = 0.0
    swapped: float = 0.0


SILENT = Noise()


class NoisyStream(Stream):
    """A stream whose bytes suffer.

    Attributes:
        noise: that happens now.
        num_carried: bytes that were carried, both ways.
    """

    def __init__(self, stream: Stream, seed: str = "") -> None:
        self._stream = stream
        self._rng = random.Random(seed)
        self._left_over = b""
        self.noise = SILENT
        self.num_carried = 0

    @property
    def path(self) -> str:  # type: ignore[override]
        return self._stream.path

    def fileno(self) -> int:
        return self._stream.fileno()

    def read(self, max_bytes: int) -> bytes:
        return self._damaged(self._stream.read(max_bytes))

    def write(self, data: bytes) -> int:
        # What is damaged may be longer: all of it is sent before the next.
        self._left_over = self._left_over or self._damaged(data)
        written = self._stream.write(self._left_over)
        self._left_over = self._left_over[written:]
        return 0 if self._left_over else len(data)

    def close(self) -> None:
        self._stream.close()

    def has_reopened(self) -> bool:
        return self._stream.has_reopened()

    def _damaged(self, data: bytes) -> bytes:
        self.num_carried += len(data)
        noise, rng = self.noise, self._rng
        if noise is SILENT or not data:
            return data
        bytes_ = bytearray(data)
        for at in self._places(8 * len(data), noise.flipped_bits):
            bytes_[at // 8] ^= 1 << at % 8
        for at in reversed(self._places(len(bytes_), noise.lost)):
            del bytes_[at : at + rng.randint(1, 4)]
        for at in reversed(self._places(len(bytes_), noise.doubled)):
            bytes_[at:at] = bytes_[at : at + rng.randint(1, 4)]
        for at in self._places(len(bytes_) - 1, noise.swapped):
            bytes_[at : at + 2] = bytes_[at : at + 2][::-1]
        return bytes(bytes_)

    def _places(self, count: int, rate: float) -> list[int]:
        """Return at which of so many places something happens."""
        places, at = [], 0
        while rate:
            at += int(self._rng.expovariate(rate))
            if at >= count:
                break
            places.append(at)
            at += 1
        return places


class BridgeHarness:
    """A simulated board in a thread, at a port that stays when the cable is pulled.

    Args:
        folder: for a symbolic link to its pseudo terminal; None: it is on a TCP port.
        network: that it runs.
        options: of the board.
        seed: of the noise.
        baud_rate: of the line; 0: as fast as possible.

    Attributes:
        stream: to hosts.
        port: path by which it is opened.
    """

    def __init__(
        self,
        folder: Path | None = None,
        network: EchoNetwork | None = None,
        options: BoardOptions | None = None,
        seed: str = "",
        baud_rate: int = 0,
    ) -> None:
        self.network = network or EchoNetwork()
        self.options = options or BoardOptions()
        self.sha256 = bytes(32)
        self._folder, self._seed, self._baud_rate = folder, seed, baud_rate
        self._tcp_port = 0
        self._is_ending = False
        self._is_pulled = False
        self.errors: list[Exception] = []
        self._plug_in()
        self._board = self._boot()
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()

    def reset(self) -> None:
        """Reset the board, whatever it does."""
        self._board.close()

    def pull(self) -> None:
        """Pull the cable, and plug it in again."""
        self._is_pulled = True
        self._board.close()

    def close(self) -> None:
        """End the board; fail if anything went wrong with it."""
        self._is_ending = True
        while self._thread.is_alive():
            self._board.close()
            self._thread.join(0.05)
        self.stream.close()
        assert not self.errors, self.errors

    def _plug_in(self) -> None:
        self.stream = NoisyStream(TcpStream(self._tcp_port) if self._folder is None else PtyStream(), self._seed)
        self.port = self.stream.path
        if self._folder is None:
            self._tcp_port = int(self.port.rpartition(":")[2])
        else:
            link = self._folder / "board"
            link.unlink(missing_ok=True)
            link.symlink_to(self.port)
            self.port = str(link)

    def _boot(self) -> SimulatedBridge:
        core = BridgeCore(self.network.spec, "echo", self.sha256, self.options)
        return SimulatedBridge(core, self.network.run, self.stream, self._baud_rate)

    def _live(self) -> None:
        try:
            while not self._is_ending:
                self._board.serve()
                if self._is_pulled:
                    self._is_pulled = False
                    self.stream.close()
                    self._plug_in()
                self._board = self._boot()
        except Exception as error:  # noqa: BLE001 - whatever it is, the test shall fail
            self.errors.append(error)


def open_bridge(board: BridgeHarness, limits: BridgeLimits = SHORT_LIMITS, **options: Any) -> BridgeBackend:
    """Return a backend on a board; it tries again soon."""
    wanted = options.pop("wanted", WantedModel())
    log = options.pop("log", lambda line: None)
    return BridgeBackend(
        N6Options(board.port, **{"jpeg_quality": 0, "baud_rate": BAUD_RATE, **options}),
        wanted,
        [BridgeProtocol(limits)],
        log=log,
        pauses_s=SHORT_PAUSES_S,
    )


def random_image(rng: random.Random) -> NDArray[np.uint8]:
    """Return an image that differs from all others."""
    return np.frombuffer(rng.randbytes(IMAGE_HW[0] * IMAGE_HW[1] * 3), np.uint8).reshape(*IMAGE_HW, 3)


def assert_same(found: Instances, expected: Instances) -> None:
    """Fail unless boxes, scores, classes and the pixels of masks are the same."""
    np.testing.assert_array_equal(found.xyxy, expected.xyxy)
    np.testing.assert_array_equal(found.score, expected.score)
    np.testing.assert_array_equal(found.class_id, expected.class_id)
    assert (found.masks is None) == (expected.masks is None)
    for mask, other in zip(found.masks or (), expected.masks or (), strict=True):
        assert mask.origin_xy == other.origin_xy
        np.testing.assert_array_equal(mask.bitmap, other.bitmap)


class Checker:
    """Segment images on a board and compare with what the same network finds here. As many threads as frames in flight.

    Args:
        backend: on the board.
        network: that the board runs.
    """

    def __init__(self, backend: BridgeBackend, network: EchoNetwork) -> None:
        self.segmenter = Segmenter(backend, OPTIONS)
        self._expected = Segmenter(network, OPTIONS)
        self._changing = threading.Lock()

    def check(self, image: NDArray[np.uint8], masks: bool = True) -> int:
        """Segment an image; fail if the result is another image's. Return the number of instances."""
        frame = self.segmenter.new_frame()
        with self._changing:
            self.segmenter.preprocess(frame, ColorImage(image))
        self.segmenter.infer(frame, masks)
        with self._changing:
            found = self.segmenter.postprocess(frame, masks)
            expected = self._expected.segment(image, masks)
        assert_same(found, expected)
        return len(found)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail where it does not come."""
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"waited in vain for {what}"
        time.sleep(0.001)


def until_good(checker: Checker, rng: random.Random) -> None:
    """Segment images until one succeeds."""

    def succeeds() -> bool:
        with suppress(BackendError):
            checker.check(random_image(rng))
            return True
        return False

    until(succeeds, "a result")


def in_threads(check: Callable[[NDArray[np.uint8]], object], num_threads: int, images_each: int) -> None:
    """Call `check` with images in several threads at a time; raise what it raises."""
    errors: list[Exception] = []

    def work(seed: int) -> None:
        rng = random.Random(seed)
        try:
            for _ in range(images_each):
                check(random_image(rng))
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(num_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S + images_each)
        assert not thread.is_alive()
    if errors:
        raise errors[0]
