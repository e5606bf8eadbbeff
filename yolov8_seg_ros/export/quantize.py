"""Quantise a converted network to int8: min/max calibration, and pinned ranges where they are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils.qsv_utils import min_max_update
from numpy.typing import NDArray

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.export.network import Range, anchor_points

#: Operators that hand numbers on as they are.
_PASSING = ("CONCATENATION", "RESHAPE", "TRANSPOSE")
#: From the lowest number that int8 stores to the highest.
MAX_STEPS = 255
#: Of a score's logit: beyond it lies less than half a step of 1/255 from 0 or 1.
MAX_LOGIT = 6.2
_OPERATOR_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def quantize(
    float_model: bytes,
    inputs: Iterable[NDArray[np.float32]],
    pinned: Mapping[str, Range],
    offsets: Range,
    *,
    per_tensor: bool = False,
    num_threads: int = 1,
) -> bytes:
    """Quantise weights and activations to int8.

    Args:
        float_model: a .tflite file's content, with one signature.
        inputs: network inputs to calibrate with.
        pinned: ranges of inputs and outputs by their names in the signature; the others are measured.
        offsets: range of what is added to anchor points.
        per_tensor: give a convolution's weights one scale rather than one a channel.
        num_threads: how many threads run the network.
    """
    recipe = _recipe(per_tensor)
    ranges = _measure(float_model, inputs, recipe, num_threads)
    graph = _Graph(float_model)
    for name, limits in pinned.items():
        for tensor in graph.handed_on(graph.by_name[name]):
            ranges[tensor.name] = tensor.qsv(limits)
            _refine(ranges, graph, tensor, offsets)
    work = quantizer.Quantizer(float_model, recipe.get_quantization_recipe())
    return _self_contained(work.quantize(ranges, enable_progress_report=False).quantized_model)


def _recipe(per_tensor: bool) -> recipe_manager.RecipeManager:
    granularity = qtyping.QuantGranularity.TENSORWISE if per_tensor else qtyping.QuantGranularity.CHANNELWISE
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(".*", qtyping.TFLOperationName.ALL_SUPPORTED, 8, 8, granularity)
    return recipe


def _measure(
    float_model: bytes,
    inputs: Iterable[NDArray[np.float32]],
    recipe: recipe_manager.RecipeManager,
    num_threads: int,
) -> dict[str, Any]:
    """Give the lowest and highest value of each tensor over all inputs.

    The quantizer's own default is a moving average, in which the first picture dominates and extremes are cut.
    """
    measuring = calibrator.Calibrator(float_model, num_threads=num_threads, qsv_update_func=min_max_update)
    [(signature, names)] = Interpreter(model_content=float_model).get_signature_list().items()
    for network_input in inputs:
        measuring.calibrate({signature: [{names["inputs"][0]: network_input}]}, recipe)
    ranges: dict[str, Any] = measuring.get_model_qsvs()
    return ranges


def _refine(ranges: dict[str, Any], graph: _Graph, output: _Tensor, offsets: Range) -> None:
    """Give what an output is computed from the ranges in which it matters."""
    kind, inputs = graph.made_of(output)
    if kind == "LOGISTIC":
        for logits in graph.handed_on(inputs[0]):
            low, high = (float(ranges[logits.name][key].min()) for key in ("min", "max"))
            ranges[logits.name] = logits.qsv((max(low, -MAX_LOGIT), min(high, MAX_LOGIT)))
    grids = [source for source in inputs if kind == "ADD" and graph.is_anchor_grid(source)]
    for grid in grids:
        assert grid.values is not None
        ranges[grid.name] = grid.qsv(exact_range(grid.values))
        for added in (each for source in inputs if source is not grid for each in graph.handed_on(source)):
            ranges[added.name] = added.qsv(offsets)


def exact_range(values: NDArray[np.float32]) -> Range:
    """Give the range, from 0 on, in whose steps constants above 0 are stored best; those of a grid, exactly."""
    top = float(values.max())
    scales = top / np.arange(MAX_STEPS, MAX_STEPS // 2, -1)
    errors = [float(np.abs(values - scale * np.rint(values / scale)).max()) for scale in scales]
    # Rounding apart, several meet them all: the first is the finest.
    best = next(scale for scale, error in zip(scales, errors, strict=True) if error <= min(errors) + top * 1e-6)
    return 0.0, MAX_STEPS * float(best)


def _self_contained(model: bytes) -> bytes:
    """Bring weights that the quantizer left behind the flatbuffer into it, where older readers look for them."""
    content = flatbuffer_utils.read_model_from_bytearray(model)
    for buffer in content.buffers:
        if buffer.data is not None:
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


@dataclass(frozen=True)
class _Tensor:
    index: int
    name: str
    rank: int
    values: NDArray[np.float32] | None  # of a constant

    def qsv(self, limits: Range) -> dict[str, NDArray[np.float32]]:
        """Give a range as the calibrator does."""
        return {
            key: np.full((1,) * self.rank, limit, np.float32) for key, limit in zip(("min", "max"), limits, strict=True)
        }


class _Graph:
    """Which operator makes which tensor of a model, from what.

    Attributes:
        by_name: inputs and outputs by their names in the signature.
    """

    def __init__(self, model: bytes) -> None:
        content = schema.ModelT.InitFromPackedBuf(model, 0)
        self._tensors, self._buffers = content.subgraphs[0].tensors, content.buffers
        # Codes below 128 stand in the older field, which had but one byte.
        kinds = [_OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in content.operatorCodes]
        self._maker = {
            output: (kinds[operator.opcodeIndex], operator.inputs)
            for operator in content.subgraphs[0].operators
            for output in operator.outputs
        }
        grids = [
            anchor_points(self._tensors[content.subgraphs[0].inputs[0]].shape[1:3], stride).numpy()
            for stride in STRIDES_PX
        ]
        self._anchor_grids = [np.sort(grid, axis=None) for grid in (*grids, np.concatenate(grids, axis=1))]
        [signature] = content.signatureDefs
        self.by_name = {
            entry.name.decode(): self._tensor(entry.tensorIndex) for entry in [*signature.inputs, *signature.outputs]
        }

    def handed_on(self, tensor: _Tensor) -> list[_Tensor]:
        """Give a tensor and all those whose numbers it only hands on: of one range, they are rounded but once."""
        kind, inputs = self.made_of(tensor)
        sources = inputs if kind in _PASSING else []
        return [tensor, *(each for source in sources for each in self.handed_on(source))]

    def is_anchor_grid(self, tensor: _Tensor) -> bool:
        """Tell whether a tensor holds the anchor points of one stride, or of all."""
        if tensor.values is None:
            return False
        return any(
            grid.size == tensor.values.size and np.allclose(np.sort(tensor.values), grid) for grid in self._anchor_grids
        )

    def made_of(self, tensor: _Tensor) -> tuple[str, list[_Tensor]]:
        """Give the operator that makes a tensor, and its inputs but for sizes and axes."""
        kind, inputs = self._maker.get(tensor.index, ("", []))
        numbers = [index for index in inputs if self._tensors[index].type == schema.TensorType.FLOAT32]
        return kind, [self._tensor(index) for index in numbers]

    def _tensor(self, index: int) -> _Tensor:
        tensor = self._tensors[index]
        data = self._buffers[tensor.buffer].data
        values = None if data is None or not len(data) else np.frombuffer(bytes(data), np.float32)
        return _Tensor(index, tensor.name.decode(), len(tensor.shape), values)
