"""Compare an int8 network with the float one it was made from, picture by picture."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.iou import mask_iou
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter

#: An instance of the float network counts from this score on.
SCORE_THRESHOLD = 0.25
#: The int8 network may score it this much lower and still have found it.
SCORE_SLACK = 0.1
#: Boxes of one class that overlap by more show the same instance.
SAME_BOX_IOU = 0.5
#: Below these an export has collapsed; a sound one lies far above.
MIN_FOUND = 0.8
MIN_BOX_IOU = 0.75
MIN_MASK_IOU = 0.75
MAX_SCORE_DIFFERENCE = 0.15


@dataclass
class Agreement:
    """What two networks agree on.

    Attributes:
        pictures: how many were compared.
        expected: instances the float network found.
        surplus: instances that only the int8 network found.
        score_differences: of instances both found.
        box_ious: likewise.
        mask_ious: likewise.
    """

    pictures: int = 0
    expected: int = 0
    surplus: int = 0
    score_differences: list[float] = field(default_factory=list)
    box_ious: list[float] = field(default_factory=list)
    mask_ious: list[float] = field(default_factory=list)

    @property
    def found(self) -> float:
        """Give the part of the float network's instances that the int8 one found too."""
        return len(self.box_ious) / self.expected if self.expected else 0.0

    def complaints(self) -> list[str]:
        """Say in what the int8 network falls short; nothing where it is sound."""
        if not self.expected:
            return [
                f"the float network itself finds nothing with a score of {SCORE_THRESHOLD} in {self.pictures} "
                "pictures, so there is nothing to compare; give pictures of what it was trained on"
            ]
        bounds = [
            ("instances found", self.found, MIN_FOUND),
            ("mean box IoU", _mean(self.box_ious), MIN_BOX_IOU),
            ("mean mask IoU", _mean(self.mask_ious), MIN_MASK_IOU),
        ]
        complaints = [f"{name} {value:.3f}, expected {low} at least" for name, value, low in bounds if value < low]
        if abs(_mean(self.score_differences)) > MAX_SCORE_DIFFERENCE:
            complaints.append(f"scores differ by {_mean(self.score_differences):+.3f} in the mean")
        return complaints

    def rows(self) -> list[tuple[str, str]]:
        """Give the table: what is compared, and how it is."""
        differences = np.abs(self.score_differences)
        return [
            ("pictures compared", str(self.pictures)),
            ("instances, float", str(self.expected)),
            ("found by int8 too", f"{len(self.box_ious)} ({100 * self.found:.1f} %)"),
            ("found by int8 only", str(self.surplus)),
            ("score difference", f"mean {_mean(self.score_differences):+.3f}, mean size {_mean(differences):.3f}"),
            ("box IoU", _spread(self.box_ious)),
            ("mask IoU", _spread(self.mask_ious)),
        ]

    def add(self, expected: Instances, found: Instances) -> None:
        """Compare what both networks found in one picture."""
        self.pictures += 1
        wanted = expected[expected.score >= SCORE_THRESHOLD]
        self.expected += len(wanted)
        overlap = _box_iou(wanted.xyxy, found.xyxy)
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
        """Count the unmatched instances of a good score that the float network does not see with any."""
        left = found[free & (found.score >= SCORE_THRESHOLD)]
        overlap = _box_iou(left.xyxy, expected.xyxy)
        overlap[left.class_id[:, None] != expected.class_id[None]] = 0.0
        return int((overlap.max(axis=1, initial=0.0) <= SAME_BOX_IOU).sum())


def compare(expected: Backend, examined: Backend, pictures: Iterable[NDArray[np.uint8]]) -> Agreement:
    """Run both networks on all pictures.

    Args:
        expected: the float network.
        examined: the int8 one.
        pictures: bgr8 (height, width, 3).
    """
    options = SegmenterOptions(detection=DetectionOptions(score_threshold=SCORE_THRESHOLD - SCORE_SLACK))
    segmenters = [Segmenter(backend, options) for backend in (expected, examined)]
    agreement = Agreement()
    for picture in pictures:
        agreement.add(*(segmenter.segment(picture) for segmenter in segmenters))
    return agreement


def _box_iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give (n, m): the intersection over union of boxes (n, 4) with boxes (m, 4)."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return np.asarray(both / np.maximum(area_a[:, None] + area_b[None] - both, 1e-6), np.float32)


def _mean(values: list[float] | NDArray[np.float64]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _spread(values: list[float]) -> str:
    if not values:
        return "nothing to compare"
    return f"mean {np.mean(values):.3f}, worst of twenty {np.quantile(values, 0.05):.3f}"
