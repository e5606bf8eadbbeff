"""Verb `n6`: inspect, measure and simulate an STM32N6 board."""

from __future__ import annotations

import argparse
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from yolov8_seg_ros.backends.n6.board import RunResult, connect
from yolov8_seg_ros.backends.n6.simulator.board import SimulatedBoard
from yolov8_seg_ros.backends.n6.simulator.line import PtyLine
from yolov8_seg_ros.backends.n6.simulator.network import LiteRtNetwork
from yolov8_seg_ros.backends.n6.stedgeai import BoardModel, Device, StedgeaiConnection, StedgeaiProtocol, num_bytes
from yolov8_seg_ros.backends.n6.stedgeai_wire import PacketFormat
from yolov8_seg_ros.cli.arguments import add_n6_arguments, number, whole_number
from yolov8_seg_ros.cli.output import print_table
from yolov8_seg_ros.errors import BackendError, CommandError
from yolov8_seg_ros.model_files.store import DEFAULT_MODEL, find_model
from yolov8_seg_ros.settings.options import n6_options

_MHZ = 1e6
_NUM_PINGS = 20
_DEFAULT_DEVICE_MS = 31.57
_EPILOG = """\
examples:
  yolov8_seg n6 simulate --model yolov8n_256 --link /tmp/n6
  yolov8_seg n6 info --n6-port /tmp/n6"""
_SIMULATE_EPILOG = f"""\
example, as slow as an STM32N6570-DK:
  yolov8_seg n6 simulate --model yolov8n_256 --baud 921600 --latency-us 200 --device-ms {_DEFAULT_DEVICE_MS}"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb and its own verbs."""
    parser = subparsers.add_parser(
        "n6",
        description="Inspect, measure and simulate an STM32N6 board.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = parser.add_subparsers(metavar="VERB", required=True)
    _add_info(verbs)
    _add_ping(verbs)
    _add_simulate(verbs)


def _add_info(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "info",
        help="show the board, its clocks, and the network on it",
        description="Show the board, its clocks, and the network on it.",
        epilog="example: yolov8_seg n6 info --n6-port /dev/ttyACM0",
    )
    add_n6_arguments(parser)
    parser.set_defaults(run=run_info)


def _add_ping(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "ping",
        help="measure the line to the board",
        description="Measure the line to the board: round trip, rates both ways, and the frame rate it can reach.",
        epilog="example: yolov8_seg n6 ping --n6-port /dev/ttyACM0 --frames 3",
    )
    add_n6_arguments(parser)
    parser.add_argument(
        "--frames", type=whole_number(1), default=1, metavar="N", help="grey frames to run (default: %(default)s)"
    )
    parser.set_defaults(run=run_ping)


def _add_simulate(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = verbs.add_parser(
        "simulate",
        help="simulate a board on a pseudo terminal",
        description=(
            "Simulate a board with ST's validation firmware: prints the path of its pseudo terminal, and runs "
            "the model with LiteRT until it is interrupted. As fast as possible, unless options make it slower."
        ),
        epilog=_SIMULATE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="FILE_OR_NAME", help="(default: %(default)s)")
    parser.add_argument("--baud", type=whole_number(0), default=0, metavar="N", help="slow the line to a baud rate")
    parser.add_argument("--latency-us", type=number, default=0.0, metavar="N", help="added to each turn-around")
    parser.add_argument("--device-ms", type=number, default=None, metavar="N", help="shortest inference")
    parser.add_argument("--link", type=Path, default=None, metavar="PATH", help="a symbolic link to make to it")
    parser.add_argument(
        "--header-size",
        type=int,
        choices=(1, 2),
        default=1,
        help="bytes of a packet's header, 2 as firmware of newer ST tools (default: %(default)s)",
    )
    parser.set_defaults(run=run_simulate)


def run_info(args: argparse.Namespace) -> int:
    """Print what is on the board."""
    with _connected(args) as board:
        device, models = board.device(), board.networks()
    rows = [_port_row(board), *_device_rows(device)]
    for model in models:
        rows += _model_rows(model)
    print_table(rows, of_text=True)
    if not models:
        raise BackendError("there is no network on the board; generate the firmware for your model and flash it")
    return 0


def run_ping(args: argparse.Namespace) -> int:
    """Print how fast the line is."""
    with _connected(args) as board:
        models = board.networks()
        if not models:
            raise BackendError("there is no network on the board to measure with")
        round_trips_s = [board.ping() for _ in range(_NUM_PINGS)]
        inputs = [np.zeros(tensor.shape, tensor.quant.dtype) for tensor in models[0].inputs]
        cpu_s = time.process_time()
        results = [board.run(models[0], inputs) for _ in range(args.frames)]
        cpu_s = (time.process_time() - cpu_s) / args.frames
    rows = [
        _port_row(board),
        ("round trip", f"{statistics.median(round_trips_s) * 1e3:.2f} ms, at best {min(round_trips_s) * 1e3:.2f} ms"),
    ]
    print_table(rows + _rate_rows(models[0], results, cpu_s), of_text=True)
    return 0


def run_simulate(args: argparse.Namespace) -> int:
    """Simulate a board until SIGINT or SIGTERM."""
    network = LiteRtNetwork(find_model(args.model))
    line = PtyLine(args.baud, args.latency_us / 1e6)
    ended = threading.Event()
    for number_ in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number_, lambda *_: ended.set())
    with _linked(args.link, line.path):
        print(args.link or line.path, flush=True)
        board = SimulatedBoard(network, line, PacketFormat(args.header_size), args.device_ms)
        thread = threading.Thread(target=board.serve)
        thread.start()
        ended.wait()
        line.close()
        thread.join()
    line.release()
    return 0


@contextmanager
def _linked(link: Path | None, target: str) -> Iterator[None]:
    """Create a symbolic link to the pseudo terminal; remove it at the end."""
    if link is None:
        yield
        return
    if link.exists() and not link.is_symlink():
        raise CommandError(f"--link: '{link}' is there already, and no symbolic link; give another path")
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    try:
        yield
    finally:
        link.unlink(missing_ok=True)


@contextmanager
def _connected(args: argparse.Namespace) -> Iterator[StedgeaiConnection]:
    board = connect(n6_options(vars(args)), [StedgeaiProtocol()])
    try:
        yield board
    finally:
        board.close()


def _port_row(board: StedgeaiConnection) -> tuple[str, str]:
    return "port", f"{board.port.path} at {board.port.baud_rate} baud"


def _device_rows(device: Device) -> list[tuple[str, str]]:
    npu = f"{device.npu_hz / _MHZ:.0f} MHz" if device.npu_hz else "unknown"
    return [
        ("device", f"{device.name} (0x{device.device_id:x})"),
        ("clocks", f"CPU {device.cpu_hz / _MHZ:.0f} MHz, bus {device.bus_hz / _MHZ:.0f} MHz, NPU {npu}"),
        ("caches", ", ".join(device.caches) or "none"),
    ]


def _model_rows(model: BoardModel) -> list[tuple[str, str]]:
    macc = "unknown" if model.num_macc is None else str(model.num_macc)
    return [
        ("runtime", f"{model.runtime} {model.runtime_version}, {model.toolchain}; {model.description}"),
        ("network", f"{model.name} (signature {model.signature})"),
        ("compiled", f"{model.compiled}, by tools {model.tool_version}"),
        ("size", f"{model.num_nodes} nodes, multiply-accumulates: {macc}"),
        *(("tensors", f"input {tensor}  {num_bytes(tensor)} bytes") for tensor in model.inputs),
        *(("", f"output {tensor}  {num_bytes(tensor)} bytes") for tensor in model.outputs),
    ]


def _rate_rows(model: BoardModel, results: list[RunResult], cpu_s: float) -> list[tuple[str, str]]:
    upload_s, download_s, inference_ms, total_s = (
        statistics.median(values)
        for values in zip(*((r.upload_s, r.download_s, r.inference_ms, r.total_s) for r in results), strict=True)
    )
    upload_bytes, download_bytes = (sum(map(num_bytes, tensors)) for tensors in (model.inputs, model.outputs))
    return [
        ("upload", _rate(upload_bytes, upload_s)),
        ("inference", f"{inference_ms:.2f} ms"),
        ("download", _rate(download_bytes, download_s)),
        ("frame", f"{total_s:.3f} s, that is {1 / total_s:.2f} frames a second at most"),
        ("CPU", f"{cpu_s * 1e3:.1f} ms of this machine's a frame"),
    ]


def _rate(num_bytes: int, duration_s: float) -> str:
    return f"{num_bytes} bytes in {duration_s:.3f} s, {num_bytes / duration_s / 1e3:.1f} kB/s"
