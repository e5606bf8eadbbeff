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

#: A real range, lowest and highest value.
Range = tuple[float, float]
#: Operators that hand numbers on as they are.
_PASSING = ("CONCATENATION", "RESHAPE", "TRANSPOSE")
#: Of a score's logit: beyond it lies less than half a step of 1/255 from 0 or 1.
MAX_LOGIT = 6.2
_OPERATOR_NAMES = {value: name for name, value in vars(schema.BuiltinOperator).items() if not name.startswith("_")}


def quantize(
    float_model: bytes,
    inputs: Iterable[NDArray[np.float32]],
    pinned: Mapping[str, Range],
    *,
    per_tensor: bool = False,
    num_threads: int = 1,
) -> bytes:
    """Quantise weights and activations to int8.

    Args:
        float_model: a .tflite file's content, with one signature.
        inputs: network inputs to calibrate with.
        pinned: ranges of inputs and outputs by their names in the signature; the others are measured.
        per_tensor: give a convolution's weights one scale rather than one a channel.
        num_threads: how many threads run the network.
    """
    recipe = _recipe(per_tensor)
    ranges = _measure(float_model, inputs, recipe, num_threads)
    graph = _Graph(float_model)
    for name, limits in pinned.items():
        for tensor in graph.handed_on(graph.by_name[name]):
            ranges[tensor.name] = tensor.qsv(limits)
            for logits in graph.logits_of(tensor):
                low, high = (float(ranges[logits.name][key].min()) for key in ("min", "max"))
                ranges[logits.name] = logits.qsv((max(low, -MAX_LOGIT), min(high, MAX_LOGIT)))
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
        self._tensors = content.subgraphs[0].tensors
        # Codes below 128 stand in the older field, which had but one byte.
        kinds = [_OPERATOR_NAMES[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in content.operatorCodes]
        self._maker = {
            output: (kinds[operator.opcodeIndex], operator.inputs)
            for operator in content.subgraphs[0].operators
            for output in operator.outputs
        }
        [signature] = content.signatureDefs
        self.by_name = {
            entry.name.decode(): self._tensor(entry.tensorIndex) for entry in [*signature.inputs, *signature.outputs]
        }

    def handed_on(self, tensor: _Tensor) -> list[_Tensor]:
        """Give a tensor and all those whose numbers it only hands on: of one range, they are rounded but once."""
        kind, inputs = self._made_of(tensor)
        sources = inputs if kind in _PASSING else []
        return [tensor, *(each for source in sources for each in self.handed_on(source))]

    def logits_of(self, tensor: _Tensor) -> list[_Tensor]:
        """Give what a sigmoid makes the tensor of, with all that only hands it on; nothing for other tensors."""
        kind, inputs = self._made_of(tensor)
        return self.handed_on(inputs[0]) if kind == "LOGISTIC" else []

    def _made_of(self, tensor: _Tensor) -> tuple[str, list[_Tensor]]:
        """Give the operator that makes a tensor, and its inputs but for sizes and axes."""
        kind, inputs = self._maker.get(tensor.index, ("", []))
        numbers = [index for index in inputs if self._tensors[index].type == schema.TensorType.FLOAT32]
        return kind, [self._tensor(index) for index in numbers]

    def _tensor(self, index: int) -> _Tensor:
        return _Tensor(index, self._tensors[index].name.decode(), len(self._tensors[index].shape))
