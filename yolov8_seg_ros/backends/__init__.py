"""Run the network, wherever it runs."""

from __future__ import annotations

from pathlib import Path

from yolov8_seg_ros.backends.errors import BackendError, RunInterruptedError
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.metadata import read_class_names
from yolov8_seg_ros.core.segmenter import Backend
from yolov8_seg_ros.model_store import find_model

__all__ = ["BACKENDS", "BackendError", "RunInterruptedError", "open_backend"]

#: What a user may ask for; the first is the default.
BACKENDS = ("auto", "cpu")


def open_backend(
    model: str, backend: str = BACKENDS[0], *, num_threads: int = 0, class_names_file: str = ""
) -> Backend:
    """Open a model on the backend asked for.

    Args:
        model: path or name of the model, as `find_model` takes it.
        backend: one of `BACKENDS`; `auto` chooses, and says why in the backend's `reason`.
        num_threads: how many threads compute on the CPU; 0 chooses by the number of processors.
        class_names_file: a text file or `data.yaml` with a name for each class; the model's own names where empty.

    Raises:
        ModelError: if the model is not to be found or cannot be served, or the names do not fit it.
        BackendError: if the backend cannot start here.
    """
    if backend not in BACKENDS:
        raise BackendError(f"backend: expected one of {', '.join(BACKENDS)}; got '{backend}'")
    if num_threads < 0:
        raise BackendError(f"num_threads: expected 0 (automatic) or more, got {num_threads}")
    names = read_class_names(Path(class_names_file).expanduser()) if class_names_file else None
    opened = TfliteBackend(find_model(model), num_threads, names)
    if backend == "auto":
        opened.reason = "auto chose cpu: no NPU delegate is in use"
    return opened
