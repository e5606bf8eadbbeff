"""Test which anchors stand for which object, and what the loss says, where torch is installed (`make export-env`)."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the environment of 'make export-env'")

from training.losses import assign, complete_iou, compute_losses, iou, to_xyxy  # noqa: E402
from training.network import Predictions  # noqa: E402
from training.scenes import Batch  # noqa: E402

#: Anchor points of a grid of 4 x 4 cells, as fractions of the input.
ANCHORS = torch.stack([(torch.arange(16) % 4 + 0.5) / 4, (torch.arange(16) // 4 + 0.5) / 4])
GRID = (8, 8)


def batch_of(*objects: tuple[int, int, tuple[float, float, float, float]]) -> Batch:
    """Give the truth of pictures: picture, class and box of each object, whose mask fills its box."""
    masks = torch.zeros(len(objects), *GRID)
    for mask, (_, _, (left, top, right, bottom)) in zip(masks, objects, strict=True):
        mask[int(top * 8) : int(bottom * 8), int(left * 8) : int(right * 8)] = 1
    return Batch(
        images=torch.zeros(1 + max((picture for picture, _, _ in objects), default=0), 3, 32, 32),
        picture=torch.tensor([picture for picture, _, _ in objects], dtype=torch.long),
        class_id=torch.tensor([class_id for _, class_id, _ in objects], dtype=torch.long),
        xyxy=torch.tensor([box for _, _, box in objects]).reshape(-1, 4),
        masks=masks,
    )


LEFT, RIGHT = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)


def xywh(box: tuple[float, float, float, float]) -> list[float]:
    left, top, right, bottom = box
    return [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]


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


def test_boxes_have_a_size():
    assert to_xyxy(torch.tensor([0.5, 0.5, 0.2, 0.4])).tolist() == pytest.approx([0.4, 0.3, 0.6, 0.7])
    left, top, right, bottom = to_xyxy(torch.tensor([0.5, 0.5, -1.0, 0.0])).tolist()
    assert right > left
    assert bottom > top


def test_anchors_inside_an_object_stand_for_it():
    batch = batch_of((0, 0, LEFT), (0, 1, RIGHT))
    boxes = torch.tensor([LEFT if x < 0.5 else RIGHT for x in ANCHORS[0].tolist()])[None]
    assignment = assign(boxes, torch.full((1, 2, 16), 0.5), batch, ANCHORS)
    owner = dict(zip(assignment.anchor.tolist(), assignment.object.tolist(), strict=True))
    assert owner == {anchor: int(ANCHORS[0, anchor] > 0.5) for anchor in range(16)}
    assert assignment.target.tolist() == pytest.approx([1.0] * 16, abs=1e-3)


def test_an_anchor_of_two_objects_stands_for_the_one_it_sees_better():
    batch = batch_of((0, 0, (0.0, 0.0, 1.0, 1.0)), (0, 1, LEFT))
    boxes = torch.tensor([LEFT] * 16)[None]
    assignment = assign(boxes, torch.full((1, 2, 16), 0.5), batch, ANCHORS)
    assert len(set(assignment.anchor.tolist())) == len(assignment.anchor)
    left_half = assignment.object[ANCHORS[0, assignment.anchor] < 0.5]
    assert set(left_half.tolist()) == {1}


def test_objects_of_other_pictures_do_not_compete():
    batch = batch_of((0, 0, LEFT), (1, 0, LEFT))
    assignment = assign(torch.tensor([LEFT] * 16).repeat(2, 1, 1), torch.full((2, 1, 16), 0.5), batch, ANCHORS)
    assert sorted(set(assignment.picture.tolist())) == [0, 1]
    assert len(assignment.anchor) == 16


def predictions(boxes, score_logit: float, prototype: float) -> Predictions:
    """Give predictions whose masks are the left half where `prototype` is above 0, the right half where below."""
    prototypes = torch.full((1, 1, 4, 4), prototype)
    prototypes[..., 2:] *= -1
    scores = torch.full((1, 1, 16), score_logit)
    return Predictions(torch.tensor(boxes).T[None], scores, torch.ones(1, 1, 16), prototypes)


def test_the_loss_falls_where_the_network_is_right():
    batch = batch_of((0, 0, LEFT))
    right = compute_losses(predictions([xywh(LEFT)] * 16, 4.0, 9.0), batch, ANCHORS)
    off = compute_losses(predictions([xywh((0.1, 0.1, 0.6, 0.7))] * 16, 4.0, -9.0), batch, ANCHORS)
    assert right.box < off.box
    assert right.mask < off.mask
    assert float(right.box) == pytest.approx(0.0, abs=1e-3)


def test_a_picture_without_objects_has_a_loss_of_scores_alone():
    silent = compute_losses(predictions([xywh(LEFT)] * 16, -9.0, 1.0), batch_of(), ANCHORS)
    loud = compute_losses(predictions([xywh(LEFT)] * 16, 3.0, 1.0), batch_of(), ANCHORS)
    assert (float(silent.box), float(silent.mask)) == (0.0, 0.0)
    assert silent.score < loud.score
