"""Verb `dataset from-bag`: images of recordings into a data set, with a model's instances as labels to begin with."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from yolov8_seg_ros.cli.arguments import (
    add_backend_arguments,
    add_segmenter_arguments,
    number,
    open_backend_of,
    print_backend,
    whole_number,
)
from yolov8_seg_ros.cli.bag_summary import print_left_out
from yolov8_seg_ros.cli.output import counted, folder
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.files import user_path
from yolov8_seg_ros.settings.options import segmenter_options

if TYPE_CHECKING:
    # It needs rosbags, which is reported where it is missing.
    from yolov8_seg_ros.tools.dataset.from_bag import Source

_DESCRIPTION = """\
Pick images of recordings (rosbag2, or ROS 1) into a new data set in YOLO's form, with what the model finds as labels:
correct them, in Roboflow for example, and train on them. The last fifth becomes the validation split. Images are picked
  time       evenly spread
  novelty    each as unlike those picked before as can be
  low-score  where the model is least sure
This needs the Python package rosbags."""
_EPILOG = """\
examples:
  yolov8_seg dataset from-bag drive_2026_11_27 --output corrections --pick low-score --count 50
  yolov8_seg dataset from-bag monday.mcap tuesday.mcap --output street --pick novelty --model my_model.tflite"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb of the verb `dataset`."""
    parser = verbs.add_parser(
        "from-bag",
        help="pick images of recordings into a data set, with a model's instances as labels",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("recordings", nargs="+", metavar="IN", help="recording: a folder or file")
    parser.add_argument("-o", "--output", type=folder, required=True, metavar="DIR", help="new folder to write to")
    parser.add_argument(
        "--pick", choices=("time", "novelty", "low-score"), default="time", help="how (default: %(default)s)"
    )
    parser.add_argument(
        "--count", type=whole_number(1), default=100, metavar="N", help="images at most (default: %(default)s)"
    )
    parser.add_argument(
        "--interval",
        type=number,
        default=1.0,
        metavar="S",
        help="least time between two images of a camera, in seconds (default: %(default)s)",
    )
    parser.add_argument(
        "--topic", action="append", default=[], metavar="NAME", help="image topic, may be given again (default: all)"
    )
    add_backend_arguments(parser)
    add_segmenter_arguments(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Write the data set."""
    from yolov8_seg_ros.tools.dataset.from_bag import check_new_folder, find_candidates, pick_images, write_dataset

    check_new_folder(args.output)
    for text in args.recordings:
        if args.output.resolve().is_relative_to(user_path(text).resolve()):
            raise CommandError(f"--output: '{args.output}' lies in the recording '{text}'; give another folder")
    with ExitStack() as stack:
        sources = _open(args, stack)
        backend = stack.enter_context(open_backend_of(args))
        print_backend(backend)
        segmenter = Segmenter(backend, segmenter_options(vars(args), backend.spec))
        total = sum(source.topic.message_count for source in sources)
        with tqdm(total=total, unit="image", disable=None, leave=False) as bar:
            candidates = find_candidates(sources, args.pick, args.interval, segmenter, lambda: _advance(bar))
            picked = pick_images(candidates, args.pick, args.count)
            objects = write_dataset(sources, picked, segmenter, args.output)
    print(f"{len(picked)} of {counted(total, 'image')}, {counted(objects, 'object')} written to {args.output}")
    if len(picked) < min(args.count, total):
        print(f"the others come less than --interval {args.interval:g} s after one of these, or cannot be used")
    print("the labels are guesses of the model: correct them before training")
    return 0


def _open(args: argparse.Namespace, stack: ExitStack) -> list[Source]:
    from yolov8_seg_ros.media.bag import Bag
    from yolov8_seg_ros.tools.bag.cameras import camera_names, choose_topics
    from yolov8_seg_ros.tools.dataset.from_bag import Source

    sources: list[Source] = []
    for place, text in enumerate(args.recordings):
        bag = stack.enter_context(Bag(user_path(text)))
        topics, left_out = choose_topics(bag, args.topic)
        print_left_out(left_out)
        for topic, name in zip(topics, camera_names([topic.name for topic in topics]), strict=True):
            # Recordings in different folders may be called alike.
            parts = [bag.path.resolve().stem, *([str(place + 1)] if len(args.recordings) > 1 else []), name]
            sources.append(Source(bag, topic, "_".join(filter(None, parts)).replace("/", "_")))
    return sources


def _advance(bar: tqdm[Any]) -> None:
    bar.update()
