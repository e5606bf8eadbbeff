"""Exchange messages with ST's validation firmware: requests and answers, time limits, and getting in step."""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from yolov8_seg_ros.backends.n6.port import Port
from yolov8_seg_ros.backends.n6.stedgeai_wire import (
    GO_AHEAD,
    PACKET_FORMATS,
    PAYLOAD_BYTES,
    Acknowledge,
    Command,
    ErrorCode,
    HostReceiver,
    Message,
    PacketError,
    PacketFormat,
    Request,
    Response,
    State,
    decode_text,
    parse,
)
from yolov8_seg_ros.errors import BoardError, LinkError

_BITS_PER_BYTE = 10
#: Longest that a request or its acknowledgement waits for the port.
_WRITE_LIMIT_S = 1.0
#: More log lines before one answer are a defect of the board.
_MAX_LOGS = 1000
#: A line that is slower than its baud rate by more than this factor is taken for dead.
_SLOWNESS = 4.0
#: Longest mean time of a packet with its turn-around: a slow adapter takes 16 ms.
_PACKET_LIMIT_S = 0.05
#: Longest gap between bytes that a board sends in a row.
_GAP_S = 0.001

#: Getting in step: each round takes the board a step further, out of a packet, out of a message or out of a run.
_MAX_ROUNDS = 12
#: A message is filled up with packets of one format so often before the other one is tried.
_FILLS_PER_FORMAT = 2
#: Completes messages that a host left unfinished. As a header it announces a full packet, wherever packets begin.
_FILLER = bytes([PAYLOAD_BYTES])
#: After so many fillers a board has asked for more, whatever its state: it got the rest of a packet, and another one.
_MAX_FILLERS = 2 * max(packets.packet_bytes for packets in PACKET_FORMATS)
#: What a board may still send or take when a host connects: the outputs or the input of a run.
_RUN_BYTES = 500_000
#: A line that has not been silent for so long must have carried packets at last, or it is not the board's.
_CHATTER_LIMIT_S = 2.0
_NUM_CHECKED_PACKETS = 8
_KEPT_BYTES = 1000

_LOG_LEVELS = {0: logging.INFO, 1: logging.INFO, 2: logging.DEBUG, 3: logging.WARNING}
_LOG_PERIOD_S = 5.0
_LOG_LINES_PER_PERIOD = 20
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class TimeLimits:
    """Longest durations that are granted to the board, in seconds.

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


class BoardLog:
    """Writes what a board says to the log: harmless, short, and a limited number of lines per time.

    Args:
        clock: returns a time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._period_begin_s = -_LOG_PERIOD_S
        self._num_lines = 0

    def write(self, level: int, text: str) -> None:
        """Write a line, unless there have been too many."""
        now_s = self._clock()
        if now_s - self._period_begin_s >= _LOG_PERIOD_S:
            left_out = self._num_lines - _LOG_LINES_PER_PERIOD
            if left_out > 0:
                _log.warning("board: %d more lines were left out", left_out)
            self._period_begin_s, self._num_lines = now_s, 0
        self._num_lines += 1
        if self._num_lines <= _LOG_LINES_PER_PERIOD:
            _log.log(level, "board: %s", text)


class Exchange:
    """Requests to a board and its answers, one at a time.

    Args:
        port: to the board.
        request_ids: numbers of requests.
        limits: how long the board may take.
        log: where the board's log lines go.
        clock: returns a time in seconds.
    """

    def __init__(
        self,
        port: Port,
        request_ids: Iterator[int],
        limits: TimeLimits,
        log: BoardLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.port = port
        self.limits = limits
        self.clock = clock
        self._log = log
        self._request_ids = request_ids
        self._request_id = 0
        self.use(PACKET_FORMATS[0])

    def use(self, packets: PacketFormat) -> None:
        """Change to another format of packets."""
        self.packets = packets
        self._receiver = HostReceiver(packets)

    def request(self, command: Command, param: int = 0, name: bytes = b"", opt: int = 0) -> None:
        """Send a request; what the board has sent without a request is discarded.

        Raises:
            LinkError: if the line does not work.
            RunInterruptedError: if the port's `stop` returns True.
        """
        if unexpected := self.port.discard():
            self._log.write(logging.WARNING, f"sent without a request: {decode_text(unexpected)}")
        self._receiver.clear()
        self._request_id = next(self._request_ids)
        self.send(Request(reqid=self._request_id, cmd=command, param=param, name=name, opt=opt))

    def send(self, message: Message) -> None:
        """Send a message, packet by packet as the board asks for them.

        Raises:
            LinkError: if the line does not work.
            RunInterruptedError: if the port's `stop` returns True.
        """
        packets = self.packets.to_board(message.SerializeToString())
        limit_s = _WRITE_LIMIT_S + len(packets) * _PACKET_LIMIT_S + self._line_time_s(len(packets) * PAYLOAD_BYTES)
        self.port.write_paced(packets, GO_AHEAD, self.limits.go_ahead_s, limit_s)

    def expect(self, payload: str, state: State, limit_s: float, num_bytes: int = 0) -> Message:
        """Return the answer, which must be of this kind and in this state.

        Args:
            payload: name of the answer's field.
            state: of the board.
            limit_s: until the answer's first byte.
            num_bytes: size of the data in it, which take their time on the line.

        Raises:
            LinkError: if it is another one, or does not come.
            BoardError: if the board refuses.
            RunInterruptedError: if the port's `stop` returns True.
        """
        answer = self.receive(limit_s, num_bytes)
        got = answer.WhichOneof("payload")
        if answer.state == State.ERROR:
            what = f": {error_name(answer.ack.error)}, {answer.ack.param}" if got == "ack" else ""
            raise BoardError(f"the board reports an error{what}")
        if got != payload or answer.state != state:
            raise LinkError(
                f"{self.port.path}: expected '{payload}' in state {state.name}, got '{got}' in state {answer.state}"
            )
        return answer

    def receive(self, limit_s: float, num_bytes: int = 0) -> Message:
        """Return the next answer that is not a log line, of whatever kind.

        Raises:
            LinkError: if it does not answer the last request, or does not come.
            RunInterruptedError: if the port's `stop` returns True.
        """
        for _ in range(_MAX_LOGS):
            answer = self._receive_one(limit_s, num_bytes)
            if not self.is_ours(answer):
                raise LinkError(
                    f"{self.port.path}: expected the answer to request {self._request_id}, got that to {answer.reqid}"
                )
            if answer.WhichOneof("payload") != "log":
                return answer
            self._log.write(_LOG_LEVELS.get(answer.log.level, logging.ERROR), decode_text(answer.log.str))
            self.send(Acknowledge(param=0, error=ErrorCode.NONE))
        raise LinkError(f"{self.port.path}: the board logs without an end")

    def require_silence(self) -> None:
        """Refuse outputs that something follows: the boot text of a board that was reset may have completed them.

        Raises:
            LinkError: if something follows.
        """
        if self._receiver.num_pending or self.port.read(_GAP_S):
            raise LinkError(f"{self.port.path}: the board says more than the outputs; was it reset?")

    def is_ours(self, answer: Message) -> bool:
        """Return whether it answers the last request."""
        return bool(answer.reqid == self._request_id)

    def take(self, received: bytes) -> Message | None:
        """Return the answer that these bytes complete; None as long as it is incomplete.

        Raises:
            LinkError: if the bytes cannot be an answer.
        """
        self._receiver.feed(received)
        try:
            message = self._receiver.next_message()
        except PacketError as error:
            raise LinkError(f"{self.port.path}: {error}") from error
        return None if message is None else self._parse(message)

    def _receive_one(self, limit_s: float, num_bytes: int) -> Message:
        deadline_s = self.clock() + limit_s + self.limits.answer_s + self._line_time_s(num_bytes)
        received, wait_s = b"", limit_s
        # The next answer may have come together with the last one.
        while (answer := self.take(received)) is None:
            received = self.port.read(min(wait_s, deadline_s - self.clock()))
            if not received:
                silence = "does not answer" if not self._receiver.num_pending else "has fallen silent within an answer"
                raise LinkError(f"{self.port.path}: the board {silence} (waited {wait_s:g} s)")
            wait_s = self.limits.answer_s
        return answer

    def _parse(self, message: bytes) -> Message:
        answer = parse(Response, message)
        if answer is not None and answer.WhichOneof("payload") == "tensor":
            # Stray bytes within a tensor push its last bytes out at the end, where these may look like unknown fields.
            answer.DiscardUnknownFields()
            answer = answer if answer.ByteSize() == len(message) else None
        if answer is None:
            raise LinkError(f"{self.port.path}: an answer of {len(message)} bytes makes no sense")
        return answer

    def _line_time_s(self, num_bytes: int) -> float:
        return num_bytes * _BITS_PER_BYTE * _SLOWNESS / self.port.baud_rate


def error_name(code: int) -> str:
    """Return a board's error in words."""
    try:
        return ErrorCode(code).name.lower().replace("_", " ")
    except ValueError:
        return f"error {code}"


def synchronise(exchange: Exchange, formats: Sequence[PacketFormat] = PACKET_FORMATS) -> Message:
    """Find the format of packets and get in step; return the board's answer to the first request.

    A host that went away in the middle of a message leaves the board waiting for the rest, and the next request is
    taken for that rest. So unless the request is answered, the message is filled up, and all answers to that are
    discarded.

    Args:
        exchange: with the board.
        formats: the likeliest first.

    Raises:
        LinkError: if there is no such answer.
        RunInterruptedError: if the port's `stop` returns True.
    """
    _await_silence(exchange)
    heard = heard_now = b""
    for packets in formats:
        answer, heard_now = _request_sync(exchange, packets)
        if answer is not None:
            return answer
        heard = heard_now or heard
        if heard_now:
            break
        # A board of the next format has got one byte less than a packet.
        exchange.port.write(bytes(1), _WRITE_LIMIT_S)
    fill_formats = itertools.cycle(packets for packets in formats for _ in range(_FILLS_PER_FORMAT))
    for _ in range(_MAX_ROUNDS):
        if heard_now in (b"", GO_AHEAD):
            packets = next(fill_formats)
            heard = _fill_up(exchange, packets) or heard
        if not heard:
            break
        _await_silence(exchange)
        answer, heard_now = _request_sync(exchange, packets)
        if answer is not None:
            return answer
        heard = heard_now or heard
    port = exchange.port
    raise LinkError(
        f"{port.path}: no valid answer at {port.baud_rate} baud "
        f"({f'it says {heard[:24]!r}' if heard else 'nothing comes back'}): is ST's validation firmware running, "
        "and is this its baud rate?"
    )


def _await_silence(exchange: Exchange) -> None:
    """Read until nothing has come for a while.

    Raises:
        LinkError: if something is still coming at the limit, or what comes is not packets.
        RunInterruptedError: if the port's `stop` returns True.
    """
    chatter_end_s = exchange.clock() + _CHATTER_LIMIT_S
    end_s = chatter_end_s + _run_time_s(exchange)
    kept = b""
    while received := exchange.port.read(exchange.limits.silence_s):
        kept = (kept + received)[-_KEPT_BYTES:]
        now_s = exchange.clock()
        if now_s > end_s or (now_s > chatter_end_s and not _ends_with_packets(kept)):
            raise LinkError(
                f"{exchange.port.path}: the line never falls silent (it says {kept[:24]!r}): "
                "is this the board's port, and the baud rate the board's?"
            )


def _ends_with_packets(received: bytes) -> bool:
    return any(packets.ends_with_packets(received, _NUM_CHECKED_PACKETS) for packets in PACKET_FORMATS)


def _request_sync(exchange: Exchange, packets: PacketFormat) -> tuple[Message | None, bytes]:
    """Send the first request; return the valid answer or None, and what came."""
    exchange.use(packets)
    exchange.request(Command.SYNC)
    deadline_s = exchange.clock() + exchange.limits.sync_s
    heard = b""
    while received := exchange.port.read(max(0.0, deadline_s - exchange.clock())):
        heard = (heard + received)[:_KEPT_BYTES]
        try:
            answer = exchange.take(received)
        except LinkError:
            break
        if answer is not None:
            valid = exchange.is_ours(answer) and answer.WhichOneof("payload") == "sync"
            return (answer if valid else None), heard
    return None, heard


def _fill_up(exchange: Exchange, packets: PacketFormat) -> bytes:
    """Complete the message that the board waits for; return what it sent last."""
    heard = _align(exchange)
    deadline_s = exchange.clock() + 2 * _run_time_s(exchange)
    answer = heard
    while answer == GO_AHEAD and exchange.clock() < deadline_s:
        exchange.port.write(_FILLER * packets.packet_bytes, _WRITE_LIMIT_S)
        answer = exchange.port.read(exchange.limits.sync_s)
        heard = answer or heard
    return heard


def _align(exchange: Exchange) -> bytes:
    """Find where packets begin, for a board that has got a part of one: it answers when that is complete."""
    for _ in range(_MAX_FILLERS):
        exchange.port.write(_FILLER, _WRITE_LIMIT_S)
        if heard := exchange.port.read(exchange.limits.align_s):
            return heard
    return b""


def _run_time_s(exchange: Exchange) -> float:
    return _RUN_BYTES * _BITS_PER_BYTE / exchange.port.baud_rate
