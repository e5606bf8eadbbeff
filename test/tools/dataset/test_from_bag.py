"""Test how images of recordings are picked, and what is written with them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from support.tiny_models import write_segmentation_model

pytest.importorskip("rosbags")

from support import bags
from support.tiny_dataset import check

from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.core.instances import BoxMask, Instances
from yolov8_seg_ros.tools.dataset.finding import Severity
from yolov8_seg_ros.tools.dataset.from_bag import Candidate, label_lines, mask_outline, pick_images
from yolov8_seg_ros.tools.dataset.reader import read_dataset


def candidates(*features):
    return [Candidate(0, index, np.atleast_1d(np.float32(feature))) for index, feature in enumerate(features)]


@pytest.mark.parametrize(
    ("pick", "features", "count", "picked"),
    [
        ("time", [0] * 9, 3, [0, 4, 8]),
        ("time", [0] * 2, 3, [0, 1]),
        ("time", [0] * 5, 1, [0]),
        ("novelty", [0, 0, 1, 0, 9, 5, 9], 3, [0, 4, 5]),
        ("novelty", [(0, 0), (0, 1), (7, 0), (0, 6)], 3, [0, 2, 3]),
        ("low-score", [0.9, 0.3, 1.0, 0.5, 0.3], 3, [1, 3, 4]),
    ],
)
def test_images_are_picked(pick, features, count, picked):
    assert [one.index for one in pick_images(candidates(*features), pick, count)] == picked


def ellipse(size_wh=(60, 40)):
    bitmap = np.zeros(size_wh[::-1], np.uint8)
    cv2.ellipse(
        bitmap, (size_wh[0] // 2, size_wh[1] // 2), (size_wh[0] // 2 - 2, size_wh[1] // 2 - 2), 0, 0, 360, 1, -1
    )
    return bitmap.astype(np.bool_)


def square(size_px=10):
    return np.ones((size_px, size_px), np.bool_)


def two_parts():
    bitmap = ellipse()
    bitmap[:2, :2] = True
    return bitmap


@pytest.mark.parametrize(
    ("bitmap", "least_iou"),
    [(ellipse(), 0.96), (square(), 0.9), (two_parts(), 0.96)],
    ids=["ellipse", "square", "parts"],
)
def test_an_outline_encloses_the_mask(bitmap, least_iou):
    points = mask_outline(BoxMask((5, 3), bitmap)) - (5, 3)
    scale = 8
    drawn = np.zeros([scale * side for side in bitmap.shape], np.uint8)
    cv2.fillPoly(drawn, [np.rint(points * scale).astype(np.int32)], 1)
    full = np.kron(bitmap, np.ones((scale, scale), np.bool_))
    assert (full & (drawn > 0)).sum() / (full | (drawn > 0)).sum() >= least_iou


def test_label_lines_are_fractions_without_what_has_no_area():
    found = Instances(
        image_hw=(20, 40),
        xyxy=np.array([[10, 5, 20, 15], [0, 0, 4, 4]], np.float32),
        score=np.array([0.9, 0.5], np.float32),
        class_id=np.array([1, 0]),
        masks=(BoxMask((10, 5), square()), BoxMask((0, 0), np.zeros((4, 4), np.bool_))),
    )
    (line,) = label_lines(found)
    class_id, *numbers = line.split()
    outline = np.array(numbers, float).reshape(-1, 2)
    assert class_id == "1"
    np.testing.assert_allclose([outline.min(axis=0), outline.max(axis=0)], [[0.25, 0.25], [0.5, 0.75]], atol=0.02)


@pytest.fixture
def model(tmp_path):
    return str(write_segmentation_model(tmp_path / "tiny.tflite", names=["cat", "mouse"]))


def recording(folder, topics=("/image",), count=10):
    types = bags.types_of("mcap")
    images = bags.noise_images(count)
    entries = [entry for topic in topics for entry in bags.image_entries(types, images, topic)]
    entries[0].message.step = 3
    return bags.write_bag(folder, "mcap", entries, types)


@pytest.mark.parametrize("pick", ["time", "novelty", "low-score"])
def test_a_data_set_without_errors_is_written(pick, model, tmp_path, capsys):
    paths = [str(recording(tmp_path / name / "drive", ["/front/image", "/rear/image"])) for name in ("mon", "tue")]
    output = tmp_path / "found"
    arguments = ["--model", model, "--output", str(output), "--count", "10", "--interval", "0.08", "--pick", pick]

    assert main(["dataset", "from-bag", *paths, *arguments]) == 0

    assert "10 of 40 images, 10 objects" in capsys.readouterr().out
    dataset = read_dataset(output)
    assert {name: len(split.images) for name, split in dataset.splits.items()} == {"train": 8, "val": 2}
    assert dataset.class_names == ("cat", "mouse")
    assert all(image.labels.objects[0].class_id == 1 for image in dataset.all_images())
    assert not [finding for finding in check(output / "data.yaml") if finding.kind.severity is Severity.ERROR]


def test_an_interval_keeps_images_apart(model, tmp_path, capsys):
    output = tmp_path / "found"
    path = recording(tmp_path / "drive")
    assert main(["dataset", "from-bag", str(path), "--model", model, "-o", str(output), "--interval", "0.12"]) == 0
    # The first image cannot be read.
    assert [image.path.stem for image in read_dataset(output).all_images()] == [
        f"drive_{index:06d}" for index in (1, 4, 7)
    ]
    assert "the others come less than --interval 0.12 s after one of these" in capsys.readouterr().out


def test_a_folder_that_holds_something_is_refused(model, tmp_path, capsys):
    path = recording(tmp_path / "drive")
    assert main(["dataset", "from-bag", str(path), "--model", model, "--output", str(tmp_path)]) == 1
    assert "is there and not empty" in capsys.readouterr().err


def test_no_data_set_is_written_into_a_recording(model, tmp_path, capsys):
    path = recording(tmp_path / "drive")
    before = bags.content_of(path)
    arguments = ["--model", model, "--output", str(path / "found")]
    assert main(["dataset", "from-bag", str(path), *arguments]) == 1
    assert "lies in the recording" in capsys.readouterr().err
    assert bags.content_of(path) == before
