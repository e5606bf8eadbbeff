"""Test how label files are read, and that what is no object never passes for one."""

from __future__ import annotations

import numpy as np
import pytest
from support.tiny_dataset import SQUARE, TRIANGLE

from yolov8_seg_ros.tools.dataset.finding import Kind
from yolov8_seg_ros.tools.dataset.labels import box_outline, clip_outline, is_flat, parse_line, read_labels

UNIT_SQUARE = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)


def objects_of(tmp_path, data):
    path = tmp_path / "a.txt"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return read_labels(path, num_classes=2).objects


def area(points):
    x, y = points.T
    return abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2


def test_polygons_and_boxes_become_objects(tmp_path):
    polygon, box = objects_of(tmp_path, TRIANGLE + "\n1 0.5 0.5 0.2 0.4\n")

    assert (polygon.line, polygon.class_id, polygon.is_box) == (1, 0, False)
    np.testing.assert_allclose(polygon.points, [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]])
    assert (box.line, box.class_id, box.is_box) == (3, 1, True)
    np.testing.assert_allclose(box.points, [[0.4, 0.3], [0.6, 0.3], [0.6, 0.7], [0.4, 0.7]])


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(TRIANGLE.replace("\n", "\r\n").encode(), id="crlf"),
        pytest.param(TRIANGLE.replace("\n", "\r").encode(), id="cr"),
        pytest.param(TRIANGLE.rstrip().encode(), id="no-line-end"),
        pytest.param(b"\xef\xbb\xbf" + TRIANGLE.encode(), id="utf-8-mark"),
        pytest.param(TRIANGLE.encode("utf-16"), id="utf-16"),
        pytest.param(TRIANGLE.replace(" ", "\t ").encode(), id="tabs"),
        pytest.param(TRIANGLE.replace("0 ", "0.000000 ", 1).encode(), id="class-as-float"),
        pytest.param(TRIANGLE.encode() * 2, id="twice"),
        pytest.param(TRIANGLE.replace("0.1", "1e-1").encode(), id="exponent"),
        pytest.param(b"5 0 0 1 0 1 1\nnonsense\n\0\xff\n" + TRIANGLE.encode(), id="among-damage"),
    ],
)
def test_irregular_files_hide_nothing(tmp_path, data):
    (found,) = objects_of(tmp_path, data)
    np.testing.assert_allclose(found.points, [[0.1, 0.1], [0.5, 0.1], [0.5, 0.5]])


def test_objects_are_clipped_to_the_image(tmp_path):
    (found,) = objects_of(tmp_path, "0 0.5 -0.5 1.5 -0.5 1.5 0.5 0.5 0.5\n")
    assert area(found.points) == pytest.approx(0.25)
    assert found.points.min() >= 0
    assert found.points.max() <= 1


@pytest.mark.parametrize("text", ["0 2 2 1.5 1 1.5 1.5", "0 10 10 40 10 40 30", "0 0.1 0.1 0.1 0.1 0.1 0.1"])
def test_what_is_not_in_the_image_is_no_object(tmp_path, text):
    assert objects_of(tmp_path, text) == ()


def test_random_lines_never_raise():
    rng = np.random.default_rng(7)
    tokens = [
        "0",
        "1",
        "-1",
        "0.5",
        "1.0",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "x",
        "1_0",
        "٣",
        "0x1",
        "",
        "+",
        ".",
        "9" * 400,
    ]
    for number in range(3000):
        text = " ".join(rng.choice(tokens, rng.integers(1, 12)))
        if not text.strip():
            continue
        line = parse_line(number, text, num_classes=2)
        found = line.to_object()
        assert found is None or (found.class_id in (0, 1) and len(found.points) >= 3)


def test_the_first_fault_of_a_line_is_reported():
    line = parse_line(3, "9 nan 0.1", num_classes=2)
    assert (line.number, line.fault, line.class_id) == (3, Kind.CLASS_RANGE, -1)


def test_box_outline():
    np.testing.assert_allclose(box_outline(np.array([0.5, 0.5, 1.0, 1.0])), UNIT_SQUARE)


@pytest.mark.parametrize("shift", [(0.0, 0.0), (0.5, 0.0), (-0.25, 0.75), (0.9, -0.9), (1.0, 0.0), (5.0, 5.0)], ids=str)
def test_clipping_a_square_leaves_the_common_rectangle(shift):
    clipped = clip_outline(UNIT_SQUARE + shift)

    common = max(0.0, 1 - abs(shift[0])) * max(0.0, 1 - abs(shift[1]))
    assert (area(clipped) if len(clipped) else 0.0) == pytest.approx(common)


def test_clipping_leaves_what_is_inside(rng):
    points = rng.random((40, 2))
    np.testing.assert_allclose(sorted(clip_outline(points).tolist()), sorted(points.tolist()))


@pytest.mark.parametrize(
    ("points", "flat"),
    [
        pytest.param(UNIT_SQUARE, False, id="square"),
        pytest.param(UNIT_SQUARE * 0.002, False, id="two-pixels-of-1000"),
        pytest.param(UNIT_SQUARE[[0, 2, 1, 3]], False, id="bow-tie"),
        pytest.param(UNIT_SQUARE[[0, 2, 0]], True, id="there-and-back"),
        pytest.param(UNIT_SQUARE[:0], True, id="nothing"),
        pytest.param(UNIT_SQUARE * (1, 0), True, id="level"),
    ],
)
def test_flat_outlines(points, flat):
    assert is_flat(points) is flat


def test_square_is_read_as_written(tmp_path):
    (found,) = objects_of(tmp_path, SQUARE)
    assert area(found.points) == pytest.approx(0.25)
