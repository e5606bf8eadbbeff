"""Test messages and packets against recorded byte strings, and the two sides against each other."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, strategies
from support.properties import examples

from yolov8_seg_ros.backends.n6 import stedgeai_wire
from yolov8_seg_ros.backends.n6.stedgeai_wire import (
    PACKET_FORMATS,
    BoardReceiver,
    HostReceiver,
    PacketError,
    Request,
    Response,
    State,
    decode_text,
    parse,
)

[ONE_BYTE, TWO_BYTES] = PACKET_FORMATS
FORMAT_IDS = ["1 byte", "2 bytes"]
#: A first request, and the answer of a board of revision 3.1 that offers nothing and runs on ST.AI's NPU runtime.
SYNC_REQUEST = bytes.fromhex("0b 0a 08 01 10 00 18 00 22 00 28 00") + bytes(21)
SYNC_ANSWER = bytes.fromhex("8e 08 01 10 00 52 08 08 81 06 20 00 28 84 02") + bytes(18)
#: There is no second network.
END_OF_MODELS = bytes.fromhex("8a 08 04 10 04 62 04 08 04 10 04") + bytes(22)
#: A run of the network 'net', the board's readiness for 3072 bytes, and its refusal of 5.
RUN_REQUEST = bytes.fromhex("0e 0d 08 05 10 0b 18 01 22 03 6e 65 74 28 01") + bytes(18)
READY = bytes.fromhex("8b 08 05 10 01 62 05 08 80 18 10 00") + bytes(21)
WRONG_SIZE = bytes.fromhex("8a 08 05 10 04 62 04 08 05 10 01") + bytes(22)
ACKNOWLEDGEMENT = bytes.fromhex("05 04 08 00 10 00") + bytes(27)


def response(**fields):
    return Response(**fields).SerializeToString()


RECORDED_REQUESTS = {
    "sync": (SYNC_REQUEST, {"reqid": 1, "cmd": 0, "param": 0, "name": b"", "opt": 0}),
    "run": (RUN_REQUEST, {"reqid": 5, "cmd": 11, "param": 1, "name": b"net", "opt": 1}),
}
RECORDED_ANSWERS = {
    "sync": (SYNC_ANSWER, {"reqid": 1, "state": 0, "sync": {"version": 0x301, "capability": 0, "rtid": 4 | 1 << 8}}),
    "no such network": (END_OF_MODELS, {"reqid": 4, "state": 4, "ack": {"param": 4, "error": 4}}),
    "ready": (READY, {"reqid": 5, "state": 1, "ack": {"param": 3072, "error": 0}}),
    "wrong size": (WRONG_SIZE, {"reqid": 5, "state": 4, "ack": {"param": 5, "error": 1}}),
}


@pytest.mark.parametrize("case", RECORDED_REQUESTS)
def test_recorded_requests(case):
    recorded, fields = RECORDED_REQUESTS[case]
    assert ONE_BYTE.to_board(Request(**fields).SerializeToString()) == [recorded]
    assert Request.FromString(BoardReceiver(ONE_BYTE).take(recorded)) == Request(**fields)


@pytest.mark.parametrize("case", RECORDED_ANSWERS)
def test_recorded_answers(case):
    recorded, fields = RECORDED_ANSWERS[case]
    assert ONE_BYTE.to_host(response(**fields)) == recorded
    receiver = HostReceiver(ONE_BYTE)
    receiver.feed(recorded)
    assert Response.FromString(receiver.next_message()) == Response(**fields)


def test_an_answer_of_an_exact_multiple_of_32_ends_with_an_empty_packet():
    message = response(reqid=2, state=State.IDLE, log={"level": 1, "str": b"s:config: model on NPU"})
    assert len(message) == 32
    assert ONE_BYTE.to_host(message) == b"\x20" + message + b"\x80" + bytes(32)


def test_a_request_of_an_exact_multiple_of_32_needs_none():
    message = Request(reqid=1, cmd=11, param=1, name=b"n" * 21, opt=1).SerializeToString()
    assert len(message) == 31
    assert ONE_BYTE.to_board(message) == [b"\x20\x1f" + message]


def test_a_long_request_is_cut_without_flags():
    message = bytes(range(200))
    first, *_, last = cut = ONE_BYTE.to_board(message)
    assert len(cut) == 7
    # 200 is 0xc8 0x01 in groups of seven bits.
    assert first == b"\x20\xc8\x01" + message[:30]
    assert last == b"\x0a" + message[190:] + bytes(22)


def test_headers_of_two_bytes_are_big_endian():
    assert TWO_BYTES.to_board(b"\x08\x01") == [b"\x00\x03\x02\x08\x01" + bytes(29)]
    assert TWO_BYTES.to_host(b"\x08\x01") == b"\x80\x02\x08\x01" + bytes(30)
    assert TWO_BYTES.to_host(bytes(32)) == b"\x00\x20" + bytes(32) + b"\x80\x00" + bytes(32)


EDGES = (0, 1, 30, 31, 32, 33, 63, 64, 126, 127, 128, 20_000)
MESSAGES = strategies.one_of(
    strategies.binary(max_size=300), strategies.sampled_from(EDGES).map(lambda size: b"m" * size)
)


@pytest.mark.parametrize("packets", PACKET_FORMATS, ids=FORMAT_IDS)
@examples(100)
@given(message=MESSAGES)
def test_both_sides_understand_each_other(packets, message):
    board = BoardReceiver(packets)
    cut = packets.to_board(message)
    assert [board.take(packet) for packet in cut] == [None] * (len(cut) - 1) + [message]
    host = HostReceiver(packets)
    host.feed(packets.to_host(message) + packets.to_host(b"next"))
    assert [host.next_message(), host.next_message(), host.next_message()] == [message, b"next", None]


@pytest.mark.parametrize("packets", PACKET_FORMATS, ids=FORMAT_IDS)
@examples(100)
@given(message=MESSAGES, cuts=strategies.lists(strategies.integers(0, 400)))
def test_bytes_may_arrive_as_they_like(packets, message, cuts):
    stream = packets.to_host(message)
    bounds = [0, *sorted(cut for cut in cuts if cut < len(stream)), len(stream)]
    receiver = HostReceiver(packets)
    for start, stop in itertools.pairwise(bounds):
        assert receiver.next_message() is None
        receiver.feed(stream[start:stop])
    assert receiver.next_message() == message
    assert receiver.num_pending == 0


def test_what_follows_a_message_in_its_packet_is_dropped():
    board = BoardReceiver(ONE_BYTE)
    assert board.take(b"\x20\x02ab" + b"x" * 29) == b"ab"
    assert board.take(b"\x03\x02cd" + bytes(29)) == b"cd"


@pytest.mark.parametrize(
    ("header", "message"),
    [(b"\xbf", "0xbf: it announces 63 bytes"), (b"\xa0", "0xa0: it announces 32 bytes")],
    ids=["too long", "full, which needs another packet"],
)
def test_an_impossible_last_packet_is_refused(header, message):
    receiver = HostReceiver(ONE_BYTE)
    receiver.feed(header + bytes(32))
    with pytest.raises(PacketError, match=message):
        receiver.next_message()
    receiver.clear()
    receiver.feed(ONE_BYTE.to_host(b"good"))
    assert receiver.next_message() == b"good"


def test_a_message_without_an_end_is_refused(monkeypatch):
    monkeypatch.setattr(stedgeai_wire, "MAX_MESSAGE_BYTES", 1000)
    receiver = HostReceiver(ONE_BYTE)
    receiver.feed(b"\x20" * 33 * 40)
    with pytest.raises(PacketError, match="without an end"):
        receiver.next_message()


@pytest.mark.parametrize("start", [b"\xff" * 5, b"\xff\xff\xff\xff\x0f"], ids=["no end", "too long"])
def test_an_impossible_length_is_refused_and_forgotten(start):
    board = BoardReceiver(ONE_BYTE)
    with pytest.raises(PacketError):
        board.take(b"\x20" + start + bytes(32 - len(start)))
    assert board.take(b"\x03\x02cd" + bytes(29)) == b"cd"


@pytest.mark.parametrize("packets", PACKET_FORMATS, ids=FORMAT_IDS)
@pytest.mark.parametrize("missing", [0, 1, 20, 33])
def test_packets_are_recognised_wherever_they_begin(packets, missing):
    stream = packets.to_host(bytes(range(256)) * 2) + packets.to_host(b"the next message")
    assert packets.ends_with_packets(stream[missing:-5], 8)


@pytest.mark.parametrize("packets", PACKET_FORMATS, ids=FORMAT_IDS)
@pytest.mark.parametrize(
    "stream",
    [
        b"",
        b"\x20" * 30,
        b"$GPGGA,123519,4807.038,N\r\n" * 20,
        b"\xaa" * 500,
        # The last packet of a message is never full.
        (b"\xa0" + bytes(32)) * 10,
        (b"\x80\x20" + bytes(32)) * 10,
    ],
    ids=["none", "few", "gps", "noise", "full last packets", "full last packets of two bytes"],
)
def test_what_is_not_packets_is_recognised(packets, stream):
    assert not packets.ends_with_packets(stream, 8)


TEXTS = {
    "plain": (b"a network", "a network"),
    "not UTF-8": (b"a\xffb", r"a\xffb"),
    "terminal control": (b"\x1b[31mred\r\n\x00", r"\x1b[31mred\r\n\x00"),
    "right to left": ("\u202egnp.exe".encode(), r"\u202egnp.exe"),
    "other letters": ("größe 大".encode(), "größe 大"),
    "long": (b"x" * 128, "x" * 126 + "…"),
    "long when escaped": (b"\n" * 100, r"\n" * 63 + "…"),
    "longest": (b"x" * 127, "x" * 127),
}


@pytest.mark.parametrize("case", TEXTS)
def test_texts_of_a_board_become_harmless(case):
    text, expected = TEXTS[case]
    assert decode_text(text) == expected


def test_bytes_that_are_not_a_message_are_recognised():
    assert parse(Request, b"\xff") is None
    assert parse(Request, b"\x08\x01") is None
