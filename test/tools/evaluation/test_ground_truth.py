"""Test what is read as the ground truth of a data set in YOLO's form."""

from __future__ import annotations

from pathlib import Path

import pytest
from pycocotools import mask as rle_codec
from support.tiny_dataset import HEIGHT_PX, WIDTH_PX, write_dataset, write_pair

from yolov8_seg_ros.errors import DataSetError
from yolov8_seg_ros.media.coco import compress
from yolov8_seg_ros.tools.evaluation.ground_truth import polygon_annotation, read_yolo

SIZE_HW = (HEIGHT_PX, WIDTH_PX)


def annotations(root: Path, labels: str):
    path = write_dataset(root, num_valid=0)
    write_pair(root / "valid", "b0", labels)
    (image,) = read_yolo(path, "val").images
    return image.annotations(SIZE_HW)


def test_an_outline_becomes_pixels(tmp_path):
    (found,) = annotations(tmp_path, "1 0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75\n")
    assert found["bbox"] == [16, 12, 32, 24]
    assert found["segmentation"] == [[16, 12, 48, 12, 48, 36, 16, 36]]
    assert (found["category_id"], found["area"], found["iscrowd"]) == (1, 32 * 24, 0)


def test_a_box_has_no_outline(tmp_path):
    outline, box = annotations(tmp_path, "0 0.1 0.1 0.5 0.1 0.5 0.5\r\n1 0.5 0.5 0.5 0.5\r\n")
    assert "segmentation" in outline
    assert "segmentation" not in box
    assert (box["bbox"], box["area"]) == ([16, 12, 32, 24], 32 * 24)


def test_images_without_labels_count(tmp_path):
    path = write_dataset(tmp_path, num_valid=3)
    (tmp_path / "valid" / "labels" / "b1.txt").unlink()
    (tmp_path / "valid" / "labels" / "b2.txt").write_text("")

    truth = read_yolo(path, "val")

    assert [image.file_name for image in truth.images] == ["b0.png", "b1.png", "b2.png"]
    assert [len(image.annotations(SIZE_HW)) for image in truth.images] == [2, 0, 0]
    assert (truth.class_names, truth.used, truth.notes) == ({0: "cat", 1: "mouse"}, {0, 1}, ())


def test_label_lines_that_cannot_be_used_are_counted(tmp_path):
    path = write_dataset(tmp_path, num_valid=1)
    (tmp_path / "valid" / "labels" / "b0.txt").write_text("0 0.1 0.1 0.5 0.1 0.5 0.5\n0 nan\n9 0.5 0.5 0.2 0.2\n")

    truth = read_yolo(path, "val")

    assert truth.notes == ("2 of 3 label lines cannot be used: 'yolov8_seg dataset check' reports which",)
    assert len(truth.images[0].annotations(SIZE_HW)) == 1


def test_a_split_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(DataSetError, match=r"no images for 'test'; there are: train, val"):
        read_yolo(write_dataset(tmp_path), "test")


def test_parts_of_an_object_are_one():
    found = polygon_annotation(0, [[0, 0, 4, 0, 4, 4, 0, 4], [10, 0, 12, 0, 12, 4, 10, 4]], SIZE_HW)
    assert found["bbox"] == [0, 0, 12, 4]
    assert found["area"] == 24
    assert rle_codec.area(compress(found["segmentation"], SIZE_HW)) == 24
