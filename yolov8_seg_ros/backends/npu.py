"""Run a .tflite model on an NPU, through the delegate of its maker."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from yolov8_seg_ros.backends.delegate import (
    Share,
    check_library,
    library_identity,
    load_delegate,
    share_of_graph,
)
from yolov8_seg_ros.backends.npu_cache import GraphCache, graph_folder
from yolov8_seg_ros.backends.tflite import (
    ModelFile,
    TfliteBackend,
    automatic_threads,
    first_that_opens,
    load_runtime,
    read_model,
    runtime_message,
)
from yolov8_seg_ros.errors import BackendError, ModelError, NoDelegatedOpsError

#: Where X-LINUX-AI installs it.
DEFAULT_DELEGATE = "/usr/lib/libvx_delegate.so.2"
#: Where one of them is given by hand, this package leaves the cache to the user.
_CACHE_OPTIONS = frozenset({"allowed_cache_mode", "cache_file_path"})


@dataclass(frozen=True)
class NpuOptions:
    """How the NPU is reached.

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
        """Give the delegate's shared library."""
        return Path(self.delegate).expanduser()

    @property
    def delegate_options(self) -> dict[str, str]:
        """Return the options of the delegate, except those of its cache."""
        return dict(_key_and_value(pair) for pair in self.options.split(",") if pair.strip())


class NpuBackend(TfliteBackend):
    """A network run by an NPU; what its delegate leaves is run by the CPU.

    It is run once here, so that what fails fails now, and the compiled graph can be kept.

    Args:
        model_path: the .tflite file.
        num_threads: how many threads compute what the NPU leaves; 0 chooses by the number of processors.
        class_names: a name for each class; the model's own metadata where None.
        options: how the NPU is reached.
        raw_head: whether to cut a decoded head off, so that its logits are decoded here.

    Raises:
        ModelError: if the file is not a YOLOv8-seg model.
        NoDelegatedOpsError: if the delegate leaves all of the model to the CPU.
        BackendError: if the delegate cannot be loaded, or fails.
    """

    is_accelerator = True

    def __init__(
        self,
        model_path: Path,
        num_threads: int = 0,
        class_names: Sequence[str] | None = None,
        options: NpuOptions | None = None,
        raw_head: bool = True,
    ) -> None:
        options = options or NpuOptions()
        runtime = load_runtime()
        models = read_model(model_path, raw_head)
        check_library(options.library)
        self._cache: GraphCache | None = None

        def start(model: ModelFile) -> str:
            self._start(runtime, model, num_threads or automatic_threads(), class_names, options)
            return self.description

        model, _ = first_that_opens(models, start)
        self.head = model.head

    def _start(
        self,
        runtime: ModuleType,
        model: ModelFile,
        num_threads: int,
        class_names: Sequence[str] | None,
        options: NpuOptions,
    ) -> None:
        """Open and run a model once; where a graph in the cache is to blame for a failure, once more without it."""
        self._cache = _graph_cache(options, model.content)
        try:
            self._open_and_run(runtime, model, num_threads, class_names, options)
        except NoDelegatedOpsError:
            raise
        except BackendError as error:
            if self._cache is None or not self._cache.forget():
                raise
            self._open_and_run(runtime, model, num_threads, class_names, options)
            self.warnings += (f"the kept graph did not run, it was compiled anew: {error}",)
        finally:
            if self._cache is not None:
                self._cache.discard()

    def _open_and_run(
        self,
        runtime: ModuleType,
        model: ModelFile,
        num_threads: int,
        class_names: Sequence[str] | None,
        options: NpuOptions,
    ) -> None:
        interpreter, share = self._open(runtime, model, num_threads, options)
        self._take(interpreter, model, class_names)
        self.description = f"{runtime.__name__} with {options.library.name}, which runs {share}"
        self._run_first(share, options.library)

    def _open(self, runtime: ModuleType, model: ModelFile, num_threads: int, options: NpuOptions) -> tuple[Any, Share]:
        cache_options = self._cache.options if self._cache is not None else {}
        delegate = load_delegate(runtime, options.library, {**cache_options, **options.delegate_options})
        failed = f"the NPU delegate {options.library} fails at {model.path}"
        try:
            interpreter = runtime.Interpreter(
                model_content=model.content, num_threads=num_threads, experimental_delegates=[delegate]
            )
            share = share_of_graph(interpreter)
            interpreter.allocate_tensors()
        except ValueError as error:
            raise ModelError(f"{model.path}: the model cannot be loaded: {runtime_message(error)}") from error
        except RuntimeError as error:
            raise BackendError(f"{failed}; it says: {runtime_message(error)}") from error
        if not share.taken:
            raise NoDelegatedOpsError(
                f"the NPU delegate {options.library} takes none of the {share.total} operations of {model.path}: "
                "quantise the model to int8 per tensor, or choose backend cpu"
            )
        return interpreter, share

    def _run_first(self, share: Share, library: Path) -> None:
        started = time.perf_counter()
        try:
            self.run(np.zeros(self.spec.input.shape, self.spec.input.quant.dtype))
        except BackendError as error:
            raise BackendError(f"the NPU delegate {library} fails at the first image; {error}") from error
        self.first_run_ms = (time.perf_counter() - started) * 1e3
        self._keep_graph(share)

    def _keep_graph(self, share: Share) -> None:
        if self._cache is None:
            return
        if self._cache.is_warm:
            self.description += f", compiled graph from {self._cache.file}"
            return
        if share.parts > 1:
            # The delegate knows one file for all of them, and would load one part's graph for another.
            self._cache.discard()
            self._cache.problem = f"the model falls into {share.parts} parts, and a cache file holds one"
        self._cache.keep()
        if self._cache.problem:
            self.warnings = (f"the NPU's compiled graph is not kept, each start compiles: {self._cache.problem}",)


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
