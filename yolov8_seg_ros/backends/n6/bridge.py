"""Run networks on a board with this package's firmware: pictures travel down, instances up; two frames in flight."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from yolov8_seg_ros.backends.n6 import bridge_messages as messages
from yolov8_seg_ros.backends.n6.board import BoardProtocol, Connection
from yolov8_seg_ros.backends.n6.bridge_messages import (
    BoardModel,
    Configuration,
    ErrorCode,
    MessageError,
    PictureFormat,
    Refusal,
    Welcome,
)
from yolov8_seg_ros.backends.n6.bridge_result import Result, read_result, result_numbers
from yolov8_seg_ros.backends.n6.bridge_session import MAX_BUFFERED_BYTES, Session, SharedLine
from yolov8_seg_ros.backends.n6.bridge_wire import Packet, PacketType, num_line_bytes
from yolov8_seg_ros.backends.n6.port import Port
from yolov8_seg_ros.errors import BackendError, BoardError, LinkError, LostFrameError

_MAX_SESSION = 0xFFFF
#: A request is said again so often, with a new number, before the board is taken to be gone.
_MAX_REQUESTS = 3
#: So often a board is asked for a session: one that may speak another protocol, and one that has answered before.
_MAX_FIRST_HELLOS, _MAX_HELLOS = 2, 6
#: A frame that was lost is sent once more: the board may have been reset before it came.
_MAX_SENDS = 2
_ECHO_BYTES = 8
#: Longest that a board sends back.
MAX_ECHO_BYTES = 1024
#: While another thread is sending, a thread whose answer is late looks again so often.
_BUSY_S = 0.05
_Answer = Packet | Refusal
_Read = TypeVar("_Read")


@dataclass(frozen=True)
class BridgeLimits:
    """Time limits for the board, in seconds, in addition to the time of what is on the line.

    Attributes:
        answer_s: answer to a request, and silence until the board is asked whether it has seen a frame.
        welcome_s: answer to the first request, which waits for a network that is still running.
        frame_s: one frame.
    """

    answer_s: float = 0.25
    welcome_s: float = 0.35
    frame_s: float = 10.0


class SessionOverError(LinkError):
    """The board does not know the session any more, or does not answer in it."""


class BridgeProtocol(BoardProtocol["BridgeConnection"]):
    """The protocol of this package's firmware.

    Args:
        limits: how long the board may take.
    """

    name = "bridge"
    baud_rates = (921_600, 3_000_000)
    has_usb_port = True

    def __init__(self, limits: BridgeLimits | None = None) -> None:
        self._limits = limits or BridgeLimits()

    def connect(self, port: Port) -> BridgeConnection:
        """Begin a session with the board, whatever state a former host left it in.

        Raises:
            LinkError: if there is no such board.
            BoardError: if the board has another version of the protocol.
            RunInterruptedError: if the port's `stop` returns True.
        """
        return BridgeConnection(port, self._limits)


class BridgeConnection(Connection):
    """A board with this package's firmware. As many threads may use it at a time as the board has room for frames.

    Sessions come and go within a connection: a board that was reset gets a new one with the next frame.

    Args:
        port: to the board.
        limits: how long it may take.

    Attributes:
        welcome: what the board says of itself.
        model: the network on it.
    """

    def __init__(self, port: Port, limits: BridgeLimits) -> None:
        super().__init__(port)
        self._limits = limits
        self._session = Session(0)
        self._configured: tuple[int, Configuration] | None = None
        self._numbers = itertools.count(1)
        self._line = SharedLine(port, self._take)
        #: Held while something is sent; requests also while their answer is awaited.
        self._sending = threading.Lock()
        self.welcome = self._begin_session(_MAX_FIRST_HELLOS)
        self.model = self._describe()

    def detect(self, picture_format: PictureFormat, picture: bytes, configuration: Configuration) -> Result:
        """Run the network on a picture; return what it found in this very picture.

        Args:
            picture_format: of the picture.
            picture: of the size of the network's input.
            configuration: what is kept.

        Raises:
            LostFrameError: if the picture or its result was lost on the line, twice.
            BoardError: if the board refuses or fails.
            LinkError: if the line does not work, or the board does not keep to the protocol.
            RunInterruptedError: if the port's `stop` returns True.
        """
        try:
            for _ in range(_MAX_SENDS):
                result = self._try_to_detect(picture_format, picture, configuration)
                if result is not None:
                    return result
        except BackendError as error:
            # Other threads need not find out by themselves.
            self._line.fail(error)
            raise
        raise LostFrameError(f"{self.port.path}: a frame was lost on the line; check the cable, or lower the baud rate")

    def ping(self, num_bytes: int = _ECHO_BYTES) -> float:
        """Return the seconds of an exchange of so many bytes, up to `MAX_ECHO_BYTES`.

        Raises:
            LinkError: if the line does not work.
        """
        with self._sending:
            started_s = time.perf_counter()
            self._ping(self._session, num_bytes)
            return time.perf_counter() - started_s

    def _take(self, packet: Packet) -> None:
        self._session.take(packet)

    def _try_to_detect(
        self, picture_format: PictureFormat, picture: bytes, configuration: Configuration
    ) -> Result | None:
        """Return the result of a picture; None if either was lost."""
        try:
            with self._sending:
                session, number = self._configured_session(configuration)
                frame = self._send_picture(session, picture_format, picture)
            answer = self._await_answer(session, frame)
        except SessionOverError:
            return None
        if answer is None or _is_damaged(answer):
            return None
        return self._read_result(answer, frame, number, configuration)

    # Requests: the caller holds `_sending`, or is the only thread.

    def _begin_session(self, max_hellos: int) -> Welcome:
        self._configured = None
        wait_s = self._limits.welcome_s
        for _ in range(max_hellos):
            self._end(self._session)
            self._session = session = Session(_other_number(self._session.number))
            self._line.write(session.packet(PacketType.HELLO, messages.hello()))
            if self._line.wait(_has_reply(session), wait_s):
                return self._read(messages.read_welcome, self._expect(session.replies.pop(0), PacketType.WELCOME))
            # What is left of a picture may be in front of the next one.
            wait_s = self._limits.welcome_s + self._line.buffered_s(MAX_BUFFERED_BYTES)
        raise LinkError(f"{self.port}: no board with the bridge firmware answers")

    def _describe(self) -> BoardModel:
        return self._read(messages.read_model, self._request(self._session, PacketType.DESCRIBE, PacketType.MODEL))

    def _configured_session(self, configuration: Configuration) -> tuple[Session, int]:
        """Return a session in which the board has this configuration, and the configuration's number."""
        if self._session.is_over:
            welcome, model = self._begin_session(_MAX_HELLOS), self._describe()
            if (welcome, model) != (self.welcome, self.model):
                raise LinkError(f"{self.port.path}: the board was reset, and is another one or has another network now")
        session = self._session
        if self._configured is None or self._configured[1] != configuration:
            # Frames on their way are decoded by the configuration that they were sent with.
            self._await(session, lambda: session.answered >= session.last_frame, is_sending=True)
            self._configured = None
            number = next(self._numbers)
            acknowledged = messages.number_bytes(number)
            payload = configuration.to_bytes(number)
            self._request(session, PacketType.CONFIGURE, PacketType.CONFIGURED, payload, acknowledged)
            self._configured = (number, configuration)
        return session, self._configured[0]

    def _ping(self, session: Session, num_bytes: int = _ECHO_BYTES) -> None:
        echo = random.randbytes(num_bytes)
        self._request(session, PacketType.PING, PacketType.PONG, messages.ping(session.last_frame, echo), echo)

    def _request(
        self,
        session: Session,
        kind: PacketType,
        answer_kind: PacketType,
        payload: bytes = b"",
        expected: bytes | None = None,
    ) -> bytes:
        """Return the payload of the answer to a request.

        Args:
            session: in which it is sent.
            kind: of the request.
            answer_kind: of the answer.
            payload: of the request.
            expected: the answer's payload without status; another answer belongs to an earlier request. None: any.

        Raises:
            SessionOverError: if there is none, or the board has been reset.
        """
        for _ in range(_MAX_REQUESTS):
            session.replies.clear()
            packet = session.packet(kind, payload)
            self._line.write(packet)
            if answer := self._await_reply(session, packet, answer_kind, expected):
                return self._expect(answer, answer_kind)
        self._end(session)
        raise SessionOverError(f"{self.port.path}: the board does not answer any more")

    def _await_reply(
        self, session: Session, packet: Packet, answer_kind: PacketType, expected: bytes | None
    ) -> _Answer | None:
        """Return the answer to a request; None if it does not come, or the request was damaged."""
        quiet_s = self._limits.answer_s + self._line.buffered_s(num_line_bytes(len(packet.payload)))
        end_s = time.monotonic() + self._limits.frame_s
        while True:
            # Until the line has been quiet for so long: a result may be in front of the answer.
            left_s = min(self._line.quiet_since_s + quiet_s, end_s) - time.monotonic()
            if left_s <= 0:
                return None
            self._line.wait(lambda: bool(session.replies) or session.is_over, left_s)
            if session.is_over:
                raise SessionOverError(f"{self.port.path}: the board was reset")
            while session.replies:
                answer = session.replies.pop(0)
                if isinstance(answer, Refusal):
                    if answer.request_sequence == packet.sequence:
                        return None if _is_damaged(answer) else answer
                elif answer.type == answer_kind and expected in (None, answer.payload[messages.STATUS.size :]):
                    return answer

    # Frames

    def _send_picture(self, session: Session, picture_format: PictureFormat, picture: bytes) -> int:
        """Send a picture as soon as the board has room; return its frame number."""
        credit = self.welcome.credit
        self._await(session, lambda: session.last_frame + 1 - session.released <= credit, is_sending=True)
        payload = messages.picture(session.last_frame + 1, picture_format, picture)
        packet = session.packet(PacketType.PICTURE, payload)
        session.note_picture(packet.sequence)
        frame = session.last_frame
        self._line.write(packet)
        return frame

    def _await_answer(self, session: Session, frame: int) -> _Answer | None:
        """Return the answer to a frame; None if the frame was lost."""
        self._await(session, lambda: session.is_answered(frame), is_sending=False)
        return session.take_answer(frame)

    def _await(self, session: Session, is_done: Callable[[], bool], is_sending: bool) -> None:
        """Wait for a condition, and ask the board what it has seen whenever the line is quiet for long.

        Args:
            session: the one that the condition is about.
            is_done: the condition.
            is_sending: whether this thread holds `_sending`.

        Raises:
            SessionOverError: if the session is over and the condition does not hold.
            LinkError: if it takes too long.
        """
        quiet_s = self._limits.answer_s + self._line.buffered_s(MAX_BUFFERED_BYTES)
        end_s = time.monotonic() + self._limits.frame_s + self._line.line_s(self.welcome.max_picture_bytes)
        wait_s = 0.0
        while not self._line.wait(lambda: is_done() or session.is_over, wait_s):
            now_s = time.monotonic()
            if now_s >= end_s:
                raise LinkError(f"{self.port.path}: the board does not come to an end with a frame")
            wait_s = self._line.quiet_since_s + quiet_s - now_s
            if wait_s <= 0:
                self._probe(session, is_sending)
                wait_s = _BUSY_S
            wait_s = min(wait_s, end_s - now_s)
        if not is_done():
            raise SessionOverError(f"{self.port.path}: the board was reset")

    def _probe(self, session: Session, is_sending: bool) -> None:
        """Send a ping, unless another thread is sending: that one does so itself."""
        if is_sending:
            self._ping(session)
        elif self._sending.acquire(blocking=False):
            try:
                if not session.is_over:
                    self._ping(session)
            finally:
                self._sending.release()

    def _read_result(self, answer: _Answer, frame: int, number: int, configuration: Configuration) -> Result:
        payload = self._expect(answer, PacketType.RESULT)
        if self._read(result_numbers, payload) != (frame, number):
            raise LinkError(f"{self.port.path}: the board answers a frame by another configuration than it was sent")
        try:
            return read_result(payload, self.model, configuration)
        except MessageError as error:
            raise LinkError(f"{self.port.path}: {error}") from error

    def _expect(self, answer: _Answer, kind: PacketType) -> bytes:
        """Return the payload of an answer of this type.

        Raises:
            BoardError: if the board refuses.
        """
        if isinstance(answer, Refusal):
            raise BoardError(f"{self.port.path}: the board refuses: {answer}")
        if answer.type != kind:
            raise LinkError(f"{self.port.path}: expected {kind.name}, got a packet of type 0x{answer.type:02x}")
        return answer.payload

    def _read(self, read: Callable[[bytes], _Read], payload: bytes) -> _Read:
        try:
            return read(payload)
        except MessageError as error:
            raise LinkError(f"{self.port.path}: {error}") from error

    def _end(self, session: Session) -> None:
        session.is_over = True
        self._line.notify()


def _has_reply(session: Session) -> Callable[[], bool]:
    return lambda: bool(session.replies)


def _is_damaged(answer: _Answer) -> bool:
    return isinstance(answer, Refusal) and answer.code == ErrorCode.DAMAGED


def _other_number(number: int) -> int:
    """Return a random session number that is not this one."""
    return (number - 1 + random.randrange(1, _MAX_SESSION)) % _MAX_SESSION + 1
