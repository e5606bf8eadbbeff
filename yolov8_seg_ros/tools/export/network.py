"""Bring a trained network into the form of ST's contract: NHWC pictures in, head and prototypes out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from yolov8_seg_ros.core.model_spec import BOX_CHANNELS, PROTOTYPE_STRIDE_PX, STRIDES_PX, anchor_count
from yolov8_seg_ros.errors import ExportError

#: Largest coefficient, either sign, in a head that boxes and scores share.
SHARED_HEAD_COEFFICIENT = 0.5
#: A real range, lowest and highest value.
Range = tuple[float, float]
#: An anchor point of a lower score sees nothing that matters.
SEEN_SCORE = 0.05
PARTS = ("boxes", "scores", "coefficients", "prototypes")


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        module: takes RGB pictures (1, 3, height, width), 0 to 1, and gives what `PARTS` names: boxes (1, 4, anchors),
            centre and size as fractions of the input; scores (1, classes, anchors), 0 to 1; coefficients
            (1, prototypes, anchors); prototypes (1, prototypes, height / 4, width / 4).
        class_names: a name for each class.
        metadata: what else is known of it, such as author and licence, for the exported file.
    """

    module: nn.Module
    class_names: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class SeenRanges:
    """Ranges, lowest and highest value, where an object is seen.

    Elsewhere nothing keeps these numbers small, and nobody needs them.

    Attributes:
        coefficients: of the mask coefficients.
        offsets: from anchor points to the centres of their boxes, as fractions of the input.
    """

    coefficients: Range = (0.0, 0.0)
    offsets: Range = (0.0, 0.0)

    @property
    def is_empty(self) -> bool:
        """Tell whether no object was seen."""
        return self.coefficients == (0.0, 0.0)

    @property
    def gain(self) -> float:
        """Give what coefficients are divided by, and prototypes multiplied by, in a head that is shared.

        Coefficients from 0 to 1 fit beside boxes and scores as they are.
        """
        low, high = self.coefficients
        if low >= 0 and high <= 1:
            return 1.0
        return max(-low, high) / SHARED_HEAD_COEFFICIENT


class ContractModule(nn.Module):
    """A network as it is converted: (1, height, width, 3) pictures in; boxes, scores and coefficients joined, or apart.

    Args:
        module: as in `Network`.
        split_head: give boxes, scores and coefficients as outputs of their own.
        gain: divide coefficients by this and multiply prototypes by it, which leaves masks as they are.
    """

    def __init__(self, module: nn.Module, split_head: bool, gain: float = 1.0) -> None:
        super().__init__()
        self.module = module
        self.split_head = split_head
        self.gain = gain

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Give the outputs by name."""
        boxes, scores, coefficients, prototypes = self.module(images.permute(0, 3, 1, 2))
        if self.gain != 1.0:
            coefficients, prototypes = coefficients / self.gain, prototypes * self.gain
        prototypes = prototypes.permute(0, 2, 3, 1)
        if self.split_head:
            return dict(zip(PARTS, (boxes, scores, coefficients, prototypes), strict=True))
        return {"head": torch.cat([boxes, scores, coefficients], dim=1), "prototypes": prototypes}


def measure(module: nn.Module, inputs: Iterable[NDArray[np.float32]]) -> SeenRanges:
    """Find the ranges on network inputs (1, height, width, 3)."""
    coefficients, offsets = (0.0, 0.0), (0.0, 0.0)
    with torch.inference_mode():
        for network_input in inputs:
            images = torch.from_numpy(network_input).permute(0, 3, 1, 2)
            boxes, scores, all_coefficients, _ = module(images)
            anchors = torch.cat([anchor_points(images.shape[2:], stride) for stride in STRIDES_PX], dim=1)
            seen = scores[0].amax(dim=0) >= SEEN_SCORE
            coefficients = _widened(coefficients, all_coefficients[0][:, seen])
            offsets = _widened(offsets, (boxes[0, :2] - anchors)[:, seen])
    return SeenRanges(coefficients, offsets)


def anchor_points(input_hw: Sequence[int], stride: int) -> Tensor:
    """Give float32 (2, anchors): x and y of a stride's anchor points, row by row, as fractions of the input."""
    rows, columns = input_hw[0] // stride, input_hw[1] // stride
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()])


def _widened(limits: Range, values: Tensor) -> Range:
    if not values.numel():
        return limits
    return min(limits[0], float(values.min())), max(limits[1], float(values.max()))


def check_parts(network: Network, input_hw: tuple[int, int]) -> None:
    """Raise ExportError unless the network's outputs are those of a YOLOv8-seg network."""
    try:
        with torch.inference_mode():
            outputs = network.module(torch.zeros(1, 3, *input_hw))
        shapes = [tuple(output.shape) for output in outputs]
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ExportError(
            f"the network fails on a picture of {input_hw[1]}x{input_hw[0]}: {' '.join(str(error).split())}"
        ) from error
    count = shapes[-1][1] if shapes and len(shapes[-1]) == 4 else 0
    rows, columns = (size // PROTOTYPE_STRIDE_PX for size in input_hw)
    anchors = anchor_count(input_hw)
    channels = (BOX_CHANNELS, len(network.class_names), count)
    expected = [*((1, number, anchors) for number in channels), (1, count, rows, columns)]
    if shapes != expected:
        raise ExportError(
            f"the network gives {shapes}, expected {', '.join(PARTS)} of {expected} "
            f"for {len(network.class_names)} classes"
        )
