"""Test that what `yolov8_seg segment` writes is as accurate as the reference decoding of the same model files."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.tools.evaluation.ground_truth import read_yolo
from yolov8_seg_ros.tools.evaluation.metrics import BOX, MASK, measure

#: COCO AP of the reference on these pictures, box and mask.
REFERENCE_AP = {"256": (0.2469, 0.2149), "320": (0.2794, 0.2685)}
TOLERANCE_AP = 0.002
MAX_INSTANCES = 300


@pytest.fixture(scope="module")
def truth(coco_pictures) -> dict[str, Any]:
    """Give the ground truth of the pictures, from their polygons."""
    read = read_yolo(coco_pictures[0].parents[1] / "data.yaml", "val")
    images, annotations = [], []
    for image in read.images:
        height, width = cv2.imread(str(image.path)).shape[:2]
        images.append({"id": image.image_id, "height": height, "width": width})
        for annotation in image.annotations((height, width)):
            annotations.append({"id": len(annotations) + 1, "image_id": image.image_id, **annotation})
    categories = [{"id": index, "name": name} for index, name in read.class_names.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.mark.parametrize("size", sorted(REFERENCE_AP))
def test_accuracy_is_not_below_the_reference(size, truth, coco_pictures, tmp_path, request):
    model = str(request.getfixturevalue(f"st_model_{size}"))
    options = ["--model", model, "--score", "0.001", "--max-instances", str(MAX_INSTANCES), "--no-pictures"]

    assert main(["segment", str(coco_pictures[0].parent), "--output", str(tmp_path), *options]) == 0

    results = json.loads((tmp_path / "results.json").read_text())
    found = tuple(measure(truth, results, kind).scores.ap for kind in (BOX, MASK))
    print(f"{size}: box AP {found[0]:.4f}, mask AP {found[1]:.4f}")
    assert np.all(np.array(found) >= np.array(REFERENCE_AP[size]) - TOLERANCE_AP), found
