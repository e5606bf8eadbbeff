"""Convert a network to a float .tflite file, and quantize that to int8."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils.qsv_utils import min_max_update
from numpy.typing import NDArray
from torch import nn

from yolov8_seg_ros.errors import ExportError, one_line
from yolov8_seg_ros.tools.export.environment import quiet
from yolov8_seg_ros.tools.export.network import NhwcNetwork


def convert(module: nn.Module, input_hw: tuple[int, int]) -> bytes:
    """Return the content of a float .tflite file.

    Its outputs have the names and the order of `NhwcNetwork`.

    Args:
        module: as in `Network`.
        input_hw: height and width of the network's input, in pixels.

    Raises:
        ExportError: if the converter cannot convert the module.
    """
    example = (torch.zeros(1, *input_hw, 3),)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "float.tflite"
        try:
            with quiet():
                litert_torch.convert(NhwcNetwork(module).eval(), example).export(str(path))
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise ExportError(f"the network cannot be converted: {one_line(error)[:500]}") from error
        return _with_names(path.read_bytes())


def _with_names(model: bytes) -> bytes:
    """Name outputs as in the signature, and number inner tensors: their names take up to a sixth of a small file."""
    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    [graph], [signature] = content.subgraphs, content.signatureDefs
    for index, tensor in enumerate(graph.tensors):
        tensor.name = f"t{index}".encode()
    for entry in signature.outputs:
        graph.tensors[entry.tensorIndex].name = entry.name
    for index in graph.inputs:
        graph.tensors[index].name = b"images"
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


def quantize(
    float_model: bytes, inputs: Iterable[NDArray[np.float32]], *, per_tensor: bool = False, num_threads: int = 1
) -> bytes:
    """Quantize weights and activations to int8.

    Args:
        float_model: content of a .tflite file with one signature.
        inputs: network inputs to calibrate with, float32, 0 to 1.
        per_tensor: quantize the weights of a convolution with one scale instead of one per channel.
        num_threads: threads that run the network.
    """
    granularity = qtyping.QuantGranularity.TENSORWISE if per_tensor else qtyping.QuantGranularity.CHANNELWISE
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8, 8, granularity)
    ranges = _measure(float_model, inputs, recipe, num_threads)
    work = quantizer.Quantizer(float_model, recipe.get_quantization_recipe())
    return _self_contained(work.quantize(ranges, enable_progress_report=False).quantized_model)


def _measure(
    float_model: bytes, inputs: Iterable[NDArray[np.float32]], recipe: recipe_manager.RecipeManager, num_threads: int
) -> dict[str, Any]:
    """Return the minimum and maximum of each tensor over all inputs, by tensor name.

    The quantizer's default is a moving average, which depends most on the first inputs and cuts off extremes.
    """
    measuring = calibrator.Calibrator(float_model, num_threads=num_threads, qsv_update_func=min_max_update)
    interpreter = Interpreter(model_content=float_model)
    [(signature, names)] = interpreter.get_signature_list().items()
    [input_name] = names["inputs"]
    for network_input in inputs:
        measuring.calibrate({signature: [{input_name: network_input}]}, recipe)
    ranges: dict[str, Any] = measuring.get_model_qsvs()
    # Also for images without black or white: a uint8 pixel is then quantized without rounding.
    [details] = interpreter.get_input_details()
    ranges[details["name"]] = {"min": np.zeros((1,) * 4, np.float32), "max": np.ones((1,) * 4, np.float32)}
    return ranges


def _self_contained(model: bytes) -> bytes:
    """Move weights that the quantizer appended to the flatbuffer into it: older runtimes read only these."""
    content = flatbuffer_utils.read_model_from_bytearray(model)
    for buffer in content.buffers:
        if buffer.data is not None:
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))
