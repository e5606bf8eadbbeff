"""Run a graph that was compiled for the NPU beforehand, a `.nb` file, through ST's STAI_MPU."""

from __future__ import annotations

import importlib
import time
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolov8_seg_ros.backends.sidecar import SideCar, read_side_car
from yolov8_seg_ros.backends.tflite import runtime_message
from yolov8_seg_ros.core.backend import BackendInfo, TensorBackend
from yolov8_seg_ros.core.model_spec import ModelSpec, TensorSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import BackendError, ModelError

MODULE = "stai_mpu"
SUFFIX = ".nb"
#: Values of STAI_MPU's engines that are an NPU: a .tflite's, and OpenVX with a compiled graph.
_NPU_ENGINES = (1, 4)
#: How STAI_MPU calls the two ways to store real numbers as integers.
_AFFINE, _FIXED_POINT = "staticAffine", "dynamicFixedPoint"
#: What its native code raises.
_RUNTIME_ERRORS = (RuntimeError, ValueError, TypeError, OSError)


class StaiMpuBackend(TensorBackend):
    """A compiled graph run by the NPU. It is run once here, so that what fails fails now.

    Args:
        model_path: the .nb file; `<name>.yaml` or the `<name>.tflite` that it was made of may lie beside it.
        class_names: a name for each class; those of the file beside it where None.
        reason: why it was chosen among other backends.

    Raises:
        ModelError: if the file is not a YOLOv8-seg model.
        BackendError: if STAI_MPU is not installed, cannot load the file, or does not run it on the NPU.
    """

    def __init__(self, model_path: Path, class_names: Sequence[str] | None = None, *, reason: str = "") -> None:
        self._network = _open_network(_load_module(), model_path)
        side_car = read_side_car(model_path)
        inputs = [_tensor_spec(info, _shape(info)) for info in self._network.get_input_infos()]
        outputs = _output_specs(self._network.get_output_infos(), side_car, model_path)
        try:
            self.spec = ModelSpec.from_tensors(inputs, outputs, class_names or side_car.class_names)
        except ModelError as error:
            raise ModelError(f"{model_path}: {error}") from error
        self._input_dtype = _dtype(self._network.get_input_infos()[0])
        started = time.perf_counter()
        self.run(np.zeros(self.spec.input.shape, self.spec.input.quant.dtype))
        first_run_ms = (time.perf_counter() - started) * 1e3
        self.info = BackendInfo(f"{MODULE} on the NPU", reason, is_accelerator=True, first_run_ms=first_run_ms)

    def run(self, network_input: Tensor) -> tuple[Tensor, ...]:
        """Run the network on one quantized input; return its quantized outputs, the caller's own.

        Raises:
            BackendError: if STAI_MPU fails at it.
        """
        try:
            self._network.set_input(0, network_input.astype(self._input_dtype, copy=False))
            self._network.run()
            return tuple(self._output(index, tensor) for index, tensor in enumerate(self.spec.outputs))
        except _RUNTIME_ERRORS as error:
            raise BackendError(f"{MODULE} cannot run the network: {runtime_message(error)}") from error

    def close(self) -> None:
        """Release the model."""
        self._network = None

    def _output(self, index: int, tensor: TensorSpec) -> Tensor:
        # Always a copy: what STAI_MPU hands out may be its own memory.
        return np.array(self._network.get_output(index), tensor.quant.dtype).reshape(tensor.shape)


def _load_module() -> ModuleType:
    try:
        return importlib.import_module(MODULE)
    except ImportError as error:
        if isinstance(error, ModuleNotFoundError) and error.name == MODULE:
            raise BackendError(
                f"{SUFFIX} files need ST's Python module {MODULE}, which is not installed: install X-LINUX-AI's, "
                "or give the .tflite file"
            ) from error
        raise BackendError(f"{MODULE} is installed but cannot be imported: {error}; install it anew") from error


def _open_network(module: ModuleType, model_path: Path) -> Any:
    try:
        network = module.stai_mpu_network(model_path=str(model_path), use_hw_acceleration=True)
        engine = network.get_backend_engine()
    except _RUNTIME_ERRORS as error:
        raise BackendError(
            f"{MODULE} cannot load {model_path}: {runtime_message(error)}; compile it for this board and its driver"
        ) from error
    if int(getattr(engine, "value", engine)) not in _NPU_ENGINES:
        raise BackendError(f"{MODULE} runs {model_path} on {engine}, not on the NPU; look at the board's driver")
    return network


def _output_specs(infos: Sequence[Any], side_car: SideCar, model_path: Path) -> list[TensorSpec]:
    shapes = side_car.shaped([_shape(info) for info in infos], model_path)
    return [_tensor_spec(info, shape) for info, shape in zip(infos, shapes, strict=True)]


def _tensor_spec(info: Any, shape: tuple[int, ...]) -> TensorSpec:
    dtype = _dtype(info)
    return TensorSpec(str(_get(info, "name")), shape, _quant(info, dtype))


def _quant(info: Any, dtype: np.dtype[Any]) -> QuantParams:
    if dtype.kind == "f":
        # Half-precision numbers are converted on the way: the decoder reads float32 only.
        return QuantParams(np.dtype(np.float32))
    if _get(info, "qtype") == _FIXED_POINT:
        return QuantParams(dtype, 2.0 ** -int(_get(info, "fixed_point_pos")), 0)
    if _get(info, "qtype") == _AFFINE:
        return QuantParams(dtype, float(_get(info, "scale")), int(_get(info, "zero_point")))
    # Refused by ModelSpec, with all tensors in the message.
    return QuantParams(dtype, 0.0, 0)


def _dtype(info: Any) -> np.dtype[Any]:
    return np.dtype(_get(info, "dtype"))


def _shape(info: Any) -> tuple[int, ...]:
    return tuple(int(size) for size in _get(info, "shape"))


def _get(info: Any, name: str) -> Any:
    """Return a property of a tensor: releases of STAI_MPU differ in whether it is an attribute or a method."""
    getter = getattr(info, f"get_{name}", None)
    return getter() if getter is not None else getattr(info, name)
