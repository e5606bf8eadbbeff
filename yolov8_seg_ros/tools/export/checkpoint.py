"""Read an Ultralytics YOLOv8 or YOLO11 segmentation checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.errors import ExportError
from yolov8_seg_ros.tools.export.environment import quiet
from yolov8_seg_ros.tools.export.network import Network, anchor_points

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
    task = _task(model)
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

    Boxes come as fractions of the network's input, by linear maps from the distributions of their four distances, and
    levels are joined last: with fewer steps, less is lost when it is quantised.

    Args:
        head: as Ultralytics has it.
        input_hw: height and width of the network's input, in pixels.
    """

    def __init__(self, head: nn.Module, input_hw: tuple[int, int]) -> None:
        super().__init__()
        # The model's own forward pass asks where this module stands and what it is fed with.
        self.f, self.i, self.type = head.f, head.i, head.type
        self.proto = head.proto
        self.boxes = nn.ModuleList(
            _Boxes(raw, head.reg_max, stride, input_hw) for raw, stride in zip(head.cv2, STRIDES_PX, strict=True)
        )
        self.scores, self.coefficients = head.cv3, head.cv4

    def forward(self, features: list[Tensor]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Give boxes, scores, coefficients and prototypes, as `Network` describes them."""
        boxes = [part(feature) for part, feature in zip(self.boxes, features, strict=True)]
        scores = [torch.sigmoid(part(feature)).flatten(2) for part, feature in zip(self.scores, features, strict=True)]
        coefficients = [part(feature).flatten(2) for part, feature in zip(self.coefficients, features, strict=True)]
        return torch.cat(boxes, 2), torch.cat(scores, 2), torch.cat(coefficients, 2), self.proto(features[0])


class _Boxes(nn.Module):
    """Boxes (1, 4, anchors) of one level, from how likely each distance to the left, top, right and bottom is."""

    def __init__(self, raw: nn.Module, num_bins: int, stride: int, input_hw: tuple[int, int]) -> None:
        super().__init__()
        self.raw, self.num_bins = raw, num_bins
        left, top, right, bottom = (torch.eye(4).unsqueeze(2) * torch.arange(num_bins)).reshape(4, -1)
        cell = torch.tensor([[stride / input_hw[1]], [stride / input_hw[0]]])
        self.register_buffer("offset_map", torch.stack([right - left, bottom - top]) / 2 * cell)
        self.register_buffer("size_map", torch.stack([left + right, top + bottom]) * cell)
        self.register_buffer("anchors", anchor_points(input_hw, stride).T)

    def forward(self, feature: Tensor) -> Tensor:
        raw = self.raw(feature).permute(0, 2, 3, 1).reshape(1, -1, 4, self.num_bins)
        likely = raw.softmax(dim=3).reshape(1, -1, 4 * self.num_bins)
        centres = nn.functional.linear(likely, self.offset_map) + self.anchors
        return torch.cat([centres, nn.functional.linear(likely, self.size_map)], dim=2).transpose(1, 2)


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


def _task(model: Any) -> str:
    from ultralytics.nn.tasks import guess_model_task

    # Only some versions write it down.
    return str(getattr(model, "task", None) or guess_model_task(model))


def _use_convertible_forms(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "forward_split"):
            module.forward = module.forward_split
