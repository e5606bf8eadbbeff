"""Test that what `yolov8_seg segment` writes is as accurate as the reference decoding of the same model files."""

from __future__ import annotations

import contextlib
import io
import json

import cv2
import numpy as np
import pytest
from pycocotools import mask as rle_codec
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolov8_seg_ros.cli.main import main

#: COCO AP of the reference on these pictures, box and mask.
REFERENCE_AP = {"256": (0.2469, 0.2149), "320": (0.2794, 0.2685)}
TOLERANCE_AP = 0.002
MAX_INSTANCES = 300
NUM_CLASSES = 80


@pytest.fixture(scope="module")
def truth(coco_pictures) -> COCO:
    """Give the ground truth of the pictures, from their polygons."""
    images, annotations = [], []
    for path in coco_pictures:
        height, width = cv2.imread(str(path)).shape[:2]
        images.append({"id": int(path.stem), "height": height, "width": width})
        for line in (path.parents[1] / "labels" / f"{path.stem}.txt").read_text().splitlines():
            annotation = polygon_annotation(line, height, width)
            annotations.append({"id": len(annotations) + 1, "image_id": int(path.stem), **annotation})
    coco = COCO()
    categories = [{"id": index, "name": str(index)} for index in range(NUM_CLASSES)]
    coco.dataset = {"images": images, "annotations": annotations, "categories": categories}
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def polygon_annotation(line: str, height: int, width: int) -> dict:
    class_id, *numbers = line.split()
    points = np.array(numbers, float).reshape(-1, 2) * [width, height]
    code = rle_codec.merge(rle_codec.frPyObjects([points.ravel().tolist()], height, width))
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    return {
        "category_id": int(class_id),
        "segmentation": code,
        "bbox": [left, top, right - left, bottom - top],
        "area": float(rle_codec.area(code)),
        "iscrowd": 0,
    }


def average_precision(truth: COCO, results: list[dict], kind: str) -> float:
    """Give AP over IoU 0.50 to 0.95, over all sizes."""
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(truth, truth.loadRes(results), kind)
        evaluation.params.maxDets = [1, 10, MAX_INSTANCES]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]
    return float(precision[precision > -1].mean())


@pytest.mark.parametrize("size", sorted(REFERENCE_AP))
def test_accuracy_is_not_below_the_reference(size, truth, coco_pictures, tmp_path, request):
    model = str(request.getfixturevalue(f"st_model_{size}"))
    options = ["--model", model, "--score", "0.001", "--max-instances", str(MAX_INSTANCES), "--no-pictures"]

    assert main(["segment", str(coco_pictures[0].parent), "--output", str(tmp_path), *options]) == 0

    results = json.loads((tmp_path / "results.json").read_text())
    found = tuple(average_precision(truth, results, kind) for kind in ("bbox", "segm"))
    print(f"{size}: box AP {found[0]:.4f}, mask AP {found[1]:.4f}")
    assert np.all(np.array(found) >= np.array(REFERENCE_AP[size]) - TOLERANCE_AP), found
