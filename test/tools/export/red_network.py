"""A network that needs no training: it finds what is red, and knows one class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolov8_seg_ros.core.model_spec import STRIDES_PX

#: As a fraction of the network's input.
BOX_SIZE = 0.25


class RedNetwork(nn.Module):
    """Give a box of a fixed size about each red anchor point of the finest stride, and red pixels as the mask.

    Args:
        gain: multiplies mask coefficients and divides prototypes.
        outlier: added to one prototype cell in a corner, where it says nothing but takes all of int8's range.
    """

    def __init__(self, gain: float = 1.0, outlier: float = 0.0) -> None:
        super().__init__()
        self.gain, self.outlier = gain, outlier

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        red = images[:, :1] - images[:, 1:2]
        levels = [functional.avg_pool2d(red, stride) for stride in STRIDES_PX]
        gains = (16.0, 0.0, 0.0)
        scores = [torch.sigmoid(gain * torch.flatten(level, 2) - 12) for gain, level in zip(gains, levels, strict=True)]
        scores = torch.cat(scores, 2)
        points = torch.cat([self._points(level) for level in levels], 2)
        # Added to something that is computed, since constants are no outputs.
        boxes = torch.cat([points, torch.full_like(points, BOX_SIZE)], 1) + 0 * scores
        prototype = 8 * functional.avg_pool2d(red, 4) - 4
        corner = torch.zeros_like(prototype[:1])
        corner[0, 0, 0, 0] = self.outlier
        prototype = prototype + corner
        coefficients = self.gain * (torch.ones_like(scores) + 0 * scores)
        return boxes, scores, coefficients, prototype / self.gain

    @staticmethod
    def _points(level: Tensor) -> Tensor:
        rows, columns = level.shape[2:]
        y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
        return torch.stack([x.flatten(), y.flatten()])[None]
