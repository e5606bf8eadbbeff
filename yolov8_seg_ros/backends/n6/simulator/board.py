"""A simulated board with ST's validation firmware."""

from __future__ import annotations

import time

import numpy as np

from yolov8_seg_ros.backends.n6.simulator.line import LineClosed, PtyLine
from yolov8_seg_ros.backends.n6.simulator.network import SimulatedNetwork
from yolov8_seg_ros.backends.n6.stedgeai import (
    RUNTIME_ATON,
    RUNTIME_WORD,
    STM32N6_ID,
    TOOLCHAIN_GCC,
    num_bytes,
    write_description,
)
from yolov8_seg_ros.backends.n6.stedgeai_wire import (
    GO_AHEAD,
    PROTOCOL_VERSION,
    Acknowledge,
    BoardReceiver,
    Command,
    ErrorCode,
    Message,
    PacketError,
    PacketFormat,
    Request,
    Response,
    RunMode,
    State,
    TensorData,
    TensorFlag,
    encode_text,
    parse,
)
from yolov8_seg_ros.core.model_spec import TensorSpec
from yolov8_seg_ros.core.quantization import Tensor

#: The firmware prints this on the same line before it listens.
BOOT_TEXT = b"\r\n#\r\n# AI validation 3.1 (simulated)\r\n#\r\n"
_CPU_HZ, _BUS_HZ, _NPU_HZ, _INTERCONNECT_HZ = 800_000_000, 400_000_000, 1_000_000_000, 900_000_000
#: The runtime word of the first answer differs from that of a network's description.
_SYNC_RUNTIME = RUNTIME_ATON | TOOLCHAIN_GCC << 8
#: Five counters of 64 bits, each as two numbers, low word first.
_NO_COUNTERS = (0,) * 10
_NOT_MEASURED = -1
_CACHES_ON = 5 << 24 | 1 << 16 | 1 << 11 | 1 << 10 | 1
_TOOL_VERSION, _RUNTIME_VERSION = 2 << 24, 1 << 24
#: No message of a host has more than this beside a tensor's data.
_MAX_FIELDS_BYTES = 1024


class Refusal(Exception):  # noqa: N818 - an answer, not an error
    """The board refuses a request: parameter and error of its acknowledgement."""

    def __init__(self, param: int, error: ErrorCode) -> None:
        super().__init__(f"{error.name}, {param}")
        self.param, self.error = param, error


class SimulatedBoard:
    """A board with one network.

    It reports no capability beyond running the network, so that hosts request nothing else.

    Args:
        network: that it runs.
        line: to the host.
        packets: their format.
        device_ms: shortest duration of a run, and what the board reports; None: the time that the run takes.
    """

    def __init__(
        self,
        network: SimulatedNetwork,
        line: PtyLine,
        packets: PacketFormat,
        device_ms: float | None = None,
    ) -> None:
        self._network = network
        self._line = line
        self._packets = packets
        self._device_ms = device_ms
        self._request_id = 0
        self._max_message_bytes = _MAX_FIELDS_BYTES + max(map(num_bytes, network.inputs))

    def serve(self) -> None:
        """Start up, and answer a host until the line is closed."""
        try:
            self._line.discard()
            self._line.write(BOOT_TEXT)
            while True:
                self._serve_one()
        except LineClosed:
            return

    def _serve_one(self) -> None:
        request = self._read(Request)
        if request is None:
            return
        self._request_id = request.reqid
        try:
            self._carry_out(request)
        except Refusal as refusal:
            self._acknowledge(State.ERROR, refusal.param, refusal.error)

    def _carry_out(self, request: Message) -> None:
        if request.cmd == Command.SYNC:
            self._answer_sync()
        elif request.cmd == Command.SYSTEM_INFO:
            self._answer_system_info()
        elif request.cmd == Command.MODEL_INFO:
            self._answer_model_info(request.param)
        elif request.cmd == Command.RUN:
            self._run(request)
        else:
            raise Refusal(ErrorCode.INVALID_PARAM, ErrorCode.INVALID_PARAM)

    def _answer_sync(self) -> None:
        answer = self._response(State.IDLE)
        major, minor = PROTOCOL_VERSION
        answer.sync.version, answer.sync.capability, answer.sync.rtid = major << 8 | minor, 0, _SYNC_RUNTIME
        self._send(answer)

    def _answer_system_info(self) -> None:
        answer = self._response(State.IDLE)
        info = answer.sinfo
        info.devid, info.sclock, info.hclock, info.cache = STM32N6_ID, _CPU_HZ, _BUS_HZ, _CACHES_ON
        info.extra.extend((0, _NPU_HZ, _INTERCONNECT_HZ))
        self._send(answer)

    def _answer_model_info(self, index: int) -> None:
        if index != 0:
            raise Refusal(ErrorCode.INVALID_PARAM, ErrorCode.INVALID_PARAM)
        answer = self._response(State.IDLE)
        self._describe_network(answer.minfo)
        self._send(answer)

    def _describe_network(self, info: Message) -> None:
        network = self._network
        info.name, info.signature = encode_text(network.name), encode_text(network.signature)
        info.compile_datetime, info.runtime_desc = encode_text(network.compiled), b"simulated"
        info.rtid = RUNTIME_WORD
        info.runtime_version, info.tool_version = _RUNTIME_VERSION, _TOOL_VERSION
        info.n_macc, info.n_nodes, info.n_activations, info.n_params = 0, 1, 0, 0
        info.n_inputs, info.n_outputs = len(network.inputs), len(network.outputs)
        for tensor in network.inputs:
            write_description(info.inputs.add(), tensor, TensorFlag.INPUT)
        for tensor in network.outputs:
            write_description(info.outputs.add(), tensor, TensorFlag.OUTPUT)

    def _run(self, request: Message) -> None:
        if request.name != encode_text(self._network.name):
            raise Refusal(ErrorCode.INVALID_PARAM, ErrorCode.INVALID_PARAM)
        inputs = self._receive_inputs()
        if inputs is None:
            return
        started_s = time.perf_counter()
        try:
            outputs = self._network.run(inputs)
        except RuntimeError as error:
            raise Refusal(ErrorCode.GENERIC, ErrorCode.GENERIC) from error
        self._send_operator((time.perf_counter() - started_s) * 1e3)
        self._send_outputs(outputs, with_data=not request.param & RunMode.PERFORMANCE)

    def _receive_inputs(self) -> list[Tensor] | None:
        """Return all inputs; None if the host does not go on."""
        specs = self._network.inputs
        self._acknowledge(State.WAITING, num_bytes(specs[0]))
        inputs = []
        for number, spec in enumerate(specs, 1):
            data = self._receive_input(spec)
            state = State.PROCESSING if number == len(specs) else State.WAITING
            self._acknowledge(state, data.nbytes)
            if self._read(Acknowledge) is None:
                return None
            inputs.append(data)
        return inputs

    def _receive_input(self, spec: TensorSpec) -> Tensor:
        message = self._read(TensorData)
        if message is None:
            raise Refusal(0, ErrorCode.INVALID_FORMAT)
        data = message.datas
        # A host that only measures times sends one element instead of all.
        if len(data) not in (num_bytes(spec), spec.quant.dtype.itemsize):
            raise Refusal(len(data), ErrorCode.INVALID_SIZE)
        return np.resize(np.frombuffer(data, spec.quant.dtype), spec.shape)

    def _send_operator(self, took_ms: float) -> None:
        if self._device_ms is not None:
            time.sleep(max(0.0, self._device_ms - took_ms) / 1e3)
            took_ms = self._device_ms
        answer = self._response(State.PROCESSING)
        operator = answer.op
        operator.name, operator.type, operator.id, operator.duration = encode_text(self._network.name), 0, 0, took_ms
        operator.counter_type, operator.stack_used, operator.heap_used = 0, _NOT_MEASURED, _NOT_MEASURED
        operator.counters.extend(_NO_COUNTERS)
        self._send(answer)

    def _send_outputs(self, outputs: list[Tensor], with_data: bool) -> None:
        for number, (spec, data) in enumerate(zip(self._network.outputs, outputs, strict=True), 1):
            is_last = number == len(outputs)
            flags = TensorFlag.OUTPUT | (TensorFlag.LAST if is_last else 0) | (0 if with_data else TensorFlag.NO_DATA)
            answer = self._response(State.DONE if is_last else State.PROCESSING)
            write_description(answer.tensor.desc, spec, flags)
            content, sent = answer.tensor.data, data.tobytes() if with_data else b""
            content.type, content.addr, content.size, content.datas = 0, 0, len(sent), sent
            self._send(answer)

    def _acknowledge(self, state: State, param: int, error: ErrorCode = ErrorCode.NONE) -> None:
        answer = self._response(state)
        answer.ack.param, answer.ack.error = param, error
        self._send(answer)

    def _response(self, state: State) -> Message:
        return Response(reqid=self._request_id, state=state)

    def _send(self, response: Message) -> None:
        self._line.write(self._packets.to_host(response.SerializeToString()))

    def _read(self, kind: type[Message]) -> Message | None:
        """Wait for a message, asking for each further packet; return None if it makes no sense."""
        receiver = BoardReceiver(self._packets, self._max_message_bytes)
        size = self._packets.packet_bytes
        try:
            while (message := receiver.take(self._line.read(size))) is None:
                self._line.write(GO_AHEAD)
        except PacketError:
            return None
        return parse(kind, message)
