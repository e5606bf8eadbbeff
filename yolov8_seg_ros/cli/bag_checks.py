"""Check the arguments of the verb `bag` before anything is written."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from yolov8_seg_ros.core.instances import MAX_LABELS
from yolov8_seg_ros.core.network_spec import NetworkSpec
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.files import user_path
from yolov8_seg_ros.media.writers import VIDEO_SUFFIX
from yolov8_seg_ros.settings.depth_table import DEPTH_NODE_SETTINGS, PLACING

IMAGE_KINDS, OBJECT_KINDS = ("detections", "instances", "semantic"), ("objects", "cloud", "markers")
KINDS = (*IMAGE_KINDS, *OBJECT_KINDS)


def result_kinds(text: str) -> tuple[str, ...]:
    """Read kinds of results, separated by commas."""
    kinds = [kind.strip() for kind in text.split(",")]
    for kind in kinds:
        if kind not in KINDS:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(KINDS)}, separated by commas; got '{kind}'")
    return tuple(kind for kind in KINDS if kind in kinds)


def check_placing(args: argparse.Namespace) -> None:
    """Check that no option of objects in space is given without depth images."""
    if args.depth_topic:
        return
    given = [
        setting.option
        for setting in DEPTH_NODE_SETTINGS
        if setting.group == PLACING and getattr(args, setting.name) != setting.default
    ]
    if given:
        raise CommandError(f"{given[0]}: objects in space need --depth-topic")


def set_kinds(args: argparse.Namespace) -> None:
    """Check which results are written, and set them where nothing was said."""
    if args.write is None:
        args.write = KINDS if args.depth_topic else IMAGE_KINDS
    objects = some_of(args.write, OBJECT_KINDS)
    if objects and not args.depth_topic:
        raise CommandError(f"--write {','.join(objects)}: objects in space need --depth-topic")
    if args.depth_topic and not objects:
        raise CommandError(f"--depth-topic: --write names none of {', '.join(OBJECT_KINDS)}")


def video_path(text: str) -> Path:
    """Read the path of a video to be written."""
    path = user_path(text)
    if path.suffix.lower() != VIDEO_SUFFIX:
        raise argparse.ArgumentTypeError(f"expected a name that ends with {VIDEO_SUFFIX}, got '{text}'")
    return path


def check_span(args: argparse.Namespace) -> None:
    """Check that the chosen time is not empty."""
    if args.end is not None and args.end <= (args.start or 0):
        raise CommandError(f"--end {args.end:g}: expected more than --start, which is {args.start or 0:g}")


def check_outputs(recording: Path, output: Path, args: argparse.Namespace) -> None:
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


def check_labels(args: argparse.Namespace, spec: NetworkSpec) -> None:
    """Check that the pixels of label images can count all instances, and name all classes."""
    if ("instances" in args.write or args.depth_topic) and args.max_instances > MAX_LABELS:
        raise CommandError(f"--max-instances {args.max_instances}: an image of instances numbers {MAX_LABELS} at most")
    if "semantic" in args.write and len(spec.class_names) >= MAX_LABELS:
        kinds = ",".join(kind for kind in args.write if kind != "semantic")
        raise CommandError(f"{len(spec.class_names)} classes are too many for 'semantic'; give --write {kinds}")


def check_topics(known: Collection[str], results: Iterable[str], objects: Iterable[str]) -> None:
    """Check that no topic of results has the name of one that is copied.

    Args:
        known: names of the topics that are copied.
        results: of those with results on images.
        objects: of those with objects in space.
    """
    for option, names in (("--results", results), ("--depth-results", objects)):
        for name in names:
            if name in known:
                raise CommandError(f"{option}: the recording has a topic {name} already; give another name")


def some_of(kinds: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Return the kinds that are wanted."""
    return tuple(kind for kind in kinds if kind in wanted)
