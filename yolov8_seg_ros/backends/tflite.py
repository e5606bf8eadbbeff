"""Run a .tflite model with LiteRT, or with the TensorFlow Lite runtime where only that is installed."""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolov8_seg_ros.backends.worker_threads import WorkerThreads, running_threads
from yolov8_seg_ros.core.model_spec import ModelSpec, TensorSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.core.segmenter import Backend
from yolov8_seg_ros.errors import BackendError, ModelError
from yolov8_seg_ros.model_files.class_names import read_model_class_names

#: Newest first: LiteRT succeeds the TensorFlow Lite runtime and is about ten times faster on x86-64.
RUNTIMES = ("ai_edge_litert", "tflite_runtime")
#: What identifies a TensorFlow Lite flatbuffer, at byte 4.
FILE_IDENTIFIER = b"TFL3"
#: More threads than this do not make a network of this size faster.
MAX_AUTOMATIC_THREADS = 4


class TfliteBackend(Backend):
    """A network run by LiteRT or TensorFlow Lite on the CPU.

    Args:
        model_path: the .tflite file.
        num_threads: how many threads compute; 0 chooses by the number of processors.
        class_names: a name for each class; the model's own metadata where None.

    Raises:
        ModelError: if the file is not a YOLOv8-seg model.
        BackendError: if no runtime is installed, or it does not work.
    """

    def __init__(self, model_path: Path, num_threads: int = 0, class_names: Sequence[str] | None = None) -> None:
        runtime = load_runtime()
        threads = num_threads or automatic_threads()
        running = running_threads()
        interpreter = open_interpreter(runtime, model_path, threads)
        self._take(interpreter, model_path, class_names, running_threads() - running)
        self.description = f"{runtime.__name__} on the CPU, {threads} thread{'s' if threads > 1 else ''}"

    def _take(
        self, interpreter: Any, model_path: Path, class_names: Sequence[str] | None, thread_ids: Iterable[int] = ()
    ) -> None:
        self._interpreter = interpreter
        self._workers = WorkerThreads(thread_ids)
        self._input_index, self._output_indices, self.spec = _read_spec(interpreter, model_path, class_names)
        self.reason = ""

    def run(self, network_input: Tensor) -> tuple[Tensor, ...]:
        """Run the network on one stored input; give its stored outputs, the caller's own.

        Raises:
            BackendError: if the runtime fails at it.
        """
        self._interpreter.set_tensor(self._input_index, network_input)
        self._workers.make_way()
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise BackendError(f"the network does not run: {one_line(error)}") from error
        return tuple(self._interpreter.get_tensor(index) for index in self._output_indices)

    def close(self) -> None:
        """Release the model."""
        self._interpreter = None


def load_runtime() -> ModuleType:
    """Import the interpreter module that is installed, newest first.

    Raises:
        BackendError: if there is none, or the one that is installed cannot be imported.
    """
    for name in RUNTIMES:
        try:
            return importlib.import_module(f"{name}.interpreter")
        except ImportError as error:
            if not (isinstance(error, ModuleNotFoundError) and error.name in (name, f"{name}.interpreter")):
                raise BackendError(f"{name} is installed but cannot be imported: {error}; install it anew") from error
    raise BackendError("no TensorFlow Lite runtime is installed: run 'pip install ai-edge-litert'")


def automatic_threads() -> int:
    """Give the number of threads that serves best on this machine."""
    return min(MAX_AUTOMATIC_THREADS, len(os.sched_getaffinity(0)))


def one_line(error: Exception) -> str:
    """Give what a runtime said, as one line."""
    # The runtime joins its messages without a space, and adds what helps nobody.
    said = str(error).replace("Restored original execution plan after delegate application failure.", "")
    return " ".join(said.replace("Node number", " Node number").split())


def open_interpreter(runtime: ModuleType, model_path: Path, num_threads: int) -> Any:
    """Give an interpreter that is ready to run.

    Raises:
        ModelError: if the file is no model that the runtime can load.
    """
    check_is_tflite(model_path)
    try:
        interpreter = runtime.Interpreter(model_path=str(model_path), num_threads=num_threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{model_path}: the model cannot be loaded: {one_line(error)}") from error
    return interpreter


def check_is_tflite(model_path: Path) -> None:
    """Raise ModelError where a file cannot be read or is something else."""
    try:
        with model_path.open("rb") as file:
            head = file.read(8)
    except OSError as error:
        raise ModelError(f"{model_path}: the model cannot be read: {error.strerror}") from error
    if head[4:] != FILE_IDENTIFIER:
        raise ModelError(f"{model_path}: this is no TensorFlow Lite model; give a .tflite file")


def _read_spec(
    interpreter: Any, model_path: Path, class_names: Sequence[str] | None
) -> tuple[int, list[int], ModelSpec]:
    if class_names is None:
        class_names = read_model_class_names(model_path)
    try:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        spec = ModelSpec.from_tensors(
            [tensor_spec(details) for details in inputs],
            [tensor_spec(details) for details in outputs],
            class_names,
        )
    except UnicodeDecodeError as error:
        raise ModelError(f"{model_path}: the model is damaged, the name of a tensor is no text ({error})") from error
    except ModelError as error:
        raise ModelError(f"{model_path}: {error}") from error
    return inputs[0]["index"], [details["index"] for details in outputs], spec


def tensor_spec(details: dict[str, Any]) -> TensorSpec:
    """Read an interpreter's details of a tensor."""
    dtype = np.dtype(details["dtype"])
    if dtype.kind == "f":
        params = QuantParams(dtype)
    else:
        # The runtime gives scale 0 where a tensor has none, or one a channel.
        scale, zero_point = details["quantization"]
        params = QuantParams(dtype, float(scale), int(zero_point))
    return TensorSpec(details["name"], tuple(int(size) for size in details["shape"]), params)
