"""Read an Ultralytics YOLOv8 or YOLO11 segmentation checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.export.environment import quiet
from yolov8_seg_ros.export.errors import ExportError
from yolov8_seg_ros.export.network import Network

TASK = "segment"
#: What reading a damaged or foreign file raises, by way of Ultralytics or of torch.
_READ_ERRORS = (TypeError, RuntimeError, EOFError, OSError, KeyError, ValueError, AttributeError, ImportError)


def load_checkpoint(path: Path, input_hw: tuple[int, int]) -> Network:
    """Read the network of a checkpoint, fused and with its head in parts.

    Args:
        path: a .pt file as Ultralytics writes it; only classes known to Ultralytics are made from it.
        input_hw: height and width of the network's input, in pixels.

    Raises:
        ExportError: if the file is no checkpoint of a YOLOv8 or YOLO11 segmentation network.
    """
    model = _read(path)
    task = getattr(model, "task", None)
    if task != TASK:
        raise ExportError(
            f"{path}: this is a network for '{task}', expected '{TASK}'; train yolov8n-seg or yolo11n-seg"
        )
    head = model.model[-1]
    strides = tuple(int(stride) for stride in head.stride)
    if not hasattr(head, "proto") or not hasattr(head, "dfl") or head.end2end or strides != STRIDES_PX:
        raise ExportError(
            f"{path}: its head is a {type(head).__name__} of strides {strides}, expected YOLOv8's or YOLO11's "
            f"segmentation head of strides {STRIDES_PX}"
        )
    with quiet():
        model.fuse(verbose=False)
    _use_convertible_forms(model)
    model.model[-1] = PartsHead(head, input_hw)
    names = tuple(str(model.names[index]) for index in sorted(model.names))
    return Network(model, names, {"description": f"trained with Ultralytics ({path.name})", "license": "AGPL-3.0"})


class PartsHead(nn.Module):
    """YOLOv8's segmentation head with boxes, scores, coefficients and prototypes as outputs.

    Boxes come as fractions of the network's input, by one linear map from the distributions of their four distances:
    with fewer steps, less is lost when it is quantised.

    Args:
        head: as Ultralytics has it.
        input_hw: height and width of the network's input, in pixels.
    """

    def __init__(self, head: nn.Module, input_hw: tuple[int, int]) -> None:
        super().__init__()
        self.box_heads, self.score_heads, self.coefficient_heads = head.cv2, head.cv3, head.cv4
        self.proto = head.proto
        # The model's own forward pass asks where this module stands and what it is fed with.
        self.f, self.i, self.type = head.f, head.i, head.type
        self.num_bins = head.reg_max
        for level, stride in enumerate(STRIDES_PX):
            self.register_buffer(f"box_map_{level}", _box_map(self.num_bins, stride, input_hw))
            self.register_buffer(f"anchors_{level}", _anchors(stride, input_hw))

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give boxes, scores, coefficients and prototypes, as `Network` describes them."""
        boxes = torch.cat([self._boxes(level, feature) for level, feature in enumerate(features)], dim=2)
        scores, coefficients = (
            torch.cat([torch.flatten(part(feature), 2) for part, feature in zip(heads, features, strict=True)], dim=2)
            for heads in (self.score_heads, self.coefficient_heads)
        )
        return boxes, torch.sigmoid(scores), coefficients, self.proto(features[0])

    def _boxes(self, level: int, feature: Tensor) -> Tensor:
        raw = self.box_heads[level](feature).permute(0, 2, 3, 1)
        likely = raw.reshape(1, -1, 4, self.num_bins).softmax(dim=3).reshape(1, -1, 4 * self.num_bins)
        box_map, anchors = getattr(self, f"box_map_{level}"), getattr(self, f"anchors_{level}")
        return (nn.functional.linear(likely, box_map) + anchors).transpose(1, 2)


def _box_map(num_bins: int, stride: int, input_hw: tuple[int, int]) -> Tensor:
    """Give (4, 4 * bins): from how likely each distance left, up, right and down is to a box about its anchor."""
    bins = torch.arange(num_bins, dtype=torch.float32)
    sides = torch.eye(4).unsqueeze(2) * bins
    left, top, right, bottom = sides.reshape(4, -1)
    width, height = stride / input_hw[1], stride / input_hw[0]
    return torch.stack(
        [(right - left) / 2 * width, (bottom - top) / 2 * height, (left + right) * width, (top + bottom) * height]
    )


def _anchors(stride: int, input_hw: tuple[int, int]) -> Tensor:
    """Give (1, anchors, 4): the anchor points as fractions of the input, and no size."""
    rows, columns = input_hw[0] // stride, input_hw[1] // stride
    y, x = torch.meshgrid((torch.arange(rows) + 0.5) / rows, (torch.arange(columns) + 0.5) / columns, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x), torch.zeros_like(y)], dim=2).reshape(1, -1, 4)


def _read(path: Path) -> Any:
    # Ultralytics would install packages by itself.
    os.environ["YOLO_AUTOINSTALL"] = "False"
    try:
        with quiet():
            from ultralytics.nn.tasks import torch_safe_load

            checkpoint, _ = torch_safe_load(str(path), safe_only=True)
    except _READ_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise ExportError(f"{path}: this is no checkpoint that Ultralytics can read ({reason})") from error
    model = checkpoint.get("ema") or checkpoint.get("model")
    if not isinstance(model, nn.Module):
        raise ExportError(f"{path}: this checkpoint holds no network")
    return model.float().eval()


def _use_convertible_forms(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "forward_split"):
            module.forward = module.forward_split
