"""Verb `n6`: inspect, measure and simulate an STM32N6 board."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from yolov8_seg_ros.backends.n6 import bridge_messages
from yolov8_seg_ros.backends.n6.board import BoardProtocol, Connection, RunResult, connect
from yolov8_seg_ros.backends.n6.bridge import MAX_ECHO_BYTES, BridgeConnection, BridgeProtocol
from yolov8_seg_ros.backends.n6.stedgeai import BoardModel, Device, StedgeaiConnection, StedgeaiProtocol, num_bytes
from yolov8_seg_ros.cli import n6_bench, n6_simulate
from yolov8_seg_ros.cli.arguments import add_n6_arguments, whole_number
from yolov8_seg_ros.cli.output import print_table
from yolov8_seg_ros.errors import BackendError
from yolov8_seg_ros.settings.options import n6_options

_MHZ = 1e6
_NUM_PINGS = 20
_EPILOG = """\
examples:
  yolov8_seg n6 simulate --protocol bridge --model yolov8n_256 --link /tmp/n6
  yolov8_seg n6 info --n6-port /tmp/n6"""


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
    n6_bench.add_parser(verbs)
    n6_simulate.add_parser(verbs)


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
        description="Measure the line to the board: its round trip; with ST's firmware also rates and time of a frame.",
        epilog="example: yolov8_seg n6 ping --n6-port /dev/ttyACM0 --frames 3",
    )
    add_n6_arguments(parser)
    parser.add_argument(
        "--frames",
        type=whole_number(1),
        default=1,
        metavar="N",
        help="with ST's firmware: grey frames to run (default: %(default)s)",
    )
    parser.set_defaults(run=run_ping)


def run_info(args: argparse.Namespace) -> int:
    """Print what is on the board."""
    with _connected(args) as board:
        if isinstance(board, BridgeConnection):
            print_table([_port_row(board), *_bridge_rows(board)], of_text=True)
            return 0
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
        rows = [_port_row(board)]
        if isinstance(board, BridgeConnection):
            rows += [_round_trip_row(board), _echo_row(board)]
        else:
            rows += _frame_rows(board, args.frames)
    print_table(rows, of_text=True)
    return 0


def _round_trip_row(board: BridgeConnection | StedgeaiConnection) -> tuple[str, str]:
    round_trips_s = [board.ping() for _ in range(_NUM_PINGS)]
    return "round trip", f"{statistics.median(round_trips_s) * 1e3:.2f} ms, at best {min(round_trips_s) * 1e3:.2f} ms"


def _echo_row(board: BridgeConnection) -> tuple[str, str]:
    duration_s = statistics.median(board.ping(MAX_ECHO_BYTES) for _ in range(_NUM_PINGS))
    return "echo", f"{MAX_ECHO_BYTES} bytes there and back in {duration_s * 1e3:.2f} ms"


def _frame_rows(board: StedgeaiConnection, num_frames: int) -> list[tuple[str, str]]:
    models = board.networks()
    if not models:
        raise BackendError("there is no network on the board to measure with")
    row = _round_trip_row(board)
    inputs = [np.zeros(tensor.shape, tensor.quant.dtype) for tensor in models[0].inputs]
    cpu_s = time.process_time()
    results = [board.run(models[0], inputs) for _ in range(num_frames)]
    cpu_s = (time.process_time() - cpu_s) / num_frames
    return [row, *_rate_rows(models[0], results, cpu_s)]


@contextmanager
def _connected(args: argparse.Namespace) -> Iterator[BridgeConnection | StedgeaiConnection]:
    protocols: list[BoardProtocol[BridgeConnection | StedgeaiConnection]] = [BridgeProtocol(), StedgeaiProtocol()]
    board = connect(n6_options(vars(args)), protocols)
    try:
        yield board
    finally:
        board.close()


def _port_row(board: Connection) -> tuple[str, str]:
    return "port", str(board.port)


def _bridge_rows(board: BridgeConnection) -> list[tuple[str, str]]:
    welcome, model = board.welcome, board.model
    height, width = model.input_hw
    rows, columns = model.grid_hw
    forms = [form.name for form in bridge_messages.Capability if welcome.capabilities & form]
    clocks = {"CPU": welcome.clock_hz, "NPU": welcome.npu_hz}
    told = [f"{name} {rate_hz / _MHZ:.0f} MHz" for name, rate_hz in clocks.items() if rate_hz]
    quant = model.input_quant
    return [
        ("device", f"{welcome.device}, bridge firmware, version {welcome.version} of the protocol"),
        ("clocks", ", ".join(told) or "not told"),
        ("can", ", ".join(forms)),
        ("room", f"{welcome.credit} frames in flight, {welcome.max_instances} instances"),
        ("", f"a picture of {welcome.max_picture_bytes} bytes, a JPEG of {welcome.max_jpeg_bytes}"),
        ("", f"a result of {welcome.max_result_bytes} bytes"),
        ("network", f"{model.name} (SHA-256 of its file {(model.file_sha256 or b'').hex() or 'not told'})"),
        ("head", f"raw, {model.box_bins} bins a side" if model.box_bins else "decoded"),
        ("input", f"{width}x{height}, {quant.dtype.name}, scale {quant.scale:.7g}, zero point {quant.zero_point}"),
        ("masks", f"{columns}x{rows} cells, {model.num_coefficients} coefficients"),
        ("classes", f"{len(model.class_names)}: {', '.join(filter(None, model.class_names)) or 'no names'}"),
    ]


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
