"""Compare an int8 network with the float network it was made from, image by image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.iou import box_iou, mask_iou
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter

#: Instances of the float network with this score or more are compared.
SCORE_THRESHOLD = 0.25
#: The int8 network has found an instance if its score is lower by no more than this.
SCORE_SLACK = 0.1
#: Boxes of the same class with a higher IoU are the same instance.
SAME_BOX_IOU = 0.5
#: Limits that only a failed export exceeds; a good one is far from them.
MIN_FOUND = 0.8
MIN_BOX_IOU = 0.75
MIN_MASK_IOU = 0.75
MAX_SCORE_DIFFERENCE = 0.15


@dataclass
class Agreement:
    """Differences between two networks over a set of images.

    Attributes:
        images: number of images compared.
        expected: number of instances of the float network.
        surplus: number of instances of the int8 network alone.
        score_differences: int8 less float, one per common instance.
        box_ious: one per common instance.
        mask_ious: one per common instance.
    """

    images: int = 0
    expected: int = 0
    surplus: int = 0
    score_differences: list[float] = field(default_factory=list)
    box_ious: list[float] = field(default_factory=list)
    mask_ious: list[float] = field(default_factory=list)

    @property
    def found(self) -> float:
        """Return the fraction of the float network's instances that the int8 network found."""
        return len(self.box_ious) / self.expected if self.expected else 0.0

    def failures(self) -> list[str]:
        """Return which limits are exceeded; empty for a good export."""
        if not self.expected:
            return [
                f"the float network finds nothing with a score of {SCORE_THRESHOLD} in {self.images} images, "
                "so there is nothing to compare; give some of the training images"
            ]
        bounds = [
            ("instances found", self.found, MIN_FOUND),
            ("mean box IoU", _mean(self.box_ious), MIN_BOX_IOU),
            ("mean mask IoU", _mean(self.mask_ious), MIN_MASK_IOU),
        ]
        failures = [f"{name} {value:.3f}, expected at least {low}" for name, value, low in bounds if value < low]
        if abs(_mean(self.score_differences)) > MAX_SCORE_DIFFERENCE:
            failures.append(f"mean score difference {_mean(self.score_differences):+.3f}")
        return failures

    def rows(self) -> list[tuple[str, str]]:
        """Return a table of names and values."""
        differences = np.abs(self.score_differences)
        return [
            ("images compared", str(self.images)),
            ("instances, float", str(self.expected)),
            ("found by int8 too", f"{len(self.box_ious)} ({100 * self.found:.1f} %)"),
            ("found by int8 only", str(self.surplus)),
            ("score difference", f"mean {_mean(self.score_differences):+.3f}, mean absolute {_mean(differences):.3f}"),
            ("box IoU", _spread(self.box_ious)),
            ("mask IoU", _spread(self.mask_ious)),
        ]

    def add(self, expected: Instances, found: Instances) -> None:
        """Compare the instances of both networks in one image."""
        self.images += 1
        wanted = expected[expected.score >= SCORE_THRESHOLD]
        self.expected += len(wanted)
        overlap = box_iou(wanted.xyxy, found.xyxy)
        overlap[wanted.class_id[:, None] != found.class_id[None]] = 0.0
        free = np.ones(len(found), np.bool_)
        for row in range(len(wanted)):
            candidates = np.where(free, overlap[row], 0.0)
            if not len(found) or candidates.max() <= SAME_BOX_IOU:
                continue
            column = int(candidates.argmax())
            free[column] = False
            self.score_differences.append(float(found.score[column] - wanted.score[row]))
            self.box_ious.append(float(overlap[row, column]))
            self.mask_ious.append(mask_iou(wanted.full_mask(row), found.full_mask(column)))
        self.surplus += self._count_surplus(expected, found, free)

    @staticmethod
    def _count_surplus(expected: Instances, found: Instances, free: NDArray[np.bool_]) -> int:
        """Count the unmatched instances that the float network does not find with any score."""
        left = found[free & (found.score >= SCORE_THRESHOLD)]
        overlap = box_iou(left.xyxy, expected.xyxy)
        overlap[left.class_id[:, None] != expected.class_id[None]] = 0.0
        return int((overlap.max(axis=1, initial=0.0) <= SAME_BOX_IOU).sum())


def compare(expected: Backend, examined: Backend, images: Iterable[NDArray[np.uint8]]) -> Agreement:
    """Run both networks on all images.

    Args:
        expected: the float network.
        examined: the int8 network.
        images: bgr8 (height, width, 3).
    """
    options = SegmenterOptions(detection=DetectionOptions(score_threshold=SCORE_THRESHOLD - SCORE_SLACK))
    segmenters = [Segmenter(backend, options) for backend in (expected, examined)]
    agreement = Agreement()
    for image in images:
        agreement.add(*(segmenter.segment(image) for segmenter in segmenters))
    return agreement


def _mean(values: list[float] | NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _spread(values: list[float]) -> str:
    if not values:
        return "none"
    return f"mean {np.mean(values):.3f}, 5th percentile {np.quantile(values, 0.05):.3f}"
