"""Keep the state of one session of the bridge protocol, and carry its packets over a port that several threads use."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from yolov8_seg_ros.backends.n6.bridge_messages import ErrorCode, MessageError, Refusal, read_error, read_status
from yolov8_seg_ros.backends.n6.bridge_result import result_numbers
from yolov8_seg_ros.backends.n6.bridge_wire import (
    GAP_S,
    Packet,
    PacketType,
    Receiver,
    SequenceCheck,
    next_sequence,
)
from yolov8_seg_ros.backends.n6.port import Port
from yolov8_seg_ros.errors import BackendError, LinkError

_BITS_PER_BYTE = 10
#: A line that is slower than its baud rate by more than this factor is taken for dead.
_SLOWNESS = 4.0
#: What a port may take in addition to the time of its bytes.
_WRITE_LIMIT_S = 2.0
#: Bytes that adapter and driver may still have to send after the port has taken all.
MAX_BUFFERED_BYTES = 16_384
_MAX_BUFFERED_S = 1.0
Answer = Packet | Refusal


class Session:
    """State of one session, as host and board know it.

    Args:
        number: of the session, 1 to 65535.

    Attributes:
        number: of the session.
        is_over: whether the board does not know it any more.
        last_frame: number of the last picture that was sent; 0: none.
        released: the board needs no room any more for frames up to this one.
        answered: no further answer comes to frames up to this one.
        replies: to requests, in order.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.is_over = False
        self.last_frame = 0
        self.released = self.answered = 0
        self.replies: list[Answer] = []
        self._sequence = 0
        self._check = SequenceCheck()
        self._answers: dict[int, Answer] = {}
        self._frame_of_sequence: dict[int, int] = {}

    def packet(self, kind: PacketType, payload: bytes = b"") -> Packet:
        """Return the next packet of this session."""
        packet = Packet(kind, self.number, self._sequence, payload)
        self._sequence = next_sequence(self._sequence)
        return packet

    def note_picture(self, sequence: int) -> None:
        """Count a picture that is about to be sent in the packet of this number."""
        self.last_frame += 1
        self._frame_of_sequence = {
            old: frame for old, frame in self._frame_of_sequence.items() if frame > self.answered
        }
        self._frame_of_sequence[sequence] = self.last_frame

    def is_answered(self, frame: int) -> bool:
        """Return whether the answer to a frame is here, or will never come."""
        return self.is_over or frame in self._answers or frame <= self.answered

    def take_answer(self, frame: int) -> Answer | None:
        """Return the answer to a frame, once; None if the frame was lost."""
        return self._answers.pop(frame, None)

    def take(self, packet: Packet) -> None:
        """Record a packet of the board.

        Raises:
            MessageError: if it makes no sense.
        """
        if packet.session != self.number:
            return
        refusal = read_error(packet.payload) if packet.type == PacketType.ERROR else None
        if refusal is not None and refusal.code == ErrorCode.NO_SESSION:
            self.is_over = True
        elif refusal is not None and refusal.request_type == PacketType.HELLO:
            # Not counted in the sequence.
            self.replies.append(refusal)
        elif self._check.accept(packet.sequence):
            self._take_in_sequence(packet, refusal)

    def _take_in_sequence(self, packet: Packet, refusal: Refusal | None) -> None:
        released, answered = read_status(packet.payload)
        if max(released, answered) > self.last_frame:
            raise MessageError(f"the board has answered frame {max(released, answered)} of {self.last_frame}")
        self.released, self.answered = max(self.released, released), max(self.answered, answered)
        if packet.type == PacketType.RESULT:
            self._answers[result_numbers(packet.payload)[0]] = packet
        elif refusal is not None and refusal.request_type == PacketType.PICTURE:
            frame = refusal.frame or self._frame_of_sequence.get(refusal.request_sequence, 0)
            self._answers[frame] = refusal
        elif packet.type != PacketType.CREDIT:
            self.replies.append(refusal or packet)


class SharedLine:
    """A port that several threads read, each until it has what it waits for: one reads, and all take note.

    Args:
        port: to the board.
        take: called with each packet of the board.
    """

    def __init__(self, port: Port, take: Callable[[Packet], None]) -> None:
        self.port = port
        self._take = take
        self._receiver = Receiver()
        self._changed = threading.Condition()
        self._is_reading = False
        self._failure: BackendError | None = None
        self._quiet_since_s = self._heard_s = time.monotonic()

    @property
    def quiet_since_s(self) -> float:
        """Return the time since which nothing came and nothing was sent."""
        return self._quiet_since_s

    def line_s(self, num_bytes: int) -> float:
        """Return how long so many bytes take on the line."""
        return num_bytes * _BITS_PER_BYTE / self.port.baud_rate if self.port.has_baud_rate else 0.0

    def buffered_s(self, num_bytes: int) -> float:
        """Return how long bytes may still be on their way after the port has taken so many."""
        return min(self.line_s(min(num_bytes, MAX_BUFFERED_BYTES)), _MAX_BUFFERED_S)

    def write(self, packet: Packet) -> None:
        """Send a packet; one thread at a time.

        Raises:
            LinkError: if the port does not take it, or has failed.
            RunInterruptedError: if the port's `stop` returns True.
        """
        data = packet.to_bytes()
        self._raise_failure()
        try:
            self.port.write(data, self.line_s(len(data)) * _SLOWNESS + _WRITE_LIMIT_S)
        except BackendError as error:
            self.fail(error)
            raise
        self._quiet_since_s = time.monotonic()

    def wait(self, is_done: Callable[[], bool], limit_s: float) -> bool:
        """Read until a condition holds; return False if it does not within the limit.

        Raises:
            LinkError: if the port has failed, or what comes makes no sense.
            RunInterruptedError: if the port's `stop` returns True.
        """
        deadline_s = time.monotonic() + limit_s
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: is_done() or not self._is_reading or self._failure, deadline_s - time.monotonic()
                )
                if is_done():
                    return True
                self._raise_failure()
                if time.monotonic() >= deadline_s:
                    return False
                self._is_reading = True
            self._read(deadline_s)

    def notify(self) -> None:
        """Wake threads that wait, so that they check their condition."""
        with self._changed:
            self._changed.notify_all()

    def fail(self, error: BackendError) -> None:
        """Record an error that all threads that wait or write raise, now and later."""
        with self._changed:
            self._failure = self._failure or error
            self._changed.notify_all()

    def _read(self, deadline_s: float) -> None:
        """Read once; the thread that does so is the only one."""
        received, limit_s = b"", max(0.0, deadline_s - time.monotonic())
        try:
            received = self.port.read(min(limit_s, GAP_S) if self._receiver.is_amid_packet else limit_s)
            packets = self._find_packets(received)
            with self._changed:
                for packet in packets:
                    self._take(packet)
        except MessageError as error:
            self.fail(LinkError(f"{self.port.path}: {error}"))
        except BackendError as error:
            self.fail(error)
        finally:
            with self._changed:
                self._is_reading = False
                self._changed.notify_all()

    def _find_packets(self, received: bytes) -> list[Packet]:
        now_s = time.monotonic()
        if not received and now_s - self._heard_s >= GAP_S:
            # What is found behind it has as much time.
            self._heard_s = now_s
            return self._receiver.give_up()
        if received:
            self._heard_s = self._quiet_since_s = now_s
        return self._receiver.feed(received)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            # A new one, since several threads raise it.
            raise type(self._failure)(str(self._failure))
