"""Open a model on the backend that is asked for, or on the best one there is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from yolov8_seg_ros.backends.first_opening import check_opening
from yolov8_seg_ros.backends.n6 import N6_PROTOCOLS, N6Options
from yolov8_seg_ros.backends.npu import NpuBackend, NpuOptions
from yolov8_seg_ros.backends.stai_mpu import SUFFIX as COMPILED_SUFFIX
from yolov8_seg_ros.backends.stai_mpu import StaiMpuBackend
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.choices import BACKENDS as BACKENDS
from yolov8_seg_ros.commands import install_command
from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.errors import BackendError, LinkError, NoDelegatedOpsError
from yolov8_seg_ros.files import is_file, user_path
from yolov8_seg_ros.model_files.class_names import read_class_names
from yolov8_seg_ros.model_files.store import find_model


def open_backend(
    model: str,
    backend: str = BACKENDS[0],
    *,
    num_threads: int = 0,
    class_names_file: str = "",
    raw_head: bool = True,
    npu: NpuOptions | None = None,
    log: Callable[[str], object] = lambda line: None,
    n6: N6Options | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Backend:
    """Open a model on the backend asked for.

    Args:
        model: path or name of the model, as `find_model` takes it. On `n6` it names the classes, and must be what the
            board holds; where it is empty, anything the board holds will do.
        backend: one of `BACKENDS`; `auto` chooses, and gives the reason in the backend's `info.reason`.
        num_threads: how many threads compute on the CPU; 0 chooses by the number of processors.
        class_names_file: a text file or `data.yaml` with a name for each class; the model's own names where empty.
        raw_head: whether a decoded head is cut off a .tflite file, so that its logits are decoded here; False runs the
            file as it was published.
        npu: how the NPU is reached.
        log: called with a line for the log: before foreign code is loaded, which may end the process, and when a lost
            board is back; then from another thread.
        n6: where the board is, for `n6`.
        stop: waiting for a board or a first opening ends with a RunInterruptedError as soon as this returns True;
            called from any thread.

    Raises:
        ModelError: if the model is not to be found or cannot be served, crashes the runtime, or the names do not fit.
        BackendError: if the backend cannot start here.
    """
    if backend not in BACKENDS:
        raise BackendError(f"backend: expected one of {', '.join(BACKENDS)}; got '{backend}'")
    if num_threads < 0:
        raise BackendError(f"num_threads: expected 0 (automatic) or more, got {num_threads}")
    names = read_class_names(user_path(class_names_file)) if class_names_file else None
    if backend == "n6":
        return _open_n6(model, names, n6 or N6Options(), log, stop)
    path, npu = find_model(model), npu or NpuOptions()
    if path.suffix == COMPILED_SUFFIX:
        return _open_compiled(path, backend, names)
    has_npu = backend == "npu" or (backend == "auto" and is_file(npu.library))
    check_opening(path, raw_head, stop, on_cpu=not has_npu)
    if backend == "cpu":
        return TfliteBackend(path, num_threads, names, raw_head)
    if not has_npu:
        reason = f"auto chose cpu: there is no NPU delegate at {npu.library}"
        return TfliteBackend(path, num_threads, names, raw_head, reason=reason)
    log(f"loading {path} with the NPU delegate {npu.library}")
    if backend == "npu":
        return NpuBackend(path, num_threads, names, npu, raw_head)
    return _npu_or_cpu(path, num_threads, names, npu, raw_head)


def _open_compiled(path: Path, backend: str, names: Sequence[str] | None) -> Backend:
    if backend == "cpu":
        raise BackendError(f"{path} is compiled for the NPU: choose backend npu, or give the .tflite file")
    reason = f"auto chose npu: a {COMPILED_SUFFIX} file runs nowhere else" if backend == "auto" else ""
    return StaiMpuBackend(path, names, reason=reason)


def _npu_or_cpu(path: Path, num_threads: int, names: Sequence[str] | None, npu: NpuOptions, raw_head: bool) -> Backend:
    """Fall back to the CPU if the delegate fails, and report the failure of an NPU that exists as a fault."""
    reason = f"auto chose npu: {npu.library} is there and works"
    warning = fault = ""
    try:
        return NpuBackend(path, num_threads, names, npu, raw_head, reason=reason)
    except NoDelegatedOpsError as error:
        reason, warning = f"auto chose cpu: {error}", f"running on the CPU: {error}"
    except BackendError as error:
        reason, fault = f"auto chose cpu: {error}", f"running on the CPU, since the NPU is broken: {error}"
    warnings = (warning,) if warning else ()
    return TfliteBackend(path, num_threads, names, raw_head, reason=reason, warnings=warnings, fault=fault)


def _open_n6(
    model: str,
    names: Sequence[str] | None,
    options: N6Options,
    log: Callable[[str], object],
    stop: Callable[[], bool],
) -> Backend:
    if options.protocol not in N6_PROTOCOLS:
        raise BackendError(f"n6.protocol: expected one of {', '.join(N6_PROTOCOLS)}; got '{options.protocol}'")
    try:
        # Only this backend needs pyserial and protobuf.
        from yolov8_seg_ros.backends.n6.backend import N6Backend, wanted_model
        from yolov8_seg_ros.backends.n6.bridge import BridgeProtocol
        from yolov8_seg_ros.backends.n6.bridge_backend import BridgeBackend
        from yolov8_seg_ros.backends.n6.stedgeai import StedgeaiProtocol
    except ModuleNotFoundError as error:
        remedy = install_command("pyserial", "protobuf")
        raise BackendError(f"n6 needs the Python package {error.name}: run '{remedy}'") from error
    path = find_model(model) if model else None
    if path is not None:
        for raw_head in (False, True):
            check_opening(path, raw_head, stop)
    wanted = wanted_model(path, names)
    openers: dict[str, Callable[[], Backend]] = {
        "bridge": lambda: BridgeBackend(options, wanted, [BridgeProtocol()], stop=stop, log=log),
        "stedgeai": lambda: N6Backend(options, wanted, [StedgeaiProtocol()], stop=stop, log=log),
    }
    failures = []
    for name, opener in openers.items():
        try:
            if options.protocol in (N6_PROTOCOLS[0], name):
                return opener()
        except LinkError as error:
            failures.append(str(error))
    # Both have the same to say of a port that is not there.
    raise LinkError("; ".join(dict.fromkeys(failures)))
