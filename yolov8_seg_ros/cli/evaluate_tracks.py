"""Verb `evaluate-tracks`: how well a model and the tracker follow objects, on sequences with ground truth."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path

from tqdm import tqdm

from yolov8_seg_ros.cli.arguments import (
    add_backend_arguments,
    add_segmenter_arguments,
    add_tracker_arguments,
    open_backend_of,
    print_backend,
    tracker_options,
    whole_number,
)
from yolov8_seg_ros.cli.output import add_output_argument, output_folder, print_table
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.files import replacing, user_path
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.media.writers import write_image
from yolov8_seg_ros.settings.options import segmenter_options
from yolov8_seg_ros.tools.evaluation.tracks import (
    MotSequence,
    TrackFigures,
    draw_tracks,
    follow,
    load_metrics,
    measure_tracks,
    read_mot,
)

_HEADS = ("sequence", "fps", "HOTA", "DetA", "AssA", "IDF1", "MOTA", "switches", "fragments", "tracks", "objects")
_DESCRIPTION = """\
Measure how well a model and the tracker follow objects. SEQUENCE is a folder in the form of MOTChallenge: img1/,
gt/gt.txt and seqinfo.ini. Printed are HOTA with its parts DetA (detection) and AssA (association), IDF1, MOTA, how
often the number of an object changed (switches), how often it was lost and found again (fragments). Into the output
folder goes an image of the tracks of each sequence and rate. This needs the Python package trackeval."""
_EPILOG = """\
examples:
  yolov8_seg evaluate-tracks TUD-Stadtmitte --model yolov8n_320
  yolov8_seg evaluate-tracks TUD-Stadtmitte --every 1 2 5 --json figures.json"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "evaluate-tracks",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("sequences", nargs="+", type=Path, metavar="SEQUENCE", help="folder of MOTChallenge")
    parser.add_argument(
        "--every",
        nargs="+",
        type=whole_number(1),
        default=[1],
        metavar="N",
        help="use every N-th image only; a line of figures for each N (default: 1)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file, too")
    add_output_argument(parser, "tracks")
    add_backend_arguments(parser)
    add_segmenter_arguments(parser)
    add_tracker_arguments(parser)
    parser.set_defaults(run=run, classes="person")


def run(args: argparse.Namespace) -> int:
    """Measure the tracker."""
    load_metrics()  # what is missing is reported before the work
    sequences = [read_mot(user_path(path)) for path in args.sequences]
    if args.json is not None:
        _check_json(args)
    options = tracker_options(args)
    results: list[tuple[MotSequence, TrackFigures]] = []
    with output_folder(args.output), open_backend_of(args) as backend:
        print_backend(backend)
        chosen = segmenter_options(vars(args), backend.spec)
        # The tracker is given all classes, as on a robot.
        segmenter = Segmenter(backend, replace(chosen, detection=replace(chosen.detection, classes=None)))
        for sequence in sequences:
            paths = tqdm(sequence.images, unit="image", disable=None, leave=False)
            detected = [segmenter.segment(read_image(path)) for path in paths]
            for step in args.every:
                kept = sequence.every(step)
                tracks = follow(detected[::step], kept, options, chosen.detection.classes)
                results.append((kept, measure_tracks(kept.truth, tracks)))
                image = draw_tracks(read_image(kept.images[-1]), tracks)
                write_image(args.output / f"{sequence.name}_{kept.fps:g}fps.png", image)
    print_table([_HEADS, *(_line(sequence, figures) for sequence, figures in results)])
    if args.json is not None:
        entries = [{"sequence": one.name, "fps": one.fps, **asdict(figures)} for one, figures in results]
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    print(f"\nimages of the tracks written to {args.output}")
    return 0


def _check_json(args: argparse.Namespace) -> None:
    """Check before the work that the file of figures can be written, and is none of a sequence."""
    target = args.json.resolve()
    if target.is_dir() or not target.parent.is_dir():
        raise CommandError(f"--json: '{args.json}' cannot be written; give a file in a folder that is there")
    if any(target.is_relative_to(user_path(path).resolve()) for path in args.sequences):
        raise CommandError(f"--json: '{args.json}' lies in a sequence; give another file")


def _line(sequence: MotSequence, figures: TrackFigures) -> tuple[str, ...]:
    values = asdict(figures).values()
    return (
        sequence.name,
        f"{sequence.fps:g}",
        *(str(value) if isinstance(value, int) else f"{value:.3f}" for value in values),
    )
