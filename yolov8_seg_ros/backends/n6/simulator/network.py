"""Networks of a simulated board."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from yolov8_seg_ros.backends.first_opening import check_opening
from yolov8_seg_ros.backends.tflite import automatic_threads, load_runtime, open_interpreter, tensor_spec
from yolov8_seg_ros.core.model_spec import TensorSpec
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.files import sha256_of

#: Longest name that ST's firmware has.
_MAX_NAME_CHARS = 63
_SIGNATURE_CHARS = 32


class SimulatedNetwork(ABC):
    """A network that a simulated board runs.

    Attributes:
        name: of the network.
        inputs: tensors, in order.
        outputs: tensors, in order.
        signature: of the network.
        compiled: when, for people.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    signature: str = ""
    compiled: str = ""

    @abstractmethod
    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Return the quantized outputs for quantized inputs.

        Raises:
            RuntimeError: if that fails.
        """


class LiteRtNetwork(SimulatedNetwork):
    """A model that LiteRT runs; its name is that of the file.

    Args:
        model_path: the .tflite file; it need not be a YOLOv8-seg model.
        num_threads: threads that compute; 0: by the number of processors.

    Raises:
        ModelError: if the file cannot be loaded.
        BackendError: if no runtime is installed.
    """

    def __init__(self, model_path: Path, num_threads: int = 0) -> None:
        check_opening(model_path, raw_head=False)
        self._interpreter = open_interpreter(load_runtime(), model_path, num_threads or automatic_threads())
        self._input_details = self._interpreter.get_input_details()
        self._output_details = self._interpreter.get_output_details()
        self.name = model_path.stem[:_MAX_NAME_CHARS]
        self.inputs = tuple(_shortened(tensor_spec(details)) for details in self._input_details)
        self.outputs = tuple(_shortened(tensor_spec(details)) for details in self._output_details)
        self.signature = sha256_of(model_path)[:_SIGNATURE_CHARS]
        self.compiled = time.ctime(model_path.stat().st_mtime)

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """Run the model on quantized inputs; return its quantized outputs."""
        for details, data in zip(self._input_details, inputs, strict=True):
            self._interpreter.set_tensor(details["index"], data)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(details["index"]) for details in self._output_details]


def _shortened(tensor: TensorSpec) -> TensorSpec:
    return TensorSpec(tensor.name[:_MAX_NAME_CHARS], tensor.shape, tensor.quant)
