"""Test what a board does with pictures."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from support.bridge_board import (
    BAD_JPEG,
    BAD_LENGTH,
    BAD_VALUE,
    CONFIGURE,
    DESCRIBE,
    ERROR,
    JPEG,
    MODEL,
    NETWORK_FAILED,
    PICTURE,
    RESULT,
    RGB,
    TENSOR,
    Board,
    Packet,
    configuration,
    hello,
    picture,
)
from support.bridge_results import LocalDecoder, check_masks, errors, read_result, results
from support.decoder_cases import SPECS, likely_outputs

from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.preprocess import quantized_pixels


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
