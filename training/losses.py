"""Tell the network how wrong it is: which anchors stand for which object, and what they should have said."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.network import Predictions
from training.scenes import Batch

#: How many anchors stand for an object, and how many of them also learn its mask.
ANCHORS_PER_OBJECT = 10
MASK_ANCHORS_PER_OBJECT = 4
#: An anchor's claim to an object is score ^ _SCORE_POWER * IoU ^ _IOU_POWER.
_SCORE_POWER = 0.5
_IOU_POWER = 4.0
#: Weights of the parts of the loss.
_BOX_WEIGHT = 5.0
_SCORE_WEIGHT = 1.0
_MASK_WEIGHT = 4.0
#: Masks are compared this far beyond their box too, as a fraction of the network's input.
_MASK_MARGIN = 0.015
#: A size is taken for this at least, as a fraction of the network's input.
_SMALLEST = 1e-3
_EPSILON = 1e-7


class Assignment(NamedTuple):
    """Pairs of an anchor and an object it stands for.

    Attributes:
        picture: int64 (pairs,), picture of the batch.
        anchor: int64 (pairs,).
        object: int64 (pairs,), row of the batch's list of objects.
        target: float32 (pairs,), the score that the anchor should give, 0 to 1.
    """

    picture: Tensor
    anchor: Tensor
    object: Tensor
    target: Tensor


class Losses(NamedTuple):
    """Parts of the loss, weighted."""

    box: Tensor
    score: Tensor
    mask: Tensor

    def total(self) -> Tensor:
        """Give what is to be made small."""
        return self.box + self.score + self.mask


def compute_losses(predictions: Predictions, batch: Batch, anchors: Tensor) -> Losses:
    """Compare what the network said with the truth.

    Args:
        predictions: with logits for scores.
        batch: the truth.
        anchors: (2, anchors), the anchor points as fractions of the input.
    """
    boxes = to_xyxy(predictions.boxes.float().transpose(1, 2))
    assignment = assign(boxes.detach(), predictions.scores.detach().sigmoid(), batch, anchors)
    picture, anchor, owner, target = assignment
    wanted = torch.zeros_like(predictions.scores)
    wanted[picture, batch.class_id[owner], anchor] = target
    normaliser = target.sum().clamp(min=1.0)
    score = functional.binary_cross_entropy_with_logits(predictions.scores, wanted, reduction="sum") / normaliser
    box = ((1 - complete_iou(boxes[picture, anchor], batch.xyxy[owner])) * target).sum() / normaliser
    return Losses(_BOX_WEIGHT * box, _SCORE_WEIGHT * score, _MASK_WEIGHT * _mask_loss(predictions, batch, assignment))


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, batch: Batch, anchors: Tensor) -> Assignment:
    """Let each object be claimed by the anchors inside its box that already see it best.

    An anchor claimed for two objects goes to the one it overlaps more. The best anchor of an object should give
    its own IoU as score, the others less in proportion to their claim.
    """
    num_objects = len(batch.class_id)
    overlap = iou(boxes[batch.picture], batch.xyxy[:, None])
    claim = scores[batch.picture, batch.class_id] ** _SCORE_POWER * overlap**_IOU_POWER + _EPSILON
    claim = claim * _contains(batch.xyxy, anchors)
    chosen = torch.zeros_like(claim, dtype=torch.bool)
    chosen.scatter_(1, claim.topk(ANCHORS_PER_OBJECT, dim=1).indices, True)
    chosen &= claim > 0
    chosen &= _is_best_owner(torch.where(chosen, overlap + _EPSILON, 0.0), batch.picture, len(boxes))
    claim = claim * chosen
    best_claim = claim.amax(dim=1, keepdim=True).clamp(min=_EPSILON)
    best_overlap = (overlap * chosen).amax(dim=1, keepdim=True)
    target = claim / best_claim * best_overlap
    owner, anchor = chosen.nonzero(as_tuple=True) if num_objects else (batch.picture, batch.picture)
    return Assignment(batch.picture[owner], anchor, owner, target[owner, anchor])


def _contains(xyxy: Tensor, anchors: Tensor) -> Tensor:
    """Tell (objects, anchors) which anchor points lie in which box."""
    x, y = anchors[0][None], anchors[1][None]
    left, top, right, bottom = xyxy.T[..., None]
    return (x > left) & (x < right) & (y > top) & (y < bottom)


def _is_best_owner(overlap: Tensor, picture: Tensor, num_pictures: int) -> Tensor:
    """Tell (objects, anchors) whether no other object of the picture overlaps the anchor's box more."""
    best = overlap.new_zeros(num_pictures, overlap.shape[1])
    best.scatter_reduce_(0, picture[:, None].expand_as(overlap), overlap, "amax")
    return overlap >= best[picture]


def _mask_loss(predictions: Predictions, batch: Batch, assignment: Assignment) -> Tensor:
    kept = _strongest(assignment, MASK_ANCHORS_PER_OBJECT)
    picture, anchor, owner, _ = (part[kept] for part in assignment)
    if not len(owner):
        return predictions.prototypes.sum() * 0
    coefficients = predictions.coefficients[picture, :, anchor]
    logits = torch.einsum("nk,nkhw->nhw", coefficients, predictions.prototypes[picture])
    # Compared as finely as they are used: the zero between two cells is to lie on the edge.
    size = batch.masks.shape[1:]
    logits = functional.interpolate(logits[:, None], size, mode="bilinear", align_corners=False)[:, 0]
    truth, near = batch.masks[owner], _inside(batch.xyxy[owner], size)
    entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none") * near
    per_mask = entropy.sum(dim=(1, 2)) / near.sum(dim=(1, 2)).clamp(min=1.0)
    probability = logits.sigmoid() * near
    both = (probability * truth).sum(dim=(1, 2))
    dice = 1 - (2 * both + 1) / (probability.square().sum(dim=(1, 2)) + truth.square().sum(dim=(1, 2)) + 1)
    return (per_mask + dice).mean()


def _strongest(assignment: Assignment, count: int) -> Tensor:
    """Give the rows of the `count` pairs of each object whose target is the highest."""
    order = torch.argsort(assignment.target, descending=True, stable=True)
    order = order[torch.argsort(assignment.object[order], stable=True)]
    owner = assignment.object[order]
    first = torch.searchsorted(owner, owner)
    return order[torch.arange(len(owner)) - first < count]


def _inside(xyxy: Tensor, size_hw: torch.Size) -> Tensor:
    rows = (torch.arange(size_hw[0]) + 0.5) / size_hw[0]
    columns = (torch.arange(size_hw[1]) + 0.5) / size_hw[1]
    left, top, right, bottom = xyxy.T[..., None]
    in_columns = (columns > left - _MASK_MARGIN) & (columns < right + _MASK_MARGIN)
    in_rows = (rows > top - _MASK_MARGIN) & (rows < bottom + _MASK_MARGIN)
    return (in_rows[:, :, None] & in_columns[:, None, :]).float()


def to_xyxy(xywh: Tensor) -> Tensor:
    """Turn centre and size (..., 4) into corners."""
    centre, half = xywh[..., :2], xywh[..., 2:].clamp(min=_SMALLEST) / 2
    return torch.cat([centre - half, centre + half], dim=-1)


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Give the intersection over union of boxes (..., 4)."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(dim=-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(dim=-1), (b[..., 2:] - b[..., :2]).prod(dim=-1)
    return both / (area_a + area_b - both + _EPSILON)


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Give IoU less what centres and aspects differ by (Zheng et al. 2020), so that boxes apart attract each other."""
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    apart = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).square().sum(dim=-1)
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    angle_a, angle_b = (torch.atan2(size[..., 0], size[..., 1] + _EPSILON) for size in (size_a, size_b))
    aspect = 4 / math.pi**2 * (angle_a - angle_b).square()
    overlap = iou(a, b)
    with torch.no_grad():
        trade = aspect / (1 - overlap + aspect + _EPSILON)
    return overlap - apart / (hull.square().sum(dim=-1) + _EPSILON) - trade * aspect
