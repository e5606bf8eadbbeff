"""Time the stages of the core against the bare inference of the same interpreter, in one run.

    make bench MODEL=yolov8n_256

The outputs that are decoded are made by hand, so that they hold as many objects as the row says.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.model_files.store import SCENE_MODEL

IMAGE_SIZES_HW = ((480, 640), (720, 1280), (1080, 1920))
OBJECT_COUNTS = (0, 1, 10, 50)
#: Of the network's width and height.
OBJECT_SIZE = (0.15, 0.3)


def main(argv: Sequence[str] | None = None) -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL, help="path or name of a model (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of LiteRT and OpenCV (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=200, help="of which the median is given (default: %(default)s)")
    args = parser.parse_args(argv)
    cv2.setNumThreads(args.threads)
    with open_backend(args.model, "cpu", num_threads=args.threads) as backend:
        print(f"{args.model}, {backend.description}; median of {args.runs}, milliseconds")
        columns = ("prepare", "infer", "finish", "labels")
        print(f"{'image':>10} {'objects':>8} {' '.join(f'{name:>8}' for name in columns)} {'all / infer':>12}")
        for image_hw in IMAGE_SIZES_HW:
            for count in OBJECT_COUNTS:
                print(_row(Segmenter(backend), image_hw, count, args.runs), flush=True)


def outputs_with(spec: ModelSpec, count: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
    """Give stored outputs that hold `count` objects in random places, of random classes and masks."""
    outputs = tuple(np.zeros(tensor.shape, tensor.quant.dtype) for tensor in spec.outputs)
    for part in (spec.boxes, spec.scores, spec.coefficients):
        part.view(outputs)[:] = part.quant.quantize(np.zeros(()))
    anchors = rng.choice(spec.num_anchors, count, replace=False)
    centre = rng.uniform(0.2, 0.8, (2, count))
    size = np.repeat(np.array([OBJECT_SIZE]).T, count, axis=1)
    spec.boxes.view(outputs)[:, anchors] = spec.boxes.quant.quantize(np.vstack([centre, size]))
    spec.scores.view(outputs)[rng.integers(len(spec.class_names), size=count), anchors] = spec.scores.quant.quantize(
        np.full(count, 0.9)
    )
    coefficients = rng.uniform(0.2, 0.5, (spec.num_coefficients, count))
    spec.coefficients.view(outputs)[:, anchors] = spec.coefficients.quant.quantize(coefficients)
    real = rng.uniform(0.0, 1.0, spec.prototypes.shape)
    outputs[spec.prototypes_index][:] = spec.prototypes.quant.quantize(real)
    return outputs


def _row(segmenter: Segmenter, image_hw: tuple[int, int], count: int, runs: int) -> str:
    rng = np.random.default_rng(count)
    image = ColorImage(rng.integers(0, 256, (*image_hw, 3), np.uint8))
    prepared = segmenter.prepare(image)
    outputs = outputs_with(segmenter.spec, count, rng)
    instances = segmenter.finish(outputs, prepared.letterbox)
    preprocess_ms, inference_ms, postprocess_ms, labels_ms = medians_ms(
        runs,
        lambda: segmenter.prepare(image),
        lambda: segmenter.infer(prepared),
        lambda: segmenter.finish(outputs, prepared.letterbox),
        instances.label_image,
    )
    ratio = (preprocess_ms + inference_ms + postprocess_ms + labels_ms) / inference_ms
    size = f"{image_hw[1]}x{image_hw[0]}"
    times = " ".join(f"{stage_ms:8.2f}" for stage_ms in (preprocess_ms, inference_ms, postprocess_ms, labels_ms))
    return f"{size:>10} {len(instances):>8} {times} {ratio:>12.2f}"


def medians_ms(runs: int, *stages: Callable[[], object], pause_s: float = 0.0) -> list[float]:
    """Give the median duration of each stage; they take turns, so that a slow moment meets them all.

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
