"""Test what a board does with what a host says."""

from __future__ import annotations

import struct
from importlib import import_module

import numpy as np
import pytest
from support.bridge_board import (
    BAD_JPEG,
    BAD_LENGTH,
    BAD_VALUE,
    CONFIGURE,
    CONFIGURED,
    CREDIT,
    DAMAGED,
    DESCRIBE,
    ERROR,
    HELLO,
    JPEG,
    MODEL,
    NETWORK_FAILED,
    NO_CREDIT,
    NO_SESSION,
    NOT_CONFIGURED,
    PICTURE,
    PING,
    PONG,
    RESULT,
    RGB,
    SESSION,
    TENSOR,
    UNSUPPORTED,
    WELCOME,
    Board,
    Packet,
    configuration,
    hello,
    picture,
)
from support.bridge_results import LocalDecoder, check_masks, read_result
from support.decoder_cases import SPECS, likely_outputs

from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.preprocess import quantized_pixels


def errors(packets):
    """Return code, request type, sequence, frame and detail of each packet but CREDIT, which must be errors."""
    packets = [packet for packet in packets if packet.type != CREDIT]
    assert all(packet.type == ERROR for packet in packets), packets
    return [struct.unpack_from("<HBxHxxII", packet.payload, 8) for packet in packets]


def results(packets):
    return [read_result(packet.payload) for packet in packets if packet.type == RESULT]


# ----------------------------------------------------------------------------------------------------------- sessions


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


# ----------------------------------------------------------------------------------------------------------- requests


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


# ----------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("masks", [0, 1, 2], ids=["boxes", "signs", "contours"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"score": 0.02, "iou": 0.5, "mask_logit": 0.0},
        {"switches": 0, "max_instances": 3},
        {"switches": 1},
        {"num_classes": 80, "classes": b"\xff" + bytes(8) + b"\x80"},
    ],
    ids=["usual", "many", "single-label", "agnostic", "classes"],
)
def test_a_result_is_that_of_the_decoder(open_session, spec, image, masks, options):
    board = open_session(configuration(masks=masks, **options))
    board.request(PICTURE, picture(1, image))
    board.work()
    (result,) = (read_result(p.payload, options.get("mask_logit", 0.5)) for p in board.packets() if p.type == RESULT)
    switches = options.get("switches", 6)
    wanted = (*range(8), 79) if "classes" in options else None
    decoder = LocalDecoder(spec, board.outputs)
    expected = decoder.decode(
        DetectionOptions(
            score_threshold=np.float32(options.get("score", 0.1)).item(),
            iou_threshold=np.float32(options.get("iou", 0.7)).item(),
            max_instances=options.get("max_instances", 20),
            classes=wanted,
            agnostic_nms=bool(switches & 1),
            multi_label=bool(switches & 2),
            vote_boxes=bool(switches & 4),
        ),
    )
    assert len(expected) > 0
    for name in ("xyxy_px", "score", "class_id"):
        np.testing.assert_array_equal(result.records[name], expected[name])
    assert [mask is None for mask in result.masks] == [masks == 0] * len(expected)
    check_masks(result, decoder, expected, options.get("mask_logit", 0.5))
    assert (result.frame, result.configuration, result.flags) == (1, 7, 0)


@pytest.mark.parametrize("name", ["raw-uint8-anchors-first", "raw-float", "decoded-int8", "decoded-three-outputs"])
def test_other_models(name, rng):
    spec = SPECS[name]()
    outputs = likely_outputs(spec, rng)
    board = Board(spec, lambda image: outputs)
    height, width = spec.input_hw
    board.send(hello(1), Packet(CONFIGURE, 1, 1, configuration()), Packet(DESCRIBE, 1, 2))
    board.send(Packet(PICTURE, 1, 3, picture(1, bytes(height * width * 3))))
    board.work()
    packets = board.packets()
    (result,) = results(packets)
    decoder = LocalDecoder(spec, outputs)
    expected = decoder.decode(
        DetectionOptions(score_threshold=np.float32(0.1).item(), iou_threshold=np.float32(0.7).item(), max_instances=20)
    )
    np.testing.assert_array_equal(result.records["xyxy_px"], expected["xyxy_px"])
    check_masks(result, decoder, expected)
    model = next(packet for packet in packets if packet.type == MODEL)
    assert model.payload[13] == spec.box_bins
    levels = [level for _, *level in struct.iter_unpack("<HHHH", model.payload[64 : 64 + 8 * len(spec.levels)])]
    assert levels == [[*level.grid_hw[::-1], 0] if spec.is_raw else [0, 0, 0] for level in spec.levels]


@pytest.mark.parametrize("kind", [RGB, TENSOR], ids=["rgb", "tensor"])
def test_what_the_network_sees(open_session, spec, image, kind):
    seen = []
    outputs = []

    def run(data):
        seen.append(data.tobytes())
        return outputs[0]

    board = open_session(run=run)
    outputs.append(board.outputs)
    board.request(PICTURE, picture(1, image, kind))
    board.work()
    stored = quantized_pixels(spec.input.quant)[np.frombuffer(image, np.uint8)].tobytes() if kind == RGB else image
    assert seen == [stored]


@pytest.mark.parametrize(
    ("change", "code", "detail"),
    [
        (lambda data: data[:-1], BAD_LENGTH, -1),
        (lambda data: data[:16], BAD_LENGTH, None),
        (lambda data: data[:15], BAD_LENGTH, 15),
        (lambda data: b"", BAD_LENGTH, 0),
        (lambda data: data[:4] + b"\3" + data[5:], BAD_VALUE, 4),
        (lambda data: data[:5] + b"\1" + data[6:], BAD_VALUE, 5),
        (lambda data: data[:7] + b"\1" + data[8:], BAD_VALUE, 5),
        (lambda data: data[:9] + b"\1" + data[10:], BAD_VALUE, 8),
        (lambda data: data[:15] + b"\1" + data[16:], BAD_VALUE, 12),
        (lambda data: bytes(4) + data[4:], BAD_VALUE, 0),
        (lambda data: data[:4] + b"\2" + data[5:], BAD_LENGTH, None),
    ],
    ids=["short", "head", "half-a-head", "empty", "format", "reserved-5", "reserved-7", "reserved-9", "reserved-15",
         "frame-0", "jpeg-too-long"],
)  # fmt: skip
def test_a_bad_picture(open_session, image, change, code, detail):
    board, data = open_session(max_jpeg_bytes=100), change(picture(1, image))
    board.request(PICTURE, data)
    (found,) = errors(board.packets())
    expected_frame = 0 if len(data) < 16 or data[:4] == bytes(4) else 1
    expected_detail = len(data) if detail in (None, -1) else detail
    assert found == (code, PICTURE, board.sequence, expected_frame, expected_detail)
    assert board.runs == []
    board.request(PICTURE, picture(2, image))
    board.work()
    assert [result.frame for result in results(board.packets())] == [2]


def test_a_jpeg_for_a_board_without_decoder(open_session):
    board = open_session(max_jpeg_bytes=0)
    board.request(PICTURE, picture(1, b"\xff\xd8", JPEG))
    assert errors(board.packets()) == [(BAD_VALUE, PICTURE, board.sequence, 1, 4)]


def test_an_undecodable_jpeg(open_session, image):
    board = open_session()
    board.request(PICTURE, picture(1, b"\xff\xd8\xff\xd9", JPEG))
    assert errors(board.packets()) == [(BAD_JPEG, PICTURE, board.sequence, 1, 1)]
    board.request(PICTURE, picture(2, image))
    board.work()
    assert [result.frame for result in results(board.packets())] == [2]


def test_an_old_frame_number(open_session, image):
    board = open_session()
    board.request(PICTURE, picture(5, image))
    board.request(PICTURE, picture(5, image))
    board.request(PICTURE, picture(4, image))
    board.work()
    found = [packet for packet in board.packets() if packet.type == ERROR]
    assert [error[0::3] for error in errors(found)] == [(BAD_VALUE, 0)] * 2
    assert [packet.status[1] for packet in found] == [4, 4]


def test_a_network_that_fails(open_session, image):
    board = open_session(run=lambda data: None)
    board.request(PICTURE, picture(1, image))
    board.request(PICTURE, picture(2, image))
    board.work()
    assert [error[0::3] + error[4:] for error in errors(board.packets())] == [
        (NETWORK_FAILED, 1, 7),
        (NETWORK_FAILED, 2, 7),
    ]


# ------------------------------------------------------------------------------------------------------------- credit


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


# -------------------------------------------------------------------------------------------------------------- times


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


# ------------------------------------------------------------------------------------------------------------- damage


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


# -------------------------------------------------------------------------------------------------------------- setup


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
