"""Quantise a converted network to int8: min/max calibration, and pinned ranges where they are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from ai_edge_litert.tools import flatbuffer_utils
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.utils.qsv_utils import min_max_update
from numpy.typing import NDArray

from yolov8_seg_ros.tools.export.graph import Graph, Tensor
from yolov8_seg_ros.tools.export.network import Range

#: From the lowest number that int8 stores to the highest, and to the largest weight from 0.
MAX_STEPS, MAX_WEIGHT = 255, 127
#: Of a score's logit: beyond it lies less than half a step of 1/256 from 0 or 1, so that it is rounded to them.
MAX_LOGIT = 6.5


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
    graph = Graph(float_model)
    ranges = _Ranges(graph, _measure(float_model, inputs, recipe, num_threads), offsets, per_tensor)
    for name, limits in pinned.items():
        ranges.pin(graph.by_name[name], limits)
    work = quantizer.Quantizer(float_model, recipe.get_quantization_recipe())
    quantized = work.quantize(ranges.by_name, enable_progress_report=False).quantized_model
    return _self_contained(quantized)


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


class _Ranges:
    """The ranges of a model's tensors: measured ones, and those that are known better.

    Args:
        graph: the float model.
        measured: by the calibrator, by the names of tensors.
        offsets: range of what is added to anchor points.
        per_tensor: whether weights have one scale rather than one a channel.
    """

    def __init__(self, graph: Graph, measured: dict[str, Any], offsets: Range, per_tensor: bool) -> None:
        self._graph = graph
        self.by_name = measured
        self._offsets = offsets
        self._per_tensor = per_tensor

    def pin(self, tensor: Tensor, limits: Range) -> None:
        """Set the range of a tensor and of all it is handed on from; what computes them follows."""
        for source in self._graph.handed_on(tensor):
            self._set(source, *limits)
            kind, inputs = self._graph.made_of(source)
            if kind == "LOGISTIC":
                self._clip_logits(inputs[0])
            elif kind == "FULLY_CONNECTED":
                self._store_exactly(inputs[1])
            elif kind == "ADD":
                self._pin_sum(inputs)

    def _pin_sum(self, terms: list[Tensor]) -> None:
        for grid in filter(self._graph.is_anchor_grid, terms):
            self._set(grid, 0.0, MAX_STEPS * best_scale(grid.values, MAX_STEPS))
            for term in terms:
                if term is not grid:
                    self.pin(term, self._offsets)

    def _clip_logits(self, logits: Tensor) -> None:
        low, high = (float(self.by_name[logits.name][key].min()) for key in ("min", "max"))
        for source in self._graph.handed_on(logits):
            self._set(source, max(low, -MAX_LOGIT), min(high, MAX_LOGIT))

    def _store_exactly(self, weights: Tensor) -> None:
        """Let weights that lie on a grid, such as the distances that are averaged, fall on steps."""
        if weights.values is None:
            return
        channels = [weights.values] if self._per_tensor else list(weights.values)
        limits = np.array([[MAX_WEIGHT * best_scale(channel, MAX_WEIGHT)] for channel in channels], np.float32)
        self.by_name[weights.name] = {"min": -limits, "max": limits}

    def _set(self, tensor: Tensor, low: float, high: float) -> None:
        shape = (1,) * tensor.rank
        self.by_name[tensor.name] = {key: np.full(shape, x, np.float32) for key, x in (("min", low), ("max", high))}


def best_scale(values: NDArray[np.float32] | None, max_steps: int) -> float:
    """Give the scale that stores numbers of up to `max_steps` steps best; those of a grid exactly."""
    assert values is not None
    top = float(np.abs(values).max())
    scales = top / np.arange(max_steps, max_steps // 2, -1)
    errors = [float(np.abs(values - scale * np.rint(values / scale)).max()) for scale in scales]
    # But for float's own rounding several are exact: the first is the finest.
    return float(next(s for s, error in zip(scales, errors, strict=True) if error <= min(errors) + top * 1e-6))


def _self_contained(model: bytes) -> bytes:
    """Bring weights that the quantizer left behind the flatbuffer into it, where older readers look for them."""
    content = flatbuffer_utils.read_model_from_bytearray(model)
    for buffer in content.buffers:
        if buffer.data is not None:
            buffer.data = np.frombuffer(bytes(buffer.data), np.uint8)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))
