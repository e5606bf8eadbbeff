"""Verb `demo`: image source, segmentation node and viewer as three processes; what the viewer receives is kept."""

from __future__ import annotations

import argparse
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from yolov8_seg_ros.choices import DEMO, SIM
from yolov8_seg_ros.cli.arguments import whole_number
from yolov8_seg_ros.cli.output import add_output_argument, output_folder
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.media.rgbd_scene import RgbdScene
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.media.sources import is_camera, open_media
from yolov8_seg_ros.model_files.store import DEFAULT_MODEL, SCENE_MODEL

if TYPE_CHECKING:
    from yolov8_seg_ros.cli.demo_recorder import Recorder
    from yolov8_seg_ros.node.viewer import Viewer

_DESCRIPTION = """\
Run image source, segmentation node and viewer as three processes over DDS. Prints a line an image, writes an annotated
image of each, a video and a page to look at them, and ends by itself. An image, a folder or a video is played once."""
_EPILOG = """\
examples:
  yolov8_seg demo
  yolov8_seg demo --source street.jpg --model yolov8n_256 --output demo_output"""
RATE_HZ = 10
#: Of sources that do not end by themselves.
NUM_FRAMES = 60
#: The source waits for the node.
_SUBSCRIBERS = 1
_START_TIMEOUT_S = 60.0
#: Longest time between two results.
_RESULT_TIMEOUT_S = 60.0
#: Results still on their way when the source has ended.
_DRAIN_S = 2.0
_STOP_TIMEOUT_S = 5.0
_WATCH_S = 0.1
Process = subprocess.Popen[bytes]


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "demo",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        metavar="FILE_OR_NAME",
        help=f"path or name of a model (default: {SCENE_MODEL} for {DEMO} and {SIM}, else {DEFAULT_MODEL})",
    )
    parser.add_argument(
        "--source",
        default=DEMO,
        help="demo, sim (a simulated robot), or an image, folder, video, recording or camera (default: demo)",
    )
    add_output_argument(parser, "demo_output")
    parser.add_argument(
        "--frames",
        type=whole_number(1),
        metavar="N",
        help=f"at most so many images (default: {NUM_FRAMES} of sources without an end, all of others)",
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo and return the exit code."""
    # Only this verb needs ROS.
    from yolov8_seg_ros.cli.demo_recorder import Recorder, watching
    from yolov8_seg_ros.node.transport import use_large_image_profile

    use_large_image_profile()
    # Another demo on this machine or in this network has its own results.
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    namespace = f"/yolov8_seg_demo_{os.getpid()}"
    last_index = _last_index(args)
    with output_folder(args.output):
        with Recorder(args.output, RATE_HZ, _truth(args.source)) as recorder:
            has_names = not is_camera(args.source)
            with watching(f"{namespace}/yolov8_seg", recorder.show, has_names) as (viewer, watch):
                _run_processes(args, namespace, viewer, recorder, watch, last_index)
            if not recorder.count:
                raise CommandError("no result arrived; the messages above may say why")
        recorder.write_page({"source": args.source, "model": _model(args)})
    print(recorder.summary())
    return 0


def _run_processes(
    args: argparse.Namespace,
    namespace: str,
    viewer: Viewer,
    recorder: Recorder,
    watch: Callable[[float], None],
    last_index: float,
) -> None:
    with _process(_command("seg_node", namespace, f"model:={_model(args)}")) as node:
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not viewer.is_connected:
            _watch_well(watch, {"segmentation node": node}, deadline_s)
        with _process(_source_command(args, namespace)) as source:
            count, deadline_s = 0, time.monotonic() + _START_TIMEOUT_S
            # Its last message may wait 3 s for an acknowledgement that nobody here needs.
            while source.poll() is None and recorder.last_index < last_index:
                _watch_well(watch, {"segmentation node": node, "image source": source}, deadline_s)
                if recorder.count > count:
                    count, deadline_s = recorder.count, time.monotonic() + _RESULT_TIMEOUT_S
            _require_good("image source", source)
        until_s = time.monotonic() + _DRAIN_S
        while recorder.last_index < last_index and time.monotonic() < until_s:
            watch(_WATCH_S)


def _last_index(args: argparse.Namespace) -> float:
    """Return the index of the last frame that the source may show; infinity where that is not known.

    Raises:
        MediaError: if there is no such source.
    """
    count = _num_frames(args) or math.inf
    if not _is_endless(args.source):
        with open_media(args.source) as media:
            # The number in a video's header may be wrong.
            if media.frame_count and not media.is_video:
                count = min(count, media.frame_count)
    return count - 1


def _num_frames(args: argparse.Namespace) -> int:
    """Return how many frames the source shall show; 0 for all that it has."""
    return args.frames or (NUM_FRAMES if _is_endless(args.source) else 0)


def _is_endless(source: str) -> bool:
    return source in (DEMO, SIM) or is_camera(source)


def _watch_well(watch: Callable[[float], None], processes: Mapping[str, Process], deadline_s: float) -> None:
    watch(_WATCH_S)
    for name, process in processes.items():
        process.poll()
        _require_good(name, process)
    if time.monotonic() > deadline_s:
        raise CommandError(f"the {' and the '.join(processes)} take too long; the messages above may say why")


def _model(args: argparse.Namespace) -> str:
    return args.model or (SCENE_MODEL if args.source in (DEMO, SIM) else DEFAULT_MODEL)


def _truth(source: str) -> Callable[[int], Instances] | None:
    if source == SIM:
        room = RgbdScene()
        return lambda index: room.frame(index / RATE_HZ).truth
    return SyntheticScene().truth if source == DEMO else None


def _source_command(args: argparse.Namespace, namespace: str) -> list[str]:
    return _command(
        "image_source",
        namespace,
        f"source:={args.source}",
        "loop:=false",
        f"rate_hz:={RATE_HZ}.0",
        f"num_frames:={_num_frames(args)}",
        f"wait_for_subscribers:={_SUBSCRIBERS}",
        "wait_for_reference:=true",
        "transport:=raw",
    )


def _command(executable: str, namespace: str, *parameters: str) -> list[str]:
    command = [sys.executable, "-m", "yolov8_seg_ros.executables", executable, "--ros-args", "-r", f"__ns:={namespace}"]
    return command + [word for parameter in parameters for word in ("-p", parameter)]


@contextmanager
def _process(command: Sequence[str]) -> Iterator[Process]:
    """Run a process for as long as the context lasts."""
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        _stop(process)


def _stop(process: Process) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _require_good(name: str, process: Process) -> None:
    if process.returncode:
        raise CommandError(f"the {name} ended with exit code {process.returncode}; its messages above say why")
