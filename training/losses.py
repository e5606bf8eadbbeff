"""Compute the training losses: assign anchor points to objects, and compare predictions with the ground truth.

Sources: task-aligned assignment, Feng et al. 2021 (TOOD); distribution focal loss, Li et al. 2020 (Generalized Focal
Loss); complete IoU, Zheng et al. 2020; both box losses and the assignment combined as in YOLOv8.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.scenes import Batch
from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.tools.export.network import RawLevel

#: Anchor points assigned to an object, and how many of them also learn its mask.
ANCHORS_PER_OBJECT = 10
MASK_ANCHORS_PER_OBJECT = 4
#: The alignment of an anchor point with an object is score ^ _SCORE_POWER * IoU ^ _IOU_POWER.
_SCORE_POWER = 0.5
_IOU_POWER = 4.0
#: Weights of the parts of the loss.
_BOX_WEIGHT = 5.0
_DISTRIBUTION_WEIGHT = 1.0
_SCORE_WEIGHT = 1.0
_MASK_WEIGHT = 4.0
#: Masks are also compared this far outside their box, as a fraction of the network's input.
_MASK_MARGIN = 0.015
_EPSILON = 1e-7


class Assignment(NamedTuple):
    """Pairs of an anchor point and the object it is assigned to.

    Attributes:
        image: int64 (pairs,), index of the image in the batch.
        anchor: int64 (pairs,).
        object: int64 (pairs,), index into the batch's objects.
        target: float32 (pairs,), target score, 0 to 1.
    """

    image: Tensor
    anchor: Tensor
    object: Tensor
    target: Tensor


class Anchors(NamedTuple):
    """Anchor points of all strides, finest first, row by row.

    Attributes:
        points: float32 (2, anchors), x and y as fractions of the input.
        strides: float32 (2, anchors), the anchor's stride as fractions of the input's width and height.
    """

    points: Tensor
    strides: Tensor


class Predictions(NamedTuple):
    """Outputs of the network with the anchor points of all levels in one dimension.

    Attributes:
        boxes: (batch, 4, bins, anchors), box logits: distances left, top, right and bottom, in strides.
        scores: (batch, classes, anchors), class logits.
        coefficients: (batch, prototypes, anchors).
        prototypes: (batch, prototypes, height / 4, width / 4).
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor
    prototypes: Tensor


class Losses(NamedTuple):
    """Parts of the loss, weighted."""

    box: Tensor
    distribution: Tensor
    score: Tensor
    mask: Tensor

    def total(self) -> Tensor:
        """Return the sum, which training minimizes."""
        return self.box + self.distribution + self.score + self.mask


def make_anchors(input_hw: tuple[int, int]) -> Anchors:
    """Compute the anchor points of an input of that height and width, in pixels."""
    points, strides = [], []
    for stride in STRIDES_PX:
        rows, columns = input_hw[0] // stride, input_hw[1] // stride
        y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
        points.append(torch.stack([x.flatten(), y.flatten()]))
        strides.append(torch.tensor([[1 / columns], [1 / rows]]).expand(2, rows * columns))
    return Anchors(torch.cat(points, 1), torch.cat(strides, 1))


def join_levels(levels: Sequence[RawLevel], prototypes: Tensor) -> Predictions:
    """Return the outputs of the network with the anchor points of all levels in one dimension."""
    boxes, scores, coefficients = (
        torch.cat([part.flatten(2) for part in parts], 2) for parts in zip(*levels, strict=True)
    )
    return Predictions(boxes.unflatten(1, (4, -1)), scores, coefficients, prototypes)


def compute_losses(predictions: Predictions, batch: Batch, anchors: Anchors) -> Losses:
    """Compare predictions with the ground truth."""
    boxes = decode_boxes(predictions.boxes, anchors)
    assignment = assign(boxes.detach(), predictions.scores.detach().sigmoid(), batch, anchors.points)
    image, anchor, owner, target = assignment
    wanted = torch.zeros_like(predictions.scores)
    wanted[image, batch.class_id[owner], anchor] = target
    normalizer = target.sum().clamp(min=1.0)
    score = functional.binary_cross_entropy_with_logits(predictions.scores, wanted, reduction="sum") / normalizer
    box = ((1 - complete_iou(boxes[image, anchor], batch.xyxy[owner])) * target).sum() / normalizer
    distances = distances_to(batch.xyxy[owner], anchors, anchor)
    logits = predictions.boxes[image, :, :, anchor]
    distribution = (distribution_focal_loss(logits, distances) * target).sum() / normalizer
    return Losses(
        box=_BOX_WEIGHT * box,
        distribution=_DISTRIBUTION_WEIGHT * distribution,
        score=_SCORE_WEIGHT * score,
        mask=_MASK_WEIGHT * _mask_loss(predictions, batch, assignment),
    )


def decode_boxes(logits: Tensor, anchors: Anchors) -> Tensor:
    """Compute boxes (batch, anchors, 4), xyxy as fractions of the input, from box logits (batch, 4, bins, anchors).

    A distance is the expectation of its bin's index, times the stride.
    """
    bins = torch.arange(logits.shape[2], dtype=logits.dtype)
    distances = torch.einsum("bska,k->bsa", logits.softmax(dim=2), bins)
    low = anchors.points - distances[:, :2] * anchors.strides
    high = anchors.points + distances[:, 2:] * anchors.strides
    return torch.cat([low, high], dim=1).transpose(1, 2)


def distances_to(xyxy: Tensor, anchors: Anchors, anchor: Tensor) -> Tensor:
    """Compute the distances (pairs, 4), in strides, from anchor points to the sides of boxes (pairs, 4).

    Args:
        xyxy: boxes as fractions of the input.
        anchors: the anchor points.
        anchor: int64 (pairs,), which anchor point each box belongs to.
    """
    points, strides = anchors.points.T[anchor], anchors.strides.T[anchor]
    return torch.cat([(points - xyxy[:, :2]) / strides, (xyxy[:, 2:] - points) / strides], dim=1)


def distribution_focal_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Compute the loss (pairs,): cross entropy with the two bins next to the distance, mean over the sides.

    Args:
        logits: (pairs, 4, bins).
        distances: (pairs, 4), in strides; beyond the last bin they are clipped.
    """
    last = logits.shape[2] - 1
    clipped = distances.clamp(0, last)
    lower = clipped.floor().clamp(max=last - 1).long()
    upper_weight = clipped - lower
    likelihood = logits.log_softmax(dim=2)
    at_lower, at_upper = (likelihood.gather(2, index[..., None])[..., 0] for index in (lower, lower + 1))
    return -(at_lower * (1 - upper_weight) + at_upper * upper_weight).mean(dim=1)


@torch.no_grad()
def assign(boxes: Tensor, scores: Tensor, batch: Batch, points: Tensor) -> Assignment:
    """Assign to each object the anchor points inside its box that are best aligned with it.

    An anchor point chosen for two objects goes to the one it overlaps more. The target score of an object's best
    anchor point is its own IoU; those of the others are smaller in proportion to their alignment.

    Args:
        boxes: (batch, anchors, 4), predicted, xyxy as fractions of the input.
        scores: (batch, classes, anchors), predicted, 0 to 1.
        batch: the ground truth.
        points: (2, anchors), anchor points as fractions of the input.
    """
    num_objects = len(batch.class_id)
    overlap = iou(boxes[batch.image_index], batch.xyxy[:, None])
    alignment = scores[batch.image_index, batch.class_id] ** _SCORE_POWER * overlap**_IOU_POWER + _EPSILON
    alignment = alignment * _contains(batch.xyxy, points)
    chosen = torch.zeros_like(alignment, dtype=torch.bool)
    chosen.scatter_(1, alignment.topk(ANCHORS_PER_OBJECT, dim=1).indices, True)
    chosen &= alignment > 0
    chosen &= _is_best_owner(torch.where(chosen, overlap + _EPSILON, 0.0), batch.image_index, len(boxes))
    alignment = alignment * chosen
    best_alignment = alignment.amax(dim=1, keepdim=True).clamp(min=_EPSILON)
    best_overlap = (overlap * chosen).amax(dim=1, keepdim=True)
    target = alignment / best_alignment * best_overlap
    owner, anchor = chosen.nonzero(as_tuple=True) if num_objects else (batch.image_index, batch.image_index)
    return Assignment(batch.image_index[owner], anchor, owner, target[owner, anchor])


def _contains(xyxy: Tensor, points: Tensor) -> Tensor:
    """Return bool (objects, anchors): whether the anchor point lies in the box."""
    x, y = points[0][None], points[1][None]
    left, top, right, bottom = xyxy.T[..., None]
    return (x > left) & (x < right) & (y > top) & (y < bottom)


def _is_best_owner(overlap: Tensor, image: Tensor, num_images: int) -> Tensor:
    """Return bool (objects, anchors): whether no other object of the image overlaps the anchor's box more."""
    best = overlap.new_zeros(num_images, overlap.shape[1])
    best.scatter_reduce_(0, image[:, None].expand_as(overlap), overlap, "amax")
    return overlap >= best[image]


def _mask_loss(predictions: Predictions, batch: Batch, assignment: Assignment) -> Tensor:
    kept = _strongest(assignment, MASK_ANCHORS_PER_OBJECT)
    image, anchor, owner, _ = (part[kept] for part in assignment)
    if not len(owner):
        return predictions.prototypes.sum() * 0
    coefficients = predictions.coefficients[image, :, anchor]
    logits = torch.einsum("nk,nkhw->nhw", coefficients, predictions.prototypes[image])
    # Upsampled as in inference, so that the zero crossing between two cells lies on the edge.
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
    """Return the indices of the `count` pairs of each object with the highest targets."""
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


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Compute the intersection over union of boxes (..., 4), xyxy."""
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    both = (high - low).clamp(min=0).prod(dim=-1)
    area_a, area_b = (a[..., 2:] - a[..., :2]).prod(dim=-1), (b[..., 2:] - b[..., :2]).prod(dim=-1)
    return both / (area_a + area_b - both + _EPSILON)


def complete_iou(a: Tensor, b: Tensor) -> Tensor:
    """Compute the IoU less penalties for the distance of the centres and the difference of the aspect ratios.

    Unlike IoU it has a gradient where boxes do not overlap.
    """
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    centre_distance = ((a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2).square().sum(dim=-1)
    size_a, size_b = a[..., 2:] - a[..., :2], b[..., 2:] - b[..., :2]
    angle_a, angle_b = (torch.atan2(size[..., 0], size[..., 1] + _EPSILON) for size in (size_a, size_b))
    aspect = 4 / math.pi**2 * (angle_a - angle_b).square()
    overlap = iou(a, b)
    with torch.no_grad():
        trade = aspect / (1 - overlap + aspect + _EPSILON)
    return overlap - centre_distance / (hull.square().sum(dim=-1) + _EPSILON) - trade * aspect
