"""Verb `evaluate`: how well a model does on a data set, in figures and as a page to look at."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from tqdm import tqdm

from yolov8_seg_ros.cli.arguments import (
    add_backend_arguments,
    add_segmenter_arguments,
    open_backend_of,
    segmenter_options,
    tell_backend,
    whole_number,
)
from yolov8_seg_ros.cli.output import print_table
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.model_files.store import find_model
from yolov8_seg_ros.tools.dataset.description import SPLITS, VAL
from yolov8_seg_ros.tools.evaluation.classes import match_classes
from yolov8_seg_ros.tools.evaluation.coco_truth import read_coco_truth
from yolov8_seg_ros.tools.evaluation.metrics import Measured
from yolov8_seg_ros.tools.evaluation.output import (
    MASK_TRUTH_NAME,
    METRICS_NAME,
    REPORT_NAME,
    RESULTS_NAME,
    TRUTH_NAME,
    measure_all,
    write_all,
)
from yolov8_seg_ros.tools.evaluation.progress import Progress, run_key
from yolov8_seg_ros.tools.evaluation.report import FIGURES, TITLES, figures_of, shown_figure
from yolov8_seg_ros.tools.evaluation.run import Evaluated, evaluate
from yolov8_seg_ros.tools.evaluation.truth import TruePicture, Truth, read_yolo_truth

#: As COCO does it: all that might be something counts, at its score.
SCORE_THRESHOLD = 0.001
MAX_INSTANCES = 300
PROGRESS_NAME = "progress.jsonl"
_SWITCHES = ("agnostic_nms", "multi_label", "vote_boxes", "refine_boxes", "rescore")
_OPTIONS = ("score", "iou", "max_instances", "classes", "fit", "interpolation", "pixel_rounding")
_DESCRIPTION = f"""\
Measure a model on a data set whose truth is known: average precision (AP) and recall (AR) of boxes and masks, by
pycocotools. DATA is the data.yaml, or the folder, of a data set in YOLO's form, or a COCO annotations file (.json).
Into the output folder go
  {REPORT_NAME}       the figures, precision-recall curves, the score to ask for, the worst and best pictures
  {METRICS_NAME}      all figures
  {RESULTS_NAME}      what was found, in COCO's results format
  {TRUTH_NAME}        the truth as a COCO annotations file: pycocotools gives the same figures from both
  {MASK_TRUTH_NAME}  that of the masks, where of some objects only the box is known: these count for boxes alone,
                    for masks their boxes are regions that are not judged (iscrowd)
Classes are matched by name, so a model may know more of them than the data set. Pictures that cannot be read are
reported and left out; the exit code is 1 then. An interrupted run goes on where it was, unless model or options
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
    parser.add_argument("--images", type=Path, metavar="DIR", help="pictures of COCO annotations, if not near the file")
    parser.add_argument("--limit", type=whole_number(1), metavar="N", help="only the first N pictures, by name")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("evaluated"),
        metavar="DIR",
        help="folder to write to (default: %(default)s)",
    )
    add_backend_arguments(parser)
    add_segmenter_arguments(parser)
    parser.set_defaults(run=run, score=SCORE_THRESHOLD, max_instances=MAX_INSTANCES)


def run(args: argparse.Namespace) -> int:
    """Measure a model; give 1 where some pictures could not be read."""
    truth = _read_truth(args)
    pictures = truth.pictures[: args.limit]
    with open_backend_of(args) as backend:
        tell_backend(backend)
        segmenter = Segmenter(backend, segmenter_options(args, backend.spec))
        print(f"postprocessing: {segmenter.postprocessing}")
        categories = match_classes(truth, backend.spec, segmenter.options.head.classes)
        args.output.mkdir(parents=True, exist_ok=True)
        key = run_key(find_model(args.model), backend.description, segmenter.options)
        with Progress(args.output / PROGRESS_NAME, key) as progress:
            evaluated = _evaluate_all(pictures, segmenter, categories, truth.class_names, progress)
            measured = measure_all(evaluated)
            facts = _facts(args, backend.description, evaluated)
            title = f"{Path(args.model).stem} on {_data_name(truth.source)}"
            write_all(args.output, evaluated, measured, title, facts)
            progress.remove()
    _print_figures(measured)
    print("\n".join(f"{name}: {value}" for name, value in facts if name in ("pictures", "time a picture")))
    print(f"written to {args.output}; look at {args.output / REPORT_NAME}")
    return 1 if evaluated.skipped else 0


def _read_truth(args: argparse.Namespace) -> Truth:
    path = args.data.expanduser()
    if args.output.resolve() == (path if path.is_dir() else path.parent).resolve():
        raise CommandError(f"--output: '{args.output}' holds the data; give another folder")
    if _is_coco(path):
        truth = read_coco_truth(path, args.images and args.images.expanduser())
    elif args.images is not None:
        raise CommandError("--images is for COCO annotations; a data.yaml says itself where its pictures are")
    else:
        truth = read_yolo_truth(path, args.split)
    for note in truth.notes:
        print(note, file=sys.stderr)
    return truth


def _evaluate_all(
    pictures: tuple[TruePicture, ...],
    segmenter: Segmenter,
    categories: Mapping[int, int],
    names: Mapping[int, str],
    progress: Progress,
) -> Evaluated:
    if progress.count:
        print(f"going on after {progress.count} pictures that an interrupted run has segmented")
    with tqdm(total=len(pictures), unit="picture", disable=None, leave=False) as bar:

        def skip(why: str) -> None:
            tqdm.write(f"skipped: {why}", file=sys.stderr)

        try:
            return evaluate(pictures, segmenter, categories, names, progress, skip, bar.update)
        except KeyboardInterrupt:
            tqdm.write(f"interrupted after {progress.count} pictures: the same command goes on there", file=sys.stderr)
            raise


def _facts(args: argparse.Namespace, backend: str, evaluated: Evaluated) -> list[tuple[str, str]]:
    times, skipped = evaluated.mean_times, evaluated.skipped
    prepare, infer, finish = times.prepare_ms, times.infer_ms, times.finish_ms
    return [
        ("data", str(args.data) if _is_coco(args.data) else f"{args.data}, {args.split}"),
        ("pictures", f"{len(evaluated.images)}" + (f", {skipped} skipped" if skipped else "")),
        ("model", args.model),
        ("runs on", backend),
        ("time a picture", f"{prepare:.1f} ms to prepare, {infer:.1f} ms to infer, {finish:.1f} ms to finish"),
        ("options", ", ".join(f"{name} {_shown(getattr(args, name))}" for name in (*_OPTIONS, *_SWITCHES))),
    ]


def _is_coco(path: Path) -> bool:
    return path.suffix.lower() == ".json"


def _data_name(source: Path) -> str:
    return source.stem if _is_coco(source) else source.resolve().parent.name


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value) or "all"


def _print_figures(measured: Mapping[str, Measured]) -> None:
    print_table(
        [["", *FIGURES]]
        + [[TITLES[kind], *map(shown_figure, figures_of(one.scores))] for kind, one in measured.items()]
    )
    heads = ["class", "objects", *(f"{TITLES[kind]} {name}" for kind in measured for name in FIGURES)]
    rows = [
        [one.name, str(one.objects)]
        + [
            shown_figure(value)
            for kind_measured in measured.values()
            for value in figures_of(kind_measured.classes[category_id].scores)
        ]
        for category_id, one in next(iter(measured.values())).classes.items()
        if one.objects
    ]
    print_table([heads, *rows])
    print()
