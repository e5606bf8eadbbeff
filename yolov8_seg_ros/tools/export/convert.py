"""Convert a torch module to a float .tflite file."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import litert_torch
import torch
from ai_edge_litert.tools import flatbuffer_utils

from yolov8_seg_ros.errors import ExportError
from yolov8_seg_ros.tools.export.environment import quiet
from yolov8_seg_ros.tools.export.network import ContractModule


def convert(module: ContractModule, input_hw: tuple[int, int]) -> bytes:
    """Give the content of a float .tflite file; inputs and outputs keep their names in its signature.

    Raises:
        ExportError: if the converter cannot convert the module.
    """
    example = (torch.zeros(1, *input_hw, 3),)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "float.tflite"
        try:
            with quiet():
                litert_torch.convert(module.eval(), example).export(str(path))
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise ExportError(f"the network cannot be converted: {' '.join(str(error).split())[:500]}") from error
        return _with_short_names(path.read_bytes())


def _with_short_names(model: bytes) -> bytes:
    """Number the tensors inside the network: the converter's names for them take up to a sixth of a small file."""
    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    [graph] = content.subgraphs
    outside = {*graph.inputs, *graph.outputs}
    for index, tensor in enumerate(graph.tensors):
        if index not in outside:
            tensor.name = f"t{index}".encode()
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))
