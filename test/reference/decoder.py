"""From a network's outputs to detections in network pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.model_spec import HeadPart, Level, ModelSpec
from yolov8_seg_ros.core.options import DetectionOptions

#: Least weight of a box in a vote, so that scores of 0 count where there are no others: float32's least normal number.
MIN_WEIGHT = np.finfo(np.float32).tiny
#: The exponential of less than this is 0.
LEAST_EXPONENT = -700


@dataclass(frozen=True)
class Detections:
    """Boxes, best first.

    Attributes:
        xyxy_px: float32 (n, 4), network pixels.
        score: float32 (n,), 0 to 1, descending.
        class_id: int64 (n,).
        anchor: int64 (n,), over all strides; it has the mask coefficients.
    """

    xyxy_px: NDArray[np.float32]
    score: NDArray[np.float32]
    class_id: NDArray[np.int64]
    anchor: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, rows: Any) -> Detections:
        return Detections(self.xyxy_px[rows], self.score[rows], self.class_id[rows], self.anchor[rows])


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def decode(
    outputs: Sequence[NDArray[Any]], spec: ModelSpec, options: DetectionOptions, max_candidates: int = 16384
) -> Detections:
    """Return the detections of one image.

    1. Each pair of an anchor and a class that is wanted, whose score reaches the threshold, is a candidate.
    2. Of equal scores the later anchor is better, then the earlier class. The best `max_candidates` are kept.
    3. Without `multi_label` only the best candidate of each anchor is kept.
    4. Candidates whose box has no area, or no finite one, are left out.
    5. Greedy non-maximum suppression (NMS) keeps the best candidate, leaves out those of the same object, and so on.
    6. With `vote_boxes` each box that is kept becomes the weighted mean of all candidates that are the same object.

    Args:
        outputs: quantized, as a backend returns them.
        spec: what they mean.
        options: which detections are kept.
        max_candidates: the most candidates that are compared with each other.
    """
    anchor, class_id, score = find_candidates(outputs, spec, options)
    order = np.lexsort((class_id, -anchor, -score))[:max_candidates]
    boxes_px = np.hstack([level_boxes(outputs, spec, level) for level in spec.levels]).T
    candidates = Detections(boxes_px[anchor[order]], score[order], class_id[order], anchor[order])
    if not options.multi_label:
        _, first = np.unique(candidates.anchor, return_index=True)
        candidates = candidates[np.sort(first)]
    return suppress(candidates[has_area(candidates.xyxy_px)], options)


def dequantized(part: HeadPart, outputs: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    """Return the real numbers (channels, anchors) of a part of the head."""
    quantized = part.view(outputs)
    if part.quant.is_float:
        return quantized
    return np.float32(part.quant.scale) * (quantized.astype(np.int32) - part.quant.zero_point).astype(np.float32)


def find_candidates(
    outputs: Sequence[NDArray[Any]], spec: ModelSpec, options: DetectionOptions
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Return anchors, classes and scores of all candidates, in any order."""
    real = np.hstack([dequantized(level.scores, outputs) for level in spec.levels])
    # 0 is added since -0 is a lower number where bits are compared.
    scores = np.minimum(sigmoid(real) if spec.is_raw else real, np.float32(1)) + np.float32(0)
    is_wanted = np.isin(np.arange(len(scores)), range(len(scores)) if options.classes is None else options.classes)
    # NaN reaches nothing.
    reaches = (scores >= np.float32(options.score_threshold)) & is_wanted[:, np.newaxis] & ~np.isnan(real)
    class_id, anchor = np.nonzero(reaches)
    return anchor, class_id, scores[class_id, anchor]


def level_boxes(outputs: Sequence[NDArray[Any]], spec: ModelSpec, level: Level) -> NDArray[np.float32]:
    """Return the boxes (4, anchors) of a level, xyxy in network pixels."""
    return raw_boxes(outputs, level) if spec.is_raw else decoded_boxes(outputs, level, spec.input_hw)


def raw_boxes(outputs: Sequence[NDArray[Any]], level: Level) -> NDArray[np.float32]:
    """Return boxes (4, anchors) from the distributions of the distances to their sides.

    Source: Li et al., Generalized Focal Loss, 2020 (distribution focal loss).
    """
    quantized = level.boxes.view(outputs)
    # Channels are sides x bins.
    logits = quantized.reshape(4, -1, quantized.shape[1]).astype(np.float64)
    # A logit that is NaN does not take part.
    below = logits - np.fmax.reduce(logits, axis=1, keepdims=True)
    if level.boxes.quant.is_float:
        weights = exponential(below)
    else:
        weights = exponential(np.float64(np.float32(level.boxes.quant.scale)) * below).astype(np.float32)
    weighted = total = np.zeros((4, logits.shape[2]))
    for distance in range(logits.shape[1]):
        weighted = weighted + weights[:, distance].astype(np.float64) * distance
        total = total + weights[:, distance].astype(np.float64)
    with np.errstate(divide="ignore"):
        distances_px = weighted / total * level.stride_px
    rows, columns = np.indices(level.grid_hw).reshape(2, -1)
    centres_px = (np.array([columns, rows, columns, rows]) + 0.5) * level.stride_px
    signs = np.array([[-1], [-1], [1], [1]])
    return (centres_px + signs * distances_px).astype(np.float32)


def decoded_boxes(outputs: Sequence[NDArray[Any]], level: Level, input_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Return boxes (4, anchors) from centres and sizes that are fractions of the input's size."""
    size_px = np.array([input_hw[1], input_hw[0]], np.float32)[:, np.newaxis]
    xywh = dequantized(level.boxes, outputs)
    centre, half = xywh[:2] * size_px, xywh[2:] * (size_px / 2)
    return np.vstack([centre - half, centre + half])


def exponential(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(x) of x <= 0; 0 of NaN and of numbers from `LEAST_EXPONENT` down."""
    return np.where(x > LEAST_EXPONENT, np.exp(x), 0)


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return 1 / (1 + exp(-x)), computed in float64."""
    e = exponential(-np.abs(x.astype(np.float64)))
    return np.where(x < 0, e / (1 + e), 1 / (1 + e)).astype(np.float32)


def has_area(xyxy_px: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return which boxes (n, 4) have a width and a height that are above 0 and finite."""
    size = xyxy_px[:, 2:] - xyxy_px[:, :2]
    return ((xyxy_px[:, :2] < xyxy_px[:, 2:]) & np.isfinite(size)).all(axis=1)


def suppress(candidates: Detections, options: DetectionOptions) -> Detections:
    """Return the candidates that greedy NMS keeps, their boxes voted where asked for.

    Source: Gidaris and Komodakis, Object detection via a multi-region CNN, 2015 (box voting).
    """
    is_left = np.ones(len(candidates), np.bool_)
    kept, boxes_px = [], []
    for best in range(len(candidates)):
        if len(kept) == options.max_instances:
            break
        if not is_left[best]:
            continue
        same = same_objects(candidates, best, options)
        is_left &= ~same
        kept.append(best)
        # Better boxes vote too: they stand for another object, but agree about this one.
        voters = np.concatenate([[best], np.flatnonzero(same)])
        boxes_px.append(mean_box(candidates[voters]) if options.vote_boxes else candidates.xyxy_px[best])
    return replace(candidates[kept], xyxy_px=np.array(boxes_px, np.float32).reshape(-1, 4))


def same_objects(candidates: Detections, best: int, options: DetectionOptions) -> NDArray[np.bool_]:
    """Return bool (n,): which other candidates overlap one by more than the threshold, and count as its class."""
    one, all_px = candidates.xyxy_px[best], candidates.xyxy_px
    overlap_wh = np.minimum(all_px[:, 2:], one[2:]) - np.maximum(all_px[:, :2], one[:2])
    overlap = overlap_wh[:, 0] * overlap_wh[:, 1]
    area = (all_px[:, 2] - all_px[:, 0]) * (all_px[:, 3] - all_px[:, 1])
    with np.errstate(divide="ignore"):
        iou = overlap / (area + area[best] - overlap)
    same = (overlap_wh > 0).all(axis=1) & (iou > np.float32(options.iou_threshold))
    same[best] = False
    return same if options.agnostic_nms else same & (candidates.class_id == candidates.class_id[best])


def mean_box(voters: Detections) -> NDArray[np.float32]:
    """Return the mean (4,) of boxes, weighted by score; the sums are float64 and made in this order."""
    weights = np.maximum(voters.score, MIN_WEIGHT).astype(np.float64)[:, np.newaxis]
    # Unlike `sum`, `cumsum` adds one number after the other.
    total = np.cumsum(weights * voters.xyxy_px, axis=0)[-1]
    return (total / np.cumsum(weights, axis=0)[-1]).astype(np.float32)
