"""Test the choice of calibration images."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import DataSetError, ExportError
from yolov8_seg_ros.tools.export.images import find_images, network_inputs


@pytest.fixture
def data_set(tmp_path):
    """Return a data set's folder with ten training images, whose grey value is their number, and one for validation."""
    for split, count in (("train", 10), ("valid", 1)):
        folder = tmp_path / split / "images"
        folder.mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(str(folder / f"{number}.png"), np.full((20, 40, 3), number, np.uint8))
    return tmp_path


def grey_values(images) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        pytest.param(100, list(range(10)), id="all"),
        pytest.param(4, [0, 3, 6, 9], id="evenly"),
        pytest.param(1, [0], id="one"),
    ],
)
def test_images_of_a_folder(data_set, count, expected):
    assert grey_values(find_images(str(data_set / "train"), count)) == expected


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
def test_training_images_of_a_data_set(data_set, text):
    (data_set / "data.yaml").write_text(text)
    assert grey_values(find_images(str(data_set / "data.yaml"))) == list(range(10))


def test_validation_images_where_there_are_no_others(data_set):
    (data_set / "data.yaml").write_text("val: valid/images\n")
    assert len(find_images(str(data_set / "data.yaml"))) == 1


def test_demo_images_differ():
    images = find_images("demo", 3)
    assert len(list(images)) == len(images) == 3
    assert not np.array_equal(images[0], images[1])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: path / "absent", "no such folder or data.yaml", id="absent"),
        pytest.param(lambda path: path, "no images to calibrate with", id="empty-folder"),
        pytest.param(lambda path: write(path, "train: nowhere"), "no images to calibrate with", id="empty-data-set"),
        pytest.param(lambda path: write(path, "- a\n- b"), "give the data.yaml of a data set", id="no-data-set"),
    ],
)
def test_no_images(tmp_path, make, message):
    with pytest.raises((ExportError, DataSetError), match=message):
        find_images(str(make(tmp_path)))


def write(folder, text):
    path = folder / "data.yaml"
    path.write_text(text)
    return path


def test_network_inputs_are_letterboxed_rgb():
    image = np.zeros((32, 64, 3), np.uint8)
    image[..., 0] = 255
    [network_input] = network_inputs([image], (64, 64))
    assert network_input.shape == (1, 64, 64, 3)
    assert network_input.dtype == np.float32
    assert network_input[0, 32, 32].tolist() == [0, 0, 1]
    assert network_input[0, 0, 0] == pytest.approx(114 / 255)
