"""Speak the host's side of the protocol of ST's validation firmware."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from yolov8_seg_ros.backends.n6.device import BoardModel, Device
from yolov8_seg_ros.backends.n6.exchange import Exchange, TimeLimits, error_name
from yolov8_seg_ros.backends.n6.messages import (
    FIRST_SAMPLE,
    PROTOCOL_VERSION,
    Acknowledge,
    Command,
    ErrorCode,
    Message,
    RunMode,
    State,
    TensorData,
    TensorFlag,
)
from yolov8_seg_ros.backends.n6.serial_line import SerialLine
from yolov8_seg_ros.backends.n6.synchronise import synchronise
from yolov8_seg_ros.backends.n6.tensors import BoardTensor, read_description
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.errors import BoardError, LinkError

#: More networks are the sign of a board gone wild.
_MAX_MODELS = 16


@dataclass(frozen=True)
class RunResult:
    """What a run gave and took.

    Attributes:
        outputs: stored numbers, in the order of the model's outputs.
        inference_ms: as the board measured it.
        total_s: from request to the last output.
        upload_s: until the board had all inputs.
        download_s: from the end of the inference on.
        upload_bytes: size of the inputs.
        download_bytes: size of the outputs.
    """

    outputs: tuple[Tensor, ...]
    inference_ms: float
    total_s: float
    upload_s: float
    download_s: float
    upload_bytes: int
    download_bytes: int


class BoardClient:
    """A conversation with a board.

    After any error but a BoardError, `connect` is due before anything else.

    Args:
        line: to the board; the caller keeps and closes it.
        header_size: of packets, 1 or 2 bytes.
        limits: how long the board may take.
        request_ids: numbers for requests; shared by conversations that follow each other, no late answer is mistaken.
    """

    def __init__(
        self,
        line: SerialLine,
        header_size: int = 1,
        limits: TimeLimits | None = None,
        request_ids: Iterator[int] | None = None,
    ) -> None:
        self._exchange = Exchange(line, header_size, limits, request_ids)
        self._limits = self._exchange.limits

    def connect(self) -> None:
        """Get in step with the board, whatever state a former host left it in.

        Raises:
            LinkError: if that cannot be done.
            BoardError: if the board speaks another revision of the protocol.
            RunInterruptedError: if the line's `stop` says so.
        """
        version = synchronise(self._exchange).sync.version
        major, minor = version >> 8, version & 0xFF
        known_major, known_minor = PROTOCOL_VERSION
        # Later minor revisions came with the larger header.
        if major != known_major or (self._exchange.header_size == 1 and minor > known_minor):
            raise BoardError(
                f"the board speaks revision {major}.{minor} of the protocol, expected {known_major}.{known_minor}; "
                "generate its firmware with a version of ST Edge AI that speaks that one"
            )

    def device(self) -> Device:
        """Ask what board this is.

        Raises:
            LinkError: if the line does not work.
            BoardError: if the board refuses.
        """
        self._exchange.request(Command.SYSTEM_INFO)
        return Device.read(self._exchange.expect("sinfo", State.IDLE, self._limits.answer_s).sinfo)

    def models(self) -> list[BoardModel]:
        """Ask which networks are on the board.

        Raises:
            LinkError: if the line does not work.
            BoardError: if the board's runtime is not ready, or what it describes cannot be understood.
        """
        models = []
        for index in range(_MAX_MODELS):
            self._exchange.request(Command.MODEL_INFO, param=index)
            answer = self._exchange.receive(self._limits.models_s)
            if answer.WhichOneof("payload") != "minfo":
                self._check_end_of_models(answer)
                break
            models.append(BoardModel.read(answer.minfo))
        return models

    def run(self, model: BoardModel, inputs: Sequence[Tensor], first: bool = True) -> RunResult:
        """Run a network.

        Args:
            model: one of `models`.
            inputs: stored numbers, C order, one for each of the model's inputs.
            first: False where the run continues a series.

        Raises:
            LinkError: if the line does not work, or the board does not keep to the protocol.
            BoardError: if the board refuses, or fails at it.
            RunInterruptedError: if the line's `stop` says so.
        """
        started_s = time.monotonic()
        self._exchange.request(Command.RUN, int(RunMode.IO_ONLY), model.name, FIRST_SAMPLE if first else 0)
        answer = self._exchange.expect("ack", State.WAITING, self._limits.answer_s)
        self._check_acknowledged(answer.ack, model.inputs[0].num_bytes)
        for number, data in enumerate(inputs, 1):
            is_last = number == len(inputs)
            self._send_input(data.tobytes(), State.PROCESSING if is_last else State.WAITING)
        sent_s = time.monotonic()
        operator = self._exchange.expect("op", State.PROCESSING, self._limits.inference_s).op
        inferred_s = time.monotonic()
        outputs = tuple(
            self._receive_output(tensor, is_last=number == len(model.outputs))
            for number, tensor in enumerate(model.outputs, 1)
        )
        self._exchange.require_silence()
        return RunResult(
            outputs=outputs,
            inference_ms=operator.duration,
            total_s=time.monotonic() - started_s,
            upload_s=sent_s - started_s,
            download_s=time.monotonic() - inferred_s,
            upload_bytes=sum(data.nbytes for data in inputs),
            download_bytes=sum(output.nbytes for output in outputs),
        )

    def ping(self) -> float:
        """Give the seconds of the shortest exchange.

        Raises:
            LinkError: if the line does not work.
        """
        started_s = time.perf_counter()
        self._exchange.request(Command.SYNC)
        self._exchange.expect("sync", State.IDLE, self._limits.answer_s)
        return time.perf_counter() - started_s

    def _check_end_of_models(self, answer: Message) -> None:
        if answer.WhichOneof("payload") == "ack" and answer.ack.error == ErrorCode.GENERIC:
            raise BoardError("the board's network is not initialised; reset the board")

    def _check_acknowledged(self, acknowledged: Message, num_bytes: int) -> None:
        if acknowledged.error != ErrorCode.NONE or acknowledged.param != num_bytes:
            raise BoardError(
                f"the board expects or received {acknowledged.param} bytes, they are {num_bytes} "
                f"({error_name(acknowledged.error)})"
            )

    def _send_input(self, data: bytes, state_after: State) -> None:
        message = TensorData(type=0, size=len(data), addr=0, datas=data)
        self._exchange.send(message)
        answer = self._exchange.expect("ack", state_after, self._limits.answer_s)
        self._check_acknowledged(answer.ack, len(data))
        self._exchange.send(Acknowledge(param=0, error=ErrorCode.NONE))

    def _receive_output(self, expected: BoardTensor, is_last: bool) -> Tensor:
        state = State.DONE if is_last else State.PROCESSING
        answer = self._exchange.expect("tensor", state, self._limits.answer_s, expected.num_bytes)
        described = read_description(answer.tensor.desc, expected.spec.name)
        if bool(described.flags & TensorFlag.LAST) != is_last or not described.same_form(expected):
            raise LinkError(f"{self._exchange.line.path}: expected output {expected.spec}, got {described.spec}")
        return expected.array(answer.tensor.data.datas)
