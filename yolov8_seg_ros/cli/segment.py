"""Verb `segment`: images, folders and videos in, annotated files and COCO results out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from yolov8_seg_ros.cli.arguments import (
    add_backend_arguments,
    add_segmenter_arguments,
    add_tracker_arguments,
    number,
    open_backend_of,
    print_backend,
    tracker_options,
)
from yolov8_seg_ros.cli.output import add_output_argument, counted, output_folder, stage_times
from yolov8_seg_ros.commands import tool_command
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.errors import CommandError, MediaError, one_line
from yolov8_seg_ros.files import is_file, is_folder, user_path
from yolov8_seg_ros.media.bag_paths import is_bag
from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES
from yolov8_seg_ros.media.sources import open_media
from yolov8_seg_ros.settings.options import segmenter_options
from yolov8_seg_ros.tools.segment_files import IMAGES_NAME, RESULTS_NAME, BatchSegmenter, Totals

_DESCRIPTION = f"""\
Segment images, folders of images and videos. Into the output folder go annotated images of the
same names, annotated videos as .mp4 (MPEG-4 part 2: VLC and ffplay play it, browsers do not), and
  {RESULTS_NAME}  the instances in COCO's results format: category_id is the class index from 0, bbox is
                left, top, width, height in pixels, segmentation is compressed run-length code;
                image_id is the number in the image's name, where all have one (000000000139.jpg),
                else its place in the run from 0; track_id, with --track, is one number for one object
                of a video or folder
  {IMAGES_NAME}   which file, size and category each number stands for
Images that cannot be read are reported and left out; the exit code is 1 then. A run that ends early writes
the results of the images before."""
_EPILOG = """\
examples:
  yolov8_seg segment street.jpg
  yolov8_seg segment images/ drive.mp4 --output found --model yolov8n_320 --classes person,car --score-threshold 0.4
  yolov8_seg segment drive.mp4 frames/ --track --fps 10"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "segment",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help="image, folder of images, or video")
    add_output_argument(parser, "segmented")
    parser.add_argument(
        "--no-images", "--no-pictures", action="store_true", help=f"write no annotated files, only {RESULTS_NAME}"
    )
    add_backend_arguments(parser)
    add_segmenter_arguments(parser)
    add_tracker_arguments(parser).add_argument(
        "--track", action="store_true", help="number the objects of videos, and of folders with --fps"
    )
    parser.add_argument("--fps", type=number, metavar="N", help="images a second of the folders, for --track")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Segment all inputs; return 1 where some could not be read."""
    inputs = [_input(text) for text in args.inputs]
    _check_rate(args, inputs)
    if not args.no_images:
        _check_nothing_overwritten(inputs, args.output)
    with output_folder(args.output), open_backend_of(args) as backend:
        print_backend(backend)
        segmenter = Segmenter(backend, segmenter_options(vars(args), backend.spec))
        tracker = Tracker(tracker_options(args)) if args.track else None
        batch = BatchSegmenter(segmenter, args.output, not args.no_images, tracker)
        skipped = _segment_and_write(batch, inputs, args.fps)
    print(_summary(batch.totals, skipped, args.output))
    return 1 if skipped else 0


def _input(text: str) -> Path:
    path = user_path(text)
    if not text or not (is_file(path) or is_folder(path)):
        raise MediaError(
            f"'{text}': no such file or folder; give an image, a folder of images, or a video "
            "(cameras and streams are for image_source and demo)"
        )
    if is_bag(path):
        raise CommandError(f"'{path}' is a recording: run '{tool_command(f'bag {path}')}'")
    return path


def _check_rate(args: argparse.Namespace, inputs: list[Path]) -> None:
    if args.fps is not None and not (args.track and args.fps > 0):
        raise CommandError(f"--fps {args.fps:g}: expected above 0, together with --track")
    if args.track and args.fps is None:
        for path in filter(Path.is_dir, inputs):
            raise CommandError(f"--track: '{path}' is a folder, which has no rate; give --fps")


def _check_nothing_overwritten(inputs: list[Path], folder: Path) -> None:
    """Check that no input lies in the output folder, not even the target of a link."""
    annotated = folder.resolve()
    for path in inputs:
        for file in _files_of(path):
            if file.resolve().parent == annotated or file.parent.resolve() == annotated:
                raise CommandError(f"--output: '{folder}' holds the input '{file}'; give another folder")


def _files_of(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from (file for file in path.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    else:
        yield path


def _segment_and_write(batch: BatchSegmenter, inputs: list[Path], fps: float | None) -> int:
    """Return the number of images and videos that could not be read."""
    try:
        skipped = _segment_all(batch, inputs, fps)
    except BaseException:
        # The first error is the one to report.
        with suppress(OSError):
            if batch.totals.images:
                batch.write_results()
        raise
    if not batch.totals.images:
        raise MediaError("nothing was segmented: none of the inputs can be read")
    batch.write_results()
    return skipped


def _segment_all(batch: BatchSegmenter, inputs: list[Path], fps: float | None) -> int:
    skipped: list[MediaError] = []

    def skip(error: MediaError) -> None:
        skipped.append(error)
        tqdm.write(f"skipped: {one_line(error)}", file=sys.stderr)

    def advance() -> None:
        bar.update()

    with tqdm(total=len(inputs), unit="image", disable=None, leave=False) as bar:
        for path in inputs:
            before = len(skipped)
            if path.is_dir() and (folders := sum(below.is_dir() for below in path.iterdir())):
                tqdm.write(one_line(f"{path}: its {folders} subfolders are not read"), file=sys.stderr)
            try:
                # An absolute path is never taken for the number of a camera.
                with open_media(path.absolute(), on_skip=skip) as media:
                    bar.total = (bar.total or 0) + (media.frame_count or 1) - 1
                    batch.add(path, media, advance, fps if path.is_dir() else None)
            except MediaError as error:
                # Each image of a folder without a good one has been reported already.
                if len(skipped) == before:
                    skip(error)
    return len(skipped)


def _summary(totals: Totals, skipped: int, output: Path) -> str:
    left_out = f", {skipped} skipped" if skipped else ""
    means_ms = totals.stages_ms / totals.images
    return (
        f"{counted(totals.images, 'image')}, {counted(totals.instances, 'instance')}{left_out}; "
        f"mean times: {stage_times(means_ms.tolist())}\nwritten to {output}"
    )
