"""Simulate ST's STAI_MPU: the same interface, with LiteRT inside. A `.nb` file for it is a .tflite file.

What it reports can be changed through `BENT`, as compiled graphs differ from the models they were made of.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter


@dataclass
class Bent:
    """Deviations from the usual answers.

    Attributes:
        engine: the value of the backend engine.
        as_methods: whether a tensor's properties are methods `get_...`, as in newer releases.
        float_outputs: of this type rather than quantized.
        flat: whether outputs come without their axes.
        fixed_point_pos: outputs are dynamic fixed point with this position.
        fails_in: `load` or `run`.
    """

    engine: int = 4
    as_methods: bool = False
    float_outputs: str = ""
    flat: bool = False
    fixed_point_pos: int | None = None
    fails_in: str = ""


BENT = Bent()


class stai_mpu_backend_engine(Enum):  # noqa: N801
    STAI_MPU_TFLITE_CPU_ENGINE = 0
    STAI_MPU_TFLITE_NPU_ENGINE = 1
    STAI_MPU_OVX_NPU_ENGINE = 4


class stai_mpu_tensor:  # noqa: N801
    def __init__(self, details: dict[str, Any], index: int, is_output: bool) -> None:
        self.name = details["name"]
        self.index = index
        self.shape = [int(size) for size in details["shape"]]
        self.dtype = np.dtype(details["dtype"]).name
        self.scale, self.zero_point = details["quantization"]
        self.qtype = "none" if self.dtype.startswith("float") else "staticAffine"
        self.fixed_point_pos = 0
        if is_output:
            self._bend()
        self.rank = len(self.shape)

    def _bend(self) -> None:
        if BENT.float_outputs:
            self.dtype, self.qtype, self.scale, self.zero_point = BENT.float_outputs, "none", 0.0, 0
        if BENT.fixed_point_pos is not None:
            self.qtype, self.fixed_point_pos = "dynamicFixedPoint", BENT.fixed_point_pos
        if BENT.flat:
            self.shape = [int(np.prod(self.shape))]


class _WithMethods:
    def __init__(self, tensor: stai_mpu_tensor) -> None:
        for name, value in vars(tensor).items():
            setattr(self, f"get_{name}", lambda value=value: value)


class stai_mpu_network:  # noqa: N801
    def __init__(self, model_path: Path | str, use_hw_acceleration: bool = True) -> None:
        if BENT.fails_in == "load":
            raise RuntimeError("Could not load nbg model:\n dlopen failed: /usr/lib/libstai_mpu_ovx.so.6")
        self._interpreter = Interpreter(model_path=str(model_path), num_threads=1)
        self._interpreter.allocate_tensors()
        self._inputs = self._interpreter.get_input_details()
        self._outputs = self._interpreter.get_output_details()

    def get_num_inputs(self) -> int:
        return len(self._inputs)

    def get_num_outputs(self) -> int:
        return len(self._outputs)

    def get_backend_engine(self) -> stai_mpu_backend_engine:
        return stai_mpu_backend_engine(BENT.engine)

    def get_input_infos(self) -> list[Any]:
        return self._infos(self._inputs, is_output=False)

    def get_output_infos(self) -> list[Any]:
        return self._infos(self._outputs, is_output=True)

    def set_input(self, index: int, array: np.ndarray) -> None:
        self._interpreter.set_tensor(self._inputs[index]["index"], array)

    def run(self) -> None:
        if BENT.fails_in == "run":
            raise RuntimeError("the graph was compiled for another driver")
        self._interpreter.invoke()

    def get_output(self, index: int) -> np.ndarray:
        details = self._outputs[index]
        quantized = self._interpreter.get_tensor(details["index"])
        if BENT.float_outputs:
            scale, zero_point = details["quantization"]
            quantized = ((quantized.astype(np.float32) - zero_point) * scale).astype(BENT.float_outputs)
        return quantized.reshape(-1) if BENT.flat else quantized

    @staticmethod
    def _infos(details: list[dict[str, Any]], is_output: bool) -> list[Any]:
        tensors = [stai_mpu_tensor(one, index, is_output) for index, one in enumerate(details)]
        return [_WithMethods(tensor) for tensor in tensors] if BENT.as_methods else tensors
