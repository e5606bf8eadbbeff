"""Verb `bag`: a recording in, the same recording with results out."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from yolov8_seg_ros.cli.arguments import (
    add_backend_arguments,
    add_segmenter_arguments,
    add_tracker_arguments,
    number,
    open_backend_of,
    print_backend,
    tracker_options,
    whole_number,
)
from yolov8_seg_ros.cli.bag_checks import (
    IMAGE_KINDS,
    KINDS,
    OBJECT_KINDS,
    check_labels,
    check_outputs,
    check_placing,
    check_span,
    check_topics,
    result_kinds,
    set_kinds,
    some_of,
    video_path,
)
from yolov8_seg_ros.cli.bag_depth import add_depth_arguments, depth_settings, depth_topics, topic_prefix
from yolov8_seg_ros.cli.bag_summary import print_left_out, print_summary, summary
from yolov8_seg_ros.cli.bag_videos import camera_videos
from yolov8_seg_ros.cli.output import folder
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.files import user_path
from yolov8_seg_ros.media.writers import write_json
from yolov8_seg_ros.settings.options import segmenter_options

if TYPE_CHECKING:
    # They need rosbags, which is reported where it is missing.
    from yolov8_seg_ros.media.bag import Bag
    from yolov8_seg_ros.tools.bag.cameras import Camera, DepthTopics
    from yolov8_seg_ros.tools.bag.objects import BagObjects
    from yolov8_seg_ros.tools.bag.segment import OnFrame
    from yolov8_seg_ros.tools.bag.writer import BagWriter

_DESCRIPTION = """\
Run the pipeline over the images of a recording: every frame, without ROS, with the same result each time. IN is a
folder of rosbag2 or one of its files (.mcap, .db3), compressed or not, or a .bag of ROS 1. The new recording has all
messages of IN as they are, and at the log time of each image, with its header:
  detections  vision_msgs/Detection2DArray; id is the number of the object's track, empty for none
  instances   mono8 image: k where the k-th detection is visible
  semantic    mono8 image: class index + 1
  label_info  vision_msgs/LabelInfo, once
below /yolov8_seg, for several cameras below /yolov8_seg/CAMERA. With --depth-topic, and CameraInfo and TF in IN, also
what depth_node publishes, below /depth_node:
  objects     vision_msgs/Detection3DArray
  cloud       sensor_msgs/PointCloud2
  markers     visualization_msgs/MarkerArray
This needs the Python package rosbags. Images that cannot be used are counted and left out; the exit code is 1 then."""
_EPILOG = """\
examples:
  yolov8_seg bag drive_2026_11_27
  yolov8_seg bag drive.mcap --topic /front/image_raw --topic /rear/image_raw --output drive_segmented --compress zstd
  yolov8_seg bag drive --depth-topic /camera/aligned_depth_to_color/image_raw --target-frame map
  yolov8_seg bag old.bag --only-results --start 10 --end 20 --overlay drive.mp4 --json summary.json"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "bag", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", metavar="IN", help="recording: a folder or file")
    parser.add_argument(
        "-o",
        "--output",
        type=folder,
        metavar="DIR",
        help="folder of the new recording (default: IN's name + _segmented)",
    )
    parser.add_argument("--force", action="store_true", help="replace files and recordings that are there already")
    parser.add_argument(
        "--topic", action="append", default=[], metavar="NAME", help="image topic, may be given again (default: all)"
    )
    parser.add_argument(
        "--every", type=whole_number(1), default=1, metavar="N", help="segment every N-th image only (default: 1)"
    )
    parser.add_argument("--start", type=number, metavar="S", help="leave out the first S seconds")
    parser.add_argument("--end", type=number, metavar="S", help="end S seconds after the beginning")
    parser.add_argument("--only-results", action="store_true", help="copy no topics")
    parser.add_argument(
        "--write",
        type=result_kinds,
        metavar="KIND,...",
        help=f"results, some of {','.join(KINDS)} (default: all there are)",
    )
    parser.add_argument(
        "--results",
        type=topic_prefix,
        default="/yolov8_seg",
        metavar="NAME",
        help="what topics of results begin with (default: %(default)s)",
    )
    parser.add_argument("--compress", choices=("zstd",), help="compress the new recording")
    parser.add_argument(
        "--overlay", type=video_path, metavar="FILE", help="write an annotated video, too (.mp4); one for each camera"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the summary to this file, too")
    add_backend_arguments(parser)
    add_segmenter_arguments(parser)
    add_depth_arguments(parser)
    add_tracker_arguments(parser).add_argument(
        "--track", action=argparse.BooleanOptionalAction, default=True, help="number the objects of each camera"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Segment a recording; return 1 where some images could not be used."""
    from yolov8_seg_ros.media.bag import Bag

    path = user_path(args.recording)
    output = args.output or Path(f"{path.resolve().stem}_segmented")
    check_span(args)
    check_placing(args)
    check_outputs(path, output, args)
    set_kinds(args)
    with Bag(path) as bag:
        cameras = _cameras(bag, args)
        depths = depth_topics(bag, cameras, args)
        with open_backend_of(args) as backend:
            print_backend(backend)
            segmenter = Segmenter(backend, segmenter_options(vars(args), backend.spec))
            check_labels(args, backend.spec)
            started = time.monotonic()
            objects = _segment(bag, segmenter, cameras, depths, output, args)
            seconds = time.monotonic() - started
        names = backend.spec.class_names
    if args.json is not None:
        write_json(args.json, summary(args, output, cameras, objects, names, seconds))
    print_summary(cameras, objects, names, seconds)
    print(f"written to {output}")
    is_whole = not any(camera.skipped for camera in cameras) and (objects is None or objects.is_whole)
    return int(not is_whole)


def _segment(
    bag: Bag,
    segmenter: Segmenter,
    cameras: list[Camera],
    depths: Mapping[str, DepthTopics],
    output: Path,
    args: argparse.Namespace,
) -> BagObjects | None:
    from yolov8_seg_ros.tools.bag.copy import copier
    from yolov8_seg_ros.tools.bag.messages import ResultMessages
    from yolov8_seg_ros.tools.bag.segment import BagSegmenter, ResultTopics

    names, span_ns = segmenter.spec.class_names, _span_ns(bag, args)
    messages = ResultMessages(names, segmenter.options.detection.score_threshold)
    with ExitStack() as stack:
        # The recording is the first to appear and the last to be begun: a full disk leaves no video without it.
        on_frame = stack.enter_context(_videos(bag, cameras, names, args))
        images = sum(camera.topic.message_count for camera in cameras)
        bar = stack.enter_context(tqdm(total=images, unit="image", disable=None, leave=False))
        writer = stack.enter_context(_new_bag(bag, output, args))
        copy = None if args.only_results else copier(bag, writer)
        results = ResultTopics(writer, messages, args.results, cameras, some_of(args.write, IMAGE_KINDS))
        objects = _objects(bag, writer, cameras, depths, names, args)
        batch = BagSegmenter(
            bag, segmenter, cameras, every=args.every, on_image=bar.update, on_frame=on_frame, objects=objects
        )
        batch.run(results, copy, span_ns)
    if copy and span_ns == (None, None) and batch.read_messages != bag.message_count:
        print(f"{bag.path}: of {bag.message_count} messages {batch.read_messages} could be read", file=sys.stderr)
    return objects


def _videos(
    bag: Bag, cameras: list[Camera], names: Sequence[str], args: argparse.Namespace
) -> AbstractContextManager[OnFrame]:
    if not args.overlay:
        return nullcontext(lambda camera, image, instances: None)
    return camera_videos(bag, cameras, args.overlay, names, every=args.every, replace=args.force)


def _new_bag(bag: Bag, output: Path, args: argparse.Namespace) -> AbstractContextManager[BagWriter]:
    from yolov8_seg_ros.tools.bag.copy import storage_for
    from yolov8_seg_ros.tools.bag.writer import new_bag

    is_compressed = args.compress is not None
    return new_bag(output, storage_for(bag), compress=is_compressed, replace=args.force, custom_data=bag.custom_data)


def _objects(
    bag: Bag,
    writer: BagWriter,
    cameras: list[Camera],
    depths: Mapping[str, DepthTopics],
    names: Sequence[str],
    args: argparse.Namespace,
) -> BagObjects | None:
    from yolov8_seg_ros.tools.bag.objects import BagObjects

    if not depths:
        return None
    kinds = some_of(args.write, OBJECT_KINDS)
    return BagObjects(bag, writer, args.depth_results, cameras, depths, depth_settings(args), names, kinds)


def _cameras(bag: Bag, args: argparse.Namespace) -> list[Camera]:
    from yolov8_seg_ros.tools.bag.cameras import Camera, camera_names, choose_topics
    from yolov8_seg_ros.tools.bag.objects import object_names
    from yolov8_seg_ros.tools.bag.segment import result_names

    depth = {name for _, name in args.depth_topic}
    chosen, left_out = choose_topics(bag, args.topic)
    topics = [topic for topic in chosen if topic.name not in depth or topic.name in args.topic]
    print_left_out({name: reason for name, reason in left_out.items() if name not in depth})
    options = tracker_options(args)
    names = camera_names([topic.name for topic in topics])
    if not args.only_results:
        kinds, object_kinds = some_of(args.write, IMAGE_KINDS), some_of(args.write, OBJECT_KINDS)
        results = [topic for name in names for topic in result_names(args.results, name, kinds).values()]
        objects = [topic for name in names for topic in object_names(args.depth_results, name, object_kinds).values()]
        check_topics({topic.name for topic in bag.topics}, results, objects)
    # One number means one object in all cameras, as in the node.
    track_ids = itertools.count(1)
    return [
        Camera(topic, name, Tracker(options, track_ids) if args.track else None)
        for topic, name in zip(topics, names, strict=True)
    ]


def _span_ns(bag: Bag, args: argparse.Namespace) -> tuple[int | None, int | None]:
    start, end = (None if text is None else bag.start_ns + round(text * 1e9) for text in (args.start, args.end))
    return start, end
