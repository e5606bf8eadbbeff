"""Measure a model on held-out scenes: `python -m training.evaluate models/shapes_256x192.tflite`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.coco import to_coco_results
from yolov8_seg_ros.media.scene import SCENE_CLASSES, SceneFrame, SyntheticScene
from yolov8_seg_ros.tools.evaluation import metrics

#: Seeds of scenes that are used neither for training nor for calibration.
HELD_OUT_SEEDS = range(100_000)
SCENE_HW = (480, 640)
_OPTIONS = SegmenterOptions(detection=DetectionOptions(score_threshold=0.001))


class Accuracy(NamedTuple):
    """Mean average precision, over IoU from 0.50 to 0.95, and at 0.50."""

    box: float
    box_50: float
    mask: float
    mask_50: float

    def __str__(self) -> str:
        return f"box {self.box_50:.3f} / {self.box:.3f}, mask {self.mask_50:.3f} / {self.mask:.3f} (mAP50 / mAP50-95)"


def main() -> None:
    """Print the accuracy of each model."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL", help="a .tflite file")
    parser.add_argument("--scenes", type=int, default=400, help="number of scenes (default: %(default)s)")
    args = parser.parse_args()
    for path in args.models:
        with TfliteBackend(path, 1, SCENE_CLASSES) as backend:
            print(f"{path}: {measure(backend, held_out_frames(args.scenes))}")


def held_out_frames(count: int) -> Iterable[SceneFrame]:
    """Render one frame of each of the first scenes."""
    return (SyntheticScene(SCENE_HW, seed).frame(seed % 300) for seed in HELD_OUT_SEEDS[:count])


def measure(backend: Backend, frames: Iterable[SceneFrame]) -> Accuracy:
    """Return a model's accuracy on frames with known ground truth."""
    segmenter = Segmenter(backend, _OPTIONS)
    images: list[dict[str, Any]] = []
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, frame in enumerate(frames, start=1):
        height, width = frame.truth.image_hw
        images.append({"id": number, "height": height, "width": width})
        truth += to_coco_results(frame.truth, number)
        found += to_coco_results(segmenter.segment(frame.image), number)
    content = {
        "images": images,
        "annotations": [_annotation(number, result) for number, result in enumerate(truth, start=1)],
        "categories": [{"id": index, "name": name} for index, name in enumerate(SCENE_CLASSES)],
    }
    box, mask = (metrics.measure(content, found, kind).scores for kind in (metrics.BOX, metrics.MASK))
    return Accuracy(box.ap, box.ap_50, mask.ap, mask.ap_50)


def _annotation(number: int, result: dict[str, Any]) -> dict[str, Any]:
    return {**result, "id": number, "iscrowd": 0, "area": result["bbox"][2] * result["bbox"][3]}


if __name__ == "__main__":
    main()
