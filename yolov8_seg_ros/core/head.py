"""Decode the network's head: from stored numbers to the boxes that survive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.boxes import has_area, suppress, vote
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor


@dataclass(frozen=True)
class Candidates:
    """Boxes in network pixels with what their masks are made of, best score first.

    Attributes:
        xyxy: float32 (n, 4), left, top, right, bottom.
        score: float32 (n,).
        class_id: int64 (n,).
        coefficients: float32 (n, prototypes), real values.
    """

    xyxy: NDArray[np.float32]
    score: NDArray[np.float32]
    class_id: NDArray[np.int64]
    coefficients: NDArray[np.float32]


@dataclass(frozen=True)
class HeadOptions:
    """What to keep.

    Attributes:
        score_threshold: lowest score kept, 0 to 1.
        iou_threshold: two boxes that overlap by more than this are one object, 0 to 1.
        max_instances: keep at most so many, the best.
        classes: indices of the classes kept; None keeps all.
        agnostic_nms: let boxes of different classes suppress each other.
        multi_label: let an anchor stand for each class above the threshold rather than for its best one.
        vote_boxes: average each box with those it suppresses.
    """

    score_threshold: float = 0.25
    iou_threshold: float = 0.7
    max_instances: int = 100
    classes: tuple[int, ...] | None = None
    agnostic_nms: bool = False
    multi_label: bool = True
    vote_boxes: bool = True

    def __post_init__(self) -> None:
        for name in ("score_threshold", "iou_threshold"):
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"{name}: expected 0.0 to 1.0, got {value}")
        if self.max_instances < 1:
            raise ValueError(f"max_instances: expected 1 or more, got {self.max_instances}")

    @property
    def lowest_score(self) -> float:
        """Give the lowest real score kept: float32 must not turn away one that just passed as a stored number."""
        return self.score_threshold * (1 - float(np.finfo(np.float32).eps))


def decode(outputs: Sequence[Tensor], spec: ModelSpec, options: HeadOptions) -> Candidates:
    """Find the boxes of one image.

    Scores are compared as they are stored; only survivors are dequantised.

    Args:
        outputs: the model's outputs, in the order of `spec.outputs`.
        spec: what they mean.
        options: what to keep.
    """
    scores = spec.scores.view(outputs)
    threshold = stored_threshold(spec.scores.quant, options.score_threshold)
    anchors, class_id = _above_threshold(scores, threshold, options)
    stored_score = scores[class_id, anchors]
    order = _best_first(stored_score, anchors)
    anchors, class_id, stored_score = anchors[order], class_id[order], stored_score[order]
    xyxy = spec.boxes.quant.dequantize(spec.boxes.view(outputs)[:, anchors].T) @ _corners_of_box(spec.input_hw)
    real = has_area(xyxy)
    if not real.all():
        anchors, class_id, stored_score, xyxy = anchors[real], class_id[real], stored_score[real], xyxy[real]
    score = spec.scores.quant.dequantize(stored_score)
    groups = None if options.agnostic_nms else class_id
    kept = suppress(xyxy, groups, options.iou_threshold)[: options.max_instances]
    coefficients = spec.coefficients.view(outputs)[:, anchors[kept]]
    return Candidates(
        xyxy=vote(kept, xyxy, score, groups, options.iou_threshold) if options.vote_boxes else xyxy[kept],
        score=score[kept],
        class_id=class_id[kept],
        coefficients=spec.coefficients.quant.dequantize(coefficients.T),
    )


@lru_cache(maxsize=8)
def stored_threshold(quant: QuantParams, score_threshold: float) -> float:
    """Give the smallest stored score that is kept; it may lie outside the type."""
    return quant.smallest_stored_at_least(score_threshold)


def _above_threshold(
    scores: Tensor, threshold: float, options: HeadOptions
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Give anchors and classes of the stored scores (classes, anchors) that reach the stored threshold."""
    classes = None if options.classes is None else np.array(sorted(set(options.classes)), np.intp)
    chosen = scores if classes is None else scores[classes]
    if not len(chosen):
        return np.empty(0, np.intp), np.empty(0, np.int64)
    reached = chosen >= threshold
    if options.multi_label:
        rows, anchors = np.divmod(np.flatnonzero(reached), reached.shape[1])
    else:
        # Few anchors reach it: only those are looked at one by one.
        anchors = np.flatnonzero(reached.any(axis=0))
        rows = chosen[:, anchors].argmax(axis=0)
    return anchors, (rows if classes is None else classes[rows]).astype(np.int64, copy=False)


def _best_first(stored_score: Tensor, anchors: NDArray[np.intp]) -> NDArray[np.intp]:
    """Sort by score, descending; of equal scores, which coarse steps make common, the later anchor comes first.

    Later anchors belong to larger strides, which see more of the object. Of one anchor's equal scores, the order stays.
    """
    # Sorted from the end, and read from the end.
    from_the_end = np.lexsort((anchors[::-1], stored_score[::-1]))
    return len(anchors) - 1 - from_the_end[::-1]


@lru_cache(maxsize=8)
def _corners_of_box(input_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Give what turns (n, 4) centre and size, as fractions of the input, into corners in network pixels."""
    height, width = input_hw
    return np.array(
        [
            [width, 0, width, 0],
            [0, height, 0, height],
            [-width / 2, 0, width / 2, 0],
            [0, -height / 2, 0, height / 2],
        ],
        np.float32,
    )
