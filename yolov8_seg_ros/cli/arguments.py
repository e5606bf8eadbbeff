"""Define the arguments that several verbs share, and turn them into what the package works with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.npu import DEFAULT_DELEGATE, NpuOptions
from yolov8_seg_ros.backends.open_backend import BACKENDS, open_backend
from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.options import (
    DECODINGS,
    FITS,
    INTERPOLATIONS,
    PIXEL_ROUNDINGS,
    DetectionOptions,
    SegmenterOptions,
)
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.model_files.store import DEFAULT_MODEL

Choice = TypeVar("Choice")


def add_backend_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `open_backend_of` reads."""
    group = parser.add_argument_group("model")
    group.add_argument(
        "--model",
        default=DEFAULT_MODEL,
        metavar="FILE_OR_NAME",
        help="path or name of a model (default: %(default)s); 'yolov8_seg model list' shows the names",
    )
    group.add_argument("--backend", choices=BACKENDS, default=BACKENDS[0], help="what runs it (default: %(default)s)")
    group.add_argument(
        "--threads", type=whole_number(0), default=0, metavar="N", help="CPU threads; 0 chooses (default: %(default)s)"
    )
    group.add_argument(
        "--npu-delegate",
        default=DEFAULT_DELEGATE,
        metavar="FILE",
        help="shared library of the NPU's TensorFlow Lite delegate (default: %(default)s)",
    )
    group.add_argument(
        "--npu-cache-dir",
        default="",
        metavar="DIR",
        help="folder of graphs compiled for the NPU; 'none': no cache (default: the user's cache folder)",
    )
    group.add_argument(
        "--npu-device-id", type=whole_number(0), default=0, metavar="N", help="which NPU (default: %(default)s)"
    )
    group.add_argument(
        "--npu-options", default="", metavar="KEY=VALUE,...", help="further options of the NPU's delegate"
    )
    group.add_argument(
        "--class-names",
        default="",
        metavar="FILE",
        help="text file with a class name a line, or data.yaml, for a model that does not name its classes",
    )
    add_n6_arguments(parser)


def add_n6_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `n6_options` reads."""
    group = parser.add_argument_group("STM32N6 board")
    group.add_argument("--port", default="", metavar="DEVICE", help="serial port (default: the ST-LINK plugged in)")
    group.add_argument(
        "--baud",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="baud rate; tried before 921600 and 115200 (default: those)",
    )


def n6_options(args: argparse.Namespace) -> N6Options:
    """Return where the board is."""
    return N6Options(serial_port=args.port, baud_rate=args.baud)


def add_segmenter_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `segmenter_options` reads."""
    detection, segmenter = DetectionOptions(), SegmenterOptions()
    group = parser.add_argument_group("segmentation")
    group.add_argument(
        "--score",
        type=fraction,
        default=detection.score_threshold,
        help="lowest score kept, 0 to 1 (default: %(default)s)",
    )
    group.add_argument(
        "--iou",
        type=fraction,
        default=detection.iou_threshold,
        help="two boxes that overlap by more are one object, 0 to 1 (default: %(default)s)",
    )
    group.add_argument(
        "--max-instances",
        type=whole_number(1),
        default=detection.max_instances,
        metavar="N",
        help="keep at most so many a picture, the best (default: %(default)s)",
    )
    group.add_argument(
        "--classes", default="", metavar="NAME,...", help="keep only these classes, by name or number (default: all)"
    )
    group.add_argument(
        "--agnostic-nms",
        action="store_true",
        default=detection.agnostic_nms,
        help="let boxes of different classes suppress each other",
    )
    group.add_argument(
        "--fit",
        choices=FITS,
        default=segmenter.fit,
        help="keep the picture's aspect, or fill the network's input (default: %(default)s)",
    )
    group.add_argument(
        "--decoding",
        choices=DECODINGS,
        default=DECODINGS[0],
        help="ultralytics: the file as published, decoded as by its predict(), for comparisons (default: %(default)s)",
    )


def add_ablation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add single switches of the decoding, to measure what each of them brings; they overrule --decoding."""
    group = parser.add_argument_group("single switches of the decoding, to measure what each brings")
    group.add_argument("--interpolation", choices=INTERPOLATIONS, help="how the picture is resized")
    group.add_argument("--pixel-rounding", choices=PIXEL_ROUNDINGS, help="how pixels are quantized")
    group.add_argument("--mask-threshold", type=fraction, help="lowest probability of a pixel of a mask")
    for name, text in (
        ("raw-head", "cut a decoded head off the file"),
        ("multi-label", "let an anchor stand for several classes"),
        ("vote-boxes", "average each box with those that overlap it"),
    ):
        group.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=text)


def open_backend_of(args: argparse.Namespace) -> Backend:
    """Open the model that the arguments name.

    Raises:
        ModelError: if it is not to be found or cannot be served.
        BackendError: if the backend cannot start.
    """
    return open_backend(
        args.model,
        args.backend,
        num_threads=args.threads,
        class_names_file=args.class_names,
        raw_head=_chosen(args, "raw_head", args.decoding == "accurate"),
        npu=NpuOptions(args.npu_delegate, args.npu_cache_dir, args.npu_device_id, args.npu_options),
        n6=n6_options(args),
    )


def tell_backend(backend: Backend) -> None:
    """Print what runs the model, and why."""
    reason = f" ({backend.reason})" if backend.reason else ""
    print(f"{backend.description}{reason}")
    if backend.head:
        print(f"head: {backend.head}")
    for line in filter(None, (*backend.warnings, backend.fault)):
        print(line, file=sys.stderr)
    if not backend.spec.names_given:
        print("the model has no class names, they are numbered; give --class-names", file=sys.stderr)


def segmenter_options(args: argparse.Namespace, spec: ModelSpec) -> SegmenterOptions:
    """Give the options that the arguments ask for.

    Raises:
        CommandError: for a class that the model does not have.
    """
    detection = DetectionOptions(
        score_threshold=args.score,
        iou_threshold=args.iou,
        max_instances=args.max_instances,
        classes=_class_indices(args.classes, spec),
        agnostic_nms=args.agnostic_nms,
    )
    options = SegmenterOptions(fit=args.fit, detection=detection).with_decoding(args.decoding)
    return replace(
        options,
        interpolation=_chosen(args, "interpolation", options.interpolation),
        pixel_rounding=_chosen(args, "pixel_rounding", options.pixel_rounding),
        detection=replace(
            options.detection,
            multi_label=_chosen(args, "multi_label", options.detection.multi_label),
            vote_boxes=_chosen(args, "vote_boxes", options.detection.vote_boxes),
            mask_threshold=_chosen(args, "mask_threshold", options.detection.mask_threshold),
        ),
    )


def _chosen(args: argparse.Namespace, name: str, default: Choice) -> Choice:
    """Return an argument that only some verbs have, or its default."""
    value: Choice | None = getattr(args, name, None)
    return default if value is None else value


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got '{text}'")
    return number


def number(text: str) -> float:
    """Read a number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more, got '{text}'")
    return value


def whole_number(lowest: int) -> Callable[[str], int]:
    """Give a reader of whole numbers from `lowest` on."""

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest:
            raise argparse.ArgumentTypeError(f"expected a whole number, {lowest} or more, got '{text}'")
        return int(text)

    return read


def _class_indices(classes: str, spec: ModelSpec) -> tuple[int, ...] | None:
    names = [name.strip() for name in classes.split(",") if name.strip()]
    try:
        return spec.class_indices(names) if names else None
    except ValueError as error:
        raise CommandError(f"--classes: {error}") from error
