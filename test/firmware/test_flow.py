"""Test credit, times, and what a board says about damage."""

from __future__ import annotations

import struct

import pytest
from support.bridge_board import (
    CONFIGURE,
    CREDIT,
    DAMAGED,
    NO_CREDIT,
    PICTURE,
    PING,
    PONG,
    RESULT,
    Packet,
    configuration,
    hello,
    picture,
)
from support.bridge_results import errors, results

# -------------------------------------------------------------------------------------------------------------- credit


def test_two_pictures_are_in_flight(open_session, image):
    board = open_session()
    board.request(PICTURE, picture(1, image))
    board.request(PICTURE, picture(2, image))
    board.request(PICTURE, picture(3, image))
    assert errors(board.packets()) == [(NO_CREDIT, PICTURE, board.sequence, 3, 2)]
    board.work(runs=1)
    packets = board.packets()
    assert [(packet.type, packet.status) for packet in packets] == [(CREDIT, (1, 0)), (RESULT, (1, 1))]
    board.request(PICTURE, picture(4, image))
    board.work()
    packets = board.packets()
    assert [result.frame for result in results(packets)] == [2, 4]
    assert packets[-1].status == (4, 4)
    assert len(set(board.runs)) == 2


@pytest.mark.parametrize("num_slots", [1, 2, 5])
def test_many_pictures_with_credit_alone(open_session, image, num_slots):
    board = open_session(num_slots=num_slots)
    sent = released = 0
    frames = []
    while len(frames) < 20:
        while sent < 20 and sent + 1 - released <= num_slots:
            sent += 1
            board.request(PICTURE, picture(sent, image))
        board.work(runs=1)
        for packet in board.packets():
            assert packet.type in (CREDIT, RESULT)
            released = max(released, packet.status[0])
            frames += [result.frame for result in results([packet])]
    assert frames == list(range(1, 21))


def test_a_lost_picture_is_counted(open_session, image):
    board = open_session()
    lost = board.next(PICTURE, picture(1, image))
    assert lost
    board.request(PING, struct.pack("<I", 1))
    (packet,) = board.packets()
    assert (packet.type, packet.status) == (PONG, (1, 1))
    board.request(PING, struct.pack("<I", 0))
    assert [packet.status for packet in board.packets()] == [(1, 1)]


def test_results_wait_for_a_slow_host(open_session, image):
    """Two results wait for the line; the third picture is decoded when one of them has left."""
    board = open_session(line_bytes=10)
    board.is_reading = False
    for frame in (1, 2):
        data = board.next(PICTURE, picture(frame, image)).encode()
        while data:
            data = data[board.lib.n6_board_receive(board._board, data, len(data)) :]
            board.work()
    board.work()
    assert len(board.runs) == 2
    board.is_reading = True
    board.work()
    assert [result.frame for result in results(board.packets())] == [1, 2]


# --------------------------------------------------------------------------------------------------------------- times


def test_times(open_session, image):
    board = open_session()
    first, second = image[:5000], image[5000:]
    data = board.next(PICTURE, picture(1, image)).encode()
    assert len(first + second) < len(data)
    board.send(data[:5000])
    board.now_us += 12_000
    board.send(data[5000:])
    board.now_us += 31_570
    board.work()
    (result,) = results(board.packets())
    assert result.times == (12_000, 0, 0, 31_570, 0)


def test_time_that_wraps(open_session, image):
    board = open_session()
    board.now_us = (1 << 32) - 10
    board.request(PICTURE, picture(1, image))
    board.now_us += 50
    board.work()
    (result,) = results(board.packets())
    assert result.times[3] == 50


# -------------------------------------------------------------------------------------------------------------- damage


def test_a_damaged_picture_is_said_at_once(open_session, image):
    board = open_session()
    data = bytearray(board.next(PICTURE, picture(1, image)).encode())
    data[-100] ^= 1
    board.send(bytes(data))
    assert errors(board.packets()) == [(DAMAGED, PICTURE, board.sequence, 1, 16384)]
    assert board.runs == []


def test_a_picture_whose_number_is_damaged(open_session, image):
    board = open_session()
    data = bytearray(board.next(PICTURE, picture(1, image)).encode())
    data[14] ^= 1
    board.send(bytes(data))
    assert errors(board.packets()) == [(DAMAGED, PICTURE, board.sequence, 0, 0)]


def test_damage_of_what_is_not_wanted_is_not_said(open_session, image):
    board = open_session()
    for packet in (hello(3), Packet(PICTURE, 99, 1, picture(1, image))):
        data = bytearray(packet.encode())
        data[-1] ^= 1
        board.send(bytes(data))
        board.pass_time(60_000)
    assert board.packets() == []


def test_a_picture_cut_off(open_session, image):
    board = open_session()
    data = board.next(PICTURE, picture(1, image)).encode()
    board.send(data[:9000])
    board.pass_time(49_000)
    assert board.packets() == []
    board.pass_time(1000)
    assert errors(board.packets()) == [(DAMAGED, PICTURE, board.sequence, 1, 8192)]
    board.request(PICTURE, picture(2, image))
    board.work()
    assert [result.frame for result in results(board.packets())] == [2]


def test_repeated_and_overtaken_packets_are_ignored(open_session, image):
    board = open_session()
    first, second = board.next(PICTURE, picture(1, image)), board.next(PICTURE, picture(2, image))
    board.send(second, first, second)
    board.work()
    packets = board.packets()
    assert [result.frame for result in results(packets)] == [2]
    assert {packet.type for packet in packets} == {CREDIT, RESULT}
    assert packets[-1].status == (2, 2)


@pytest.mark.parametrize(("ahead", "is_taken"), [(0, True), (1023, True), (1024, False), (65535, False)])
def test_how_far_ahead(open_session, ahead, is_taken):
    board = open_session()
    board.sequence += ahead
    board.request(PING, bytes(4))
    assert len(board.packets()) == is_taken


def test_the_sequence_wraps(open_session):
    board = open_session()
    board.sequence = 1
    for _ in range(70):
        board.sequence += 1000
        board.request(PING, bytes(4))
    assert len(board.packets()) == 70


def test_many_errors(open_session):
    """The oldest are dropped, when they come faster than they leave."""
    board = open_session(line_bytes=600)
    board.is_reading = False
    for kind in range(0x40, 0x60):
        board.request(kind)
    board.is_reading = True
    board.work()
    kinds = [error[1] for error in errors(board.packets())]
    assert kinds[-4:] == [0x5C, 0x5D, 0x5E, 0x5F]
    assert 4 < len(kinds) < 32


def test_a_host_that_opens_its_port_anew(open_session, image):
    board = open_session()
    data = board.next(PICTURE, picture(1, image)).encode()
    board.send(data[:9000])
    board.reopen()
    board.begin(12)
    board.request(CONFIGURE, configuration())
    board.request(PICTURE, picture(1, image))
    board.work()
    assert [result.frame for result in results(board.packets())] == [1]


def test_a_host_that_opens_its_port_amid_a_result(open_session, image):
    board = open_session(line_bytes=64)
    board.is_reading = False
    data = board.next(PICTURE, picture(1, image)).encode()
    while data:
        data = data[board.lib.n6_board_receive(board._board, data, len(data)) :]
        board.work()
    board.is_reading = True
    board.reopen()
    board.begin(12)
