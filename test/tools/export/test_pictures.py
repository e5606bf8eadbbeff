"""Test which pictures an export is calibrated with."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import DataSetError, ExportError
from yolov8_seg_ros.tools.export.pictures import find_pictures, network_inputs


@pytest.fixture
def data_set(tmp_path):
    """Give a data set's folder with ten training pictures, whose grey is their number, and one to validate with."""
    for split, count in (("train", 10), ("valid", 1)):
        folder = tmp_path / split / "images"
        folder.mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 40, 3), number, np.uint8))
    return tmp_path


def greys(pictures) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in pictures]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(100, list(range(10)), id="all"),
        pytest.param(4, [0, 3, 6, 9], id="evenly"),
        pytest.param(1, [0], id="one"),
    ],
)
def test_pictures_of_a_folder(data_set, count, expected):
    assert greys(find_pictures(str(data_set / "train"), count)) == expected


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("train: train/images\nval: valid/images\n", id="relative"),
        pytest.param("train: ../train/images\nval: ../valid/images\n", id="roboflow"),
        pytest.param("path: .\ntrain: train\n", id="path"),
        pytest.param("path: elsewhere\ntrain: train/images\n", id="path-of-another-machine"),
        pytest.param("train: [train/images]\n", id="list"),
    ],
)
def test_training_pictures_of_a_data_set(data_set, text):
    (data_set / "data.yaml").write_text(text)
    assert greys(find_pictures(str(data_set / "data.yaml"))) == list(range(10))


def test_validation_pictures_where_there_are_no_others(data_set):
    (data_set / "data.yaml").write_text("val: valid/images\n")
    assert len(find_pictures(str(data_set / "data.yaml"))) == 1


def test_demo_pictures_differ():
    pictures = find_pictures("demo", 3)
    assert len(list(pictures)) == len(pictures) == 3
    assert not np.array_equal(pictures[0], pictures[1])


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        pytest.param(lambda path: path / "absent", "no such folder or data.yaml", id="absent"),
        pytest.param(lambda path: path, "no pictures to calibrate with", id="empty-folder"),
        pytest.param(lambda path: write(path, "train: nowhere"), "no pictures to calibrate with", id="empty-data-set"),
        pytest.param(lambda path: write(path, "- a\n- b"), "give the data.yaml of a data set", id="no-data-set"),
    ],
)
def test_no_pictures(tmp_path, make, complaint):
    with pytest.raises((ExportError, DataSetError), match=complaint):
        find_pictures(str(make(tmp_path)))


def write(folder, text):
    path = folder / "data.yaml"
    path.write_text(text)
    return path


def test_network_inputs_are_letterboxed_rgb():
    picture = np.zeros((32, 64, 3), np.uint8)
    picture[..., 0] = 255
    [network_input] = network_inputs([picture], (64, 64))
    assert network_input.shape == (1, 64, 64, 3)
    assert network_input.dtype == np.float32
    assert network_input[0, 32, 32].tolist() == [0, 0, 1]
    assert network_input[0, 0, 0] == pytest.approx(114 / 255)
