"""Run networks on a board with ST's validation firmware: tensors travel both ways, the host decodes."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from yolov8_seg_ros.backends.n6.board import BoardNetwork, BoardProtocol, RunResult, TensorConnection
from yolov8_seg_ros.backends.n6.port import Port
from yolov8_seg_ros.backends.n6.stedgeai_exchange import BoardLog, Exchange, TimeLimits, error_name, synchronise
from yolov8_seg_ros.backends.n6.stedgeai_wire import (
    FIRST_SAMPLE,
    PACKET_FORMATS,
    PROTOCOL_VERSION,
    Acknowledge,
    Command,
    ErrorCode,
    Message,
    RunMode,
    State,
    TensorData,
    TensorFlag,
    decode_text,
    encode_text,
)
from yolov8_seg_ros.core.model_spec import TensorSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import BoardError, LinkError

#: More networks are a defect of the board.
_MAX_MODELS = 16
#: The device number of an STM32N6.
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
#: Bit of the runtime word: the network's multiplications were not counted.
_NO_MACC = 4
#: The runtime word of a network on the NPU, compiled with GCC, whose multiplications were not counted.
RUNTIME_WORD = RUNTIME_ATON | TOOLCHAIN_GCC << _TOOLCHAIN_SHIFT | _NO_MACC << _NOT_PROVIDED_SHIFT
#: Bits of an STM32N6's cache word.
_CACHES = {0: "NPU cache", 10: "instruction cache", 11: "data cache"}

_TYPE_FLOAT, _TYPE_INTEGER, _TYPE_BOOL = 1, 2, 3
_TYPE_SHIFT, _BITS_SHIFT, _SIGNED_BIT, _FLOAT_BIT = 17, 7, 1 << 23, 1 << 24
#: Means "no fractional bits": a plain integer or float.
_NO_FRACTION = 64
_KINDS = {(_TYPE_FLOAT, True): "f", (_TYPE_INTEGER, True): "i", (_TYPE_INTEGER, False): "u", (_TYPE_BOOL, False): "b"}
_NUM_DIMS_MASK = 0xFFFFFF
_MAX_DIMS = 8
#: A tensor of more bytes does not fit into any board's memory.
_MAX_TENSOR_BYTES = 1 << 26


@dataclass(frozen=True)
class Device:
    """A board.

    Attributes:
        device_id: of the microcontroller.
        name: of the microcontroller.
        cpu_hz: clock of the CPU.
        bus_hz: clock of the CPU's bus.
        npu_hz: clock of the NPU; 0 if the board does not report it.
        caches: names of those in use.
    """

    device_id: int
    name: str
    cpu_hz: int
    bus_hz: int
    npu_hz: int
    caches: tuple[str, ...]


@dataclass(frozen=True)
class BoardModel(BoardNetwork):
    """A network on the board.

    Attributes:
        key: its name as the board sent it.
        toolchain: what it was compiled with.
        compiled: when, as the board words it.
        signature: of the network.
        tool_version: of the tool that generated it.
        runtime_version: of the runtime.
        description: of the runtime, as the board words it.
        num_macc: multiplications and accumulations of a run; None if the board does not report them.
        num_nodes: parts that it runs in.
    """

    key: bytes
    toolchain: str
    compiled: str
    signature: str
    tool_version: str
    runtime_version: str
    description: str
    num_macc: int | None
    num_nodes: int


class StedgeaiProtocol(BoardProtocol["StedgeaiConnection"]):
    """The protocol of ST's validation firmware.

    Its connections share the numbers of requests, so that no late answer fits a later request.

    Args:
        limits: how long the board may take.
        clock: returns a time in seconds.
    """

    name = "stedgeai"
    baud_rates = (921_600, 115_200)

    def __init__(self, limits: TimeLimits | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits or TimeLimits()
        self._clock = clock
        self._request_ids = itertools.count(1)
        self._log = BoardLog(clock)
        #: The one that the last board had comes first.
        self._formats = list(PACKET_FORMATS)

    def connect(self, port: Port) -> StedgeaiConnection:
        """Get in step with the board, whatever state a former host left it in.

        Raises:
            LinkError: if there is no such board.
            BoardError: if the board has another revision of the protocol.
            RunInterruptedError: if the port's `stop` returns True.
        """
        exchange = Exchange(port, self._request_ids, self._limits, self._log, self._clock)
        version = synchronise(exchange, self._formats).sync.version
        self._formats = sorted(PACKET_FORMATS, key=lambda packets: packets != exchange.packets)
        major, minor = version >> 8, version & 0xFF
        known_major, known_minor = PROTOCOL_VERSION
        # Later minor revisions came with the larger header.
        if major != known_major or (exchange.packets.header_bytes == 1 and minor > known_minor):
            raise BoardError(
                f"the board speaks revision {major}.{minor} of the protocol, expected {known_major}.{known_minor}; "
                "generate its firmware with a version of ST Edge AI that speaks that one"
            )
        return StedgeaiConnection(exchange)


class StedgeaiConnection(TensorConnection):
    """A board with ST's validation firmware that is in step.

    After any error but a BoardError it has to be made anew.
    """

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(exchange.port)
        self._exchange = exchange
        self._limits = exchange.limits

    def device(self) -> Device:
        """Return what board this is.

        Raises:
            LinkError: if the line does not work.
            BoardError: if the board refuses.
        """
        self._exchange.request(Command.SYSTEM_INFO)
        info = self._exchange.expect("sinfo", State.IDLE, self._limits.answer_s).sinfo
        return Device(
            device_id=info.devid,
            name=_DEVICES.get(info.devid, f"unknown device 0x{info.devid:x}"),
            cpu_hz=info.sclock,
            bus_hz=info.hclock,
            npu_hz=info.extra[1] if len(info.extra) > 1 else 0,
            caches=tuple(name for bit, name in _CACHES.items() if info.cache >> bit & 1),
        )

    def device_name(self) -> str:
        """Return the name of the microcontroller."""
        return self.device().name

    def networks(self) -> list[BoardModel]:
        """Return the networks on the board.

        Raises:
            LinkError: if the line does not work.
            BoardError: if the board's runtime is not ready, or its description of a tensor makes no sense.
        """
        models = []
        for index in range(_MAX_MODELS):
            self._exchange.request(Command.MODEL_INFO, param=index)
            answer = self._exchange.receive(self._limits.models_s)
            if answer.WhichOneof("payload") != "minfo":
                if answer.WhichOneof("payload") == "ack" and answer.ack.error == ErrorCode.GENERIC:
                    raise BoardError("the board's network is not initialised; reset the board")
                break
            models.append(_read_model(answer.minfo))
        return models

    def run(self, network: BoardNetwork, inputs: Sequence[Tensor]) -> RunResult:
        """Run a network.

        Args:
            network: one of `networks`.
            inputs: quantized, C order, one for each of the network's inputs.

        Raises:
            LinkError: if the line does not work, or the board does not keep to the protocol.
            BoardError: if the board refuses, or fails.
            RunInterruptedError: if the port's `stop` returns True.
        """
        assert isinstance(network, BoardModel)
        begin_s = time.monotonic()
        self._exchange.request(Command.RUN, int(RunMode.IO_ONLY), network.key, FIRST_SAMPLE)
        answer = self._exchange.expect("ack", State.WAITING, self._limits.answer_s)
        _check_acknowledged(answer.ack, num_bytes(network.inputs[0]))
        for number, data in enumerate(inputs, 1):
            self._send_input(data.tobytes(), State.PROCESSING if number == len(inputs) else State.WAITING)
        sent_s = time.monotonic()
        operator = self._exchange.expect("op", State.PROCESSING, self._limits.inference_s).op
        inferred_s = time.monotonic()
        outputs = tuple(
            self._receive_output(tensor, is_last=number == len(network.outputs))
            for number, tensor in enumerate(network.outputs, 1)
        )
        self._exchange.require_silence()
        end_s = time.monotonic()
        return RunResult(outputs, operator.duration, sent_s - begin_s, end_s - inferred_s, end_s - begin_s)

    def ping(self) -> float:
        """Return the seconds of the shortest exchange.

        Raises:
            LinkError: if the line does not work.
        """
        begin_s = time.perf_counter()
        self._exchange.request(Command.SYNC)
        self._exchange.expect("sync", State.IDLE, self._limits.answer_s)
        return time.perf_counter() - begin_s

    def _send_input(self, data: bytes, state_after: State) -> None:
        self._exchange.send(TensorData(type=0, size=len(data), addr=0, datas=data))
        answer = self._exchange.expect("ack", state_after, self._limits.answer_s)
        _check_acknowledged(answer.ack, len(data))
        self._exchange.send(Acknowledge(param=0, error=ErrorCode.NONE))

    def _receive_output(self, expected: TensorSpec, is_last: bool) -> Tensor:
        state = State.DONE if is_last else State.PROCESSING
        tensor = self._exchange.expect("tensor", state, self._limits.answer_s, num_bytes(expected)).tensor
        got = _read_description(tensor.desc, expected.name)
        same = (got.shape, got.quant.dtype) == (expected.shape, expected.quant.dtype)
        if bool(tensor.desc.flags & TensorFlag.LAST) != is_last or not same:
            raise LinkError(f"{self.port.path}: expected output {expected}, got {got}")
        return _read_array(tensor.data.datas, expected)


def num_bytes(tensor: TensorSpec) -> int:
    """Return the size of a tensor's data."""
    return math.prod(tensor.shape) * tensor.quant.dtype.itemsize


def write_description(description: Message, tensor: TensorSpec, flags: int) -> None:
    """Fill in a TensorDescription.

    Args:
        description: to be filled in.
        tensor: of a dtype that NumPy has.
        flags: see `TensorFlag`.
    """
    description.name, description.flags, description.addr = encode_text(tensor.name), flags, 0
    description.format = _format_word(tensor.quant.dtype)
    description.size = math.prod(tensor.shape)
    description.n_dims = len(tensor.shape)
    description.dims.extend(tensor.shape)
    description.scale = 0.0 if tensor.quant.is_float else tensor.quant.scale
    description.zeropoint = tensor.quant.zero_point


def _check_acknowledged(acknowledged: Message, size: int) -> None:
    if acknowledged.error != ErrorCode.NONE or acknowledged.param != size:
        raise BoardError(
            f"the board expects or received {acknowledged.param} bytes, they are {size} "
            f"({error_name(acknowledged.error)})"
        )


def _read_model(info: Message) -> BoardModel:
    return BoardModel(
        name=decode_text(info.name),
        inputs=tuple(_read_description(tensor, f"input_{i}") for i, tensor in enumerate(info.inputs, 1)),
        outputs=tuple(_read_description(tensor, f"output_{i}") for i, tensor in enumerate(info.outputs, 1)),
        runtime=_RUNTIMES.get(info.rtid & 0xFF, f"runtime {info.rtid & 0xFF}"),
        key=info.name,
        toolchain=_TOOLCHAINS.get(info.rtid >> _TOOLCHAIN_SHIFT & 0xFF, "unknown"),
        compiled=decode_text(info.compile_datetime),
        signature=decode_text(info.signature),
        tool_version=_version_text(info.tool_version),
        runtime_version=_version_text(info.runtime_version),
        description=decode_text(info.runtime_desc),
        num_macc=None if info.rtid >> _NOT_PROVIDED_SHIFT & _NO_MACC else info.n_macc,
        num_nodes=info.n_nodes,
    )


def _version_text(word: int) -> str:
    return f"{word >> 24}.{word >> 16 & 0xFF}.{word >> 8 & 0xFF}"


def _read_description(description: Message, fallback_name: str) -> TensorSpec:
    """Read a TensorDescription.

    Raises:
        BoardError: if it makes no sense.
    """
    name = decode_text(description.name) or fallback_name
    shape = tuple(description.dims)
    if not 0 < len(shape) <= _MAX_DIMS or description.n_dims & _NUM_DIMS_MASK != len(shape):
        raise BoardError(
            f"tensor '{name}': {description.n_dims & _NUM_DIMS_MASK} dimensions announced, got {len(shape)}"
        )
    dtype = _read_dtype(description.format, name)
    if not 0 < math.prod(shape) * dtype.itemsize <= _MAX_TENSOR_BYTES:
        raise BoardError(f"tensor '{name}': a shape of {shape} cannot be")
    if dtype.kind not in "iu":
        return TensorSpec(name, shape, QuantParams(dtype))
    if not math.isfinite(description.scale):
        raise BoardError(
            f"tensor '{name}': a scale of {description.scale}, expected a finite number; "
            "generate the firmware for your model and flash it"
        )
    return TensorSpec(name, shape, QuantParams(dtype, description.scale, description.zeropoint))


def _read_dtype(word: int, name: str) -> np.dtype[Any]:
    bits, fraction = word >> _BITS_SHIFT & 0x7F, word & 0x7F
    kind = _KINDS.get((word >> _TYPE_SHIFT & 0xF, bool(word & _SIGNED_BIT)))
    if kind is None or bits not in (8, 16, 32, 64) or fraction != _NO_FRACTION:
        raise BoardError(
            f"tensor '{name}': its numbers (format 0x{word:08x}) are neither whole bytes of an integer nor a float; "
            "generate the network with plain int8, uint8 or float32 inputs and outputs"
        )
    try:
        return np.dtype(f"{kind}{bits // 8}")
    except TypeError as error:
        raise BoardError(f"tensor '{name}': there is no type of format 0x{word:08x}") from error


def _format_word(dtype: np.dtype[Any]) -> int:
    kind = {"f": _TYPE_FLOAT, "i": _TYPE_INTEGER, "u": _TYPE_INTEGER, "b": _TYPE_BOOL}[dtype.kind]
    word = kind << _TYPE_SHIFT | dtype.itemsize * 8 << _BITS_SHIFT | _NO_FRACTION
    if dtype.kind in "if":
        word |= _SIGNED_BIT
    return word | _FLOAT_BIT if dtype.kind == "f" else word


def _read_array(data: bytes, tensor: TensorSpec) -> Tensor:
    """Return data off the line as an array of its own.

    Raises:
        BoardError: if they are too few or too many.
    """
    if len(data) != num_bytes(tensor):
        raise BoardError(f"the board sent {len(data)} bytes for {tensor}, expected {num_bytes(tensor)}")
    return np.frombuffer(data, tensor.quant.dtype.newbyteorder("<")).reshape(tensor.shape).copy()
