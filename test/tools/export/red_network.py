"""A network that needs no training: it finds red regions of one size, and has one class."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.tools.export.network import RawLevel

NUM_BINS = 8
#: Distances of an anchor point of stride 8 to the sides of its box: left, top, right, bottom, in strides.
BOX_STRIDES = (4, 3, 4, 3)
#: Softmax of this logit among zeros is above 0.999.
SURE_LOGIT = 10.0


class RedNetwork(nn.Module):
    """A box of a fixed size about each red anchor point of stride 8, and red pixels as the mask.

    Args:
        gain: multiplies mask coefficients and divides prototypes, so that masks stay the same.
        outlier: added to one prototype cell in a corner, where it takes all of int8's range.
    """

    def __init__(self, gain: float = 1.0, outlier: float = 0.0) -> None:
        super().__init__()
        self.gain, self.outlier = gain, outlier
        bins = SURE_LOGIT * functional.one_hot(torch.tensor(BOX_STRIDES), NUM_BINS)
        self.register_buffer("box_logits", bins.float().reshape(1, -1, 1, 1))

    def forward(self, images: Tensor) -> tuple[list[RawLevel], Tensor]:
        red = images[:, :1] - images[:, 1:2]
        levels = [
            self._level(functional.avg_pool2d(red, stride), score_gain)
            for stride, score_gain in zip(STRIDES_PX, (16.0, 0.0, 0.0), strict=True)
        ]
        prototype = 8 * functional.avg_pool2d(red, 4) - 4
        corner = torch.zeros_like(prototype[:1])
        corner[0, 0, 0, 0] = self.outlier
        return levels, (prototype + corner) / self.gain

    def _level(self, red: Tensor, score_gain: float) -> RawLevel:
        scores = score_gain * red - 12
        # Added to computed values, since constants cannot be outputs.
        return RawLevel(self.box_logits + 0 * red, scores, self.gain * (1 + 0 * red))
