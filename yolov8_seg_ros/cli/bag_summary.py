"""Print what was found in a recording, and return it for JSON."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from yolov8_seg_ros.cli.output import print_table, stage_times
from yolov8_seg_ros.errors import one_line
from yolov8_seg_ros.text import STAGES, clean_text

if TYPE_CHECKING:
    # They need rosbags, which is reported where it is missing.
    from yolov8_seg_ros.tools.bag.cameras import Camera
    from yolov8_seg_ros.tools.bag.depth_camera import DepthCamera
    from yolov8_seg_ros.tools.bag.objects import BagObjects


def summary(
    args: argparse.Namespace,
    output: Path,
    cameras: Sequence[Camera],
    objects: BagObjects | None,
    names: Sequence[str],
    seconds: float,
) -> dict[str, Any]:
    """Return what was found, for JSON.

    Args:
        args: of the command.
        output: the new recording.
        cameras: all of them.
        objects: what was placed in space; None where there is no depth camera.
        names: of the classes.
        seconds: that it took.
    """
    frames, stages_ms = _means(cameras)
    described: dict[str, Any] = {
        "recording": args.recording,
        "output": str(output),
        "frames": frames,
        "seconds": seconds,
        "ms_per_frame": seconds * 1e3 / frames,
        "stages_ms": dict(zip(STAGES, stages_ms, strict=True)),
        "cameras": {
            camera.topic.name: {"results": _joined(args.results, camera.name), **camera.summary(names)}
            for camera in cameras
        },
    }
    for camera in cameras:
        if objects and camera.topic.name in objects.cameras:
            placing = objects.cameras[camera.topic.name].summary()
            results = {"results": _joined(args.depth_results, camera.name)}
            described["cameras"][camera.topic.name]["in_space"] = {**results, **placing}
    if objects:
        described["unusable_transforms"] = dict(objects.unusable_transforms)
    return described


def print_left_out(reasons: Mapping[str, str]) -> None:
    """Print which image topics are left out, and why."""
    for name, reason in reasons.items():
        print(f"left out: {clean_text(f'{name}: {reason}')}", file=sys.stderr)


def print_summary(cameras: Sequence[Camera], objects: BagObjects | None, names: Sequence[str], seconds: float) -> None:
    """Print what was found; what is missing goes to stderr."""
    for camera in cameras:
        print(f"\n{clean_text(camera.topic.name)}: {camera.frames} of {camera.images} images segmented")
        _print_reasons("skipped", camera.skipped)
        if camera.unstamped:
            print(f"  {camera.unstamped} without a stamp: their log time was used", file=sys.stderr)
        depth = objects.cameras.get(camera.topic.name) if objects else None
        _print_classes(camera, depth, names)
        if depth:
            _print_placing(depth)
    if objects:
        _print_reasons("transforms left out", objects.unusable_transforms)
    frames, means_ms = _means(cameras)
    print(f"\n{frames} frames, {seconds * 1e3 / frames:.1f} ms a frame in all; {stage_times(means_ms)}")


def _print_classes(camera: Camera, depth: DepthCamera | None, names: Sequence[str]) -> None:
    tracks = camera.tracks
    rows = [
        [
            clean_text(names[index]),
            str(count),
            *([str(tracks[index])] if camera.tracker else []),
            *([str(depth.counts.objects[names[index]])] if depth else []),
        ]
        for index, count in sorted(camera.objects.items())
    ]
    if rows:
        heads = ["class", "objects", *(["tracks"] if camera.tracker else []), *(["in space"] if depth else [])]
        print_table([heads, *rows])


def _print_placing(depth: DepthCamera) -> None:
    counts, pairing = depth.counts, depth.pairing
    print(
        f"  {counts.placed} of {counts.images} images with objects in space; depth images: {counts.registration}, "
        f"{pairing.exact} of the same stamp, {pairing.near} of another one"
    )
    _print_reasons("without objects in space", counts.failed)
    _print_reasons("depth images left out", counts.unusable)
    if counts.jumps:
        print(f"  stamps jumped back: {counts.jumps}", file=sys.stderr)
    for name, count in counts.without_depth.items():
        print(f"  {count} {clean_text(name)} without enough depths", file=sys.stderr)


def _print_reasons(what: str, reasons: Mapping[str, int] | Counter[str]) -> None:
    for reason, count in reasons.items():
        print(f"  {what} {count}: {one_line(reason)}", file=sys.stderr)


def _joined(prefix: str, camera_name: str) -> str:
    return "/".join(filter(None, (prefix, camera_name)))


def _means(cameras: Sequence[Camera]) -> tuple[int, list[float]]:
    """Return the number of frames, and the mean time of each stage in milliseconds."""
    frames = sum(camera.frames for camera in cameras)
    return frames, (np.sum([camera.stages_ms for camera in cameras], axis=0) / frames).tolist()
