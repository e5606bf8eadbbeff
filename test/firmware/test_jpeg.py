"""Test the firmware's JPEG decoder against OpenCV's, and with files that are damaged or of other kinds."""

from __future__ import annotations

import struct

import cv2
import numpy as np
import pytest
from support.bridge_board import CONFIGURE, JPEG, PICTURE, RESULT, Board, Packet, configuration, hello, picture
from support.bridge_core import decode_jpeg as decode
from support.decoder_cases import likely_outputs

DONE, DAMAGED, UNSUPPORTED, OTHER_SIZE = 1, -1, -2, -3
SAMPLINGS = {
    "4:4:4": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    "4:2:2": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422,
    "4:4:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_440,
    "4:2:0": cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420,
}


def scene(width, height, rng):
    """Return a picture of smooth colours, edges and noise, in BGR."""
    y, x = np.mgrid[:height, :width]
    image = np.stack([255 * x / width, 255 * y / height, 127 + 100 * np.sin(x / 9) * np.cos(y / 7)], axis=2)
    image[height // 3 : height // 2, width // 4 : width // 2] = (20, 200, 250)
    return np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)


def encode(image, quality=90, sampling="4:2:0", restart=0, **flags):
    parameters = [
        cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, SAMPLINGS[sampling],
        cv2.IMWRITE_JPEG_RST_INTERVAL, restart,
    ]  # fmt: skip
    for flag, value in flags.items():
        parameters += [getattr(cv2, f"IMWRITE_JPEG_{flag.upper()}"), value]
    is_written, data = cv2.imencode(".jpg", image, parameters)
    assert is_written
    return data.tobytes()


def close(found, data, largest, mean):
    expected = cv2.cvtColor(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    difference = np.abs(found.astype(int) - expected)
    assert difference.max() <= largest
    assert difference.mean() <= mean


@pytest.mark.parametrize(
    ("width", "height"), [(256, 256), (64, 48), (1, 1), (17, 33), (8, 100), (319, 7)], ids=lambda v: str(v)
)
@pytest.mark.parametrize("quality", [30, 90, 100])
def test_without_subsampling(width, height, quality, rng):
    data = encode(scene(width, height, rng), quality, "4:4:4")
    state, found = decode(data, width, height)
    assert state == DONE
    close(found, data, 3, 1.0)


@pytest.mark.parametrize("sampling", ["4:2:2", "4:4:0", "4:2:0"])
@pytest.mark.parametrize(("width", "height"), [(256, 256), (65, 47), (16, 1)], ids=lambda v: str(v))
def test_subsampling(width, height, sampling, rng):
    """OpenCV interpolates colours; so only smooth ones are equal."""
    image = cv2.GaussianBlur(scene(width, height, rng), (0, 0), 6)
    data = encode(image, 95, sampling)
    state, found = decode(data, width, height)
    assert state == DONE
    close(found, data, 16, 2.0)


def test_grey(rng):
    data = encode(scene(60, 41, rng)[:, :, 0], 90)
    state, found = decode(data, 60, 41)
    assert state == DONE
    close(found, data, 2, 0.3)


@pytest.mark.parametrize("restart", [1, 3, 7])
def test_restart_intervals(restart, rng):
    image = scene(120, 75, rng)
    expected = decode(encode(image, sampling="4:2:0"), 120, 75)
    found = decode(encode(image, sampling="4:2:0", restart=restart), 120, 75)
    assert (found[0], expected[0]) == (DONE, DONE)
    np.testing.assert_array_equal(found[1], expected[1])


def test_tables_made_for_the_picture(rng):
    image = scene(120, 75, rng)
    data = encode(image, optimize=1, sampling="4:4:4")
    state, found = decode(data, 120, 75)
    assert state == DONE
    close(found, data, 3, 0.5)


def segment(marker, body):
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(body)) + body


def segments(data):
    """Return the segments before the scan, as markers and bodies, and the rest."""
    at, found = 2, []
    while True:
        marker, size = data[at + 1], struct.unpack_from(">H", data, at + 2)[0]
        found.append((marker, data[at + 4 : at + 2 + size]))
        at += 2 + size
        if marker == 0xDA:
            return found, data[at:]


def rebuilt(data, change):
    """Return a file whose segments were changed: by marker, its body or None to leave it out."""
    found, rest = segments(data)
    parts = [b"\xff\xd8"]
    for marker, body in found:
        for kind, changed in change(marker, body):
            parts.append(segment(kind, changed))
    return b"".join([*parts, rest])


def with_body(marker, function):
    """Return a change of the segments of one marker."""
    return lambda kind, body: [(kind, function(body) if kind == marker else body)]


def put(at, *values):
    return lambda body: body[:at] + bytes(values) + body[at + len(values) :]


def without(marker):
    return lambda kind, body: [] if kind == marker else [(kind, body)]


SOF, DHT, SOS, DQT, DRI, APP14 = 0xC0, 0xC4, 0xDA, 0xDB, 0xDD, 0xEE
ADOBE = b"Adobe\0\x64\0\0\0\0"

CHANGES = {
    "as it is": (lambda kind, body: [(kind, body)], DONE),
    "sof2": (lambda kind, body: [(0xC2 if kind == SOF else kind, body)], UNSUPPORTED),
    "sof1": (lambda kind, body: [(0xC1 if kind == SOF else kind, body)], UNSUPPORTED),
    "arithmetic": (lambda kind, body: [(0xCC, b"\0\0"), (kind, body)], UNSUPPORTED),
    "12 bits": (with_body(SOF, put(0, 12)), UNSUPPORTED),
    "four components": (with_body(SOF, lambda body: put(5, 4)(body) + b"\4\x11\0"), UNSUPPORTED),
    "two components": (with_body(SOF, lambda body: put(5, 2)(body)[:12]), UNSUPPORTED),
    "frame too short": (with_body(SOF, lambda body: body[:-1]), DAMAGED),
    "frame far too short": (with_body(SOF, lambda body: body[:3]), DAMAGED),
    "two frames": (lambda kind, body: [(kind, body)] * (2 if kind == SOF else 1), DAMAGED),
    "no frame": (without(SOF), DAMAGED),
    "other width": (with_body(SOF, put(3, 0, 65)), OTHER_SIZE),
    "other height": (with_body(SOF, put(1, 1, 48)), OTHER_SIZE),
    "luma 4x1": (with_body(SOF, put(7, 0x41)), UNSUPPORTED),
    "luma 0x1": (with_body(SOF, put(7, 0x01)), UNSUPPORTED),
    "luma 1x3": (with_body(SOF, put(7, 0x13)), UNSUPPORTED),
    "luma 1x0": (with_body(SOF, put(7, 0x10)), UNSUPPORTED),
    "chroma 2x1": (with_body(SOF, put(10, 0x21)), UNSUPPORTED),
    "quantization table 4": (with_body(SOF, put(8, 4)), DAMAGED),
    "16 bit quantization": (with_body(DQT, put(0, 0x10)), UNSUPPORTED),
    "quantization table 5": (with_body(DQT, put(0, 5)), DAMAGED),
    "quantization cut": (with_body(DQT, lambda body: body[:-1]), DAMAGED),
    "no quantization": (without(DQT), DAMAGED),
    "huffman table 2": (with_body(DHT, lambda body: bytes([body[0] | 2]) + body[1:]), UNSUPPORTED),
    "huffman cut": (with_body(DHT, lambda body: body[:-1]), DAMAGED),
    "huffman too long": (with_body(DHT, lambda body: body + b"\0"), DAMAGED),
    "huffman of too many codes": (with_body(DHT, put(1, 3)), DAMAGED),
    "huffman of 256 times 16": (with_body(DHT, lambda body: body[:1] + b"\xff" * 16 + bytes(4080)), DAMAGED),
    "no huffman": (without(DHT), DAMAGED),
    "scan of one": (with_body(SOS, lambda body: b"\1" + body[1:3] + body[-3:]), UNSUPPORTED),
    "scan cut": (with_body(SOS, lambda body: body[:-1]), DAMAGED),
    "empty scan": (with_body(SOS, lambda body: b""), DAMAGED),
    "scan of another component": (with_body(SOS, put(1, 9)), DAMAGED),
    "scan with dc table 3": (with_body(SOS, put(2, 0x30)), DAMAGED),
    "scan with ac table 2": (with_body(SOS, put(2, 0x02)), DAMAGED),
    "restart interval cut": (lambda kind, body: [(DRI, b"\0"), (kind, body)], DAMAGED),
    "restart interval without markers": (lambda kind, body: [(DRI, b"\0\1"), (kind, body)], DAMAGED),
    "adobe rgb": (lambda kind, body: [(APP14, ADOBE + b"\0"), (kind, body)], UNSUPPORTED),
    "adobe ycc": (lambda kind, body: [(APP14, ADOBE + b"\1"), (kind, body)], DONE),
    "another app14": (lambda kind, body: [(APP14, b"another one's"), (kind, body)], DONE),
    "short app14": (lambda kind, body: [(APP14, b"Adobe"), (kind, body)], DONE),
    "a comment": (lambda kind, body: [(0xFE, b"hello"), (kind, body)], DONE),
}


@pytest.mark.parametrize("name", CHANGES, ids=lambda name: name.replace(" ", "-"))
def test_changed_segments(name, rng):
    change, expected = CHANGES[name]
    state, _ = decode(rebuilt(encode(scene(64, 48, rng)), change), 64, 48)
    assert state == expected


def test_fill_bytes_before_a_marker(rng):
    data = encode(scene(64, 48, rng))
    assert decode(data[:2] + b"\xff\xff" + data[2:], 64, 48)[0] == DONE


NO_JPEGS = {
    "empty": b"",
    "half": b"\xff",
    "start": b"\xff\xd8",
    "end": b"\xff\xd8\xff\xd9",
    "png": b"\x89PNG\r\n\x1a\n",
    "size-1": b"\xff\xd8\xff\xfe\0\1",
    "size-beyond": b"\xff\xd8\xff\xfe\xff\xff",
    "no-segment": b"\xff\xd8\xff\x01\0\2",
    "no-marker": b"\xff\xd8\0\xfe\0\2",
    "fill": b"\xff\xd8\xff\xff\xff\xff",
    "restart": b"\xff\xd8\xff\xd0\0\2",
}


@pytest.mark.parametrize("data", NO_JPEGS.values(), ids=NO_JPEGS)
def test_no_jpeg(data):
    assert decode(data, 8, 8)[0] == DAMAGED


@pytest.mark.parametrize("restart", [0, 2])
def test_files_cut_anywhere(restart, rng):
    data = encode(scene(32, 32, rng), restart=restart)
    last = len(data) - 2
    for size in range(0, last - 1, 7):
        assert decode(data[:size], 32, 32)[0] == DAMAGED, size
    assert decode(data[:last], 32, 32)[0] == DONE


def test_any_damage_ends(rng):
    data = encode(scene(32, 32, rng), restart=3)
    states = set()
    for _ in range(3000):
        damaged = bytearray(data)
        for at in rng.integers(0, len(data), rng.integers(1, 4)):
            damaged[at] = rng.integers(0, 256)
        states.add(decode(bytes(damaged), 32, 32)[0])
    assert states == {DONE, DAMAGED, UNSUPPORTED, OTHER_SIZE}


def test_a_marker_amid_the_data(rng):
    data = bytearray(encode(scene(32, 32, rng)))
    data[-40:-38] = b"\xff\xd9"
    assert decode(bytes(data), 32, 32)[0] == DAMAGED


def huffman_body(kind, counts, symbols):
    return bytes([kind]) + bytes(counts) + bytes(symbols)


@pytest.mark.parametrize(
    ("dc", "ac", "expected"),
    [([0], [0], DONE), ([12], [0], DAMAGED), ([0], [0x0B], DAMAGED), ([0], [0x10], DAMAGED), ([0], [0xF0], DAMAGED)],
    ids=["zeros", "dc-of-12-bits", "ac-of-11-bits", "run-without-number", "too-many-zeros"],
)
def test_symbols_that_baseline_does_not_have(dc, ac, expected):
    counts = [1] + [0] * 15
    data = b"".join(
        [
            b"\xff\xd8",
            segment(DQT, b"\0" + b"\1" * 64),
            segment(SOF, struct.pack(">BHHB", 8, 8, 8, 1) + b"\1\x11\0"),
            segment(DHT, huffman_body(0x00, counts, dc) + huffman_body(0x10, counts, ac)),
            segment(SOS, b"\1\1\0\0\x3f\0"),
            bytes(20),
            b"\xff\xd9",
        ]
    )
    assert decode(data, 8, 8)[0] == expected


def test_a_code_that_is_none():
    counts = [1] + [0] * 15
    data = b"".join(
        [
            b"\xff\xd8",
            segment(DQT, b"\0" + b"\1" * 64),
            segment(SOF, struct.pack(">BHHB", 8, 8, 8, 1) + b"\1\x11\0"),
            segment(DHT, huffman_body(0x00, counts, [0]) + huffman_body(0x10, counts, [0])),
            segment(SOS, b"\1\1\0\0\x3f\0"),
            b"\x40" * 20,
        ]
    )
    assert decode(data, 8, 8)[0] == DAMAGED


def test_a_jpeg_through_the_board(spec, rng):
    outputs, seen = likely_outputs(spec, rng), []

    def run(image):
        seen.append(image.copy())
        return outputs

    height, width = spec.input_hw
    data = encode(scene(width, height, rng), sampling="4:4:4")
    board = Board(spec, run)
    board.send(hello(1), Packet(CONFIGURE, 1, 1, configuration()), Packet(PICTURE, 1, 2, picture(1, data, JPEG)))
    board.work()
    assert [packet.type for packet in board.packets()][-1] == RESULT
    close(seen[0] ^ 0x80, data, 3, 0.5)
