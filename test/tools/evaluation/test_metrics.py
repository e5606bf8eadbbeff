"""Test the figures on images small enough to reckon with."""

from __future__ import annotations

import math

import numpy as np
import pytest

from yolov8_seg_ros.media.coco import compress
from yolov8_seg_ros.tools.evaluation.metrics import BOX, MASK, image_qualities, measure, threshold_curve

SIZE_HW = (100, 100)
IMAGES = [{"id": 1, "width": 100, "height": 100}, {"id": 2, "width": 100, "height": 100}]
CATEGORIES = [{"id": 0, "name": "cat"}, {"id": 5, "name": "mouse"}, {"id": 6, "name": "dog"}]


def shape(left, top, width, height):
    right, bottom = left + width, top + height
    code = compress([[left, top, right, top, right, bottom, left, bottom]], SIZE_HW)
    return {"bbox": [left, top, width, height], "segmentation": code}


def truth(*objects):
    """Return the ground truth of objects, each as image, category, box, and whether it is not judged."""
    annotations = [
        {
            "id": number,
            "image_id": image,
            "category_id": category,
            "area": box[2] * box[3],
            "iscrowd": int(bool(crowd)),
            **shape(*box),
        }
        for number, (image, category, box, *crowd) in enumerate(objects, start=1)
    ]
    return {"images": IMAGES, "categories": CATEGORIES, "annotations": annotations}


def found(*results):
    return [
        {"image_id": image, "category_id": category, "score": score, **shape(*box)}
        for image, category, box, score in results
    ]


CAT, MOUSE = (10, 10, 40, 40), (60, 60, 20, 20)
#: Shares 0.6 of the union with CAT.
CAT_IN_PART = (10, 10, 40, 24)


@pytest.mark.parametrize("kind", [BOX, MASK])
def test_all_found(kind):
    figures = measure(truth((1, 0, CAT), (2, 5, MOUSE)), found((1, 0, CAT, 0.9), (2, 5, MOUSE, 0.8)), kind)
    assert (figures.scores.ap, figures.scores.ap_50, figures.scores.ap_75, figures.scores.ar) == pytest.approx([1] * 4)
    assert np.allclose(figures.precision_50, 1)


@pytest.mark.parametrize("kind", [BOX, MASK])
def test_half_found_in_part(kind):
    figures = measure(truth((1, 0, CAT), (2, 5, MOUSE)), found((1, 0, CAT_IN_PART, 0.9)), kind)
    cat, mouse, dog = figures.classes[0], figures.classes[5], figures.classes[6]
    # Right at IoU 0.50, 0.55 and 0.60 of ten.
    assert (cat.scores.ap, cat.scores.ap_50, cat.scores.ap_75) == pytest.approx((0.3, 1, 0))
    assert (mouse.scores.ap, mouse.scores.ar) == (0, 0)
    assert math.isnan(dog.scores.ap)
    assert (cat.objects, mouse.objects, dog.objects) == (1, 1, 0)
    assert figures.scores.ap == pytest.approx(0.15)
    assert figures.precision_mean.mean() == pytest.approx(0.15)


def test_nothing_found():
    figures = measure(truth((1, 0, CAT)), [], BOX)
    assert (figures.scores.ap, figures.scores.ar) == (0, 0)
    assert threshold_curve(figures.matches).best_f1 == 0
    (image,) = image_qualities(figures.matches, 0.5)
    assert (image.detected, image.missed, image.false_alarms, image.quality) == (0, 1, 0, 0)


def test_nothing_to_find():
    figures = measure(truth(), found((1, 0, CAT, 0.9)), MASK)
    assert math.isnan(figures.scores.ap)
    assert not figures.precision_50.any()
    (image,) = image_qualities(figures.matches, 0.5)
    assert (image.detected, image.missed, image.false_alarms, image.quality) == (0, 0, 1, 0)


def test_what_is_not_judged_counts_neither_way():
    judged = truth((1, 0, CAT), (1, 0, MOUSE, True))
    with_both = measure(judged, found((1, 0, CAT, 0.5), (1, 0, MOUSE, 0.9)), MASK)
    assert with_both.scores.ap == pytest.approx(1)
    assert with_both.matches.num_objects == 1
    assert len(with_both.matches.score) == 1


def test_results_and_truth_are_left_as_they_are():
    content, results = truth((1, 0, CAT)), found((1, 0, CAT, 0.9))
    before = repr((content, results))
    measure(content, results, MASK)
    assert repr((content, results)) == before


@pytest.fixture
def matches():
    """Return three objects, of which two are found, among a false alarm, and one more of the score of a hit."""
    return measure(
        truth((1, 0, CAT), (1, 5, MOUSE), (2, 0, CAT)),
        found((1, 0, CAT_IN_PART, 0.9), (2, 5, MOUSE, 0.7), (2, 0, CAT, 0.5), (2, 0, MOUSE, 0.5)),
        MASK,
    ).matches


def test_threshold_curve(matches):
    curve = threshold_curve(matches)
    assert curve.score == pytest.approx([0.5, 0.7, 0.9])
    assert curve.precision == pytest.approx([2 / 4, 1 / 2, 1])
    assert curve.recall == pytest.approx([2 / 3, 1 / 3, 1 / 3])
    assert curve.f1 == pytest.approx([4 / 7, 2 / 5, 1 / 2])
    assert curve.best_f1 == pytest.approx(4 / 7)
    assert curve.best_score == pytest.approx(0.25)


def test_image_qualities(matches):
    worst, best = image_qualities(matches, 0.6)
    assert (worst.image_id, worst.detected, worst.missed, worst.false_alarms, worst.quality) == (2, 0, 1, 1, 0)
    assert (best.image_id, best.detected, best.missed, best.false_alarms) == (1, 1, 1, 0)
    assert best.quality == pytest.approx(0.6 / 1.5)
