"""Test masks that travel packed: they must be drawn as those whose logits are all at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.bridge_results import LocalDecoder
from support.decoder_cases import SPECS, likely_outputs

from yolov8_seg_ros.core.instances import DrawnMasks
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.native import Decoder, native
from yolov8_seg_ros.core.options import DetectionOptions

Logits = NDArray[np.float32]
LONGEST_BYTES = 1 << 20


def window(columns: int, rows: int, left: int = 0, top: int = 0) -> Any:
    return native().ffi.new("struct seg_window *", (left, top, columns, rows))


def floats(array: Logits) -> Any:
    return native().ffi.cast("float *", native().address(array))


def pack(logits: Logits, mask_logit: float, has_contour: bool, room: int = LONGEST_BYTES) -> bytes | int:
    """Return the packed mask, or the error."""
    packed, rows, columns = bytearray(room), *logits.shape
    logits = np.ascontiguousarray(logits, np.float32)
    pointer = native().ffi.from_buffer("uint8_t[]", packed)
    size = native().lib.seg_pack_mask(window(columns, rows), floats(logits), mask_logit, has_contour, pointer, room)
    return bytes(packed[:size]) if size >= 0 else int(size)


def unpack(packed: bytes, columns: int, rows: int, mask_logit: float = 0.5) -> Logits | int:
    """Return the logits, or the error."""
    logits = np.full((rows, columns), np.nan, np.float32)
    result = native().lib.seg_unpack_mask(packed, len(packed), window(columns, rows), mask_logit, floats(logits))
    return logits if result == 0 else int(result)


def error(name: str) -> int:
    return native().ffi.typeof("enum seg_error").relements[name]


def letterbox_fields(letterbox: Letterbox) -> Any:
    (scale_x, scale_y), (pad_x, pad_y) = letterbox.scale_xy, letterbox.pad_xy
    return native().ffi.new(
        "struct seg_letterbox *", (scale_x, scale_y, pad_x, pad_y, letterbox.image_hw[1], letterbox.image_hw[0])
    )


@pytest.mark.parametrize(
    ("name", "image_hw", "threshold", "options"),
    [
        ("raw-published", (240, 320), 0.62, {}),
        ("raw-256x192", (427, 639), 0.5, {}),
        ("raw-256x192", (33, 217), 0.62, {"vote_boxes": False}),
        ("raw-uint8-anchors-first", (33, 217), 0.3, {"score_threshold": 0.01}),
        ("raw-float", (48, 72), 0.62, {"score_threshold": 0.1}),
        ("raw-zero-points-at-the-ends", (300, 20), 0.9, {"score_threshold": 0.2}),
        ("raw-one-anchor-a-level", (7, 5), 0.5, {"score_threshold": 0.0}),
        ("decoded-int8", (333, 500), 0.62, {"score_threshold": 0.1}),
        ("decoded-float", (3, 400), 0.62, {"score_threshold": 0.3}),
        ("raw-published", (240, 320), 0.0, {}),
        ("raw-published", (240, 320), 1.0, {}),
    ],
    ids=lambda value: str(value).replace(" ", ""),
)
@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
def test_contours_are_drawn_as_all_logits_are(name, image_hw, threshold, options, fit, rng):
    spec = SPECS[name]()
    detection, letterbox = (
        DetectionOptions(mask_threshold=threshold, **options),
        Letterbox.fit(image_hw, spec.input_hw, fit),
    )
    decoder, outputs = Decoder(spec), likely_outputs(spec, rng)
    board = LocalDecoder(spec, outputs)
    placed, placements = decoder.place(decoder.decode(outputs, detection), letterbox)
    assert len(placed) > 0
    mask_logit = (
        float(np.float32(np.log(threshold / (1 - threshold)))) if 0 < threshold < 1 else np.inf * (threshold - 0.5)
    )
    lib, ffi = native().lib, native().ffi
    drawn = DrawnMasks(placements, decoder.draw_masks(placements, threshold))
    for instance, placement, expected in zip(placed, placements, (mask.bitmap for mask in drawn), strict=True):
        place, logits = board.window_and_logits(instance)
        found = ffi.new("struct seg_window *", place)
        packed = pack(logits, mask_logit, True)
        unpacked = unpack(packed, found.columns, found.rows, mask_logit)
        np.testing.assert_array_equal(unpacked > mask_logit, logits > mask_logit)
        bitmap = np.zeros(expected.shape, np.bool_)
        if bitmap.size:
            pointer = ffi.new("struct seg_placement *")
            ffi.buffer(pointer)[:] = placement.tobytes()
            lib.seg_draw_windows(
                letterbox_fields(letterbox),
                board.grid,
                mask_logit,
                found,
                floats(unpacked),
                [0],
                pointer,
                1,
                native().address(bitmap),
            )
        np.testing.assert_array_equal(bitmap, expected)


def test_signs_are_a_few_bytes_and_right(rng):
    rows, columns = np.mgrid[:40, :30]
    logits = (10 - np.hypot(rows - 20, columns - 15)).astype(np.float32)
    packed = pack(logits, 0.5, False)
    assert len(packed) < 120
    np.testing.assert_array_equal(unpack(packed, 30, 40), np.where(logits > 0.5, 1.5, -0.5))


def test_only_the_contour_carries_logits():
    rows, columns = np.mgrid[:40, :30]
    logits = (10 - np.hypot(rows - 20, columns - 15)).astype(np.float32)
    unpacked = unpack(pack(logits, 0.5, True), 30, 40)
    is_exact = unpacked == logits
    is_inside = np.pad(logits > 0.5, 1, "edge")
    views = [is_inside[y : y + 40, x : x + 30] for y in range(3) for x in range(3)]
    at_contour = np.any([view != (logits > 0.5) for view in views], axis=0)
    assert is_exact[at_contour].all()
    assert set(unpacked[~at_contour].tolist()) == {-0.5, 1.5}


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800000, 0xFF800000, 0x00000001], ids=["nan", "inf", "-inf", "tiny"])
def test_logits_keep_their_bits(bits):
    logits = np.array([[1, 0]], np.float32)
    logits[0, 1:] = np.array([bits], np.uint32).view(np.float32)
    expected = [bits, 0x3F800000] if bits == 0x7F800000 else [0x3F800000, bits]
    if bits == 0x7F800000:
        logits = np.array([[np.inf, -1]], np.float32)
        expected = [bits, 0xBF800000]
    assert unpack(pack(logits, 0.5, True), 2, 1).view(np.uint32)[0].tolist() == expected


@pytest.mark.parametrize("mask_logit", [np.inf, -np.inf])
def test_an_infinite_threshold(mask_logit):
    logits = np.linspace(-9, 9, 70, dtype=np.float32).reshape(7, 10)
    unpacked = unpack(pack(logits, mask_logit, True), 10, 7, mask_logit)
    np.testing.assert_array_equal(unpacked > mask_logit, logits > mask_logit)


def test_a_mask_without_room(rng):
    logits = rng.normal(size=(9, 11)).astype(np.float32)
    size = len(pack(logits, 0.0, True))
    assert len(pack(logits, 0.0, True, size)) == size
    for room in range(size):
        assert pack(logits, 0.0, True, room) == error("SEG_NO_ROOM")


@pytest.mark.parametrize(
    ("packed", "columns", "rows"),
    [
        (b"", 1, 1),
        (b"\x00", 2, 1),
        (b"\x01", 1, 1),
        (b"\x3f\x40\x00", 13, 5),
        (b"\x80\x00\x00\x00", 1, 1),
        (b"\x80", 1, 1),
        (b"\x81\x00\x00\x00\x00", 2, 1),
        (b"\xc0", 1, 1),
        (b"\xc0\x00\x00\x00\x00", 1, 1),
        (b"\x00\x00", 1, 1),
    ],
    ids=[
        "empty",
        "short",
        "long",
        "long-later",
        "cut-logit",
        "no-logit",
        "second-logit-missing",
        "kind-3",
        "kind-3-long",
        "more",
    ],
)
def test_bytes_that_are_no_mask(packed, columns, rows):
    assert unpack(packed, columns, rows) == error("SEG_BAD_MASK")


def test_any_bytes_do_no_harm(rng):
    for _ in range(2000):
        packed = rng.integers(0, 256, rng.integers(0, 40), dtype=np.uint8).tobytes()
        result = unpack(packed, int(rng.integers(1, 20)), int(rng.integers(1, 20)))
        assert isinstance(result, np.ndarray) or result == error("SEG_BAD_MASK")


@pytest.mark.parametrize(
    ("xyxy_px", "expected"),
    [
        ((0, 0, 64, 32), (0, 0, 16, 8)),
        ((8, 8, 16, 12), (1, 1, 4, 3)),
        ((10, 10, 10.5, 10.5), (2, 2, 2, 2)),
        ((-50, -50, -40, -40), (0, 0, 1, 1)),
        ((90, 90, 99, 99), (15, 7, 1, 1)),
        ((-1e30, 4, 1e30, 5), (0, 0, 16, 2)),
    ],
    ids=["all", "inside", "inside-a-cell", "left-of-it", "right-of-it", "huge"],
)
def test_drawing_window(xyxy_px, expected):
    grid = native().ffi.new("struct seg_grid *", (64, 32, 16, 8))
    found = native().lib.seg_drawing_window(grid, native().ffi.new("float[4]", xyxy_px))
    assert (found.left, found.top, found.columns, found.rows) == expected
