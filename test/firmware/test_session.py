"""Test what a board does with sessions and requests, and which setups it refuses."""

from __future__ import annotations

import struct
from importlib import import_module

import numpy as np
import pytest
from support.bridge_board import (
    BAD_LENGTH,
    BAD_VALUE,
    CONFIGURE,
    CONFIGURED,
    CREDIT,
    DESCRIBE,
    HELLO,
    MODEL,
    NO_SESSION,
    NOT_CONFIGURED,
    PICTURE,
    PING,
    PONG,
    RESULT,
    SESSION,
    UNSUPPORTED,
    WELCOME,
    Board,
    Packet,
    configuration,
    hello,
    picture,
)
from support.bridge_results import errors, results
from support.decoder_cases import SPECS

# ------------------------------------------------------------------------------------------------------------ sessions


def test_welcome(spec):
    board = Board(spec, None, max_instances=33, max_result_bytes=70000, npu_hz=7)
    board.send(hello(SESSION))
    (packet,) = board.packets()
    assert (packet.type, packet.session, packet.sequence, packet.status) == (WELCOME, SESSION, 0, (0, 0))
    height, width = spec.input_hw
    picture_bytes = max(height * width * 3, 20000) + 16
    assert struct.unpack_from("<HHIIIIHHII", packet.payload, 8) == (
        1, 2, 15, picture_bytes, 20000, 70000, 33, 0, 600_000_000, 7
    )  # fmt: skip
    assert packet.payload[40:] == b"test board"


@pytest.mark.parametrize(
    ("payload", "code", "detail"),
    [
        (struct.pack("<IHH", 0x4252364E, 2, 0), UNSUPPORTED, 1),
        (struct.pack("<IHH", 0x4252364F, 1, 0), BAD_VALUE, 0),
        (struct.pack("<IHH", 0x4252364E, 1, 1), BAD_VALUE, 6),
        (b"", BAD_LENGTH, 0),
        (bytes(9), BAD_LENGTH, 9),
    ],
    ids=["version", "magic", "reserved", "empty", "long"],
)
def test_a_bad_hello_ends_the_session(open_session, payload, code, detail):
    board = open_session()
    board.send(Packet(HELLO, 5, 0, payload))
    (packet,) = board.packets()
    assert (packet.session, packet.sequence, packet.status) == (5, 0, (0, 0))
    assert errors([packet]) == [(code, HELLO, 0, 0, detail)]
    board.request(PING, bytes(4))
    assert errors(board.packets()) == [(NO_SESSION, PING, board.sequence, 0, 0)]


def test_another_session_is_told_so(open_session):
    board = open_session()
    board.send(Packet(PING, 99, 12, bytes(4)))
    (packet,) = board.packets()
    assert (packet.session, packet.sequence, packet.status) == (99, 0, (0, 0))
    assert errors([packet]) == [(NO_SESSION, PING, 12, 0, SESSION)]
    board.request(PING, bytes(4))
    assert [packet.type for packet in board.packets()] == [PONG]


def test_a_repeated_hello_is_ignored(open_session):
    board = open_session()
    board.send(hello(SESSION))
    board.request(PING, bytes(4))
    assert [packet.type for packet in board.packets()] == [PONG]


def test_hello_drops_everything(open_session, image):
    board = open_session()
    board.request(PICTURE, picture(1, image))
    board.request(PICTURE, picture(2, image))
    board.packets()
    board.send(hello(9))
    assert board.packets() == [], "the network is still running for the last session"
    board.work()
    assert [(packet.type, packet.session, packet.sequence) for packet in board.packets()] == [(WELCOME, 9, 0)]
    board.session, board.sequence = 9, 0
    board.request(PICTURE, picture(1, image))
    assert errors(board.packets()) == [(NOT_CONFIGURED, PICTURE, 1, 1, 0)]
    assert board.runs == [0]


def test_a_session_begins_with_welcome(open_session, image):
    board = open_session()
    board.request(PICTURE, picture(1, image))
    board.packets()
    board.send(hello(9), Packet(0x3F, 9, 1), Packet(PING, 8, 3, bytes(4)))
    assert board.packets() == []
    board.work()
    first, *others = board.packets()
    assert (first.type, first.sequence) == (WELCOME, 0)
    assert [(packet.session, packet.sequence) for packet in others] == [(8, 0)]


def test_hello_drops_results_that_wait(open_session, image):
    board = open_session(line_bytes=64)
    for frame in (1, 2):
        board.request(PICTURE, picture(frame, image))
    board.work()
    board.packets()
    board.begin(10)
    board.request(PING, bytes(4))
    assert [packet.status for packet in board.packets()] == [(0, 0)]


# ------------------------------------------------------------------------------------------------------------ requests


@pytest.mark.parametrize(
    ("kind", "payload", "code", "detail"),
    [
        (DESCRIBE, b"?", BAD_LENGTH, 1),
        (PING, b"", BAD_LENGTH, 0),
        (PING, bytes(3), BAD_LENGTH, 3),
        (PING, bytes(1029), BAD_LENGTH, 1029),
        (PING, bytes(16384), BAD_LENGTH, 16384),
        (0x06, b"", UNSUPPORTED, 1),
        (0x7F, bytes(9000), UNSUPPORTED, 1),
    ],
    ids=["describe", "ping-empty", "ping-short", "ping-long", "ping-longest", "unknown", "unknown-long"],
)
def test_bad_requests(open_session, kind, payload, code, detail):
    board = open_session()
    board.request(kind, payload)
    assert errors(board.packets()) == [(code, kind, board.sequence, 0, detail)]


@pytest.mark.parametrize("num_bytes", [0, 1, 1024])
def test_ping(open_session, num_bytes, rng):
    board, echo = open_session(), rng.integers(0, 256, num_bytes, dtype=np.uint8).tobytes()
    board.request(PING, struct.pack("<I", 0) + echo)
    (packet,) = board.packets()
    assert (packet.type, packet.payload) == (PONG, bytes(8) + echo)


def test_describe(open_session, spec):
    board = open_session()
    board.request(DESCRIBE)
    (packet,) = board.packets()
    assert packet.type == MODEL
    names = []
    at = 64 + 8 * 3
    while at < len(packet.payload):
        size = packet.payload[at]
        names.append(packet.payload[at + 1 : at + 1 + size].decode())
        at += 1 + size
    assert names == ["tiny", *spec.class_names]
    assert packet.payload[32:64] == bytes(range(32))


@pytest.mark.parametrize(
    ("changes", "code", "detail"),
    [
        ({"number": 0}, BAD_VALUE, 0),
        ({"score": -0.01}, BAD_VALUE, 4),
        ({"score": 1.01}, BAD_VALUE, 4),
        ({"score": float("nan")}, BAD_VALUE, 4),
        ({"iou": 2.0}, BAD_VALUE, 8),
        ({"iou": -1.0}, BAD_VALUE, 8),
        ({"mask_logit": float("nan")}, BAD_VALUE, 12),
        ({"mask_logit": 1001.0}, BAD_VALUE, 12),
        ({"mask_logit": -1001.0}, BAD_VALUE, 12),
        ({"max_instances": 0}, BAD_VALUE, 16),
        ({"max_instances": 51}, BAD_VALUE, 16),
        ({"masks": 3}, BAD_VALUE, 18),
        ({"switches": 8}, BAD_VALUE, 19),
        ({"num_classes": 79, "classes": bytes(10)}, BAD_VALUE, 20),
        ({"reserved": 1}, BAD_VALUE, 22),
        ({"num_classes": 80, "classes": bytes(9)}, BAD_LENGTH, 33),
        ({"num_classes": 80, "classes": bytes(11)}, BAD_LENGTH, 35),
        ({"classes": b"\1"}, BAD_LENGTH, 25),
    ],
    ids=lambda value: "-".join(value) + str(next(iter(value.values()))) if isinstance(value, dict) else "",
)
def test_a_refused_configuration_changes_nothing(open_session, image, changes, code, detail):
    board = open_session()
    board.request(CONFIGURE, configuration(**{"number": 8, **changes}))
    assert errors(board.packets()) == [(code, CONFIGURE, board.sequence, 0, detail)]
    board.request(PICTURE, picture(1, image))
    board.work()
    (result,) = results(board.packets())
    assert result.configuration == 7
    assert len(result.records) > 0


@pytest.mark.parametrize("length", [0, 23])
def test_a_short_configuration(open_session, length):
    board = open_session()
    board.request(CONFIGURE, bytes(length))
    assert errors(board.packets()) == [(BAD_LENGTH, CONFIGURE, board.sequence, 0, length)]


def test_bits_beyond_the_last_class():
    spec = SPECS["raw-int8-channels-first"]()
    board = Board(spec, None)
    board.send(hello(1), Packet(CONFIGURE, 1, 1, configuration(num_classes=5, classes=b"\x3f")))
    assert errors(board.packets()[1:]) == [(BAD_VALUE, CONFIGURE, 1, 0, 24)]
    board.send(Packet(CONFIGURE, 1, 2, configuration(num_classes=5, classes=b"\x1f")))
    assert [packet.type for packet in board.packets()] == [CONFIGURED]


def test_a_configuration_waits_for_the_result_at_hand(open_session, image):
    """A result is decoded in steps: those of one picture must not meet two configurations."""
    board = open_session()
    board.request(PICTURE, picture(1, image))
    board.end_run(0)
    for packet in (board.next(CONFIGURE, configuration(number=9, masks=0)), board.next(PICTURE, picture(2, image))):
        data = packet.encode()
        assert board.lib.n6_board_receive(board._board, data, len(data)) == len(data)
    board.work()
    packets = board.packets()
    kinds = [packet.type for packet in packets if packet.type != CREDIT]
    assert kinds == [RESULT, CONFIGURED, RESULT] or kinds == [CONFIGURED, RESULT, RESULT]
    first, second = results(packets)
    assert [first.configuration, second.configuration] == [7, 9]
    assert all(mask is not None for mask in first.masks)
    assert all(mask is None for mask in second.masks)


# --------------------------------------------------------------------------------------------------------------- setup


@pytest.mark.parametrize(
    "options",
    [
        {"num_slots": 0},
        {"num_slots": 17},
        {"max_instances": 0},
        {"max_instances": 65536},
        {"max_instances": 2000},
        {"max_candidates": 0},
        {"max_jpeg_bytes": -1},
        {"max_jpeg_bytes": 1 << 24},
        {"max_result_bytes": 0},
        {"max_result_bytes": 1000},
        {"max_result_bytes": (1 << 24) + 1},
        {"line_bytes": 0},
    ],
    ids=lambda options: "-".join(map(str, *options.items())),
)
def test_a_setup_that_is_refused(spec, options):
    assert Board(spec, None, **options).result < 0


def test_masks_that_do_not_fit_are_left_out(open_session, image):
    board = open_session(configuration(max_instances=50), max_result_bytes=4000)
    board.request(PICTURE, picture(1, image))
    board.work()
    (result,) = results(board.packets())
    assert result.flags == 1
    missing = [mask is None for mask in result.masks]
    assert any(missing)
    assert not all(missing)


def test_the_module_declares_the_library():
    ffi = import_module("yolov8_seg_ros.native._n6board").ffi
    assert ffi.sizeof("struct n6_board_options") > 0
