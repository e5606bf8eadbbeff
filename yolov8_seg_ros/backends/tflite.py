"""Run a .tflite model with LiteRT, or with the TensorFlow Lite runtime where only that is installed."""

from __future__ import annotations

import ctypes
import importlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import numpy as np

from yolov8_seg_ros.backends.worker_threads import WorkerThreads, running_threads
from yolov8_seg_ros.commands import install_command
from yolov8_seg_ros.core.backend import BackendInfo, TensorBackend
from yolov8_seg_ros.core.model_spec import ModelSpec, TensorSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import BackendError, ModelError, NoDecodedHeadError, one_line
from yolov8_seg_ros.model_files.class_names import read_model_class_names
from yolov8_seg_ros.model_files.cpu_graph import for_cpu
from yolov8_seg_ros.model_files.raw_head import expose
from yolov8_seg_ros.model_files.tflite_schema import FILE_IDENTIFIER

#: Newest first: LiteRT succeeds the TensorFlow Lite runtime and is about ten times faster on x86-64.
RUNTIMES = ("ai_edge_litert", "tflite_runtime")
#: More threads than this do not make a network of this size faster.
MAX_AUTOMATIC_THREADS = 4

Opened = TypeVar("Opened")


@dataclass(frozen=True)
class ModelFile:
    """A model file that was read, and how its head is used.

    Attributes:
        path: the file.
        content: the bytes that run: those of the file, or those with the decoded head's operations cut off.
        head: what became of the head, for a person.
        is_cut: whether the decoded head was cut off.
        input_shape: of the file's input, where that of `content` has another one; else None.
    """

    path: Path
    content: bytes
    head: str
    is_cut: bool
    input_shape: tuple[int, ...] | None = None


class TfliteNetwork:
    """A model in an interpreter that is ready to run.

    Args:
        interpreter: of either runtime, with its tensors allocated.
        model: the file that it was made of.
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
        model: ModelFile,
        class_names: Sequence[str] | None,
        thread_ids: Iterable[int] = (),
        reads_in_place: bool = False,
    ) -> None:
        self._interpreter = interpreter
        # The interpreter computes with weights that lie in these bytes.
        self._content = model.content
        self._workers = WorkerThreads(thread_ids)
        self._input_index, self._output_indices, self.spec = _read_spec(interpreter, model, class_names)
        self._input_shape = tuple(interpreter.get_input_details()[0]["shape"])
        self._in_place: tuple[Tensor, ...] | None = None
        if reads_in_place:
            try:
                self._in_place = tuple(_tensor_in_place(interpreter, index) for index in self._output_indices)
            except ValueError as error:
                raise ModelError(
                    f"{model.path}: no operation writes one of the model's outputs; the file may be damaged"
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
        model, interpreter = first_that_opens(
            read_model_for_cpu(model_path, raw_head), lambda model: new_interpreter(runtime, model, threads)
        )
        self._network = TfliteNetwork(interpreter, model, class_names, running_threads() - running, True)
        self.spec = self._network.spec
        description = f"{runtime.__name__} on the CPU, {threads} thread{'s' if threads > 1 else ''}"
        self.info = BackendInfo(description, reason, model.head, warnings)
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


def read_model(model_path: Path, raw_head: bool = True) -> list[ModelFile]:
    """Read a model file; return it as it is, and before it the same model with a raw head where it can be had.

    Raises:
        ModelError: if the file cannot be read, or is not a .tflite file.
    """
    content = read_tflite(model_path)
    if not raw_head:
        return [ModelFile(model_path, content, "as published, as asked for", False)]
    try:
        cut = ModelFile(model_path, expose(content), "raw, cut out of the published file", True)
    except NoDecodedHeadError as error:
        return [ModelFile(model_path, content, f"as published: {error}", False)]
    return [cut, ModelFile(model_path, content, "as published", False)]


def read_model_for_cpu(model_path: Path, raw_head: bool = True) -> list[ModelFile]:
    """Read a model file as `read_model` does; return before the rest what LiteRT runs faster, if it may be changed.

    Raises:
        ModelError: if the file cannot be read, or is not a .tflite file.
    """
    models = read_model(model_path, raw_head)
    faster = for_cpu(models[0].content) if raw_head else None
    if faster is None:
        return models
    return [replace(models[0], content=faster.content, input_shape=faster.input_shape), *models]


def first_that_opens(
    models: Sequence[ModelFile], open_model: Callable[[ModelFile], Opened]
) -> tuple[ModelFile, Opened]:
    """Open the first of several forms of a model; the next one where a runtime or a delegate refuses it.

    Raises:
        UserError: what the last form raises.
    """
    *preferred, last = models
    reason = ""
    for model in preferred:
        try:
            return replace(model, head=model.head + reason), open_model(model)
        except (ModelError, BackendError) as error:
            form = "graph for the CPU" if model.input_shape else "raw head"
            reason = f", since its {form} does not run here: {one_line(error)}"
    return replace(last, head=last.head + reason), open_model(last)


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
    return new_interpreter(runtime, read_model(model_path, raw_head=False)[0], num_threads)


def new_interpreter(runtime: ModuleType, model: ModelFile, num_threads: int) -> Any:
    """Return an interpreter that is ready to run.

    Raises:
        ModelError: if the runtime cannot load the model.
    """
    try:
        interpreter = runtime.Interpreter(model_content=model.content, num_threads=num_threads)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{model.path}: the model cannot be loaded: {runtime_message(error)}") from error
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


def read_tflite(model_path: Path) -> bytes:
    """Return the bytes of a .tflite file.

    Raises:
        ModelError: if the file cannot be read, or is not a .tflite file.
    """
    try:
        content = model_path.read_bytes()
    except OSError as error:
        raise ModelError(f"{model_path}: the model cannot be read: {error.strerror}") from error
    if content[4:8] != FILE_IDENTIFIER:
        raise ModelError(f"{model_path}: this is no TensorFlow Lite model; give a .tflite file")
    return content


def _read_spec(
    interpreter: Any, model: ModelFile, class_names: Sequence[str] | None
) -> tuple[int, list[int], ModelSpec]:
    if class_names is None:
        class_names = read_model_class_names(model.path)
    try:
        inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
        if model.input_shape is not None:
            inputs[0]["shape"] = model.input_shape
        spec = ModelSpec.from_tensors(
            [tensor_spec(details) for details in inputs],
            [tensor_spec(details) for details in outputs],
            class_names,
        )
    except UnicodeDecodeError as error:
        raise ModelError(f"{model.path}: the model is damaged, the name of a tensor is no text ({error})") from error
    except ModelError as error:
        raise ModelError(f"{model.path}: {error}") from error
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
