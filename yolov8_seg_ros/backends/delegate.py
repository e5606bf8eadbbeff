"""Load a TensorFlow Lite delegate from a shared library, and find out how much of a graph it runs."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from yolov8_seg_ros.backends.tflite import runtime_message
from yolov8_seg_ros.errors import BackendError
from yolov8_seg_ros.files import is_file

#: What every external delegate exports.
_FUNCTIONS = ("tflite_plugin_create_delegate", "tflite_plugin_destroy_delegate")
#: What both runtimes call the node that a delegate has put in the place of others.
_DELEGATE_OPERATION = "DELEGATE"
#: The shared libraries that came into this process when a delegate was first loaded, by its path.
_libraries_of: dict[Path, frozenset[Path]] = {}


@dataclass(frozen=True)
class DelegateCoverage:
    """Number of a graph's operations that a delegate runs.

    Attributes:
        delegated_ops: operations of the model that the delegate runs.
        total_ops: operations of the model.
        partitions: connected parts of the delegated operations, each run by a call of its own.
    """

    delegated_ops: int
    total_ops: int
    partitions: int

    def __str__(self) -> str:
        parts = "" if self.partitions == 1 else f" in {self.partitions} parts"
        return f"{self.delegated_ops} of {self.total_ops} operations{parts}"


def load_delegate(runtime: ModuleType, library: Path, options: Mapping[str, str]) -> Any:
    """Load a delegate and create it with its options.

    Raises:
        BackendError: if the file is no delegate, or it cannot be created.
    """
    check_library(library)
    try:
        return runtime.load_delegate(str(library), dict(options))
    except ValueError as error:
        said = runtime_message(error).partition(str(library))[2].strip() or "nothing more"
        raise BackendError(
            f"the NPU delegate {library} cannot be created with {_in_words(options)}; it says: {said}"
        ) from error


def check_library(library: Path) -> None:
    """Open a delegate's library once before the runtime does, whose own errors name neither cause nor remedy.

    Raises:
        BackendError: if there is none, or it is none.
    """
    if not is_file(library):
        raise BackendError(f"there is no NPU delegate at {library}: install it, or set npu.delegate to its path")
    before = _loaded_libraries()
    try:
        opened = ctypes.CDLL(str(library))
    except OSError as error:
        raise BackendError(
            f"the NPU delegate {library} cannot be loaded: {runtime_message(error)}; "
            "install it anew, with what it needs"
        ) from error
    _libraries_of.setdefault(library.resolve(), frozenset(_loaded_libraries() - before))
    missing = [name for name in _FUNCTIONS if not hasattr(opened, name)]
    if missing:
        raise BackendError(
            f"{library} is no TensorFlow Lite delegate: it does not export {' and '.join(missing)}; "
            "set npu.delegate to one that does"
        )


def library_identity(library: Path) -> str:
    """Return a text that changes with a loaded delegate's file, or with one of the libraries that it loaded."""
    library = library.resolve()
    files = sorted({library, *_libraries_of.get(library, ())})
    return json.dumps([_file_identity(path) for path in files])


def coverage_of_graph(interpreter: Any) -> DelegateCoverage:
    """Return which part of an interpreter's graph delegates run; to be called before its tensors are allocated.

    Only then is the runtime's own CPU delegate not yet among them.
    """
    operations = interpreter._get_ops_details()
    parts = [operation for operation in operations if operation["op_name"] == _DELEGATE_OPERATION]
    own = [operation for operation in operations if operation["op_name"] != _DELEGATE_OPERATION]
    producer = {int(tensor): operation for operation in own for tensor in operation["outputs"]}
    delegated = {index for part in parts for index in _replaced_by(part, producer)}
    return DelegateCoverage(len(delegated), len(own), len(parts))


def _replaced_by(part: Mapping[str, Any], producer: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """Return the operations that a part replaces: those between its outputs and its inputs."""
    inputs = {int(tensor) for tensor in part["inputs"]}
    found: set[int] = set()
    tensors = [int(tensor) for tensor in part["outputs"]]
    while tensors:
        operation = producer.get(tensors.pop())
        if operation is not None and operation["index"] not in found:
            found.add(operation["index"])
            tensors += [int(tensor) for tensor in operation["inputs"] if int(tensor) not in inputs]
    return found


def _loaded_libraries() -> set[Path]:
    try:
        lines = Path("/proc/self/maps").read_text().splitlines()
    except OSError:
        return set()
    return {Path(fields[5]) for fields in (line.split(None, 5) for line in lines) if _is_library(fields)}


def _is_library(fields: Iterable[str]) -> bool:
    *_, name = fields
    return name.startswith("/") and ".so" in Path(name).name


def _file_identity(path: Path) -> list[str | int]:
    # All packages of a reproducible build have the same modification time; their change times differ.
    try:
        stat = path.stat()
    except OSError:
        return [str(path)]
    return [str(path), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]


def _in_words(options: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items()) or "no options"
