"""Read a trained network: an Ultralytics YOLOv8 or YOLO11 segmentation checkpoint, or what a user's function reads."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.errors import ExportError, one_line
from yolov8_seg_ros.tools.export.environment import ULTRALYTICS, quiet, require_packages
from yolov8_seg_ros.tools.export.network import Network, RawLevel

TASK = "segment"
#: Raised by Ultralytics or torch for a damaged or foreign file.
_READ_ERRORS = (TypeError, RuntimeError, EOFError, OSError, KeyError, ValueError, AttributeError, ImportError)


def load_network(weights: Path, function: str) -> Network:
    """Read a network.

    Args:
        weights: an Ultralytics checkpoint, or the file that `function` reads.
        function: "module:function", which takes the path and returns a `Network`; empty for an Ultralytics checkpoint.

    Raises:
        ExportError: if there is no such function, or it cannot read the weights.
    """
    if not function:
        require_packages(ULTRALYTICS)
        return load_checkpoint(weights)
    module_name, _, name = function.partition(":")
    # As `python -m` does: the network's code is in the folder in which the user works.
    sys.path.insert(0, str(Path.cwd()))
    try:
        read = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ExportError(f"--network '{function}': {error}; expected module:function") from error
    network = read(weights)
    if not isinstance(network, Network):
        raise ExportError(
            f"--network '{function}' returns {type(network).__name__}, "
            f"expected {Network.__qualname__} of {Network.__module__}"
        )
    return network


def load_checkpoint(path: Path) -> Network:
    """Read the network of a checkpoint, with fused layers and a raw head.

    Args:
        path: a .pt file as Ultralytics writes it; only classes known to Ultralytics are made from it.

    Raises:
        ExportError: if the file is not a checkpoint of a YOLOv8 or YOLO11 segmentation network.
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
    model.model[-1] = RawHead(head)
    names = tuple(str(model.names[index]) for index in sorted(model.names))
    return Network(model, names, {"description": f"trained with Ultralytics ({path.name})", "license": "AGPL-3.0"})


class RawHead(nn.Module):
    """YOLOv8's segmentation head without its decoding.

    Args:
        head: the head of Ultralytics.
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        # The model's own forward pass reads the index, the inputs and the type of each layer.
        self.f, self.i, self.type = head.f, head.i, head.type
        self.boxes, self.scores, self.coefficients = head.cv2, head.cv3, head.cv4
        self.proto = head.proto

    def forward(self, features: list[Tensor]) -> tuple[list[RawLevel], Tensor]:
        """Return the raw levels and the prototypes, as `Network` describes them."""
        parts = zip(features, self.boxes, self.scores, self.coefficients, strict=True)
        levels = [RawLevel(*(branch(feature) for branch in branches)) for feature, *branches in parts]
        return levels, self.proto(features[0])


def _read(path: Path) -> Any:
    # Otherwise Ultralytics installs packages by itself.
    os.environ["YOLO_AUTOINSTALL"] = "False"
    try:
        with quiet():
            from ultralytics.nn.tasks import torch_safe_load

            checkpoint, _ = torch_safe_load(str(path), safe_only=True)
    except _READ_ERRORS as error:
        raise ExportError(f"{path}: Ultralytics cannot read this checkpoint ({one_line(error)[:200]})") from error
    model = checkpoint.get("ema") or checkpoint.get("model")
    if not isinstance(model, nn.Module):
        raise ExportError(f"{path}: this checkpoint contains no network")
    return model.float().eval()


def _task(model: Any) -> str:
    from ultralytics.nn.tasks import guess_model_task

    # Only some versions store it.
    return str(getattr(model, "task", None) or guess_model_task(model))


def _use_convertible_forms(model: nn.Module) -> None:
    for module in model.modules():
        if hasattr(module, "forward_split"):
            module.forward = module.forward_split
