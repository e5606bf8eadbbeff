"""Define the bundled model's network: YOLOv8-seg's raw head from some 290,000 weights, in plain torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.media.scene import SCENE_CLASSES
from yolov8_seg_ros.tools.export.network import Network, RawLevel

#: Metadata of the exported file.
METADATA = {
    "description": "circles, squares and triangles of the built-in scene",
    "author": "yolov8_seg_ros maintainers",
    "license": "Apache-2.0",
}
#: DFL bins of each box side: distances of 0 to 7 strides from the anchor point.
NUM_BINS = 8
NUM_COEFFICIENTS = 16
#: Channels at strides 2, 4, 8, 16 and 32, of the pyramid, and of the prototype branch.
BACKBONE_CHANNELS = (16, 24, 48, 64, 80)
PYRAMID_CHANNELS = 40
PROTOTYPE_CHANNELS = 32
#: Initial class scores, since few anchor points lie on an object.
_PRIOR_SCORE = 0.01


class ShapesNetwork(nn.Module):
    """A small convolutional network with the raw head of YOLOv8-seg.

    Args:
        num_classes: number of classes.
        input_hw: height and width of the images, in pixels, multiples of 32.
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
        self.heads = nn.ModuleList(_Head(num_classes) for _ in STRIDES_PX)
        self.prototype_lateral = _conv(c4, PROTOTYPE_CHANNELS, 1)
        self.prototype_top = _conv(PYRAMID_CHANNELS, PROTOTYPE_CHANNELS, 1)
        self.prototypes = nn.Sequential(
            _conv(PROTOTYPE_CHANNELS, PROTOTYPE_CHANNELS, 3), nn.Conv2d(PROTOTYPE_CHANNELS, NUM_COEFFICIENTS, 1)
        )

    def forward(self, images: Tensor) -> tuple[list[RawLevel], Tensor]:
        """Return the raw levels and the prototypes, as `Network` describes them, for a batch of any size.

        Args:
            images: float32 (batch, 3, height, width), RGB, 0 to 1.
        """
        at_4 = self.to_4(images)
        at_8 = self.to_8(at_4)
        at_16 = self.to_16(at_8)
        features = self._pyramid((at_8, at_16, self.to_32(at_16)))
        finest = _twice(self.prototype_top(features[0])) + self.prototype_lateral(at_4)
        levels = [head(feature) for head, feature in zip(self.heads, features, strict=True)]
        return levels, self.prototypes(finest)

    def _pyramid(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return feature maps, finest first, each with the coarser ones added."""
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
    """Branches of one level: box logits, class logits and mask coefficients."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        channels = PYRAMID_CHANNELS
        self.stem = nn.Sequential(_conv(channels, channels, 3), _conv(channels, channels, 3))
        self.boxes = nn.Conv2d(channels, 4 * NUM_BINS, 1)
        self.scores = nn.Conv2d(channels, num_classes, 1)
        self.coefficients = nn.Conv2d(channels, NUM_COEFFICIENTS, 1)
        nn.init.constant_(self.scores.bias, math.log(_PRIOR_SCORE / (1 - _PRIOR_SCORE)))

    def forward(self, feature: Tensor) -> RawLevel:
        hidden = self.stem(feature)
        return RawLevel(self.boxes(hidden), self.scores(hidden), self.coefficients(hidden))


def save(network: ShapesNetwork, path: Path) -> None:
    """Write the weights and the arguments that build the network."""
    torch.save(
        {"num_classes": network.num_classes, "input_hw": network.input_hw, "weights": network.state_dict()}, path
    )


def load(path: Path) -> ShapesNetwork:
    """Read a network that `save` wrote, in evaluation mode."""
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
    """Read a trained network for the exporter."""
    return Network(load(path), SCENE_CLASSES, METADATA)
