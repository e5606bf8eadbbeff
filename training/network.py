"""Define the bundled model's network: YOLOv8-seg's outputs from some 280,000 weights, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.media.scene import SCENE_CLASSES
from yolov8_seg_ros.tools.export.network import Network, anchor_points

#: What the exported file says of itself.
METADATA = {
    "description": "circles, squares and triangles of the built-in scene",
    "author": "yolov8_seg_ros maintainers",
    "license": "Apache-2.0",
}
NUM_COEFFICIENTS = 16
#: Channels at strides 2, 4, 8, 16 and 32, of the pyramid, and of the prototypes' branch.
BACKBONE_CHANNELS = (16, 24, 48, 64, 80)
PYRAMID_CHANNELS = 40
PROTOTYPE_CHANNELS = 32
#: Scores start near this, since few anchors see an object.
_PRIOR_SCORE = 0.01
_PRIOR_SIZE = 0.2
#: Weights that predict fractions of the input start this much smaller than others.
_FRACTION_WEIGHTS = 0.2


class Predictions(NamedTuple):
    """What the network says of a batch.

    Attributes:
        boxes: (batch, 4, anchors), centre x and y, width and height, as fractions of the input.
        scores: (batch, classes, anchors); logits while training, else 0 to 1.
        coefficients: (batch, prototypes, anchors), 0 to 1.
        prototypes: (batch, prototypes, height / 4, width / 4).
    """

    boxes: Tensor
    scores: Tensor
    coefficients: Tensor
    prototypes: Tensor


class ShapesNetwork(nn.Module):
    """A small convolutional network with YOLOv8-seg's outputs.

    It is made to be quantised. All that is in the head lies between 0 and 1, so that one scale of 1/255 serves it
    well: the prototypes alone carry signs. Boxes are predicted in the unit they are given in, and levels are joined
    last, so that little is rounded twice.

    Args:
        num_classes: how many classes.
        input_hw: height and width of the pictures, in pixels, multiples of 32.
    """

    def __init__(self, num_classes: int, input_hw: tuple[int, int]) -> None:
        super().__init__()
        c2, c4, c8, c16, c32 = BACKBONE_CHANNELS
        self.num_classes = num_classes
        self.input_hw = input_hw
        self.to_4 = nn.Sequential(_conv(3, c2, 3, 2), _conv(c2, c4, 3, 2), _Residual(c4, c4))
        self.to_8 = nn.Sequential(_conv(c4, c8, 3, 2), _Residual(c8, c8 // 2), _Residual(c8, c8 // 2))
        self.to_16 = nn.Sequential(_conv(c8, c16, 3, 2), _Residual(c16, c16 // 2))
        self.to_32 = nn.Sequential(_conv(c16, c32, 3, 2), _Residual(c32, c32 // 2), _conv(c32, c32, 5, groups=c32))
        self.laterals = nn.ModuleList(_conv(channels, PYRAMID_CHANNELS, 1) for channels in (c8, c16, c32))
        self.heads = nn.ModuleList(_Head(num_classes, anchor_points(input_hw, stride)) for stride in STRIDES_PX)
        self.prototype_lateral = _conv(c4, PROTOTYPE_CHANNELS, 1)
        self.prototype_top = _conv(PYRAMID_CHANNELS, PROTOTYPE_CHANNELS, 1)
        self.prototypes = nn.Sequential(
            _conv(PROTOTYPE_CHANNELS, PROTOTYPE_CHANNELS, 3), nn.Conv2d(PROTOTYPE_CHANNELS, NUM_COEFFICIENTS, 1)
        )

    def forward(self, images: Tensor) -> Predictions:
        """Look at RGB pictures (batch, 3, height, width), 0 to 1."""
        at_4 = self.to_4(images)
        at_8 = self.to_8(at_4)
        at_16 = self.to_16(at_8)
        levels = self._pyramid((at_8, at_16, self.to_32(at_16)))
        finest = _twice(self.prototype_top(levels[0])) + self.prototype_lateral(at_4)
        outputs = [head(level) for head, level in zip(self.heads, levels, strict=True)]
        boxes, scores, coefficients = (torch.cat(parts, dim=2) for parts in zip(*outputs, strict=True))
        return Predictions(boxes, scores, coefficients, self.prototypes(finest))

    def _pyramid(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Give the levels, finest first, each told what the coarser ones saw."""
        level, levels = None, []
        for lateral, feature in zip(reversed(list(self.laterals)), reversed(features), strict=True):
            level = lateral(feature) if level is None else lateral(feature) + _twice(level)
            levels.insert(0, level)
        return levels


class _Residual(nn.Module):
    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        first = _conv(channels, inner, 1 if inner < channels else 3)
        self.body = nn.Sequential(first, _conv(inner, channels, 3, activate=False))

    def forward(self, features: Tensor) -> Tensor:
        return functional.relu(features + self.body(features))


class _Head(nn.Module):
    """Boxes, scores and coefficients of one level, as in `Predictions`."""

    def __init__(self, num_classes: int, anchors: Tensor) -> None:
        super().__init__()
        channels = PYRAMID_CHANNELS
        self.stem = nn.Sequential(_conv(channels, channels, 3), _conv(channels, channels, 3))
        self.offsets, self.sizes = nn.Conv2d(channels, 2, 1), nn.Conv2d(channels, 2, 1)
        self.scores = nn.Conv2d(channels, num_classes, 1)
        self.coefficients = nn.Conv2d(channels, NUM_COEFFICIENTS, 1)
        self.register_buffer("anchors", anchors, persistent=False)
        self._initialise()

    def forward(self, level: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        seen = self.stem(level)
        parts = (self.offsets, self.sizes, self.scores, self.coefficients)
        offsets, sizes, scores, coefficients = (torch.flatten(part(seen), 2) for part in parts)
        boxes = torch.cat([self.anchors + offsets, sizes], dim=1)
        return boxes, scores if self.training else torch.sigmoid(scores), torch.sigmoid(coefficients)

    @torch.no_grad()
    def _initialise(self) -> None:
        for part, value in ((self.offsets, 0.0), (self.sizes, _PRIOR_SIZE)):
            part.weight.mul_(_FRACTION_WEIGHTS)
            part.bias.fill_(value)
        self.scores.bias.fill_(math.log(_PRIOR_SCORE / (1 - _PRIOR_SCORE)))


def save(network: ShapesNetwork, path: Path) -> None:
    """Write weights and what is needed to build the network anew."""
    torch.save(
        {"num_classes": network.num_classes, "input_hw": network.input_hw, "weights": network.state_dict()}, path
    )


def load(path: Path) -> ShapesNetwork:
    """Read a network that `save` wrote, ready to be used."""
    content = torch.load(path, weights_only=True)
    network = ShapesNetwork(content["num_classes"], tuple(content["input_hw"]))
    network.load_state_dict(content["weights"])
    return network.eval()


def _conv(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, activate: bool = True
) -> nn.Sequential:
    layers = [
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, momentum=0.03),
    ]
    return nn.Sequential(*layers, nn.ReLU()) if activate else nn.Sequential(*layers)


def _twice(features: Tensor) -> Tensor:
    return functional.interpolate(features, scale_factor=2.0, mode="nearest")


def trained(path: Path) -> Network:
    """Give the trained network as the exporter takes it."""
    return Network(load(path), SCENE_CLASSES, METADATA)
