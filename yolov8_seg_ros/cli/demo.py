"""Verb `demo`: image source, segmentation node and viewer as three processes; what the viewer sees is kept."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from yolov8_seg_ros.choices import DEMO
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.model_files.store import DEFAULT_MODEL, SCENE_MODEL

if TYPE_CHECKING:
    from yolov8_seg_ros.node.viewer import Viewer

_DESCRIPTION = """\
Run image source, segmentation node and viewer as three processes over DDS. Prints a line an image, writes an annotated
picture of each and a short video, and ends by itself."""
_EPILOG = """\
examples:
  yolov8_seg demo
  yolov8_seg demo --source street.jpg --model yolov8n_256 --output demo_output"""
NAMESPACE = "/yolov8_seg_demo"
RATE_HZ = 10
NUM_FRAMES = 60
#: The source waits for the node.
_SUBSCRIBERS = 1
_START_TIMEOUT_S = 60.0
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
        help=f"path or name of a model (default: {SCENE_MODEL} for the scene, else {DEFAULT_MODEL})",
    )
    parser.add_argument("--source", default=DEMO, help="demo, or a picture, folder, video or camera (default: demo)")
    parser.add_argument("--output", type=Path, default=Path("demo_output"), help="folder for pictures and video")
    parser.add_argument("--frames", type=int, default=NUM_FRAMES, help=f"how many images (default: {NUM_FRAMES})")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the demo; give the exit code."""
    # Only this verb needs ROS.
    from yolov8_seg_ros.cli.demo_recorder import Recorder, watching
    from yolov8_seg_ros.node.transport import use_large_image_profile

    use_large_image_profile()
    with Recorder(args.output, RATE_HZ, is_scene=args.source == DEMO) as recorder:
        with watching(f"{NAMESPACE}/yolov8_seg", recorder.show) as (viewer, watch):
            _run_processes(args, viewer, watch)
        if not recorder.count:
            raise CommandError("no result arrived; do the messages above say why?")
    print(recorder.summary())
    return 0


def _run_processes(args: argparse.Namespace, viewer: Viewer, watch: Callable[[float], None]) -> None:
    with _process(_node_command(args)) as node:
        deadline_s = time.monotonic() + _START_TIMEOUT_S
        while not viewer.is_connected:
            _watch_well(watch, {"segmentation node": node}, deadline_s)
        with _process(_source_command(args)) as source:
            deadline_s = time.monotonic() + _START_TIMEOUT_S + args.frames / RATE_HZ
            while source.poll() is None:
                _watch_well(watch, {"segmentation node": node, "image source": source}, deadline_s)
            _require_good("image source", source)
        watch(_DRAIN_S)


def _watch_well(watch: Callable[[float], None], processes: Mapping[str, Process], deadline_s: float) -> None:
    watch(_WATCH_S)
    for name, process in processes.items():
        process.poll()
        _require_good(name, process)
    if time.monotonic() > deadline_s:
        raise CommandError(f"the {' and the '.join(processes)} take too long; do the messages above say why?")


def _node_command(args: argparse.Namespace) -> list[str]:
    default = SCENE_MODEL if args.source == DEMO else DEFAULT_MODEL
    return _command("seg_node", f"model:={args.model or default}")


def _source_command(args: argparse.Namespace) -> list[str]:
    return _command(
        "image_source",
        f"source:={args.source}",
        f"rate_hz:={RATE_HZ}.0",
        f"num_frames:={args.frames}",
        f"wait_for_subscribers:={_SUBSCRIBERS}",
        "transport:=raw",
    )


def _command(executable: str, *parameters: str) -> list[str]:
    command = [sys.executable, "-m", "yolov8_seg_ros.executables", executable, "--ros-args", "-r", f"__ns:={NAMESPACE}"]
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
        raise CommandError(f"the {name} ended with exit code {process.returncode}; what it said stands above")
