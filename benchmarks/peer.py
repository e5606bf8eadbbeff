"""Compare with Ultralytics' `predict()`: the same file, image, interpreter and number of threads, taking turns.

    python -m benchmarks.peer --model yolov8n_256 --image FILE

Wants an environment with `ultralytics`, `ai-edge-litert` and this package (see README.md).
"""

from __future__ import annotations

import argparse
import functools
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import cv2
import numpy as np

from benchmarks.images import benchmark_image, size_hw, size_text
from benchmarks.stages import medians_ms
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.backends.tflite import load_runtime, open_interpreter
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError, ModelError
from yolov8_seg_ros.model_files.store import DEFAULT_MODEL, find_model

_WARM_UP_RUNS = 10
#: Threads of Torch and LiteRT spin for a while when they have nothing to do, which slows down what runs next.
_PAUSE_MS = 10.0


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    args = _parse(arguments)
    absent = [name for name in ("ultralytics", "ai_edge_litert") if importlib.util.find_spec(name) is None]
    if absent:
        sys.exit(f"benchmarks.peer needs {' and '.join(absent)}, absent here: see benchmarks/README.md")
    try:
        path = find_model(args.model)
        with (
            tempfile.TemporaryDirectory() as folder,
            open_backend(str(path), "cpu", num_threads=args.threads) as backend,
        ):
            _compare(args, path, Segmenter(backend), Path(folder))
    except (ModelError, BackendError) as error:
        sys.exit(str(error))
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL, help="path or name of a model (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of LiteRT, OpenCV and Torch (default: %(default)s)")
    parser.add_argument("--image", default="", help="default: one of the built-in scene")
    parser.add_argument("--size", type=size_hw, default=(480, 640), help="WIDTHxHEIGHT of it (default: 640x480)")
    parser.add_argument("--runs", type=int, default=200, help="of which the median is given (default: %(default)s)")
    parser.add_argument(
        "--pause-ms",
        type=float,
        default=_PAUSE_MS,
        help="before each run: 100 is the pace of a camera (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _compare(args: argparse.Namespace, path: Path, segmenter: Segmenter, folder: Path) -> None:
    pixels = benchmark_image(args.image, args.size).pixels
    predict = _ultralytics(path, segmenter.spec, args.threads, folder)
    cv2.setNumThreads(args.threads)  # Ultralytics has set it to 1.
    labels = np.empty(args.size, np.uint8)
    contestants: dict[str, Callable[[], Any]] = {
        "bare invoke()": open_interpreter(load_runtime(), path, args.threads).invoke,
        "segment() and label image": lambda: segmenter.segment(pixels).label_image(labels),
        "predict()": lambda: predict(pixels),
        "predict(retina_masks=True)": lambda: predict(pixels, retina_masks=True),
    }
    found = (len(segmenter.segment(pixels)), len(predict(pixels)[0]))
    medians_ms(_WARM_UP_RUNS, *contestants.values())
    medians = medians_ms(args.runs, *contestants.values(), pause_s=args.pause_ms / 1e3)
    times_ms = dict(zip(contestants, medians, strict=True))
    ours_ms, invoke_ms = times_ms["segment() and label image"], times_ms["bare invoke()"]
    print(
        f"{path.name}, {args.threads} thread{'s'[: args.threads > 1]}, {size_text(args.size)}, {found[0]} instances"
        f" here, {found[1]} there; median of {args.runs}; load average {os.getloadavg()[0]:.2f}"
    )
    print(f"{'':28}{'ms':>8}{'/ invoke()':>12}{'/ this':>8}")
    for name, time_ms in times_ms.items():
        print(f"{name:28}{time_ms:8.2f}{time_ms / invoke_ms:12.2f}{time_ms / ours_ms:8.2f}")


def _ultralytics(path: Path, spec: ModelSpec, threads: int, folder: Path) -> Callable[..., list[Any]]:
    """Return Ultralytics' `predict` for one image, with its model loaded and this many threads."""
    # Nothing is to be fetched, installed, or left behind.
    os.environ.update(YOLO_AUTOINSTALL="False", YOLO_OFFLINE="True", YOLO_CONFIG_DIR=str(folder))
    import torch
    from ultralytics import YOLO

    torch.set_num_threads(threads)
    data = folder / "data.yaml"
    # The file's metadata have no names in Ultralytics' form, and without names it reckons with 1000 classes.
    data.write_text(json.dumps({"names": dict(enumerate(spec.class_names))}), encoding="utf-8")
    options = {"imgsz": list(spec.input_hw), "data": str(data), "verbose": False}
    predict = functools.partial(YOLO(path, task="segment").predict, **options)
    with _threads_of_interpreters(threads):
        predict(np.zeros((*spec.input_hw, 3), np.uint8))
    return predict


def _threads_of_interpreters(threads: int) -> Any:
    """Set the number of threads of any new interpreter: Ultralytics takes all processors but one."""
    from ai_edge_litert import interpreter

    class Interpreter(interpreter.Interpreter):  # type: ignore[misc]
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **{**options, "num_threads": threads})

    return patch.object(interpreter, "Interpreter", Interpreter)


if __name__ == "__main__":
    sys.exit(main())
