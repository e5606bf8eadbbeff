"""Verb `evaluate`: the accuracy of a model on a data set, in figures and as a page to look at."""

from __future__ import annotations

import argparse
import datetime
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from yolov8_seg_ros.cli.arguments import (
    add_ablation_arguments,
    add_backend_arguments,
    add_segmenter_arguments,
    open_backend_of,
    print_backend,
    whole_number,
)
from yolov8_seg_ros.cli.output import add_output_argument, output_folder, package_version, print_table, stage_times
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import CommandError, one_line
from yolov8_seg_ros.files import sha256_of, user_path
from yolov8_seg_ros.model_files.store import find_model
from yolov8_seg_ros.settings.options import segmenter_options
from yolov8_seg_ros.settings.tables import SEG_NODE_SETTINGS, SEGMENTATION
from yolov8_seg_ros.tools.dataset.description import SPLITS, VAL
from yolov8_seg_ros.tools.evaluation.coco_ground_truth import read_coco
from yolov8_seg_ros.tools.evaluation.ground_truth import AnnotatedImage, GroundTruth, match_classes, read_yolo
from yolov8_seg_ros.tools.evaluation.metrics import FIGURES, Figures
from yolov8_seg_ros.tools.evaluation.progress import Progress, run_key
from yolov8_seg_ros.tools.evaluation.report import (
    MASK_TRUTH_NAME,
    METRICS_NAME,
    REPORT_NAME,
    RESULTS_NAME,
    TITLES,
    TRUTH_NAME,
    figure_text,
    measure_all,
    write_all,
)
from yolov8_seg_ros.tools.evaluation.run import Evaluation, evaluate

#: As COCO does it: all that might be something counts, at its score.
SCORE_THRESHOLD = 0.001
MAX_INSTANCES = 300
PROGRESS_NAME = "progress.jsonl"
#: Shown where they are given.
_SWITCHES = ("raw_head", "interpolation", "pixel_rounding", "multi_label", "vote_boxes", "mask_threshold")
_OPTIONS = tuple(setting.name for setting in SEG_NODE_SETTINGS if setting.group == SEGMENTATION)
_DESCRIPTION = f"""\
Measure a model on a data set with ground truth: average precision (AP) and recall (AR) of boxes and masks, by
pycocotools. DATA is the data.yaml, or the folder, of a data set in YOLO's form, or a COCO annotations file (.json).
Into the output folder go
  {REPORT_NAME}              the figures, precision-recall curves, the best score threshold, the worst and best images
  {METRICS_NAME}             all figures
  {RESULTS_NAME}             the model's results, in COCO's results format
  {TRUTH_NAME}        the ground truth as a COCO annotations file: pycocotools gives the same figures from both
  {MASK_TRUTH_NAME}  that of the masks, where of some objects only the box is known: these count for boxes alone,
                           for masks their boxes are regions to ignore (iscrowd)
Classes are matched by name, so a model may have more of them than the data set. Images that cannot be read are
reported and left out; the exit code is 1 then. An interrupted run continues where it was, unless model or options
are others."""
_EPILOG = """\
examples:
  yolov8_seg evaluate Fish-Seg-1/data.yaml --model fish_256_int8.tflite
  yolov8_seg evaluate instances_val2017.json --images val2017 --model yolov8n_320 --limit 500"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "evaluate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("data", type=Path, metavar="DATA", help="data.yaml, its folder, or COCO annotations")
    parser.add_argument("--split", choices=SPLITS, default=VAL, help="of a data.yaml (default: %(default)s)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="images of COCO annotations, if not near the file")
    parser.add_argument("--limit", type=whole_number(1), metavar="N", help="only the first N images, by name")
    add_output_argument(parser, "evaluated")
    add_backend_arguments(parser)
    add_segmenter_arguments(parser)
    add_ablation_arguments(parser)
    parser.set_defaults(run=run, score_threshold=SCORE_THRESHOLD, max_instances=MAX_INSTANCES)


def run(args: argparse.Namespace) -> int:
    """Measure a model; return 1 where some images could not be read."""
    truth = _read_truth(args)
    images = truth.images[: args.limit]
    with output_folder(args.output), open_backend_of(args) as backend:
        print_backend(backend)
        segmenter = Segmenter(backend, segmenter_options(vars(args), backend.spec))
        categories = match_classes(truth, backend.spec, segmenter.options.detection.classes)
        model_sha256 = sha256_of(find_model(args.model))
        key = run_key(model_sha256, backend.info.description, segmenter.options)
        with Progress(args.output / PROGRESS_NAME, key) as progress:
            evaluation = _evaluate_all(images, segmenter, categories, truth.class_names, progress)
            figures = measure_all(evaluation)
            facts = _facts(args, model_sha256, backend.info.description, evaluation)
            title = f"{Path(args.model).stem} on {_data_name(truth.source)}"
            write_all(args.output, evaluation, figures, title, facts)
            progress.remove()
    _print_figures(figures)
    print("\n".join(f"{name}: {value}" for name, value in facts if name in ("images", "mean times")))
    print(f"written to {args.output}; look at {args.output / REPORT_NAME}")
    return 1 if evaluation.skipped else 0


def _read_truth(args: argparse.Namespace) -> GroundTruth:
    path = user_path(args.data)
    if args.output.resolve() == (path if path.is_dir() else path.parent).resolve():
        raise CommandError(f"--output: '{args.output}' holds the data; give another folder")
    if _is_coco(path):
        truth = read_coco(path, args.images and user_path(args.images))
    elif args.images is not None:
        raise CommandError("--images is for COCO annotations; a data.yaml says itself where its images are")
    else:
        truth = read_yolo(path, args.split)
    for note in truth.notes:
        print(one_line(note), file=sys.stderr)
    return truth


def _evaluate_all(
    images: Sequence[AnnotatedImage],
    segmenter: Segmenter,
    categories: Mapping[int, int],
    names: Mapping[int, str],
    progress: Progress,
) -> Evaluation:
    if progress.count:
        print(f"continuing after {progress.count} images that an interrupted run has segmented")
    with tqdm(total=len(images), unit="image", disable=None, leave=False) as bar:

        def skip(why: str) -> None:
            tqdm.write(f"skipped: {one_line(why)}", file=sys.stderr)

        try:
            return evaluate(images, segmenter, categories, names, progress, skip, bar.update)
        except KeyboardInterrupt:
            tqdm.write(f"interrupted after {progress.count} images: the same command continues there", file=sys.stderr)
            raise


def _facts(args: argparse.Namespace, model_sha256: str, backend: str, evaluation: Evaluation) -> list[tuple[str, str]]:
    skipped = f", {evaluation.skipped} skipped" if evaluation.skipped else ""
    return [
        ("data", str(args.data) if _is_coco(args.data) else f"{args.data}, {args.split}"),
        ("images", f"{len(evaluation.images)}{skipped}"),
        ("model", args.model),
        ("model's sha256", model_sha256),
        ("runs on", backend),
        ("mean times", stage_times(evaluation.mean_times_ms)),
        ("options", ", ".join(f"{name} {_shown(getattr(args, name))}" for name in _shown_options(args))),
        ("date", datetime.datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")),
        ("yolov8_seg_ros", package_version()),
    ]


def _shown_options(args: argparse.Namespace) -> list[str]:
    return [*_OPTIONS, *(name for name in _SWITCHES if getattr(args, name) is not None)]


def _is_coco(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _data_name(source: Path) -> str:
    return source.stem if _is_coco(source) else source.resolve().parent.name


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) or "all"


def _print_figures(figures: Mapping[str, Figures]) -> None:
    print()
    print_table([["", *FIGURES], *([TITLES[kind], *map(figure_text, one.scores)] for kind, one in figures.items())])
    heads = ["class", "objects", *(f"{TITLES[kind]} {name}" for kind in figures for name in FIGURES)]
    rows = [
        [one.name, str(one.objects)]
        + [figure_text(value) for kind in figures.values() for value in kind.classes[category_id].scores]
        for category_id, one in next(iter(figures.values())).classes.items()
        if one.objects
    ]
    print()
    print_table([heads, *rows])
    print()
