"""Find the function that reads a network's weights."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from yolov8_seg_ros.errors import ExportError
from yolov8_seg_ros.tools.export.environment import ULTRALYTICS, require_packages
from yolov8_seg_ros.tools.export.network import Network


def load_network(weights: Path, function: str, input_hw: tuple[int, int]) -> Network:
    """Read a network.

    Args:
        weights: an Ultralytics checkpoint, or what `function` reads.
        function: "module:function", which takes the path and gives a `Network`; empty for an Ultralytics checkpoint.
        input_hw: height and width of the network's input, in pixels.

    Raises:
        ExportError: if there is no such function, or the weights are not what it reads.
    """
    if not function:
        require_packages(ULTRALYTICS)
        from yolov8_seg_ros.tools.export.checkpoint import load_checkpoint

        return load_checkpoint(weights, input_hw)
    module_name, _, name = function.partition(":")
    # As `python -m` does: the network's own code stands in the folder the user works in.
    sys.path.insert(0, str(Path.cwd()))
    try:
        read = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ExportError(f"--network '{function}': {error}; expected module:function") from error
    network = read(weights)
    if not isinstance(network, Network):
        raise ExportError(f"--network '{function}' gives {type(network).__name__}, expected {Network.__qualname__}")
    return network
