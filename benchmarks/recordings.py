"""Compare the verb `bag` on a recording with the verb `segment` on the same images in a folder.

    python -m benchmarks.recordings --model yolov8n_256 --images street/

Both track, both are processes of their own and take turns; times are of the whole process, memory is its largest. It
needs the Python package rosbags.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.model_files.store import SCENE_MODEL

_PERIOD_NS = 40_000_000
_TOPIC = "/camera/image_raw"


@dataclass(frozen=True)
class Run:
    """Times and memory of a process."""

    wall_s: float
    cpu_s: float
    memory_mib: float


def main(argv: Sequence[str] | None = None) -> int:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL, help="path or name of a model (default: %(default)s)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="folder of images; default: the built-in scene")
    parser.add_argument("--frames", type=int, default=200, help="images in all, repeated (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="of each row (default: %(default)s)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        files = _write_images(folder / "images", args.images, args.frames)
        for compressed in (False, True):
            write_recording(folder / f"{'jpeg' if compressed else 'raw'}", files, compressed)
        commands = {
            "segment --no-images": ["segment", folder / "images", "--no-images", "--track", "--fps", "25"],
            "segment": ["segment", folder / "images", "--track", "--fps", "25"],
            "bag, raw images": ["bag", folder / "raw", "--force"],
            "bag, JPEG images": ["bag", folder / "jpeg", "--force"],
        }
        runs: dict[str, list[Run]] = {name: [] for name in commands}
        for _ in range(args.runs):
            for name, command in commands.items():
                runs[name].append(_run([*command, "--output", folder / "out" / command[0], "--model", args.model]))
    print(f"{args.frames} images, median of {args.runs} runs")
    print(f"{'':20} {'seconds':>8} {'frames/s':>9} {'CPU ms a frame':>15} {'MiB':>5}")
    for name, taken in runs.items():
        wall_s, cpu_s, memory_mib = np.median([(run.wall_s, run.cpu_s, run.memory_mib) for run in taken], axis=0)
        print(
            f"{name:20} {wall_s:8.2f} {args.frames / wall_s:9.1f} {cpu_s * 1e3 / args.frames:15.1f} {memory_mib:5.0f}"
        )
    return 0


def write_recording(path: Path, files: Sequence[Path], compressed: bool) -> None:
    """Write image files as a recording of a camera of 25 Hz, in MCAP."""
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_JAZZY)
    kind = "CompressedImage" if compressed else "Image"
    msgtype = f"sensor_msgs/msg/{kind}"
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as writer:
        connection = writer.add_connection(_TOPIC, msgtype, typestore=types)
        for index, file in enumerate(files):
            stamp_ns = (index + 1) * _PERIOD_NS
            stamp = types.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
            header = types.types["std_msgs/msg/Header"](stamp, "camera")
            if compressed:
                message = types.types[msgtype](header, "jpeg", np.fromfile(file, np.uint8))
            else:
                pixels = cv2.imread(str(file))
                height, width = pixels.shape[:2]
                message = types.types[msgtype](header, height, width, "bgr8", 0, 3 * width, pixels.reshape(-1))
            writer.write(connection, stamp_ns, types.serialize_cdr(message, msgtype))


def _write_images(folder: Path, images: Path | None, count: int) -> list[Path]:
    folder.mkdir()
    files = []
    sources = sorted(path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES) if images else []
    scene = SyntheticScene((480, 640))
    for index in range(count):
        bgr: NDArray[np.uint8] = cv2.imread(str(sources[index % len(sources)])) if sources else scene.frame(index).image
        files.append(folder / f"{index:06d}.jpg")
        cv2.imwrite(str(files[-1]), bgr)
    return files


def _run(arguments: Sequence[object]) -> Run:
    command = [sys.executable, "-m", "yolov8_seg_ros.executables", "yolov8_seg", *map(str, arguments)]
    started = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"exit code {process.returncode}: {' '.join(command)}")
    return Run(wall_s, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


if __name__ == "__main__":
    sys.exit(main())
