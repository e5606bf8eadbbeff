"""Describe a trained network to the exporter, and check its outputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from yolov8_seg_ros.core.model_spec import PROTOTYPE_STRIDE_PX, STRIDES_PX
from yolov8_seg_ros.errors import ExportError, one_line

#: A box has four sides, and a side two DFL bins or more.
_SIDES, _MIN_BINS = 4, 2
#: Shapes of the outputs, by name.
Shapes = dict[str, tuple[int, ...]]


class RawLevel(NamedTuple):
    """Raw outputs of one stride s, for an input of height x width.

    Attributes:
        boxes: (1, 4 * bins, height / s, width / s), box logits: DFL bins of the distances left, top, right, bottom.
        scores: (1, classes, height / s, width / s), class logits.
        coefficients: (1, prototypes, height / s, width / s), mask coefficients.
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor


@dataclass(frozen=True)
class Network:
    """A trained network.

    Attributes:
        module: takes RGB images (1, 3, height, width), 0 to 1; returns a `RawLevel` for each of the strides 8, 16 and
            32, and the prototypes (1, prototypes, height / 4, width / 4).
        class_names: one name per class.
        metadata: further entries for the exported file, such as author and license.
    """

    module: nn.Module
    class_names: tuple[str, ...]
    metadata: dict[str, Any] = field(default_factory=dict)


class NhwcNetwork(nn.Module):
    """A network with NHWC input and outputs, as it is converted.

    Args:
        module: as in `Network`.
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """Return the outputs by name, in the order of the exported file."""
        levels, prototypes = self.module(images.permute(0, 3, 1, 2))
        return {name: output.permute(0, 2, 3, 1) for name, output in _named(levels, prototypes)}


def _named(levels: Sequence[RawLevel], prototypes: Tensor) -> Iterator[tuple[str, Tensor]]:
    for stride, level in zip(STRIDES_PX, levels, strict=True):
        for part, output in zip(RawLevel._fields, level, strict=True):
            yield f"{part}_{stride}", output
    yield "prototypes", prototypes


def check_outputs(network: Network, input_hw: tuple[int, int]) -> None:
    """Raise ExportError unless the network's outputs are those of a YOLOv8-seg network's raw head."""
    try:
        with torch.inference_mode():
            outputs = dict(_named(*network.module(torch.zeros(1, 3, *input_hw))))
        shapes = {name: tuple(output.shape) for name, output in outputs.items()}
    except (RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(
            f"the network fails on an image of {input_hw[1]}x{input_hw[0]} pixels: {one_line(error)}"
        ) from error
    expected = _expected_shapes(network, shapes, input_hw)
    wrong = [f"{name} of {shapes[name]}, expected {shape}" for name, shape in expected.items() if shapes[name] != shape]
    if wrong:
        raise ExportError(f"for {len(network.class_names)} classes the network returns {'; '.join(wrong)}")


def _expected_shapes(network: Network, shapes: Shapes, input_hw: tuple[int, int]) -> Shapes:
    """Return the shape that each output must have; the first level sets the number of bins and of prototypes."""

    def channels(part: str) -> int:
        shape = shapes[f"{part}_{STRIDES_PX[0]}"]
        return shape[1] if len(shape) == 4 else 0

    num_bins = max(channels("boxes") // _SIDES, _MIN_BINS)
    num_prototypes = max(channels("coefficients"), 1)
    height, width = input_hw
    expected = dict[str, tuple[int, ...]]()
    for stride in STRIDES_PX:
        for part, number in zip(
            RawLevel._fields, (_SIDES * num_bins, len(network.class_names), num_prototypes), strict=True
        ):
            expected[f"{part}_{stride}"] = (1, number, height // stride, width // stride)
    expected["prototypes"] = (1, num_prototypes, height // PROTOTYPE_STRIDE_PX, width // PROTOTYPE_STRIDE_PX)
    return expected
