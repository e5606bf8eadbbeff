"""Verb `bag`: a recording in, the same recording with results out."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from yolov8_seg_ros.cli.bag_depth import add_depth_arguments, depth_settings, depth_topics, topic_prefix
from yolov8_seg_ros.cli.bag_summary import print_summary, summary
from yolov8_seg_ros.cli.output import folder
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import MAX_LABELS, Instances
from yolov8_seg_ros.core.network_spec import NetworkSpec
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.files import user_path
from yolov8_seg_ros.media.overlay import draw_overlay
from yolov8_seg_ros.media.writers import VIDEO_SUFFIX, VideoFile, video_file, write_json
from yolov8_seg_ros.settings.options import segmenter_options
from yolov8_seg_ros.text import clean_text

if TYPE_CHECKING:
    # They need rosbags, which is reported where it is missing.
    from yolov8_seg_ros.media.bag import Bag
    from yolov8_seg_ros.tools.bag.cameras import Camera, DepthTopics
    from yolov8_seg_ros.tools.bag.objects import BagObjects

#: A video of fewer frames a second is no video.
_MIN_FPS = 1.0
_IMAGE_KINDS, _OBJECT_KINDS = ("detections", "instances", "semantic"), ("objects", "cloud", "markers")
_KINDS = (*_IMAGE_KINDS, *_OBJECT_KINDS)
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
        "--write", type=_kinds, metavar="KIND,...", help=f"results, some of {','.join(_KINDS)} (default: all there are)"
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
        "--overlay", type=_video, metavar="FILE", help="write an annotated video, too (.mp4); one for each camera"
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
    _check_span(args)
    _check_outputs(path, output, args)
    _set_kinds(args)
    with Bag(path) as bag:
        cameras = _cameras(bag, args)
        depths = depth_topics(bag, cameras, args)
        with open_backend_of(args) as backend:
            print_backend(backend)
            segmenter = Segmenter(backend, segmenter_options(vars(args), backend.spec))
            _check_labels(args, backend.spec)
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
    from yolov8_seg_ros.tools.bag.copy import copier, storage_for
    from yolov8_seg_ros.tools.bag.messages import ResultMessages
    from yolov8_seg_ros.tools.bag.objects import BagObjects
    from yolov8_seg_ros.tools.bag.segment import BagSegmenter, ResultTopics
    from yolov8_seg_ros.tools.bag.writer import new_bag

    names = segmenter.spec.class_names
    messages = ResultMessages(names, segmenter.options.detection.score_threshold)
    images = sum(camera.topic.message_count for camera in cameras)
    with ExitStack() as stack:
        # The recording is the first to appear and the last to be begun: a full disk leaves no video without it.
        videos = stack.enter_context(_videos(bag, cameras, args, names)) if args.overlay else None
        bar = stack.enter_context(tqdm(total=images, unit="image", disable=None, leave=False))
        writer = stack.enter_context(
            new_bag(
                output,
                storage_for(bag),
                compress=args.compress is not None,
                replace=args.force,
                custom_data=bag.custom_data,
            )
        )
        copy = None if args.only_results else copier(bag, writer)
        results = ResultTopics(writer, messages, args.results, cameras, _some(args.write, _IMAGE_KINDS))
        objects = None
        if depths:
            kinds = _some(args.write, _OBJECT_KINDS)
            objects = BagObjects(bag, writer, args.depth_results, cameras, depths, depth_settings(args), names, kinds)
        batch = BagSegmenter(
            bag,
            segmenter,
            cameras,
            every=args.every,
            on_image=lambda: _advance(bar),
            on_frame=videos or (lambda camera, image, instances: None),
            objects=objects,
        )
        span_ns = _span_ns(bag, args)
        batch.run(results, copy, span_ns)
    if copy and span_ns == (None, None) and batch.read_messages != bag.message_count:
        print(f"{bag.path}: of {bag.message_count} messages {batch.read_messages} could be read", file=sys.stderr)
    return objects


def print_left_out(reasons: Mapping[str, str]) -> None:
    """Print which image topics are left out, and why."""
    for name, reason in reasons.items():
        print(f"left out: {clean_text(f'{name}: {reason}')}", file=sys.stderr)


def _advance(bar: tqdm[Any]) -> None:
    bar.update()


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
        known = {topic.name for topic in bag.topics}
        for name in names:
            results = result_names(args.results, name, _some(args.write, _IMAGE_KINDS))
            objects = object_names(args.depth_results, name, _some(args.write, _OBJECT_KINDS)) if depth else {}
            for option, topic in (
                *(("--results", topic) for topic in results.values()),
                *(("--depth-results", topic) for topic in objects.values()),
            ):
                if topic in known:
                    raise CommandError(f"{option}: {bag.path} has a topic {topic} already; give another name")
    # One number means one object in all cameras, as in the node.
    track_ids = itertools.count(1)
    return [
        Camera(topic, name, Tracker(options, track_ids) if args.track else None)
        for topic, name in zip(topics, names, strict=True)
    ]


@contextmanager
def _videos(
    bag: Bag, cameras: list[Camera], args: argparse.Namespace, class_names: Sequence[str]
) -> Iterator[Callable[[Camera, ColorImage, Instances], None]]:
    """Yield what appends a frame to the video of its camera; a frame of another size than the first is left out."""
    paths = {camera.name: _video_path(args.overlay, camera.name) for camera in cameras}
    for path in paths.values():
        if path.exists() and not args.force:
            raise CommandError(f"--overlay: '{path}' is there already; give another name, or --force to replace it")
    files: dict[str, VideoFile] = {}
    sizes: dict[str, tuple[int, int]] = {}
    left_out: Counter[str] = Counter()
    with ExitStack() as stack:

        def write(camera: Camera, image: ColorImage, instances: Instances) -> None:
            if camera.name not in files:
                fps = max(_MIN_FPS, bag.rate_hz(camera.topic) / args.every)
                files[camera.name] = stack.enter_context(video_file(paths[camera.name], fps))
                sizes[camera.name] = image.hw
            if image.hw == sizes[camera.name]:
                files[camera.name].write(draw_overlay(image.to_bgr(), instances, class_names))
            else:
                left_out[camera.name] += 1

        yield write
    for name, count in left_out.items():
        print(f"{paths[name]}: {count} frames of another size than the first are left out", file=sys.stderr)


def _video_path(path: Path, camera_name: str) -> Path:
    return path.with_stem(f"{path.stem}_{camera_name.replace('/', '_')}") if camera_name else path


def _check_span(args: argparse.Namespace) -> None:
    if args.end is not None and args.end <= (args.start or 0):
        raise CommandError(f"--end {args.end:g}: expected more than --start, which is {args.start or 0:g}")


def _span_ns(bag: Bag, args: argparse.Namespace) -> tuple[int | None, int | None]:
    start, end = (None if text is None else bag.start_ns + round(text * 1e9) for text in (args.start, args.end))
    return start, end


def _check_outputs(recording: Path, output: Path, args: argparse.Namespace) -> None:
    """Check that nothing is overwritten: neither the recording, not even through a link, nor what is there already."""
    from yolov8_seg_ros.tools.bag.writer import check_is_free

    inputs = recording.resolve()
    for option, path in (("--output", output), ("--overlay", args.overlay), ("--json", args.json)):
        if path is None:
            continue
        target = path.resolve()
        if target == inputs or target.is_relative_to(inputs) or inputs.is_relative_to(target):
            raise CommandError(f"{option}: '{path}' is where the recording '{recording}' lies; give another name")
        if path is not output and target.is_relative_to(output.resolve()):
            raise CommandError(f"{option}: '{path}' is in the folder of the new recording; give another name")
    if args.json is not None and args.json.exists() and not args.force:
        raise CommandError(f"--json: '{args.json}' is there already; give another name, or --force to replace it")
    check_is_free(output, args.force)


def _check_labels(args: argparse.Namespace, spec: NetworkSpec) -> None:
    if ("instances" in args.write or args.depth_topic) and args.max_instances > MAX_LABELS:
        raise CommandError(f"--max-instances {args.max_instances}: an image of instances numbers {MAX_LABELS} at most")
    if "semantic" in args.write and len(spec.class_names) >= MAX_LABELS:
        kinds = ",".join(kind for kind in args.write if kind != "semantic")
        raise CommandError(f"{len(spec.class_names)} classes are too many for 'semantic'; give --write {kinds}")


def _kinds(text: str) -> tuple[str, ...]:
    kinds = [kind.strip() for kind in text.split(",")]
    for kind in kinds:
        if kind not in _KINDS:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(_KINDS)}, separated by commas; got '{kind}'")
    return tuple(kind for kind in _KINDS if kind in kinds)


def _set_kinds(args: argparse.Namespace) -> None:
    """Check which results are written, and set them where nothing was said."""
    if args.write is None:
        args.write = _KINDS if args.depth_topic else _IMAGE_KINDS
    objects = _some(args.write, _OBJECT_KINDS)
    if objects and not args.depth_topic:
        raise CommandError(f"--write {','.join(objects)}: objects in space need --depth-topic")
    if args.depth_topic and not objects:
        raise CommandError(f"--depth-topic: --write names none of {', '.join(_OBJECT_KINDS)}")


def _some(kinds: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    return tuple(kind for kind in kinds if kind in wanted)


def _video(text: str) -> Path:
    path = user_path(text)
    if path.suffix.lower() != VIDEO_SUFFIX:
        raise argparse.ArgumentTypeError(f"expected a name that ends with {VIDEO_SUFFIX}, got '{text}'")
    return path
