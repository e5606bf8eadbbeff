"""Exchange requests and answers with a board."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass

from yolov8_seg_ros.backends.n6.messages import (
    Acknowledge,
    Command,
    ErrorCode,
    Message,
    Request,
    Response,
    State,
    decoded,
    encoded,
    parse,
)
from yolov8_seg_ros.backends.n6.packets import PAYLOAD_BYTES, HostReceiver, PacketError, host_packets
from yolov8_seg_ros.backends.n6.serial_line import SerialLine
from yolov8_seg_ros.errors import BoardError, LinkError

BITS_PER_BYTE = 10
#: Longest that a request or its acknowledgement waits for the port.
WRITE_LIMIT_S = 1.0
#: More log lines before one answer are the sign of a board gone wild.
_MAX_LOGS = 1000
#: A line that is slower than its baud rate by more than this is as good as dead.
_SLOWNESS = 4.0
#: Longest that a packet may take on the average, with its turn-around: a slow adapter takes 16 ms.
_PACKET_LIMIT_S = 0.05
#: Longest gap between bytes that a board sends in a row.
_AFTERWARDS_S = 0.001
_LOG_LEVELS = {0: logging.INFO, 1: logging.INFO, 2: logging.DEBUG, 3: logging.WARNING}
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimeLimits:
    """How long the board may take, in seconds.

    Attributes:
        silence_s: without a byte for so long, the line is taken to be silent.
        sync_s: answer to the first request.
        answer_s: answer to other requests, and the next byte of any answer.
        models_s: description of a network.
        go_ahead_s: request for the next packet.
        inference_s: the network's run.
        align_s: answer to each single byte that might complete a packet.
    """

    silence_s: float = 0.3
    sync_s: float = 0.5
    answer_s: float = 2.0
    models_s: float = 5.0
    go_ahead_s: float = 2.0
    inference_s: float = 10.0
    align_s: float = 0.02


class Exchange:
    """Requests to a board and its answers, one at a time.

    Args:
        line: to the board.
        header_size: of packets, 1 or 2 bytes.
        limits: how long the board may take.
        request_ids: numbers for requests.
    """

    def __init__(
        self,
        line: SerialLine,
        header_size: int = 1,
        limits: TimeLimits | None = None,
        request_ids: Iterator[int] | None = None,
    ) -> None:
        self.line = line
        self.header_size = header_size
        self.limits = limits or TimeLimits()
        self._request_ids = itertools.count(1) if request_ids is None else request_ids
        self._request_id = 0
        self._receiver = HostReceiver(header_size)

    def request(self, command: Command, param: int = 0, name: str = "", opt: int = 0) -> None:
        """Send a request; what the board has said unasked is thrown away.

        Raises:
            LinkError: if the line does not work.
            RunInterruptedError: if the line's `stop` says so.
        """
        if unasked := self.line.discard():
            _log.warning("the board said unasked: %r", unasked[:80])
        self._receiver.clear()
        self._request_id = next(self._request_ids)
        self.send(Request(reqid=self._request_id, cmd=command, param=param, name=encoded(name), opt=opt))

    def send(self, message: Message) -> None:
        """Send a message, packet by packet as the board asks for them.

        Raises:
            LinkError: if the line does not work.
            RunInterruptedError: if the line's `stop` says so.
        """
        packets = host_packets(message.SerializeToString(), self.header_size)
        limit_s = WRITE_LIMIT_S + len(packets) * _PACKET_LIMIT_S + self._line_time_s(len(packets) * PAYLOAD_BYTES)
        self.line.write_paced(packets, self.limits.go_ahead_s, limit_s)

    def expect(self, payload: str, state: State, limit_s: float, num_bytes: int = 0) -> Message:
        """Give the answer, which must be of this kind and in this state.

        Args:
            payload: name of the answer's field.
            state: in which the board says it is.
            limit_s: until its first byte.
            num_bytes: how much it carries, for the time that this takes on the line.

        Raises:
            LinkError: if it is another one, or does not come.
            BoardError: if the board refuses.
            RunInterruptedError: if the line's `stop` says so.
        """
        answer = self.receive(limit_s, num_bytes)
        got = answer.WhichOneof("payload")
        if answer.state == State.ERROR:
            what = f": {error_name(answer.ack.error)}, {answer.ack.param}" if got == "ack" else ""
            raise BoardError(f"the board reports an error{what}")
        if got != payload or answer.state != state:
            raise LinkError(
                f"{self.line.path}: expected '{payload}' in state {state.name}, got '{got}' in state {answer.state}"
            )
        return answer

    def receive(self, limit_s: float, num_bytes: int = 0) -> Message:
        """Give the next answer that is no log line, of whatever kind.

        Raises:
            LinkError: if it is none to the last request, or does not come.
            RunInterruptedError: if the line's `stop` says so.
        """
        for _ in range(_MAX_LOGS):
            answer = self._receive_one(limit_s, num_bytes)
            if not self.is_ours(answer):
                raise LinkError(
                    f"{self.line.path}: expected the answer to request {self._request_id}, got that to {answer.reqid}"
                )
            if answer.WhichOneof("payload") != "log":
                return answer
            _log.log(_LOG_LEVELS.get(answer.log.level, logging.ERROR), "board: %s", decoded(answer.log.str))
            self.send(Acknowledge(param=0, error=ErrorCode.NONE))
        raise LinkError(f"{self.line.path}: the board logs without an end")

    def require_silence(self) -> None:
        """Refuse outputs that something follows: a board that was reset has completed them with its boot text.

        Raises:
            LinkError: if something does.
        """
        if self._receiver.pending or self.line.read(_AFTERWARDS_S):
            raise LinkError(f"{self.line.path}: the board says more than the outputs; was it reset?")

    def is_ours(self, answer: Message) -> bool:
        """Tell whether it answers the last request."""
        return bool(answer.reqid == self._request_id)

    def take(self, received: bytes) -> Message | None:
        """Give the answer that these bytes complete; None as long as it is incomplete.

        Raises:
            LinkError: if they cannot be an answer.
        """
        self._receiver.feed(received)
        try:
            message = self._receiver.next_message()
        except PacketError as error:
            raise LinkError(f"{self.line.path}: {error}") from error
        return None if message is None else self._parsed(message)

    def _receive_one(self, limit_s: float, num_bytes: int) -> Message:
        deadline_s = time.monotonic() + limit_s + self.limits.answer_s + self._line_time_s(num_bytes)
        received, wait_s = b"", limit_s
        # The next answer may have come together with the last one.
        while (answer := self.take(received)) is None:
            received = self.line.read(min(wait_s, deadline_s - time.monotonic()))
            if not received:
                silence = "does not answer" if not self._receiver.pending else "has fallen silent within an answer"
                raise LinkError(f"{self.line.path}: the board {silence} (waited {wait_s:g} s)")
            wait_s = self.limits.answer_s
        return answer

    def _parsed(self, message: bytes) -> Message:
        answer = parse(Response, message)
        if answer is not None and answer.WhichOneof("payload") == "tensor":
            # Stray bytes among a tensor's push its own ones out at the end, where they may look like unknown fields.
            answer.DiscardUnknownFields()
            answer = answer if answer.ByteSize() == len(message) else None
        if answer is None:
            raise LinkError(f"{self.line.path}: an answer of {len(message)} bytes makes no sense")
        return answer

    def _line_time_s(self, num_bytes: int) -> float:
        return num_bytes * BITS_PER_BYTE * _SLOWNESS / self.line.baud_rate


def error_name(code: int) -> str:
    """Give a board's error in words."""
    try:
        return ErrorCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"error {code}"
