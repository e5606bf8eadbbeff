"""Hold the packet layer against recorded byte strings, and its two sides against each other."""

from __future__ import annotations

import pytest

from yolov8_seg_ros.backends.n6 import packets
from yolov8_seg_ros.backends.n6.messages import Request, Response, State
from yolov8_seg_ros.backends.n6.packets import BoardReceiver, HostReceiver, PacketError, board_packets, host_packets

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
    assert host_packets(Request(**fields).SerializeToString()) == [recorded]
    assert Request.FromString(BoardReceiver().take(recorded)) == Request(**fields)


@pytest.mark.parametrize("case", RECORDED_ANSWERS)
def test_recorded_answers(case):
    recorded, fields = RECORDED_ANSWERS[case]
    assert board_packets(response(**fields)) == recorded
    receiver = HostReceiver()
    receiver.feed(recorded)
    assert Response.FromString(receiver.next_message()) == Response(**fields)


def test_an_answer_of_an_exact_multiple_of_32_ends_with_an_empty_packet():
    message = response(reqid=2, state=State.IDLE, log={"level": 1, "str": b"s:config: model on NPU"})
    assert len(message) == 32
    assert board_packets(message) == b"\x20" + message + b"\x80" + bytes(32)


def test_a_request_of_an_exact_multiple_of_32_needs_none():
    message = Request(reqid=1, cmd=11, param=1, name=b"n" * 21, opt=1).SerializeToString()
    assert len(message) == 31
    assert host_packets(message) == [b"\x20\x1f" + message]


def test_a_long_request_is_cut_without_flags():
    message = bytes(range(200))
    first, *_, last = cut = host_packets(message)
    assert len(cut) == 7
    # 200 is 0xc8 0x01 in groups of seven bits.
    assert first == b"\x20\xc8\x01" + message[:30]
    assert last == b"\x0a" + message[190:] + bytes(22)


def test_headers_of_two_bytes_are_big_endian():
    assert host_packets(b"\x08\x01", 2) == [b"\x00\x03\x02\x08\x01" + bytes(29)]
    assert board_packets(b"\x08\x01", 2) == b"\x80\x02\x08\x01" + bytes(30)
    assert board_packets(bytes(32), 2) == b"\x00\x20" + bytes(32) + b"\x80\x00" + bytes(32)


@pytest.mark.parametrize("header_size", packets.HEADER_SIZES)
@pytest.mark.parametrize("size", [0, 1, 30, 31, 32, 33, 63, 64, 126, 127, 128, 20_000])
def test_both_sides_understand_each_other(size, header_size):
    message = bytes(index * 7 % 256 for index in range(size))
    board = BoardReceiver(header_size)
    cut = host_packets(message, header_size)
    assert [board.take(packet) for packet in cut] == [None] * (len(cut) - 1) + [message]
    host = HostReceiver(header_size)
    host.feed(board_packets(message, header_size) + board_packets(b"next", header_size))
    assert [host.next_message(), host.next_message(), host.next_message()] == [message, b"next", None]


@pytest.mark.parametrize("chunk", [1, 7, 33, 64, 1000])
def test_bytes_may_arrive_as_they_like(chunk):
    message = bytes(range(256)) * 4
    stream = board_packets(message)
    receiver, messages = HostReceiver(), []
    for start in range(0, len(stream), chunk):
        assert receiver.next_message() is None
        receiver.feed(stream[start : start + chunk])
    messages.append(receiver.next_message())
    assert messages == [message]
    assert receiver.pending == 0


def test_what_follows_a_message_in_its_packet_is_dropped():
    board = BoardReceiver()
    assert board.take(b"\x20\x02ab" + b"x" * 29) == b"ab"
    assert board.take(b"\x03\x02cd" + bytes(29)) == b"cd"


def test_an_impossible_last_packet_is_told():
    receiver = HostReceiver()
    receiver.feed(b"\xbf" + bytes(32))
    with pytest.raises(PacketError, match="0xbf: it announces 63 bytes"):
        receiver.next_message()
    receiver.clear()
    receiver.feed(board_packets(b"good"))
    assert receiver.next_message() == b"good"


def test_a_message_without_an_end_is_told(monkeypatch):
    monkeypatch.setattr(packets, "MAX_MESSAGE_BYTES", 1000)
    receiver = HostReceiver()
    receiver.feed(b"\x20" * 33 * 40)
    with pytest.raises(PacketError, match="without an end"):
        receiver.next_message()


@pytest.mark.parametrize("start", [b"\xff" * 5, b"\xff\xff\xff\xff\x0f"], ids=["no end", "too long"])
def test_an_impossible_length_is_told_and_forgotten(start):
    board = BoardReceiver()
    with pytest.raises(PacketError):
        board.take(b"\x20" + start + bytes(32 - len(start)))
    assert board.take(b"\x03\x02cd" + bytes(29)) == b"cd"
