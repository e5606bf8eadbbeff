"""Tell hits from false alarms at IoU 0.50, and what follows for score thresholds and single pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.cocoeval import COCOeval


@dataclass(frozen=True)
class Matches:
    """Hold what was found of all classes in all pictures, matched with the truth at IoU 0.50.

    Attributes:
        score: (n,), of each that was found.
        iou: (n,), with the object that it stands for; 0 for a false alarm.
        image_id: (n,), of its picture.
        objects: how many are to be found, by picture and category.
    """

    score: NDArray[np.float64]
    iou: NDArray[np.float64]
    image_id: NDArray[np.int64]
    objects: Mapping[tuple[int, int], int]

    @property
    def num_objects(self) -> int:
        """How many are to be found in all pictures."""
        return sum(self.objects.values())

    def objects_of(self, category_id: int) -> int:
        """Give how many are to be found of one category."""
        return sum(count for (_, category), count in self.objects.items() if category == category_id)


@dataclass(frozen=True)
class ThresholdCurve:
    """Hold precision, recall and F1 over all classes by the lowest score kept.

    Attributes:
        score: (n,), ascending; the curve is defined for each distinct score that was found.
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
        """The best F1."""
        return float(self.f1.max())

    @property
    def best_score(self) -> float:
        """The lowest score to keep for the best F1: midway between the last one kept and the first one dropped."""
        best = int(np.argmax(self.f1))
        below = self.score[best - 1] if best else 0.0
        return float(below + self.score[best]) / 2


@dataclass(frozen=True)
class PictureQuality:
    """Hold how well one picture was segmented.

    Attributes:
        image_id: of the picture.
        found: objects that were found.
        missed: objects that were not.
        surplus: false alarms.
        quality: 0 to 1, the mean IoU of those found, lowered by those missed and surplus (panoptic quality).
    """

    image_id: int
    found: int
    missed: int
    surplus: int
    quality: float


def collect_matches(evaluation: COCOeval) -> Matches:
    """Read off what pycocotools matched, with all sizes of object in one range."""
    scores, ious, image_ids = [], [], []
    objects: Counter[tuple[int, int]] = Counter()
    for one in evaluation.evalImgs:
        if one is None:
            continue
        place = (one["image_id"], one["category_id"])
        objects[place] = int(np.count_nonzero(np.asarray(one["gtIgnore"]) == 0))
        judged = ~one["dtIgnore"][0].astype(np.bool_)
        scores.append(np.asarray(one["dtScores"], np.float64)[judged])
        ious.append(_matched_iou(evaluation, one, place)[judged])
        image_ids.append(np.full(int(judged.sum()), one["image_id"], np.int64))
    return Matches(
        np.concatenate([*scores, np.empty(0)]),
        np.concatenate([*ious, np.empty(0)]),
        np.concatenate([*image_ids, np.empty(0, np.int64)]),
        dict(objects),
    )


def _matched_iou(evaluation: COCOeval, one: Mapping[str, Any], place: tuple[int, int]) -> NDArray[np.float64]:
    """Give the IoU of each that was found in one picture with the object it was matched with; 0 where with none."""
    column = {annotation["id"]: index for index, annotation in enumerate(evaluation._gts[place])}
    table = evaluation.ious[place]
    matched = one["dtMatches"][0].astype(int).tolist()
    return np.array([table[row, column[number]] if number else 0.0 for row, number in enumerate(matched)], np.float64)


def threshold_curve(matches: Matches) -> ThresholdCurve:
    """Give precision, recall and F1 for each score that may be the lowest one kept."""
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


def picture_qualities(matches: Matches, threshold: float) -> list[PictureQuality]:
    """Give the quality of the pictures in which something is to be found or was, worst first.

    Args:
        matches: of masks, or of boxes.
        threshold: the lowest score kept.
    """
    objects: Counter[int] = Counter()
    for (image_id, _), count in matches.objects.items():
        objects[image_id] += count
    ids = np.array(sorted(objects), np.int64)
    kept = matches.score >= threshold
    place, iou = np.searchsorted(ids, matches.image_id[kept]), matches.iou[kept]
    num_kept = np.bincount(place, minlength=len(ids)).tolist()
    num_found = np.bincount(place, iou > 0, minlength=len(ids)).astype(int).tolist()
    sum_iou = np.bincount(place, iou, minlength=len(ids)).tolist()
    qualities = [
        PictureQuality(
            image_id, found, objects[image_id] - found, shown - found, 2 * total / (shown + objects[image_id])
        )
        for image_id, shown, found, total in zip(ids.tolist(), num_kept, num_found, sum_iou, strict=True)
        if shown + objects[image_id]
    ]
    return sorted(qualities, key=lambda picture: picture.quality)
