"""Drive the firmware's core: a board in memory, with time that the test sets, and packets to and from it."""

from __future__ import annotations

import binascii
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.native import LIBRARY, model_fields, native

#: Another build of it, for measurements and sanitizers.
BOARD_LIBRARY = Path(os.environ.get("N6_BOARD_LIBRARY", LIBRARY.with_name("libn6board.so")))

HELLO, DESCRIBE, CONFIGURE, PICTURE, PING = 0x01, 0x02, 0x03, 0x04, 0x05
WELCOME, MODEL, CONFIGURED, RESULT, PONG, CREDIT, ERROR = 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87
NO_SESSION, UNSUPPORTED, BAD_LENGTH, BAD_VALUE, NOT_CONFIGURED, NO_CREDIT, DAMAGED, BAD_JPEG, NETWORK_FAILED = range(
    1, 10
)
RGB, TENSOR, JPEG = 0, 1, 2
CHUNK = 8192
MAGIC = 0x4252364E
SESSION = 4711

Run = Callable[[NDArray[np.uint8]], Sequence[NDArray[Any]] | None]


@dataclass(frozen=True)
class Packet:
    """A packet of either side."""

    type: int
    session: int
    sequence: int
    payload: bytes = b""

    def encode(self) -> bytes:
        """Return the packet's bytes on the line."""
        head = struct.pack("<BBBBHHI", 0xC5, 0x6E, self.type, 0, self.session, self.sequence, len(self.payload))
        head += struct.pack("<H", binascii.crc_hqx(head, 0xFFFF))
        parts, crc = [head], zlib.crc32(head)
        for start in range(0, len(self.payload), CHUNK):
            chunk = self.payload[start : start + CHUNK]
            crc = zlib.crc32(chunk, crc)
            parts += [chunk, struct.pack("<I", crc)]
        return b"".join(parts)

    @property
    def status(self) -> tuple[int, int]:
        """Return `released` and `answered` of a board's packet."""
        released, answered = struct.unpack_from("<II", self.payload)
        return released, answered


def decode_all(data: bytes) -> tuple[list[Packet], bytes]:
    """Return the packets of an undamaged stream, and what is left of an unfinished one."""
    packets, at = [], 0
    while len(data) - at >= 14:
        sync, kind, flags, session, sequence, length, check = struct.unpack_from("<HBBHHIH", data, at)
        assert (sync, flags) == (0x6EC5, 0)
        assert check == binascii.crc_hqx(data[at : at + 12], 0xFFFF)
        end = at + 14 + length + 4 * -(-length // CHUNK)
        if len(data) < end:
            break
        crc, chunk_at, payload = zlib.crc32(data[at : at + 14]), at + 14, b""
        while len(payload) < length:
            chunk = data[chunk_at : chunk_at + min(CHUNK, length - len(payload))]
            crc = zlib.crc32(chunk, crc)
            assert struct.unpack_from("<I", data, chunk_at + len(chunk)) == (crc,)
            payload += chunk
            chunk_at += len(chunk) + 4
        packets.append(Packet(kind, session, sequence, payload))
        at = end
    return packets, data[at:]


class Board:
    """The core with a model whose network is a Python function.

    Args:
        spec: of the model.
        run: returns the outputs for an input of uint8 height x width x 3; None for a failure.
        options: of `struct n6_board_options`.
        library: the firmware's library.
    """

    def __init__(self, spec: ModelSpec, run: Run, library: Path = BOARD_LIBRARY, **options: Any) -> None:
        self.ffi: Any = import_module("yolov8_seg_ros.native._n6board").ffi
        self.lib: Any = self.ffi.dlopen(str(library))
        self.spec, self.run = spec, run
        self.now_us = 0
        self.is_reading = True
        self.received = b""
        self.runs: list[int] = []
        self._keep = [self.ffi.new("char[]", name.encode()) for name in (*spec.class_names, "tiny", "test board")]
        self._class_names = self.ffi.new("char *[]", self._keep[:-2])
        model = self.ffi.new(
            "struct n6_model_description *",
            {
                "seg": model_fields(spec, native().types),
                "input": {
                    "type": native().types[f"SEG_{spec.input.quant.dtype.name.upper()}"],
                    "scale": spec.input.quant.scale,
                    "zero_point": spec.input.quant.zero_point,
                },
                "name": self._keep[-2],
                "class_names": self._class_names,
                "sha256": list(range(32)),
            },
        )
        values = {
            "num_slots": 2,
            "max_candidates": 1000,
            "max_instances": 50,
            "max_jpeg_bytes": 20000,
            "max_result_bytes": 65536,
            "line_bytes": 1 << 20,
            "clock_hz": 600_000_000,
        } | options
        settings = self.ffi.new("struct n6_board_options *", {**values, "device_name": self._keep[-1]})
        sizes = [int(np.prod(output.shape)) * output.quant.dtype.itemsize for output in spec.outputs]
        size = self.lib.n6_board_size(model, settings, sizes, len(sizes))
        self.result = size
        if size < 0:
            return
        self._memory = self.ffi.new("uint64_t[]", -(-size // 8))
        self._board = self.ffi.cast("struct n6_board *", self._memory)
        self.result = self.lib.n6_board_init(self._board, size, model, settings, sizes, len(sizes))

    def send(self, *data: bytes | Packet) -> None:
        """Put bytes on the line and let the board work, networks not yet."""
        for item in data:
            left = item.encode() if isinstance(item, Packet) else item
            while left:
                taken = self.lib.n6_board_receive(self._board, left, len(left))
                left = left[taken:]
                self.work(runs=0)

    def work(self, runs: int = 1000) -> None:
        """Work until there is nothing left, the network `runs` times at most."""
        while True:
            while self.lib.n6_board_poll(self._board, self.now_us & 0xFFFFFFFF) or self._take():
                pass
            slot = self.lib.n6_board_wanted_run(self._board)
            if slot < 0 or runs == 0:
                return
            runs -= 1
            self.end_run(slot)

    def end_run(self, slot: int) -> None:
        """Run the network on a slot."""
        self.runs.append(slot)
        height, width = self.spec.input_hw
        data = self.ffi.buffer(self.lib.n6_board_input(self._board, slot), height * width * 3)
        outputs = self.run(np.frombuffer(data, np.uint8).reshape(height, width, 3))
        for index, output in enumerate(outputs or ()):
            target = self.lib.n6_board_output(self._board, slot, index)
            self.ffi.buffer(target, output.nbytes)[:] = np.ascontiguousarray(output).tobytes()
        self.lib.n6_board_end_run(self._board, 0 if outputs is not None else -7)

    def pass_time(self, duration_us: int) -> None:
        """Advance time without bytes."""
        self.now_us += duration_us
        self.work(runs=0)

    def reopen(self) -> None:
        """Open the port anew, as a host does."""
        self.lib.n6_board_reopen(self._board)
        self.received = b""
        self.work(runs=0)

    def packets(self) -> list[Packet]:
        """Return the whole packets that have come since the last call."""
        found, self.received = decode_all(self.received)
        return found

    def _take(self) -> bool:
        """Read what is on the line for the host; return whether there was anything."""
        if not self.is_reading:
            return False
        buffer = self.ffi.new("uint8_t[]", 1 << 16)
        count = self.lib.n6_board_send(self._board, buffer, len(buffer))
        self.received += self.ffi.buffer(buffer, count)[:]
        return bool(count)


def hello(session: int, version: int = 1, magic: int = MAGIC) -> Packet:
    """Return a HELLO."""
    return Packet(HELLO, session, 0, struct.pack("<IHH", magic, version, 0))


def configuration(
    number: int = 7,
    score: float = 0.1,
    iou: float = 0.7,
    mask_logit: float = 0.5,
    max_instances: int = 20,
    masks: int = 2,
    switches: int = 6,
    classes: bytes = b"",
    num_classes: int = 0,
    reserved: int = 0,
) -> bytes:
    """Return the payload of a CONFIGURE."""
    head = struct.pack(
        "<IfffHBBHH", number, score, iou, mask_logit, max_instances, masks, switches, num_classes, reserved
    )
    return head + classes


def picture(frame: int, data: bytes, picture_format: int = TENSOR) -> bytes:
    """Return the payload of a PICTURE."""
    return struct.pack("<IB11x", frame, picture_format) + data


class Session(Board):
    """A board after HELLO and CONFIGURE; numbers the host's packets."""

    def __init__(self, spec: ModelSpec, run: Any, settings: bytes | None = b"", **options: Any) -> None:
        super().__init__(spec, run, **options)
        assert self.result == 0
        self.sequence = 0
        self.session = SESSION
        self.begin(SESSION)
        if settings is not None:
            self.request(CONFIGURE, settings or configuration())
            assert [packet.type for packet in self.packets()] == [CONFIGURED]

    def begin(self, session: int) -> None:
        """Begin a session with HELLO."""
        self.session, self.sequence = session, 0
        self.send(hello(session))
        assert [packet.type for packet in self.packets() if packet.session == session] == [WELCOME]

    def next(self, kind: int, payload: bytes = b"") -> Packet:
        """Return the host's next packet."""
        self.sequence += 1
        return Packet(kind, self.session, self.sequence & 0xFFFF, payload)

    def request(self, kind: int, payload: bytes = b"") -> None:
        """Send the host's next packet."""
        self.send(self.next(kind, payload))
