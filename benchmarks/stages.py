"""Time the stages of the core against the bare `invoke()` of the file as published, in one run.

    python -m benchmarks.stages --model yolov8n_256 --image street.jpg

The outputs that are postprocessed are made by hand, so that they hold as many objects as the row says. `segment()` is
one image through all stages, the network included, with its label image.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.images import benchmark_image
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.backends.tflite import load_runtime, open_interpreter
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.model_spec import Level, ModelSpec
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.model_files.store import SCENE_MODEL, find_model

IMAGE_SIZES_HW = ((480, 640), (720, 1280), (1080, 1920))
OBJECT_COUNTS = (0, 1, 8, 50)
#: Of the network's width and height.
OBJECT_SIZE = (0.15, 0.3)


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL, help="path or name of a model (default: %(default)s)")
    parser.add_argument("--image", default="", help="for segment(); default: one of the built-in scene")
    parser.add_argument("--threads", type=int, default=1, help="of LiteRT and OpenCV (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=200, help="of which the median is given (default: %(default)s)")
    parser.add_argument("--pause-ms", type=float, default=0.0, help="before each stage (default: %(default)s)")
    args = parser.parse_args(argv)
    cv2.setNumThreads(args.threads)
    invoke = open_interpreter(load_runtime(), find_model(args.model), args.threads).invoke
    with open_backend(args.model, "cpu", num_threads=args.threads) as backend:
        print(
            f"{args.model}, {backend.info.description}, head {backend.info.head}; median of {args.runs}, milliseconds"
        )
        columns = ("preprocess", "inference", "postprocess", "labels", "segment()", "invoke()", "ratio")
        print(f"{'image':>10} {'objects':>8} {'found':>6} " + " ".join(f"{name:>11}" for name in columns))
        for image_hw in IMAGE_SIZES_HW:
            pixels = benchmark_image(args.image, image_hw).pixels
            for count in OBJECT_COUNTS:
                print(_row(Segmenter(backend), pixels, count, invoke, args), flush=True)
    return 0


def outputs_with(spec: ModelSpec, count: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Return quantized outputs that hold `count` objects in random places, of random classes and masks."""
    outputs = tuple(np.zeros(tensor.shape, tensor.quant.dtype) for tensor in spec.outputs)
    lowest, score = (-8.0, 3.0) if spec.is_raw else (0.0, 0.9)
    for level in spec.levels:
        for part, empty in ((level.boxes, 0.0), (level.scores, lowest), (level.coefficients, 0.0)):
            part.view(outputs)[:] = part.quant.quantize(np.full((), empty))
    for number in range(count):
        level = spec.levels[number % len(spec.levels)]
        anchor = int(rng.integers(level.scores.num_anchors))
        class_id = int(rng.integers(level.scores.num_channels))
        level.boxes.view(outputs)[:, anchor] = level.boxes.quant.quantize(_box(spec, level, rng))
        level.scores.view(outputs)[class_id, anchor] = level.scores.quant.quantize(np.full((), score))
        coefficients = rng.uniform(0.2, 0.5, spec.num_coefficients)
        level.coefficients.view(outputs)[:, anchor] = level.coefficients.quant.quantize(coefficients)
    real = rng.uniform(0.0, 1.0, spec.prototypes.shape)
    outputs[spec.prototypes_index][:] = spec.prototypes.quant.quantize(real)
    return outputs


def _box(spec: ModelSpec, level: Level, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the channels of a box of OBJECT_SIZE."""
    if not spec.is_raw:
        return np.array([*rng.uniform(0.2, 0.8, 2), *OBJECT_SIZE])
    logits = np.zeros((4, spec.box_bins))
    for side in range(4):
        size_px = OBJECT_SIZE[side % 2] * spec.input_hw[1 - side % 2]
        logits[side, min(round(size_px / 2 / level.stride_px), spec.box_bins - 1)] = 10
    return logits.reshape(-1)


def _row(
    segmenter: Segmenter,
    pixels: NDArray[np.uint8],
    count: int,
    invoke: Callable[[], object],
    args: argparse.Namespace,
) -> str:
    frame, made = segmenter.new_frame(), segmenter.new_frame()
    image = ColorImage(pixels)
    segmenter.preprocess(frame, image)
    segmenter.preprocess(made, image)
    made.outputs = outputs_with(segmenter.spec, count, np.random.default_rng(count))
    instances, labels = segmenter.postprocess(made), np.empty(image.hw, np.uint8)
    times_ms = medians_ms(
        args.runs,
        lambda: segmenter.preprocess(frame, image),
        lambda: segmenter.infer(frame),
        lambda: segmenter.postprocess(made),
        lambda: instances.label_image(labels),
        lambda: segmenter.segment(image).label_image(labels),
        invoke,
        pause_s=args.pause_ms / 1e3,
    )
    ratio = times_ms[-2] / times_ms[-1]
    size = f"{pixels.shape[1]}x{pixels.shape[0]}"
    found = len(segmenter.segment(image))
    times = " ".join(f"{stage_ms:11.2f}" for stage_ms in times_ms)
    return f"{size:>10} {len(instances):>8} {found:>6} {times} {ratio:>11.2f}"


def medians_ms(runs: int, *stages: Callable[[], object], pause_s: float = 0.0) -> list[float]:
    """Return the median duration of each stage; they take turns, so that a slow moment meets them all.

    Args:
        runs: how often each is run.
        stages: what is run.
        pause_s: taken before each, outside its time.
    """
    times_s = np.empty((runs, len(stages)))
    for run in range(runs):
        for index, stage in enumerate(stages):
            if pause_s:
                time.sleep(pause_s)
            started_s = time.perf_counter()
            stage()
            times_s[run, index] = time.perf_counter() - started_s
    return list(np.median(times_s, axis=0) * 1e3)


if __name__ == "__main__":
    sys.exit(main())
