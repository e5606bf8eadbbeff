"""Verb `segment`: pictures, folders and videos in, annotated files and COCO results out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tqdm import tqdm

from yolov8_seg_ros.cli.arguments import (
    add_backend_arguments,
    add_segmenter_arguments,
    open_backend_of,
    segmenter_options,
    tell_backend,
)
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import CommandError, MediaError
from yolov8_seg_ros.media.sources import open_media
from yolov8_seg_ros.tools.segment_files import IMAGES_NAME, RESULTS_NAME, BatchSegmenter, Totals

_DESCRIPTION = f"""\
Segment pictures, folders of pictures and videos. Into the output folder go annotated pictures of the
same names, annotated videos as .mp4, and
  {RESULTS_NAME}  the instances in COCO's results format: category_id is the class index from 0, bbox is
                left, top, width, height in pixels, segmentation is compressed run-length code;
                image_id is the number that the pictures are called by, where all have one (000000000139.jpg),
                else their place in the run from 0
  {IMAGES_NAME}   which file, size and category each number stands for
Pictures that cannot be read are reported and left out; the exit code is 1 then."""
_EPILOG = """\
examples:
  yolov8_seg segment street.jpg
  yolov8_seg segment pictures/ drive.mp4 --output found --model yolov8n_320 --classes person,car --score 0.4"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "segment",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("inputs", nargs="+", type=Path, metavar="INPUT", help="picture, folder of pictures, or video")
    parser.add_argument(
        "--output",
        type=Path,
        default=Path("segmented"),
        metavar="DIR",
        help="folder to write to (default: %(default)s)",
    )
    parser.add_argument("--no-pictures", action="store_true", help=f"write no annotated files, only {RESULTS_NAME}")
    add_backend_arguments(parser)
    add_segmenter_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Segment all inputs; give 1 where some could not be read."""
    inputs = [path.expanduser() for path in args.inputs]
    _check_inputs(inputs, None if args.no_pictures else args.output)
    with open_backend_of(args) as backend:
        tell_backend(backend)
        segmenter = Segmenter(backend, segmenter_options(args, backend.spec))
        batch = BatchSegmenter(segmenter, args.output, annotate=not args.no_pictures)
        skipped = _segment_all(batch, inputs)
    if not batch.totals.images:
        raise MediaError("nothing was segmented: none of the inputs can be read")
    batch.write_results()
    print(_summary(batch.totals, skipped, args.output))
    return 1 if skipped else 0


def _check_inputs(inputs: list[Path], annotated_folder: Path | None) -> None:
    for path in inputs:
        if not path.is_file() and not path.is_dir():
            raise MediaError(f"'{path}': no such file or folder; give a picture, a folder of pictures, or a video")
        folder = path if path.is_dir() else path.parent
        if annotated_folder is not None and folder.resolve() == annotated_folder.resolve():
            raise CommandError(f"--output: '{annotated_folder}' holds the input '{path}'; give another folder")


def _segment_all(batch: BatchSegmenter, inputs: list[Path]) -> int:
    """Give the number of pictures and videos that could not be read."""
    skipped: list[MediaError] = []

    def skip(error: MediaError) -> None:
        skipped.append(error)
        tqdm.write(f"skipped: {error}", file=sys.stderr)

    def advance() -> None:
        bar.update()

    with tqdm(total=len(inputs), unit="picture", disable=None, leave=False) as bar:
        for path in inputs:
            before = len(skipped)
            try:
                # An absolute path is never taken for the number of a camera.
                with open_media(path.resolve(), on_skip=skip) as media:
                    bar.total = (bar.total or 0) + (media.frame_count or 1) - 1
                    batch.add(path, media, advance)
            except MediaError as error:
                # A folder without one good picture has told of each already.
                if len(skipped) == before:
                    skip(error)
    return len(skipped)


def _summary(totals: Totals, skipped: int, output: Path) -> str:
    prepare, infer, finish = (
        total / totals.images for total in (totals.preprocess_ms, totals.inference_ms, totals.postprocess_ms)
    )
    left_out = f", {skipped} skipped" if skipped else ""
    return (
        f"{totals.images} pictures, {totals.instances} instances{left_out}; a picture took "
        f"{prepare:.1f} ms to prepare, {infer:.1f} ms to infer, {finish:.1f} ms to finish\n"
        f"written to {output}"
    )
