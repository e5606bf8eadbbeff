"""Test the training losses, where torch is installed (`make export-env`)."""

from __future__ import annotations

import math

import pytest

torch = pytest.importorskip("torch", reason="needs the environment of 'make export-env'")

from training.losses import (  # noqa: E402
    Anchors,
    Predictions,
    assign,
    complete_iou,
    compute_losses,
    decode_boxes,
    distances_to,
    distribution_focal_loss,
    iou,
    join_levels,
    make_anchors,
)
from training.scenes import Batch  # noqa: E402
from yolov8_seg_ros.tools.export.network import RawLevel  # noqa: E402

#: Anchor points of a grid of 4 x 4 cells, as fractions of the input.
POINTS = torch.stack([(torch.arange(16) % 4 + 0.5) / 4, (torch.arange(16) // 4 + 0.5) / 4])
ANCHORS = Anchors(POINTS, torch.full((2, 16), 0.25))
NUM_BINS = 5
GRID = (8, 8)


def batch_of(*objects: tuple[int, int, tuple[float, float, float, float]]) -> Batch:
    """Return a ground truth: image, class and box of each object, whose mask fills its box."""
    masks = torch.zeros(len(objects), *GRID)
    for mask, (_, _, (left, top, right, bottom)) in zip(masks, objects, strict=True):
        mask[int(top * 8) : int(bottom * 8), int(left * 8) : int(right * 8)] = 1
    return Batch(
        images=torch.zeros(1 + max((image for image, _, _ in objects), default=0), 3, 32, 32),
        image_index=torch.tensor([image for image, _, _ in objects], dtype=torch.long),
        class_id=torch.tensor([class_id for _, class_id, _ in objects], dtype=torch.long),
        xyxy=torch.tensor([box for _, _, box in objects]).reshape(-1, 4),
        masks=masks,
    )


LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def box_logits(*boxes: tuple[float, float, float, float]) -> torch.Tensor:
    """Return logits (1, 4, bins, 16) that decode to these boxes, one per anchor point."""
    distances = distances_to(torch.tensor(boxes), ANCHORS, torch.arange(16))
    weights = (1 - (distances[..., None] - torch.arange(NUM_BINS)).abs()).clamp(min=0)
    return weights.log().clamp(min=-50).permute(1, 2, 0)[None]


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        pytest.param((0, 0, 2, 2), (0, 0, 2, 2), 1.0, id="same"),
        pytest.param((0, 0, 2, 2), (1, 0, 3, 2), 1 / 3, id="half"),
        pytest.param((0, 0, 1, 1), (2, 2, 3, 3), 0.0, id="apart"),
    ],
)
def test_iou(a, b, expected):
    a, b = torch.tensor(a, dtype=torch.float32), torch.tensor(b, dtype=torch.float32)
    assert float(iou(a, b)) == pytest.approx(expected, abs=1e-6)
    assert float(complete_iou(a, b)) <= float(iou(a, b)) + 1e-6


def test_complete_iou_tells_boxes_apart_by_distance():
    box = torch.tensor([0.0, 0.0, 1.0, 1.0])
    near, far = box + 2, box + 5
    assert float(complete_iou(box, near)) > float(complete_iou(box, far))


def test_anchors_of_all_strides():
    anchors = make_anchors((32, 64))
    assert anchors.points.shape == anchors.strides.shape == (2, 4 * 8 + 2 * 4 + 1 * 2)
    assert anchors.points[:, 1].tolist() == pytest.approx([12 / 64, 4 / 32])
    assert anchors.strides[:, 1].tolist() == pytest.approx([8 / 64, 8 / 32])
    assert anchors.points[:, -1].tolist() == pytest.approx([48 / 64, 16 / 32])
    assert anchors.strides[:, -1].tolist() == pytest.approx([32 / 64, 32 / 32])


def test_levels_are_joined_row_by_row():
    level = RawLevel(torch.arange(40.0).reshape(1, 20, 1, 2), torch.zeros(1, 3, 1, 2), torch.zeros(1, 6, 1, 2))
    joined = join_levels([level, level], torch.zeros(1, 6, 2, 4))
    assert [tuple(part.shape) for part in joined] == [(1, 4, 5, 4), (1, 3, 4), (1, 6, 4), (1, 6, 2, 4)]
    # Top side, third bin: channel 1 * 5 + 2.
    assert joined.boxes[0, 1, 2].tolist() == [14.0, 15.0, 14.0, 15.0]


def test_boxes_are_decoded_from_their_distances():
    boxes = [LEFT, (0.1, 0.2, 0.9, 0.95)] * 8
    decoded = decode_boxes(box_logits(*boxes), ANCHORS)[0]
    # Two anchor points that lie inside their box: a distance cannot be negative.
    torch.testing.assert_close(decoded[8], torch.tensor(boxes[8]))
    torch.testing.assert_close(decoded[9], torch.tensor(boxes[9]))


@pytest.mark.parametrize(
    ("logits", "distance", "expected"),
    [
        pytest.param([0, 50, 0, 0, 0], 1.0, 0.0, id="certain"),
        pytest.param([0, 50, 50, 0, 0], 1.5, math.log(2), id="between-two-bins"),
        pytest.param([0, 0, 0, 0, 0], 2.3, math.log(5), id="uniform"),
        pytest.param([0, 0, 0, 0, 50], 9.0, 0.0, id="beyond-the-last-bin"),
        pytest.param([0, 0, 0, 0, 50], 0.0, 50.0, id="wrong"),
    ],
)
def test_distribution_focal_loss(logits, distance, expected):
    loss = distribution_focal_loss(torch.tensor([[logits] * 4], dtype=torch.float32), torch.tensor([[distance] * 4]))
    assert loss.tolist() == pytest.approx([expected], abs=1e-4)


def test_anchors_inside_an_object_are_assigned_to_it():
    batch = batch_of((0, 0, LEFT), (0, 1, RIGHT))
    boxes = torch.tensor([LEFT if x < 0.5 else RIGHT for x in POINTS[0].tolist()])[None]
    assignment = assign(boxes, torch.full((1, 2, 16), 0.5), batch, POINTS)
    owner = dict(zip(assignment.anchor.tolist(), assignment.object.tolist(), strict=True))
    assert owner == {anchor: int(POINTS[0, anchor] > 0.5) for anchor in range(16)}
    assert assignment.target.tolist() == pytest.approx([1.0] * 16, abs=1e-3)


def test_an_anchor_of_two_objects_is_assigned_to_the_one_it_overlaps_more():
    batch = batch_of((0, 0, (0.0, 0.0, 1.0, 1.0)), (0, 1, LEFT))
    boxes = torch.tensor([LEFT] * 16)[None]
    assignment = assign(boxes, torch.full((1, 2, 16), 0.5), batch, POINTS)
    assert len(set(assignment.anchor.tolist())) == len(assignment.anchor)
    left_half = assignment.object[POINTS[0, assignment.anchor] < 0.5]
    assert set(left_half.tolist()) == {1}


def test_objects_of_other_images_do_not_compete():
    batch = batch_of((0, 0, LEFT), (1, 0, LEFT))
    assignment = assign(torch.tensor([LEFT] * 16).repeat(2, 1, 1), torch.full((2, 1, 16), 0.5), batch, POINTS)
    assert sorted(set(assignment.image.tolist())) == [0, 1]
    assert len(assignment.anchor) == 16


def predictions(boxes, score_logit: float, prototype: float) -> Predictions:
    """Return predictions whose masks are the left half if `prototype` is above 0, the right half if below."""
    prototypes = torch.full((1, 1, 4, 4), prototype)
    prototypes[..., 2:] *= -1
    scores = torch.full((1, 1, 16), score_logit)
    return Predictions(box_logits(*boxes), scores, torch.ones(1, 1, 16), prototypes)


def test_losses_are_smaller_for_better_predictions():
    batch = batch_of((0, 0, LEFT))
    right = compute_losses(predictions([LEFT] * 16, 4.0, 9.0), batch, ANCHORS)
    off = compute_losses(predictions([(0.1, 0.1, 0.6, 0.7)] * 16, 4.0, -9.0), batch, ANCHORS)
    assert right.box < off.box
    assert right.mask < off.mask
    assert float(right.box) == pytest.approx(0.0, abs=1e-3)


def test_an_image_without_objects_has_a_loss_of_scores_alone():
    silent = compute_losses(predictions([LEFT] * 16, -9.0, 1.0), batch_of(), ANCHORS)
    loud = compute_losses(predictions([LEFT] * 16, 3.0, 1.0), batch_of(), ANCHORS)
    assert (float(silent.box), float(silent.distribution), float(silent.mask)) == (0.0, 0.0, 0.0)
    assert silent.score < loud.score
