"""Test the comparison of an int8 network with the float network it was made from."""

from __future__ import annotations

import numpy as np
import pytest
from support.fakes import FLOAT32, FakeBackend, make_spec, stored_outputs

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.tools.export.agreement import Agreement, compare

HW = (40, 60)
IMAGES = [np.zeros((*HW, 3), np.uint8)] * 3


def square(left: int, top: int, size: int = 10) -> np.ndarray:
    mask = np.zeros(HW, np.bool_)
    mask[top : top + size, left : left + size] = True
    return mask


def instances(*squares: tuple[int, int], class_id: int = 0, score: float = 0.9) -> Instances:
    found = Instances.from_full_masks([square(*place) for place in squares], [class_id] * len(squares), HW)
    return Instances(HW, found.xyxy, np.full(len(found), score, np.float32), found.class_id, found.masks)


def agreement_of(expected: Instances, found: Instances) -> Agreement:
    agreement = Agreement()
    agreement.add(expected, found)
    return agreement


def test_the_same_instances_agree():
    seen = instances((5, 5), (30, 20))
    agreement = agreement_of(seen, seen)
    assert (agreement.expected, agreement.found, agreement.surplus) == (2, 1.0, 0)
    assert agreement.box_ious == agreement.mask_ious == [1.0, 1.0]
    assert agreement.failures() == []


def test_figures_by_hand():
    agreement = agreement_of(instances((5, 5), score=0.9), instances((5, 6), score=0.8))
    # Nine of eleven rows are common to both.
    assert [*agreement.box_ious, *agreement.mask_ious] == pytest.approx([9 / 11, 9 / 11])
    assert agreement.score_differences == pytest.approx([-0.1])
    table = dict(agreement.rows())
    assert table["mask IoU"].startswith("mean 0.818")
    assert table["found by int8 too"] == "1 (100.0 %)"


@pytest.mark.parametrize(
    ("expected", "found", "message"),
    [
        pytest.param(instances((5, 5)), instances(), "instances found 0.000", id="lost"),
        pytest.param(instances((5, 5)), instances((5, 5), class_id=1), "instances found 0.000", id="other-class"),
        pytest.param(instances((5, 5)), instances((8, 5)), "mean box IoU 0.538", id="boxes-off"),
        pytest.param(instances((5, 5)), instances((5, 5), score=0.5), "mean score difference -0.400", id="scores-off"),
        pytest.param(instances(), instances(), "the float network finds nothing", id="nothing-to-compare"),
        pytest.param(instances((5, 5), score=0.2), instances(), "finds nothing with a score of 0.25", id="weak"),
    ],
)
def test_failures_of_an_export(expected, found, message):
    assert message in "; ".join(agreement_of(expected, found).failures())


def test_an_instance_is_matched_once():
    agreement = agreement_of(instances((5, 5), (6, 5)), instances((5, 5)))
    assert agreement.found == 0.5


def test_surplus_counts_what_float_does_not_see_at_all():
    expected = instances((5, 5), score=0.2)
    assert agreement_of(expected, instances((5, 5))).surplus == 0
    assert agreement_of(expected, instances((30, 20))).surplus == 1
    assert agreement_of(expected, instances((30, 20), score=0.2)).surplus == 0


def test_networks_are_compared_over_all_images():
    spec = make_spec(quant=FLOAT32)
    head = np.zeros((10, spec.num_anchors))
    head[:4, 7], head[4, 7], head[6, 7] = 0.5, 0.9, 1.0
    prototypes = np.ones(spec.prototypes.shape[1:])
    seeing = FakeBackend(spec, stored_outputs(spec, head, prototypes))
    blind = FakeBackend(spec, stored_outputs(spec, 0 * head, prototypes))

    same, other = compare(seeing, seeing, IMAGES), compare(seeing, blind, IMAGES)

    assert (same.images, same.expected, same.found, same.failures()) == (3, 3, 1.0, [])
    assert (other.expected, other.found) == (3, 0.0)
