"""Describe board and network as the board reports them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from yolov8_seg_ros.backends.n6.messages import decoded, version_text
from yolov8_seg_ros.backends.n6.tensors import BoardTensor, read_description

#: What an STM32N6 calls itself.
STM32N6_ID = 0x486
_DEVICES = {STM32N6_ID: "STM32N6"}
RUNTIME_ATON = 4
_RUNTIMES = {
    1: "ST.AI",
    2: "TensorFlow Lite Micro",
    3: "TVM",
    RUNTIME_ATON: "ST Neural-ART (LL_ATON)",
    5: "Glow",
    6: "ST.AI relocatable",
}
TOOLCHAIN_GCC = 1
_TOOLCHAINS = {TOOLCHAIN_GCC: "GCC", 2: "IAR", 3: "Arm Compiler 5", 4: "Arm Compiler 6", 5: "HighTec", 6: "Green Hills"}
_TOOLCHAIN_SHIFT, _NOT_PROVIDED_SHIFT = 16, 24
#: A bit of the runtime word: the network's multiplications were not counted.
NO_MACC = 4
#: Bits of an STM32N6's cache word.
_CACHES = {0: "NPU cache", 10: "instruction cache", 11: "data cache"}
CACHES_ON = 5 << 24 | 1 << 16 | 1 << 11 | 1 << 10 | 1


@dataclass(frozen=True)
class Device:
    """The board.

    Attributes:
        device_id: of the microcontroller.
        cpu_hz: clock of the CPU.
        bus_hz: clock of its bus.
        npu_hz: clock of the NPU; 0 where the board does not tell.
        caches: those in use.
    """

    device_id: int
    cpu_hz: int
    bus_hz: int
    npu_hz: int
    caches: tuple[str, ...]

    @classmethod
    def read(cls, info: Any) -> Device:
        """Read a SystemInfo message."""
        caches = tuple(name for bit, name in _CACHES.items() if info.cache >> bit & 1)
        npu_hz = info.extra[1] if len(info.extra) > 1 else 0
        return cls(info.devid, info.sclock, info.hclock, npu_hz, caches)

    @property
    def name(self) -> str:
        """Give what it is called."""
        return _DEVICES.get(self.device_id, f"unknown device 0x{self.device_id:x}")


@dataclass(frozen=True)
class BoardModel:
    """A network on the board.

    Attributes:
        name: by which it is run.
        inputs: in order.
        outputs: in order.
        runtime: what runs it.
        toolchain: what it was compiled with.
        compiled: when, as the board words it.
        signature: of the network.
        tool_version: of the tool that generated it.
        runtime_version: of the runtime.
        description: of the runtime, as the board words it.
        num_macc: multiplications and accumulations of a run; None where the board does not tell.
        num_nodes: parts that it runs in.
    """

    name: str
    inputs: tuple[BoardTensor, ...]
    outputs: tuple[BoardTensor, ...]
    runtime: str
    toolchain: str
    compiled: str
    signature: str
    tool_version: str
    runtime_version: str
    description: str
    num_macc: int | None
    num_nodes: int

    @classmethod
    def read(cls, info: Any) -> BoardModel:
        """Read a ModelInfo message.

        Raises:
            BoardError: if a tensor cannot be understood.
        """
        return cls(
            name=decoded(info.name),
            inputs=tuple(read_description(tensor, f"input_{i}") for i, tensor in enumerate(info.inputs, 1)),
            outputs=tuple(read_description(tensor, f"output_{i}") for i, tensor in enumerate(info.outputs, 1)),
            runtime=_RUNTIMES.get(info.rtid & 0xFF, f"runtime {info.rtid & 0xFF}"),
            toolchain=_TOOLCHAINS.get(info.rtid >> _TOOLCHAIN_SHIFT & 0xFF, "unknown"),
            compiled=decoded(info.compile_datetime),
            signature=decoded(info.signature),
            tool_version=version_text(info.tool_version),
            runtime_version=version_text(info.runtime_version),
            description=decoded(info.runtime_desc),
            num_macc=None if info.rtid >> _NOT_PROVIDED_SHIFT & NO_MACC else info.n_macc,
            num_nodes=info.n_nodes,
        )


def runtime_word() -> int:
    """Give the runtime word of a network on the NPU, compiled with GCC, whose multiplications are not counted."""
    return RUNTIME_ATON | TOOLCHAIN_GCC << _TOOLCHAIN_SHIFT | NO_MACC << _NOT_PROVIDED_SHIFT
