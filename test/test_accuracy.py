"""Test that what `yolov8_seg segment` writes is as accurate as docs/accuracy.md says: each set and each model once."""

from __future__ import annotations

import json
from typing import Any

import cv2
import pytest
from support.shared_data import shared_path

from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.tools.evaluation.ground_truth import read_yolo
from yolov8_seg_ros.tools.evaluation.metrics import BOX, MASK, measure

#: COCO AP of box and mask, by data set and size of the model's input; floors a little below what is reached.
MIN_AP = {
    ("coco_val", "320"): (0.362, 0.298),
    ("coco_train", "256"): (0.303, 0.214),
}
#: Of Ultralytics 8.4.190 on the same files and images, where it was measured.
ULTRALYTICS_AP = {("coco_val", "256"): (0.2469, 0.2149)}
TOLERANCE_AP = 0.015
SPLITS = {"coco_val": "val", "coco_train": "train"}
MAX_INSTANCES = 300


def ground_truth(data: str) -> dict[str, Any]:
    """Return the ground truth of a data set in COCO's form, from its polygons."""
    read = read_yolo(shared_path(f"data/{data}/data.yaml"), SPLITS[data])
    images, annotations = [], []
    for image in read.images:
        height, width = cv2.imread(str(image.path)).shape[:2]
        images.append({"id": image.image_id, "height": height, "width": width})
        for annotation in image.annotations((height, width)):
            annotations.append({"id": len(annotations) + 1, "image_id": image.image_id, **annotation})
    categories = [{"id": index, "name": name} for index, name in read.class_names.items()]
    return {"images": images, "annotations": annotations, "categories": categories}


def measured_ap(data: str, size: str, request: pytest.FixtureRequest, *options: str) -> tuple[float, float]:
    model = str(request.getfixturevalue(f"st_model_{size}"))
    output = request.getfixturevalue("tmp_path")
    images = str(shared_path(f"data/{data}/images"))
    options = ("--model", model, "--max-instances", str(MAX_INSTANCES), "--no-images", *options)
    assert main(["segment", images, "--output", str(output), "--score-threshold", "0.001", *options]) == 0
    results, truth = json.loads((output / "results.json").read_text()), ground_truth(data)
    box, mask = (measure(truth, results, kind).scores.ap for kind in (BOX, MASK))
    print(f"{data} {size} {' '.join(options[5:])}: box AP {box:.4f}, mask AP {mask:.4f}")
    return box, mask


@pytest.mark.parametrize(("data", "size"), sorted(MIN_AP))
def test_accuracy(data, size, request):
    box, mask = measured_ap(data, size, request)
    min_box, min_mask = MIN_AP[data, size]
    assert box >= min_box
    assert mask >= min_mask


@pytest.mark.parametrize(("data", "size"), sorted(ULTRALYTICS_AP))
def test_the_decoding_of_ultralytics_is_as_accurate_as_ultralytics(data, size, request):
    found = measured_ap(data, size, request, "--decoding", "ultralytics")
    assert found == pytest.approx(ULTRALYTICS_AP[data, size], abs=TOLERANCE_AP)
