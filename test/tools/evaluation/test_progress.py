"""Test that an interrupted run goes on where it was, and only where it may."""

from __future__ import annotations

import os

import pytest

from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import StageTimes
from yolov8_seg_ros.tools.evaluation.progress import ImageResult, Progress, run_key

FOUND = ImageResult((48, 64), StageTimes(1.5, 2.5, 3.5), [{"category_id": 1, "score": 0.5, "bbox": [1, 2, 3, 4.25]}])
KEY = {"model_sha256": "abc", "options": {"score": 0.1}}


@pytest.fixture
def images(tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path in paths:
        path.write_bytes(b"image")
    return paths


@pytest.fixture
def path(tmp_path, images):
    """Return a file that holds the first two images."""
    path = tmp_path / "progress.jsonl"
    with Progress(path, KEY) as progress:
        for image in images[:2]:
            progress.add(image, FOUND)
    return path


def test_what_was_found_comes_back(path, images):
    for _ in range(2):
        with Progress(path, KEY) as progress:
            assert progress.count == 2
            assert [progress.find(image) for image in images] == [FOUND, FOUND, None]


def test_another_key_begins_anew(path, images):
    with Progress(path, {**KEY, "model_sha256": "def"}) as progress:
        assert progress.count == 0
    with Progress(path, KEY) as progress:
        assert progress.find(images[0]) is None


def test_a_changed_image_is_segmented_again(path, images):
    images[0].write_bytes(b"another image")
    os.utime(images[1], ns=(5, 5))
    with Progress(path, KEY) as progress:
        assert [progress.find(image) for image in images[:2]] == [None, None]


@pytest.mark.parametrize("cut", [1, 40], ids=["the line end", "half a line"])
def test_a_line_cut_short_is_left_out(cut, path, images):
    path.write_bytes(path.read_bytes()[:-cut])
    with Progress(path, KEY) as progress:
        assert progress.find(images[0]) == FOUND
        progress.add(images[2], FOUND)
    with Progress(path, KEY) as progress:
        assert progress.find(images[2]) == FOUND


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"words\n", id="words"),
        pytest.param(b"[]\n5\n", id="json"),
        pytest.param(b'{"model_sha256": "abc", "options": {"score": 0.1}}\n123\nnull\n{}\n', id="lines-of-old"),
        pytest.param(b"[" * 100_000, id="nested"),
        pytest.param(b"\xff\xfe\0\0", id="binary"),
    ],
)
def test_a_file_that_is_not_progress_is_started_again(content, path):
    path.write_bytes(content)
    with Progress(path, KEY) as progress:
        assert progress.count == 0


def test_damaged_lines_are_left_out(path, images, rng):
    whole = path.read_bytes()
    start = whole.index(b"\n") + 1
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(start, len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        with Progress(path, KEY) as progress:
            found = [progress.find(image) for image in images[:2]]
        assert all(one in (FOUND, None) for one in found)


def test_a_complete_run_leaves_nothing(path):
    with Progress(path, KEY) as progress:
        progress.remove()
    assert not path.exists()


def test_the_key_differs_with_model_backend_and_options():
    key = run_key("one", "cpu", SegmenterOptions())
    assert run_key("one", "cpu", SegmenterOptions()) == key
    assert run_key("two", "cpu", SegmenterOptions()) != key
    assert run_key("one", "npu", SegmenterOptions()) != key
    assert run_key("one", "cpu", SegmenterOptions(interpolation="linear")) != key
    assert run_key("one", "cpu", SegmenterOptions(detection=DetectionOptions(classes=(1,)))) != key
