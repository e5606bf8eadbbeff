"""Options of the verb `bag` for objects in space, and what they say about a recording."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from yolov8_seg_ros.cli.arguments import add_placing_arguments
from yolov8_seg_ros.settings.placing import placing_options
from yolov8_seg_ros.text import clean_text

if TYPE_CHECKING:
    # They need rosbags, which is reported where it is missing.
    from yolov8_seg_ros.media.bag import Bag
    from yolov8_seg_ros.tools.bag.cameras import Camera, DepthTopics

#: ROS refuses others: nobody could subscribe to the topics of a recording.
_TOPIC_NAME = re.compile(r"(/[A-Za-z_][A-Za-z0-9_]*)+", re.ASCII)


def add_depth_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what `depth_topics` and `depth_settings` read."""
    group = add_placing_arguments(parser)
    group.add_argument(
        "--depth-topic",
        type=_depth_topic,
        action="append",
        default=[],
        metavar="[IMAGE_TOPIC=]NAME",
        help="topic of depth images, raw or compressedDepth, may be given again (default: no objects in space)",
    )
    group.add_argument(
        "--camera-info",
        type=_camera_info,
        action="append",
        default=[],
        metavar="TOPIC=NAME",
        help="topic of the CameraInfo of an image or depth topic (default: camera_info beside it)",
    )
    group.add_argument(
        "--depth-results",
        type=topic_prefix,
        default="/depth_node",
        metavar="NAME",
        help="what topics of objects in space begin with (default: %(default)s)",
    )


def depth_topics(bag: Bag, cameras: Sequence[Camera], args: argparse.Namespace) -> dict[str, DepthTopics]:
    """Return what belongs to the depth cameras, by image topic; print at once where nothing can come of it.

    Raises:
        UserError: for options that do not go together, or do not fit the recording.
    """
    from yolov8_seg_ros.tools.bag.cameras import choose_depth_topics

    images = [camera.topic.name for camera in cameras]
    chosen = choose_depth_topics(bag, images, args.depth_topic, dict(args.camera_info))
    if chosen:
        placing_options(depth_settings(args))
    known = {topic.name for topic in bag.topics}
    for topics in chosen.values():
        wanted = [topics.color_info] if args.assume_registered else [topics.color_info, topics.depth_info]
        for name in dict.fromkeys(wanted):
            if name not in known:
                line = f"{topics.depth.name}: no CameraInfo on {name}, so no objects in space; see --camera-info"
                print(clean_text(line), file=sys.stderr)
    return chosen


def depth_settings(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the depth node that the arguments give."""
    return {**vars(args), "tracking.enabled": args.track}


def topic_prefix(text: str) -> str:
    """Read what names of topics begin with."""
    prefix = "/" + text.strip("/")
    if not _TOPIC_NAME.fullmatch(prefix):
        raise argparse.ArgumentTypeError(
            f"expected a topic's name such as /yolov8_seg, of letters, digits and _; got '{text}'"
        )
    return prefix


def _depth_topic(text: str) -> tuple[str, str]:
    image, _, depth = text.rpartition("=")
    if not depth or text.startswith("="):
        raise argparse.ArgumentTypeError(f"expected NAME or IMAGE_TOPIC=NAME, got '{text}'")
    return image, depth


def _camera_info(text: str) -> tuple[str, str]:
    topic, _, info = text.partition("=")
    if not topic or not info:
        raise argparse.ArgumentTypeError(f"expected TOPIC=NAME, got '{text}'")
    return topic, info
