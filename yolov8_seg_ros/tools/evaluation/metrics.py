"""Measure results against ground truth: COCO's average precision, score thresholds, and the quality of each image.

Source: T.-Y. Lin et al., Microsoft COCO: Common Objects in Context, 2014, as pycocotools implements it.
"""

from __future__ import annotations

import contextlib
import io
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from yolov8_seg_ros.media.coco import CocoResult

#: What is compared, by pycocotools' names.
BOX, MASK = "bbox", "segm"
#: Names of the fields of `Scores`, as COCO writes them.
FIGURES = ("AP", "AP50", "AP75", "AR")
#: Places of IoU 0.50 and 0.75 among those from 0.50 to 0.95 that are averaged over.
_IOU_50, _IOU_75 = 0, 5
#: The largest object that counts; pycocotools' own bound.
_ALL_SIZES = [0, 1e10]


class Scores(NamedTuple):
    """COCO's figures, each NaN where there is no object.

    Attributes:
        ap: average precision, mean over IoU from 0.50 to 0.95 and over classes.
        ap_50: at IoU 0.50.
        ap_75: at IoU 0.75.
        ar: average recall, mean over the same IoU and classes, with at most 100 results in an image and class.
    """

    ap: float
    ap_50: float
    ap_75: float
    ar: float


@dataclass(frozen=True)
class ClassFigures:
    """The figures of one class, its name and how many objects it has."""

    name: str
    objects: int
    scores: Scores


@dataclass(frozen=True)
class Matches:
    """The results of all classes and images, matched with the ground truth at IoU 0.50.

    Attributes:
        score: (n,), of each result.
        iou: (n,), with the object that it is matched with; 0 for a false alarm.
        image_id: (n,), of its image.
        objects: how many there are, by image and category.
    """

    score: NDArray[np.float64]
    iou: NDArray[np.float64]
    image_id: NDArray[np.int64]
    objects: Mapping[tuple[int, int], int]

    @property
    def num_objects(self) -> int:
        """Return the number of objects in all images."""
        return sum(self.objects.values())


@dataclass(frozen=True)
class Figures:
    """All figures of boxes, or of masks.

    Attributes:
        scores: over all classes.
        classes: by category id.
        recall: (101,), 0 to 1, where the curves are taken.
        precision_50: (101,), at IoU 0.50, mean over classes.
        precision_mean: (101,), mean over IoU from 0.50 to 0.95 and classes.
        matches: of results and objects at IoU 0.50.
    """

    scores: Scores
    classes: dict[int, ClassFigures]
    recall: NDArray[np.float64]
    precision_50: NDArray[np.float64]
    precision_mean: NDArray[np.float64]
    matches: Matches


@dataclass(frozen=True)
class ThresholdCurve:
    """Precision, recall and F1 over all classes by the lowest score kept.

    Attributes:
        score: (n,), ascending; the curve is defined for each distinct score among the results.
        precision: (n,).
        recall: (n,).
        f1: (n,), the harmonic mean of both.
    """

    score: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]

    @property
    def best_f1(self) -> float:
        """Return the best F1."""
        return float(self.f1.max())

    @property
    def best_score(self) -> float:
        """Return the lowest score kept for the best F1: midway between the last one kept and the first one dropped."""
        best = int(np.argmax(self.f1))
        below = self.score[best - 1] if best else 0.0
        return float(below + self.score[best]) / 2


@dataclass(frozen=True)
class ImageQuality:
    """Quality of the results of one image.

    Attributes:
        image_id: of the image.
        detected: objects that were detected.
        missed: objects that were not.
        false_alarms: results that match no object.
        quality: 0 to 1, the mean IoU of those detected, lowered by misses and false alarms (panoptic quality).
    """

    image_id: int
    detected: int
    missed: int
    false_alarms: int
    quality: float


def measure(truth: Mapping[str, Any], results: Sequence[CocoResult], kind: str) -> Figures:
    """Compare results with ground truth, as pycocotools does by default: at most 100 in an image and class count.

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
    matches = _collect_matches(evaluation)
    objects: Counter[int] = Counter()
    for (_, category_id), count in matches.objects.items():
        objects[category_id] += count
    names = {category["id"]: category["name"] for category in truth["categories"]}
    classes = {
        category_id: ClassFigures(
            names[category_id], objects[category_id], _scores(precision[..., [place]], recall[..., [place]])
        )
        for place, category_id in enumerate(evaluation.params.catIds)
    }
    recall_levels = np.asarray(evaluation.params.recThrs)
    curves = _curve(precision[[_IOU_50]]), _curve(precision)
    return Figures(_scores(precision, recall), classes, recall_levels, *curves, matches)


def threshold_curve(matches: Matches) -> ThresholdCurve:
    """Compute precision, recall and F1 for each score that may be the lowest one kept."""
    if not matches.score.size:
        return ThresholdCurve(np.ones(1), np.zeros(1), np.zeros(1), np.zeros(1))
    order = np.argsort(-matches.score, kind="stable")
    score, hits = matches.score[order], np.cumsum(matches.iou[order] > 0)
    # Of equal scores all are kept or none.
    last = np.flatnonzero(np.diff(score, append=-1.0) != 0)[::-1]
    kept, hits = last + 1, hits[last]
    return ThresholdCurve(
        score[last],
        hits / np.maximum(kept, 1),
        hits / max(matches.num_objects, 1),
        2 * hits / np.maximum(kept + matches.num_objects, 1),
    )


def image_qualities(matches: Matches, threshold: float) -> list[ImageQuality]:
    """Return the quality of the images that have an object or a result, worst first.

    Args:
        matches: of masks, or of boxes.
        threshold: the lowest score kept.

    Source: A. Kirillov et al., Panoptic Segmentation, 2019.
    """
    objects: Counter[int] = Counter()
    for (image_id, _), count in matches.objects.items():
        objects[image_id] += count
    ids = np.array(sorted(objects), np.int64)
    kept = matches.score >= threshold
    place, iou = np.searchsorted(ids, matches.image_id[kept]), matches.iou[kept]
    num_kept = np.bincount(place, minlength=len(ids)).tolist()
    num_detected = np.bincount(place, iou > 0, minlength=len(ids)).astype(int).tolist()
    sum_iou = np.bincount(place, iou, minlength=len(ids)).tolist()
    qualities = [
        ImageQuality(
            image_id, detected, objects[image_id] - detected, shown - detected, 2 * total / (shown + objects[image_id])
        )
        for image_id, shown, detected, total in zip(ids.tolist(), num_kept, num_detected, sum_iou, strict=True)
        if shown + objects[image_id]
    ]
    return sorted(qualities, key=lambda image: image.quality)


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
    """Return the mean of what is defined: -1 stands for a class that has no objects."""
    defined = values[values > -1]
    return float(defined.mean()) if defined.size else math.nan


def _curve(precision: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean over IoU and classes of precision (IoU, recall, class) at each recall."""
    with_objects = precision[:, :, (precision > -1).all(axis=(0, 1))]
    return with_objects.mean(axis=(0, 2)) if with_objects.size else np.zeros(precision.shape[1])


def _collect_matches(evaluation: COCOeval) -> Matches:
    """Read what pycocotools matched, with all sizes of object in one range."""
    scores, ious, image_ids = [np.empty(0)], [np.empty(0)], [np.empty(0, np.int64)]
    objects: Counter[tuple[int, int]] = Counter()
    for one in filter(None, evaluation.evalImgs):
        place = (one["image_id"], one["category_id"])
        objects[place] = int(np.count_nonzero(np.asarray(one["gtIgnore"]) == 0))
        counts = ~one["dtIgnore"][0].astype(np.bool_)
        scores.append(np.asarray(one["dtScores"], np.float64)[counts])
        ious.append(_matched_iou(evaluation, one, place)[counts])
        image_ids.append(np.full(int(counts.sum()), one["image_id"], np.int64))
    return Matches(np.concatenate(scores), np.concatenate(ious), np.concatenate(image_ids), dict(objects))


def _matched_iou(evaluation: COCOeval, one: Mapping[str, Any], place: tuple[int, int]) -> NDArray[np.float64]:
    """Return the IoU of each result in one image with the object it is matched with; 0 where with none."""
    column = {annotation["id"]: index for index, annotation in enumerate(evaluation._gts[place])}
    table = evaluation.ious[place]
    matched = one["dtMatches"][0].astype(int).tolist()
    return np.array([table[row, column[number]] if number else 0.0 for row, number in enumerate(matched)], np.float64)
