"""Test what is read as the ground truth of a COCO annotations file."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
from pycocotools import mask as rle_codec
from support.tiny_dataset import HEIGHT_PX, WIDTH_PX, write_noise

from yolov8_seg_ros.errors import EvaluationError
from yolov8_seg_ros.tools.evaluation.coco_ground_truth import read_coco

SIZE_HW = (HEIGHT_PX, WIDTH_PX)
POLYGON = [[16.0, 12.0, 48.0, 12.0, 48.0, 36.0, 16.0, 36.0]]
CONTENT = {
    "images": [{"id": 7, "file_name": "b.png"}, {"id": 3, "file_name": "a.png"}],
    "categories": [{"id": 18, "name": "cat"}, {"id": 90, "name": "mouse"}],
    "annotations": [
        {"id": 0, "image_id": 7, "category_id": 90, "bbox": [16, 12, 32, 24], "segmentation": POLYGON, "area": 700.5}
    ],
}


def code(compressed: bool):
    mask = np.zeros(SIZE_HW, np.uint8, order="F")
    mask[12:36, 16:48] = 1
    if compressed:
        encoded = rle_codec.encode(mask)
        return {"size": list(SIZE_HW), "counts": encoded["counts"].decode("ascii")}
    runs = np.diff(np.flatnonzero(np.diff(np.r_[255, mask.ravel("F"), 255])))
    return {"size": list(SIZE_HW), "counts": runs.tolist()}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes an annotations file beside its images, changed by a function."""

    def write_changed(change=lambda content: None, name="instances_all.json"):
        content = copy.deepcopy(CONTENT)
        change(content)
        for stem in ("a", "b"):
            write_noise(tmp_path / f"{stem}.png")
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write_changed


def test_ids_and_order_are_the_file_s(write):
    truth = read_coco(write())
    assert [(image.file_name, image.image_id) for image in truth.images] == [("a.png", 3), ("b.png", 7)]
    assert truth.class_names == {18: "cat", 90: "mouse"}
    assert truth.used == {90}
    (found,) = truth.images[1].annotations(SIZE_HW)
    assert found == {
        "category_id": 90, "bbox": [16, 12, 32, 24], "area": 700.5, "iscrowd": 0, "segmentation": POLYGON
    }  # fmt: skip
    assert truth.images[0].annotations(SIZE_HW) == []


@pytest.mark.parametrize("compressed", [True, False], ids=["compressed", "counts"])
def test_run_length_code(compressed, write):
    def change(content):
        content["annotations"] = [
            {"id": 1, "image_id": 7, "category_id": 18, "segmentation": code(compressed), "iscrowd": 1}
        ]

    (found,) = read_coco(write(change)).images[1].annotations(SIZE_HW)

    assert found["segmentation"] == code(True)
    assert (found["bbox"], found["area"], found["iscrowd"]) == ([16, 12, 32, 24], 32 * 24, 1)


@pytest.mark.parametrize("outline", [None, [], [[1, 2, 3, 4]]], ids=["none", "empty", "two points"])
def test_a_box_alone(outline, write):
    (found,) = (
        read_coco(write(lambda content: content["annotations"][0].update(segmentation=outline)))
        .images[1]
        .annotations(SIZE_HW)
    )
    assert "segmentation" not in found
    assert found["area"] == 32 * 24


def test_annotations_of_nothing_are_counted(write):
    def change(content):
        content["annotations"] += [
            {"id": 1, "image_id": 99, "category_id": 18, "bbox": [0, 0, 1, 1]},
            {"id": 2, "image_id": 7, "category_id": 18},
        ]

    truth = read_coco(write(change))

    assert truth.notes[0].startswith("2 annotations of instances_all.json cannot be used")
    assert truth.used == {90}


def test_a_mask_of_another_size_is_reported(write):
    path = write(lambda content: content["annotations"][0].update(segmentation=code(True)))
    with pytest.raises(EvaluationError, match=r"annotation 0 is of an image of 64x48 pixels, the file has 10x20"):
        read_coco(path).images[1].annotations((20, 10))


@pytest.mark.parametrize(
    "folder", ["images", "train", "images/train", "../images", "../train"], ids=lambda folder: folder
)
def test_images_are_found_near_the_file(folder, tmp_path):
    path = tmp_path / "set" / "annotations" / "instances_train.json"
    images = path.parent / folder
    for made in (path.parent, images):
        made.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(CONTENT))
    for stem in ("a", "b"):
        write_noise(images / f"{stem}.png")

    assert all(image.path.is_file() for image in read_coco(path).images)


def test_images_that_are_elsewhere(write, tmp_path):
    moved = tmp_path / "moved"
    moved.mkdir()
    path = write().rename(moved / "all.json")
    far = path.rename(moved / "instances_all.json")
    (tmp_path / "b.png").unlink()
    (tmp_path / "a.png").rename(moved / "c.png")
    with pytest.raises(EvaluationError, match=r"its image 'b.png' is not near it; give the folder with --images"):
        read_coco(far)
    with pytest.raises(EvaluationError, match=r"none of the images of .* is there; give their folder"):
        read_coco(far, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content.pop("images"), r"expected COCO annotations, with 'images'"),
        (lambda content: content.update(images=5), r"'images' is not a list"),
        (lambda content: content.update(images=[]), r"0 images; expected one at least"),
        (lambda content: content["images"][0].update(id=3), r"2 images; expected .* each with an id of its own"),
        (lambda content: content["images"][0].update(id="x"), r"'images', entry 0: expected 'id', of type int"),
        (lambda content: content.update(categories=[7]), r"'categories', entry 0: expected 'id'"),
        (lambda content: content["annotations"][0].update(category_id=5), r"of category 5, which is not listed"),
    ],
    ids=["a part missing", "no list", "no images", "an id twice", "a text for an id", "no table", "unknown category"],
)
def test_what_is_no_annotations_file_is_reported(change, message, write):
    with pytest.raises(EvaluationError, match=message):
        read_coco(write(change))


def test_what_is_no_json_is_reported(tmp_path):
    (tmp_path / "a.json").write_text("words")
    with pytest.raises(EvaluationError, match=r"a.json: is not JSON"):
        read_coco(tmp_path / "a.json")
