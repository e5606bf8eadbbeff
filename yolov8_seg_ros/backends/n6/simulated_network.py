"""Run a model for the simulated board, as the board would describe and run it."""

from __future__ import annotations

import hashlib
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from yolov8_seg_ros.backends.n6.device import runtime_word
from yolov8_seg_ros.backends.n6.messages import MAX_NAME_CHARS, Message, TensorFlag, encoded, version_word
from yolov8_seg_ros.backends.n6.tensors import write_description
from yolov8_seg_ros.backends.tflite import automatic_threads, load_runtime, open_interpreter, tensor_spec
from yolov8_seg_ros.core.model_spec import TensorSpec
from yolov8_seg_ros.core.quantization import Tensor

_TOOL_VERSION = version_word(2, 0)
_RUNTIME_VERSION = version_word(1, 0)
_SIGNATURE_CHARS = 32


class SimulatedNetwork(ABC):
    """What a simulated board runs.

    Attributes:
        name: by which a host runs it.
        inputs: in order.
        outputs: in order.
        signature: of the network.
        compiled: when.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    signature: str = ""
    compiled: str = ""

    @abstractmethod
    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Give the stored outputs for stored inputs.

        Raises:
            RuntimeError: if that fails.
        """

    def describe(self, info: Any) -> None:
        """Fill in a ModelInfo message."""
        info.name, info.signature = encoded(self.name), encoded(self.signature)
        info.compile_datetime, info.runtime_desc = encoded(self.compiled), b"simulated"
        info.rtid = runtime_word()
        info.runtime_version, info.tool_version = _RUNTIME_VERSION, _TOOL_VERSION
        info.n_macc, info.n_nodes, info.n_activations, info.n_params = 0, 1, 0, 0
        info.n_inputs, info.n_outputs = len(self.inputs), len(self.outputs)
        for tensor in self.inputs:
            write_description(info.inputs.add(), tensor, TensorFlag.INPUT)
        for tensor in self.outputs:
            write_description(info.outputs.add(), tensor, TensorFlag.OUTPUT)


class LiteRtNetwork(SimulatedNetwork):
    """A model that LiteRT runs, named as its file.

    Args:
        model_path: the .tflite file; it need not be a YOLOv8-seg model.
        num_threads: how many threads compute; 0 chooses by the number of processors.

    Raises:
        ModelError: if the file cannot be loaded.
        BackendError: if no runtime is installed.
    """

    def __init__(self, model_path: Path, num_threads: int = 0) -> None:
        self._interpreter = open_interpreter(load_runtime(), model_path, num_threads or automatic_threads())
        self._input_details = self._interpreter.get_input_details()
        self._output_details = self._interpreter.get_output_details()
        self.name = model_path.stem[:MAX_NAME_CHARS]
        self.inputs = tuple(_shortened(tensor_spec(details)) for details in self._input_details)
        self.outputs = tuple(_shortened(tensor_spec(details)) for details in self._output_details)
        self.signature = hashlib.sha256(model_path.read_bytes()).hexdigest()[:_SIGNATURE_CHARS]
        self.compiled = time.ctime(model_path.stat().st_mtime)

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run the model on stored inputs; give its stored outputs."""
        for details, data in zip(self._input_details, inputs, strict=True):
            self._interpreter.set_tensor(details["index"], data)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(details["index"]) for details in self._output_details]


def num_bytes(tensor: TensorSpec) -> int:
    """Give the size of a tensor's data."""
    return math.prod(tensor.shape) * tensor.quant.dtype.itemsize


def _shortened(tensor: TensorSpec) -> TensorSpec:
    return TensorSpec(tensor.name[:MAX_NAME_CHARS], tensor.shape, tensor.quant)


def describe_output(response: Message, tensor: TensorSpec, flags: int, data: bytes) -> None:
    """Fill in a Response that carries an output."""
    write_description(response.tensor.desc, tensor, flags)
    content = response.tensor.data
    content.type, content.addr, content.size, content.datas = 0, 0, len(data), data
