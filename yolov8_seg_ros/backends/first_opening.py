"""Open a model for the first time in a process of its own: a damaged file can crash the runtime, and the node with it.

Files of known content, and those that were opened before, are not opened twice.
"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO

from yolov8_seg_ros.backends.model_forms import read_tflite
from yolov8_seg_ros.backends.open_once import REFUSED
from yolov8_seg_ros.backends.tflite import load_runtime
from yolov8_seg_ros.commands import tool_command
from yolov8_seg_ros.errors import BackendError, ModelError, RunInterruptedError, one_line
from yolov8_seg_ros.model_files.store import BUNDLED_SHA256, PUBLISHED_MODELS, cache_folder

#: A model that is not open and has not run once by then never will.
LIMIT_S = 120.0
_POLL_S = 0.05
#: The module that opens a model, as a program.
PROGRAM = "yolov8_seg_ros.backends.open_once"
_ROOT = Path(__file__).resolve().parents[2]
_KNOWN = frozenset({BUNDLED_SHA256, *(model.sha256 for model in PUBLISHED_MODELS)})


def check_opening(
    path: Path, raw_head: bool = True, stop: Callable[[], bool] = lambda: False, on_cpu: bool = True
) -> None:
    """Check that a .tflite file can be opened and run without a crash.

    Args:
        path: of the file.
        raw_head: whether a decoded head is cut off, as `TfliteBackend` takes it.
        on_cpu: whether the CPU must be able to open it; what only an NPU runs is left to the NPU.
        stop: the check is broken off as soon as this returns True.

    Raises:
        ModelError: if the file cannot be read, is no .tflite file, crashes the runtime, hangs it, is refused by it, or
            bears the name of a published file and is another one.
        BackendError: if no runtime is installed, or the check cannot be made.
        RunInterruptedError: if it was broken off.
    """
    digest = hashlib.sha256(read_tflite(path)).hexdigest()
    _check_published(path, digest)
    if digest in _KNOWN:
        return
    mark = cache_folder() / "opened" / _key(digest, raw_head)
    # What was refused once may crash the next time, when there is more memory: it is not opened here.
    if not mark.exists() and _opens_in_child(path, raw_head, stop, on_cpu):
        # Where nothing can be kept, each start checks.
        with suppress(OSError):
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()


def _check_published(path: Path, digest: str) -> None:
    model = next((model for model in PUBLISHED_MODELS if model.file_name == path.name), None)
    if model is not None and digest != model.sha256:
        raise ModelError(
            f"{path}: this is not the published file of that name: its sha256 is {digest}, expected {model.sha256}; "
            f"remove it and run: {tool_command(f'model download {model.name}')}; a model of your own needs another name"
        )


def _key(digest: str, raw_head: bool) -> str:
    """Return what stands for a file, opened in one way by the versions that are installed."""
    runtime = load_runtime().__name__.split(".")[0]
    versions = (_version(runtime), _version("yolov8_seg_ros"))
    return hashlib.sha256(" ".join([digest, str(raw_head), runtime, *versions]).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _opens_in_child(path: Path, raw_head: bool, stop: Callable[[], bool], on_cpu: bool) -> bool:
    paths = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-m", PROGRAM, str(path), "raw" if raw_head else "published"]
    with tempfile.TemporaryFile() as output:
        child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": paths},
        )
        try:
            exit_code = _wait(child, path, stop)
        finally:
            child.kill()
            child.wait()
        if stop():
            raise RunInterruptedError(f"{path}: opening the model was broken off")
        if exit_code < 0:
            raise ModelError(
                f"{path}: the model crashes the runtime that opens it ({_signal_name(-exit_code)}): the file is "
                "damaged or made to do harm; export or download it again"
            )
        if exit_code == REFUSED and on_cpu:
            raise ModelError(_last_line(output))
        if exit_code not in (0, REFUSED):
            raise BackendError(f"{path}: it cannot be checked whether the model opens: {_last_line(output)}")
        return exit_code == 0


def _wait(child: subprocess.Popen[bytes], path: Path, stop: Callable[[], bool]) -> int:
    waited_s = 0.0
    while waited_s < LIMIT_S and not stop():
        try:
            return child.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            waited_s += _POLL_S
    if stop():
        return 0
    raise ModelError(f"{path}: the model is not open after {LIMIT_S:g} s; is the file damaged?")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(output: IO[bytes]) -> str:
    output.seek(0)
    lines = output.read().decode(errors="replace").split("\n")
    return next((one_line(line) for line in reversed(lines) if line.strip()), "no message")
