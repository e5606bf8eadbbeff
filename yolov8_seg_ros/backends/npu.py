"""Run a .tflite model on an NPU, through the delegate of its maker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolov8_seg_ros.backends.delegate import (
    DelegateCoverage,
    check_library,
    coverage_of_graph,
    library_identity,
    load_delegate,
)
from yolov8_seg_ros.backends.model_forms import ModelForm, first_that_opens, read_forms
from yolov8_seg_ros.backends.npu_cache import GraphCache, graph_folder
from yolov8_seg_ros.backends.tflite import (
    TfliteNetwork,
    automatic_threads,
    load_runtime,
    runtime_message,
)
from yolov8_seg_ros.core.backend import BackendInfo, TensorBackend
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.errors import BackendError, ModelError, NoDelegatedOpsError
from yolov8_seg_ros.files import user_path

#: Where X-LINUX-AI installs it.
DEFAULT_DELEGATE = "/usr/lib/libvx_delegate.so.2"
#: Where one of them is given by hand, this package leaves the cache to the user.
_CACHE_OPTIONS = frozenset({"allowed_cache_mode", "cache_file_path"})


@dataclass(frozen=True)
class NpuOptions:
    """Settings of the NPU's delegate.

    Attributes:
        delegate: path of the delegate's shared library.
        cache_dir: folder of compiled graphs; empty: the user's cache folder, `none`: compile at each start.
        options: further options of the delegate, `key=value`, separated by commas; `device_id` chooses an NPU.

    Raises:
        BackendError: for options that are not of this form.
    """

    delegate: str = DEFAULT_DELEGATE
    cache_dir: str = ""
    options: str = ""

    def __post_init__(self) -> None:
        _ = self.delegate_options

    @property
    def library(self) -> Path:
        """Return the path of the delegate's shared library."""
        return user_path(self.delegate)

    @property
    def delegate_options(self) -> dict[str, str]:
        """Return the options of the delegate, except those of its cache."""
        return dict(_key_and_value(pair) for pair in self.options.split(",") if pair.strip())


class NpuBackend(TensorBackend):
    """A network run by an NPU; what its delegate leaves is run by the CPU.

    It is run once here, so that what fails fails now, and the compiled graph can be kept.

    Args:
        model_path: the .tflite file.
        num_threads: how many threads compute what the NPU leaves; 0 chooses by the number of processors.
        class_names: a name for each class; the model's own metadata where None.
        options: how the NPU is reached.
        raw_head: whether to cut a decoded head off, so that its logits are decoded here.
        reason: why it was chosen among other backends.

    Raises:
        ModelError: if the file is not a YOLOv8-seg model.
        NoDelegatedOpsError: if the delegate leaves all of the model to the CPU.
        BackendError: if the delegate cannot be loaded, or fails.
    """

    def __init__(
        self,
        model_path: Path,
        num_threads: int = 0,
        class_names: Sequence[str] | None = None,
        options: NpuOptions | None = None,
        raw_head: bool = True,
        *,
        reason: str = "",
    ) -> None:
        options = options or NpuOptions()
        starter = _Starter(load_runtime(), num_threads or automatic_threads(), class_names, options)
        forms = read_forms(model_path, raw_head)
        check_library(options.library)
        form, started = first_that_opens(forms, starter.start)
        self._network = started.network
        self.spec = started.network.spec
        self.info = BackendInfo(
            started.description,
            reason,
            form.head,
            started.warnings,
            is_accelerator=True,
            first_run_ms=started.first_run_ms,
        )

    def run(self, network_input: Tensor) -> tuple[Tensor, ...]:
        """Run the network on one quantized input; return its quantized outputs, the caller's own.

        Raises:
            BackendError: if the runtime or the NPU fails.
        """
        return self._network.run(network_input)

    def close(self) -> None:
        """Release the model."""
        self._network.close()


@dataclass(frozen=True)
class _Started:
    """A network that has run once on the NPU."""

    network: TfliteNetwork
    description: str
    first_run_ms: float
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Starter:
    """Settings with which any form of a model is started on the NPU."""

    runtime: ModuleType
    num_threads: int
    class_names: Sequence[str] | None
    options: NpuOptions

    def start(self, form: ModelForm) -> _Started:
        """Open and run a model once; once more without the cached graph where that may be the cause of a failure."""
        cache = _graph_cache(self.options, form.content)
        try:
            return self._open_and_run(form, cache)
        except NoDelegatedOpsError:
            raise
        except BackendError as error:
            if cache is None or not cache.forget():
                raise
            started = self._open_and_run(form, cache)
            warning = f"the kept graph did not run, it was compiled anew: {error}"
            return replace(started, warnings=(*started.warnings, warning))
        finally:
            if cache is not None:
                cache.discard()

    def _open_and_run(self, form: ModelForm, cache: GraphCache | None) -> _Started:
        library = self.options.library
        interpreter, coverage = self._open(form, cache)
        network = TfliteNetwork(interpreter, form, self.class_names)
        started = time.perf_counter()
        try:
            network.run(np.zeros(network.spec.input.shape, network.spec.input.quant.dtype))
        except BackendError as error:
            raise BackendError(f"the NPU delegate {library} fails at the first image; {error}") from error
        first_run_ms = (time.perf_counter() - started) * 1e3
        description = f"{self.runtime.__name__} with {library.name}, which runs {coverage}"
        if cache is None:
            return _Started(network, description, first_run_ms)
        if cache.is_warm:
            return _Started(network, f"{description}, compiled graph from {cache.file}", first_run_ms)
        return _Started(network, description, first_run_ms, _keep_graph(cache, coverage))

    def _open(self, form: ModelForm, cache: GraphCache | None) -> tuple[Any, DelegateCoverage]:
        library = self.options.library
        cache_options = cache.options if cache is not None else {}
        delegate = load_delegate(self.runtime, library, {**cache_options, **self.options.delegate_options})
        try:
            interpreter = self.runtime.Interpreter(
                model_content=form.content, num_threads=self.num_threads, experimental_delegates=[delegate]
            )
            coverage = coverage_of_graph(interpreter)
            interpreter.allocate_tensors()
        except ValueError as error:
            raise ModelError(f"{form.path}: the model cannot be loaded: {runtime_message(error)}") from error
        except RuntimeError as error:
            raise BackendError(
                f"the NPU delegate {library} fails at {form.path}; it says: {runtime_message(error)}"
            ) from error
        if not coverage.delegated_ops:
            raise NoDelegatedOpsError(
                f"the NPU delegate {library} takes none of the {coverage.total_ops} operations of {form.path}: "
                "quantize the model to int8 per tensor, or choose backend cpu"
            )
        return interpreter, coverage


def _keep_graph(cache: GraphCache, coverage: DelegateCoverage) -> tuple[str, ...]:
    """Store the graph that was just compiled; return a warning where that is not possible."""
    if coverage.partitions > 1:
        # The delegate uses one file for all of them, and would load one part's graph for another.
        cache.discard()
        cache.problem = f"the model falls into {coverage.partitions} parts, and a cache file holds one"
    cache.keep()
    if not cache.problem:
        return ()
    return (f"the NPU's compiled graph is not kept, each start compiles: {cache.problem}",)


def _graph_cache(options: NpuOptions, content: bytes) -> GraphCache | None:
    folder = graph_folder(options.cache_dir)
    given = options.delegate_options
    if folder is None or _CACHE_OPTIONS & set(given):
        return None
    return GraphCache(folder, content, library_identity(options.library), given)


def _key_and_value(pair: str) -> tuple[str, str]:
    key, equals, value = pair.partition("=")
    if not key.strip() or not equals:
        raise BackendError(f"npu.options: expected key=value, separated by commas; got '{pair.strip()}'")
    return key.strip(), value.strip()
