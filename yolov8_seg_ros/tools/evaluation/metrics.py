"""Measure what was found against what is there: COCO's average precision, by pycocotools."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolov8_seg_ros.media.coco import CocoResult
from yolov8_seg_ros.tools.evaluation.matches import Matches, collect_matches

#: What is compared, by pycocotools' names.
BOX, MASK = "bbox", "segm"
#: Places of IoU 0.50 and 0.75 among those from 0.50 to 0.95 that are averaged over.
_IOU_50, _IOU_75 = 0, 5
#: The largest object that counts; pycocotools' own bound.
_ALL_SIZES = [0, 1e10]


@dataclass(frozen=True)
class Scores:
    """Hold COCO's figures, each NaN where there is nothing to find.

    Attributes:
        ap: average precision, mean over IoU from 0.50 to 0.95 and over classes.
        ap_50: at IoU 0.50.
        ap_75: at IoU 0.75.
        ar: average recall, mean over the same IoU and classes, with at most 100 found in a picture and class.
    """

    ap: float
    ap_50: float
    ap_75: float
    ar: float


@dataclass(frozen=True)
class ClassScores:
    """Hold the figures of one class.

    Attributes:
        name: of the class.
        objects: how many there are to find.
        scores: its figures.
    """

    name: str
    objects: int
    scores: Scores


@dataclass(frozen=True)
class Measured:
    """Hold all figures of boxes, or of masks.

    Attributes:
        scores: over all classes.
        classes: by category id.
        recall: (101,), 0 to 1, where the curves are taken.
        precision_50: (101,), at IoU 0.50, mean over classes.
        precision_mean: (101,), mean over IoU from 0.50 to 0.95 and classes.
        matches: what was found and missed at IoU 0.50.
    """

    scores: Scores
    classes: dict[int, ClassScores]
    recall: NDArray[np.float64]
    precision_50: NDArray[np.float64]
    precision_mean: NDArray[np.float64]
    matches: Matches


def measure(truth: Mapping[str, Any], results: Sequence[CocoResult], kind: str) -> Measured:
    """Compare results with the truth, as pycocotools does by default: at most 100 in a picture and class count.

    Args:
        truth: the content of a COCO annotations file.
        results: in COCO's results format.
        kind: `BOX` or `MASK`.
    """
    # pycocotools prints, and writes into what it is given.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(_index(truth, truth["annotations"]), _index(truth, _numbered(results)), kind)
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [_ALL_SIZES], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    # IoU, recall, class, size of object, how many count: of the last two the only and the last.
    precision, recall = evaluation.eval["precision"][..., 0, -1], evaluation.eval["recall"][..., 0, -1]
    matches = collect_matches(evaluation)
    names = {category["id"]: category["name"] for category in truth["categories"]}
    classes = {
        category_id: ClassScores(
            names[category_id],
            matches.objects_of(category_id),
            _scores(precision[..., [place]], recall[..., [place]]),
        )
        for place, category_id in enumerate(evaluation.params.catIds)
    }
    return Measured(
        _scores(precision, recall),
        classes,
        np.asarray(evaluation.params.recThrs),
        _curve(precision[[_IOU_50]]),
        _curve(precision),
        matches,
    )


def _index(truth: Mapping[str, Any], annotations: Sequence[Mapping[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {**truth, "annotations": [dict(annotation) for annotation in annotations]}
    coco.createIndex()
    return coco


def _numbered(results: Sequence[CocoResult]) -> list[dict[str, Any]]:
    """Complete results as `COCO.loadRes` does, which cannot do so where there are none."""
    return [
        {**result, "id": number, "iscrowd": 0, "area": result["bbox"][2] * result["bbox"][3]}
        for number, result in enumerate(results, start=1)
    ]


def _scores(precision: NDArray[np.float64], recall: NDArray[np.float64]) -> Scores:
    return Scores(_mean(precision), _mean(precision[_IOU_50]), _mean(precision[_IOU_75]), _mean(recall))


def _mean(values: NDArray[np.float64]) -> float:
    """Give the mean of what is defined: -1 stands for a class that has no objects."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan


def _curve(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the mean over IoU and classes of precision (IoU, recall, class) at each recall."""
    with_objects = precision[:, :, (precision > -1).all(axis=(0, 1))]
    return with_objects.mean(axis=(0, 2)) if with_objects.size else np.zeros(precision.shape[1])
