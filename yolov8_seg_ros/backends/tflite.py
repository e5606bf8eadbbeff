"""Run a .tflite model with LiteRT, or with the TensorFlow Lite runtime where only that is installed."""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolov8_seg_ros.backends.model_forms import ModelForm, first_that_opens, read_forms, read_forms_for_cpu
from yolov8_seg_ros.backends.worker_threads import WorkerThreads, running_threads
from yolov8_seg_ros.commands import install_command
from yolov8_seg_ros.core.backend import BackendInfo, TensorBackend
from yolov8_seg_ros.core.model_spec import ModelSpec, TensorSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import BackendError, ModelError, one_line
from yolov8_seg_ros.model_files.class_names import read_model_class_names

#: Newest first: LiteRT succeeds the TensorFlow Lite runtime and is about ten times faster on x86-64.
RUNTIMES = ("ai_edge_litert", "tflite_runtime")
#: More threads than this do not make a network of this size faster.
MAX_AUTOMATIC_THREADS = 4


class TfliteNetwork:
    """A model in an interpreter that is ready to run.

    Args:
        interpreter: of either runtime, with its tensors allocated.
        form: the form of the model file that it was made of.
        class_names: a name for each class; the model's own metadata where None.
        thread_ids: the interpreter's worker threads.
        reads_in_place: whether outputs are read where the interpreter has them, rather than copied.

    Attributes:
        spec: meaning of its tensors.

    Raises:
        ModelError: if it is not a YOLOv8-seg model.
    """

    def __init__(
        self,
        interpreter: Any,
        form: ModelForm,
        class_names: Sequence[str] | None,
        thread_ids: Iterable[int] = (),
        reads_in_place: bool = False,
    ) -> None:
        self._interpreter = interpreter
        # The interpreter computes with weights that lie in these bytes.
        self._content = form.content
        self._workers = WorkerThreads(thread_ids)
        self._input_index, self._output_indices, self.spec = _read_spec(interpreter, form, class_names)
        self._input_shape = tuple(interpreter.get_input_details()[0]["shape"])
        self._in_place: tuple[Tensor, ...] | None = None
        if reads_in_place:
            try:
                self._in_place = tuple(_tensor_in_place(interpreter, index) for index in self._output_indices)
            except ValueError as error:
                raise ModelError(
                    f"{form.path}: no operation writes one of the model's outputs; the file may be damaged"
                ) from error

    def run(self, network_input: Tensor) -> tuple[Tensor, ...]:
        """Run the network on one quantized input; return its quantized outputs.

        Outputs that are read in place are always the same tuple; the next run overwrites them.

        Raises:
            BackendError: if the runtime fails.
        """
        self._interpreter.set_tensor(self._input_index, network_input.reshape(self._input_shape))
        self._workers.avoid_caller()
        try:
            self._interpreter.invoke()
        except RuntimeError as error:
            raise BackendError(f"the network does not run: {runtime_message(error)}") from error
        if self._in_place is not None:
            return self._in_place
        return tuple(self._interpreter.get_tensor(index) for index in self._output_indices)

    def close(self) -> None:
        """Release the interpreter."""
        self._interpreter = None


class TfliteBackend(TensorBackend):
    """A network run by LiteRT or TensorFlow Lite on the CPU.

    Args:
        model_path: the .tflite file.
        num_threads: how many threads compute; 0 chooses by the number of processors.
        class_names: a name for each class; the model's own metadata where None.
        raw_head: whether to cut a decoded head off, so that its logits are decoded here.
        reason: why it was chosen among other backends.
        warnings: what a person should know about that choice.
        fault: what is wrong with the better backend that it replaces.

    Raises:
        ModelError: if the file is not a YOLOv8-seg model.
        BackendError: if no runtime is installed, or it does not work.
    """

    def __init__(
        self,
        model_path: Path,
        num_threads: int = 0,
        class_names: Sequence[str] | None = None,
        raw_head: bool = True,
        *,
        reason: str = "",
        warnings: tuple[str, ...] = (),
        fault: str = "",
    ) -> None:
        runtime = load_runtime()
        threads = num_threads or automatic_threads()
        running = running_threads()
        form, interpreter = first_that_opens(
            read_forms_for_cpu(model_path, raw_head), lambda form: new_interpreter(runtime, form, threads)
        )
        self._network = TfliteNetwork(interpreter, form, class_names, running_threads() - running, True)
        self.spec = self._network.spec
        description = f"{runtime.__name__} on the CPU, {threads} thread{'s' if threads > 1 else ''}"
        self.info = BackendInfo(description, reason, form.head, warnings)
        self.fault = fault

    def run(self, network_input: Tensor) -> tuple[Tensor, ...]:
        """Run the network on one quantized input; return its quantized outputs, which the next run overwrites.

        Raises:
            BackendError: if the runtime fails.
        """
        return self._network.run(network_input)

    def close(self) -> None:
        """Release the model."""
        self._network.close()


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
    raise BackendError(f"no TensorFlow Lite runtime is installed: run '{install_command('ai-edge-litert')}'")


def automatic_threads() -> int:
    """Return the number of threads that serves best on this machine."""
    return min(MAX_AUTOMATIC_THREADS, len(os.sched_getaffinity(0)))


def runtime_message(error: Exception) -> str:
    """Return a runtime's message as one line."""
    # The runtime joins its messages without a space, and adds a sentence of no use.
    message = str(error).replace("Restored original execution plan after delegate application failure.", "")
    return one_line(message.replace("Node number", " Node number"))


def open_interpreter(runtime: ModuleType, model_path: Path, num_threads: int) -> Any:
    """Return an interpreter of a file as published, ready to run.

    Raises:
        ModelError: if the file cannot be read, or the runtime cannot load it.
    """
    return new_interpreter(runtime, read_forms(model_path, raw_head=False)[0], num_threads)


def new_interpreter(runtime: ModuleType, form: ModelForm, num_threads: int) -> Any:
    """Return an interpreter that is ready to run.

    Raises:
        ModelError: if the runtime cannot load the model.
    """
    try:
        interpreter = runtime.Interpreter(model_content=form.content, num_threads=num_threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{form.path}: the model cannot be loaded: {runtime_message(error)}") from error
    return interpreter


def _tensor_in_place(interpreter: Any, index: int) -> Tensor:
    """Return an array of a tensor's own memory, which stays where it is while the interpreter exists.

    Raises:
        ValueError: if the tensor has no memory.
    """
    # An array that the interpreter gives away itself would keep it from running.
    tensor = interpreter.tensor(index)()
    memory = (ctypes.c_uint8 * tensor.nbytes).from_address(tensor.__array_interface__["data"][0])
    # The array refers to this, and this to the interpreter.
    memory.interpreter = interpreter
    return np.frombuffer(memory, tensor.dtype).reshape(tensor.shape)


def _read_spec(
    interpreter: Any, form: ModelForm, class_names: Sequence[str] | None
) -> tuple[int, list[int], ModelSpec]:
    if class_names is None:
        class_names = read_model_class_names(form.path)
    try:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if form.input_shape is not None:
            inputs[0]["shape"] = form.input_shape
        spec = ModelSpec.from_tensors(
            [tensor_spec(details) for details in inputs],
            [tensor_spec(details) for details in outputs],
            class_names,
        )
    except UnicodeDecodeError as error:
        raise ModelError(f"{form.path}: the model is damaged, the name of a tensor is no text ({error})") from error
    except ModelError as error:
        raise ModelError(f"{form.path}: {error}") from error
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
