"""Verb `n6 bench`: measure the frame rate of a board with the bridge firmware, and compute those of other lines."""

from __future__ import annotations

import argparse
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from yolov8_seg_ros.backends.n6.backend import WantedModel
from yolov8_seg_ros.backends.n6.bridge import BridgeProtocol
from yolov8_seg_ros.backends.n6.bridge_backend import BridgeBackend
from yolov8_seg_ros.backends.n6.bridge_result import BoardTimes
from yolov8_seg_ros.backends.n6.port import Port, Stop
from yolov8_seg_ros.backends.n6.serial_port import open_port
from yolov8_seg_ros.cli.arguments import add_n6_arguments, whole_number
from yolov8_seg_ros.cli.output import print_table
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.settings.options import n6_options

#: Bytes a second of lines: name, rate, and whether it has a baud rate.
_LINES = (("921600 baud", 92_160), ("3000000 baud", 300_000), ("12000000 baud", 1_200_000), ("USB", 20_000_000))


@dataclass
class Measurement:
    """Times of a series of frames.

    Attributes:
        num_frames: in the series.
        duration_s: of the series.
        cpu_s: of this process, over the series.
        latencies_ms: from the image to the instances, a frame each.
        board_times: of the board, a frame each.
        num_instances: found, a frame each.
    """

    num_frames: int
    duration_s: float = 0.0
    cpu_s: float = 0.0
    latencies_ms: list[float] = field(default_factory=list)
    board_times: list[BoardTimes] = field(default_factory=list)
    num_instances: list[int] = field(default_factory=list)


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "bench",
        help="measure the frame rate of a board with the bridge firmware",
        description=(
            "Measure the frame rate of a board with the bridge firmware, masks included, and compute what other lines "
            "would reach."
        ),
        epilog="example: yolov8_seg n6 bench --n6-port /dev/ttyACM0 --image street.jpg",
    )
    add_n6_arguments(parser)
    parser.add_argument(
        "--frames", type=whole_number(2), default=100, metavar="N", help="frames to run (default: %(default)s)"
    )
    parser.add_argument("--image", type=Path, default=None, metavar="FILE", help="an image; default: a drawn scene")
    parser.set_defaults(run=run_bench)


def run_bench(args: argparse.Namespace) -> int:
    """Print rates."""
    image = ColorImage(SyntheticScene().frame(0).image if args.image is None else read_image(args.image))
    ports: list[Port] = []

    def opened(path: str, baud_rate: int, stop: Stop) -> Port:
        ports.append(open_port(path, baud_rate, stop))
        return ports[-1]

    with BridgeBackend(n6_options(vars(args)), WantedModel(), [BridgeProtocol()], opener=opened) as backend:
        segmenter = Segmenter(backend)
        run_frames(segmenter, backend, image, backend.info.frames_in_flight)
        port = ports[-1]
        written, read = port.num_written, port.num_read
        measured = run_frames(segmenter, backend, image, args.frames)
        up_bytes, down_bytes = (port.num_written - written) / args.frames, (port.num_read - read) / args.frames
        print_table([("board", backend.info.description), *_rows(measured, up_bytes, down_bytes)], of_text=True)
    print()
    print_table(_rates_by_line(measured, up_bytes, down_bytes))
    return 0


def run_frames(segmenter: Segmenter, backend: BridgeBackend, image: ColorImage, num_frames: int) -> Measurement:
    """Segment an image again and again, as many at a time as the backend takes."""
    measured = Measurement(num_frames)
    left, locks = iter(range(num_frames)), [threading.Lock() for _ in range(3)]
    errors: list[Exception] = []

    def work() -> None:
        frame = segmenter.new_frame()
        while not errors:
            with locks[0]:
                if next(left, None) is None:
                    return
                started_s = time.perf_counter()
                segmenter.preprocess(frame, image)
            segmenter.infer(frame)
            with locks[2]:
                found = segmenter.postprocess(frame)
                measured.latencies_ms.append((time.perf_counter() - started_s) * 1e3)
                measured.board_times.append(backend.board_times)
                measured.num_instances.append(len(found))

    measured.duration_s, measured.cpu_s = _run_in_threads(work, backend.info.frames_in_flight, errors)
    return measured


def _run_in_threads(work: Callable[[], None], count: int, errors: list[Exception]) -> tuple[float, float]:
    """Run a function in threads; return the seconds and the processor's seconds that it took."""

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=guarded) for _ in range(count)]
    started_s, cpu_s = time.perf_counter(), time.process_time()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    duration_s, cpu_s = time.perf_counter() - started_s, time.process_time() - cpu_s
    if errors:
        raise errors[0]
    return duration_s, cpu_s


def _rows(measured: Measurement, up_bytes: float, down_bytes: float) -> list[tuple[str, str]]:
    names = ("receive", "prepare", "wait", "inference", "decode")
    times = ((name, median(getattr(t, f"{name}_ms") for t in measured.board_times)) for name in names)
    return [
        ("frames", f"{measured.num_frames / measured.duration_s:.2f} a second"),
        ("latency", f"{median(measured.latencies_ms):.1f} ms from image to instances"),
        ("line", f"{up_bytes:.0f} bytes up, {down_bytes:.0f} bytes down a frame"),
        ("found", f"{median(measured.num_instances):g} instances"),
        ("on the board", ", ".join(f"{name} {time_ms:.2f} ms" for name, time_ms in times)),
        ("CPU", f"{measured.cpu_s / measured.num_frames * 1e3:.2f} ms of this machine's a frame"),
    ]


def _rates_by_line(measured: Measurement, up_bytes: float, down_bytes: float) -> list[tuple[str, ...]]:
    """Return what limits a frame on each line: the line, or the network. They overlap."""
    inference_ms = median(times.inference_ms for times in measured.board_times)
    rows: list[tuple[str, ...]] = [("computed for", "up", "down", "inference", "frames a second")]
    for name, bytes_per_s in _LINES:
        up_ms, down_ms = up_bytes / bytes_per_s * 1e3, down_bytes / bytes_per_s * 1e3
        times = f"{up_ms:.1f} ms", f"{down_ms:.1f} ms", f"{inference_ms:.1f} ms"
        rows.append((name, *times, f"{1e3 / max(up_ms, down_ms, inference_ms):.1f}"))
    return rows
