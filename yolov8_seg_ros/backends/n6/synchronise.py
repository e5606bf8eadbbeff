"""Get in step with a board, whatever state a former host left it in."""

from __future__ import annotations

import time

from yolov8_seg_ros.backends.n6.exchange import BITS_PER_BYTE, WRITE_LIMIT_S, Exchange
from yolov8_seg_ros.backends.n6.messages import Command, Message
from yolov8_seg_ros.backends.n6.packets import GO_AHEAD, PAYLOAD_BYTES, packet_bytes
from yolov8_seg_ros.errors import LinkError

#: Each takes the board one step further: out of a packet, out of a message, out of a run.
_MAX_ROUNDS = 10
#: Fills messages that a host left unfinished. As a header it announces a full packet, wherever packets begin.
_FILLER = bytes([PAYLOAD_BYTES])
#: What a board may still have to say or to take when somebody connects: the outputs or the input of a run.
_RUN_BYTES = 500_000
_KEPT_BYTES = 1000


def synchronise(exchange: Exchange) -> Message:
    """Give the board's valid answer to the first request.

    A host that went away in the middle of a message leaves the board waiting for the rest, and the next request is
    taken for that. So unless the request is answered, the message is filled up, and all that follows is thrown away.

    Raises:
        LinkError: if there is no such answer.
        RunInterruptedError: if the line's `stop` says so.
    """
    line = exchange.line
    heard = b""
    for _ in range(_MAX_ROUNDS):
        line.drain(exchange.limits.silence_s, 2.0 + _run_time_s(exchange))
        answer, heard_now = _try(exchange)
        if answer is not None:
            return answer
        if heard_now in (b"", GO_AHEAD):
            heard_now += _fill_up(exchange)
        heard = heard_now or heard
        if not heard:
            break
    raise LinkError(
        f"{line.path}: no valid answer at {line.baud_rate} baud "
        f"({f'it says {heard[:24]!r}' if heard else 'nothing comes back'}): is ST's validation firmware running, "
        f"are its baud rate and its packet header ({exchange.header_size} byte) these?"
    )


def _try(exchange: Exchange) -> tuple[Message | None, bytes]:
    """Send the first request; give the valid answer or None, and what was heard."""
    exchange.request(Command.SYNC)
    deadline_s = time.monotonic() + exchange.limits.sync_s
    heard = b""
    while received := exchange.line.read(max(0.0, deadline_s - time.monotonic())):
        heard = (heard + received)[:_KEPT_BYTES]
        try:
            answer = exchange.take(received)
        except LinkError:
            break
        if answer is not None:
            valid = exchange.is_ours(answer) and answer.WhichOneof("payload") == "sync"
            return (answer if valid else None), heard
    return None, heard


def _fill_up(exchange: Exchange) -> bytes:
    """Complete the message that the board waits for; give what it said to that."""
    line = exchange.line
    answer = _align(exchange)
    deadline_s = time.monotonic() + 2 * _run_time_s(exchange)
    while answer == GO_AHEAD and time.monotonic() < deadline_s:
        line.write(_FILLER * packet_bytes(exchange.header_size), WRITE_LIMIT_S)
        answer = line.read(exchange.limits.sync_s)
    return answer


def _align(exchange: Exchange) -> bytes:
    """Find where packets begin, for a board that has got a part of one: it answers when that is complete."""
    # A message of fillers takes two packets, and the board has nothing to say to the second.
    for _ in range(2 * packet_bytes(exchange.header_size)):
        exchange.line.write(_FILLER, WRITE_LIMIT_S)
        if heard := exchange.line.read(exchange.limits.align_s):
            return heard
    return b""


def _run_time_s(exchange: Exchange) -> float:
    return _RUN_BYTES * BITS_PER_BYTE / exchange.line.baud_rate
