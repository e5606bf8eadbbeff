"""Call the firmware's core, built as a library; `firmware/n6_bridge/host/n6_board.h` is its manual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.native import LIBRARY, load_library, model_fields, native
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.errors import BackendError

BOARD_LIBRARY = LIBRARY.with_name("libn6board.so")
_BUFFER_BYTES = 1 << 16


@dataclass(frozen=True)
class BoardOptions:
    """Room of the simulated board, ample for any number of instances.

    Attributes:
        num_slots: pictures in flight.
        max_candidates: boxes that are compared with each other, the best ones.
        max_instances: largest number that a host may ask for.
        max_jpeg_bytes: longest JPEG; 0: no JPEG.
        max_result_bytes: longest result.
        line_bytes: that the line holds in each direction.
        clock_hz: of the processor.
        npu_hz: of the NPU.
    """

    num_slots: int = 2
    max_candidates: int = 4096
    max_instances: int = 300
    max_jpeg_bytes: int = 65_536
    max_result_bytes: int = 262_144
    line_bytes: int = 32_768
    clock_hz: int = 800_000_000
    npu_hz: int = 1_000_000_000


@lru_cache(maxsize=1)
def _load() -> tuple[Any, Any]:
    return load_library("_n6board", BOARD_LIBRARY, "simulated board")


class BridgeCore:
    """The firmware's core with a network that the caller runs. Used by one thread.

    Args:
        spec: of the network.
        name: of the network.
        sha256: of the file that it was made of.
        options: how much room the board has.
        device_name: of the board.

    Raises:
        BackendError: if the core refuses the model.
        NativeLibraryError: if the library is missing.
    """

    def __init__(
        self,
        spec: ModelSpec,
        name: str,
        sha256: bytes,
        options: BoardOptions | None = None,
        device_name: str = "STM32N6 (simulated)",
    ) -> None:
        self._ffi, self._lib = _load()
        self._spec = spec
        self._board = self._make(spec, name, sha256, options or BoardOptions(), device_name)
        self._buffer = self._ffi.new("uint8_t[]", _BUFFER_BYTES)

    def receive(self, data: bytes) -> int:
        """Put bytes of the host on the line; return how many it had room for."""
        return int(self._lib.n6_board_receive(self._board, data, len(data)))

    def send(self, max_bytes: int) -> bytes:
        """Return bytes for the host from the line."""
        count = self._lib.n6_board_send(self._board, self._buffer, min(max_bytes, _BUFFER_BYTES))
        return bytes(self._ffi.buffer(self._buffer, count))

    def poll(self, now_us: int) -> bool:
        """Do a piece of work; return whether there may be more."""
        return bool(self._lib.n6_board_poll(self._board, now_us & 0xFFFFFFFF))

    def reopen(self) -> None:
        """Record that a host has opened the port."""
        self._lib.n6_board_reopen(self._board)

    def wanted_run(self) -> int | None:
        """Return the slot whose input the network is to run on, if any."""
        slot = int(self._lib.n6_board_wanted_run(self._board))
        return slot if slot >= 0 else None

    def read_input(self, slot: int) -> Tensor:
        """Return a copy of a slot's input; from any thread until `end_run`."""
        tensor = self._spec.input
        data = self._ffi.buffer(self._lib.n6_board_input(self._board, slot), math.prod(tensor.shape))
        return np.frombuffer(data, tensor.quant.dtype).reshape(tensor.shape).copy()

    def write_outputs(self, slot: int, outputs: Sequence[Tensor]) -> None:
        """Write a slot's outputs; from any thread until `end_run`."""
        for index, output in enumerate(outputs):
            target = self._lib.n6_board_output(self._board, slot, index)
            self._ffi.memmove(target, np.ascontiguousarray(output), output.nbytes)

    def end_run(self, result: int = 0) -> None:
        """End the wanted run; a result below 0 is a failure."""
        self._lib.n6_board_end_run(self._board, result)

    def _make(self, spec: ModelSpec, name: str, sha256: bytes, options: BoardOptions, device_name: str) -> Any:
        ffi, lib, types = self._ffi, self._lib, native().types
        #: Names must stay where they are.
        self._texts = [ffi.new("char[]", text.encode()) for text in (name, device_name, *spec.class_names)]
        self._class_names = ffi.new("char *[]", self._texts[2:])
        quant = spec.input.quant
        model = ffi.new(
            "struct n6_model_description *",
            {
                "seg": model_fields(spec, types),
                "input": (types[f"SEG_{quant.dtype.name.upper()}"], quant.scale, quant.zero_point),
                "name": self._texts[0],
                "class_names": self._class_names if spec.names_given else ffi.NULL,
                "sha256": sha256,
            },
        )
        settings = ffi.new("struct n6_board_options *", {**vars(options), "device_name": self._texts[1]})
        sizes = [math.prod(output.shape) * output.quant.dtype.itemsize for output in spec.outputs]
        size_bytes = lib.n6_board_size(model, settings, sizes, len(sizes))
        if size_bytes < 0:
            raise BackendError(f"the bridge firmware refuses this model ({size_bytes}): its input must have 8 bits")
        self._memory = ffi.new("uint64_t[]", -(-size_bytes // 8))
        board = ffi.cast("struct n6_board *", self._memory)
        result = lib.n6_board_init(board, size_bytes, model, settings, sizes, len(sizes))
        assert result == 0, result
        return board
