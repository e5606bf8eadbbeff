"""Verb `n6 simulate`: simulate an STM32N6 board."""

from __future__ import annotations

import argparse
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from yolov8_seg_ros.backends.n6.simulator.board import SimulatedBoard
from yolov8_seg_ros.backends.n6.simulator.bridge import simulate_model
from yolov8_seg_ros.backends.n6.simulator.line import PtyLine
from yolov8_seg_ros.backends.n6.simulator.network import LiteRtNetwork
from yolov8_seg_ros.backends.n6.simulator.streams import PtyStream, TcpStream
from yolov8_seg_ros.backends.n6.stedgeai_wire import PacketFormat
from yolov8_seg_ros.cli.arguments import number, whole_number
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.model_files.store import DEFAULT_MODEL, find_model

_PROTOCOLS = ("stedgeai", "bridge")
_DESCRIPTION = """\
Simulate an STM32N6 board with ST's validation firmware, or with this package's bridge firmware. Prints the port that
--n6-port takes, and runs the model with LiteRT until it is interrupted: as fast as possible, unless options make it
slower."""
_HIGHEST_PORT = 65_535
_EPILOG = """\
examples, as slow as an STM32N6570-DK:
  yolov8_seg n6 simulate --protocol bridge --baud 921600 --device-ms 31.57
  yolov8_seg n6 simulate --baud 921600 --latency-us 200 --device-ms 31.57"""


def add_parser(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = verbs.add_parser(
        "simulate",
        help="simulate a board on a pseudo terminal or a TCP port",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--protocol",
        choices=_PROTOCOLS,
        default=_PROTOCOLS[0],
        help="firmware; stedgeai: that of ST's validation; bridge: this package's (default: %(default)s)",
    )
    parser.add_argument(
        "--model", default=DEFAULT_MODEL, metavar="FILE_OR_NAME", help="model on the board (default: %(default)s)"
    )
    parser.add_argument(
        "--baud",
        type=whole_number(0),
        default=0,
        metavar="N",
        help="make the line as slow as at this baud rate; 0: as fast as possible (default: %(default)s)",
    )
    parser.add_argument("--device-ms", type=number, default=None, metavar="N", help="shortest time of an inference")
    parser.add_argument("--link", type=Path, default=None, metavar="PATH", help="make a symbolic link to the port")
    stock = parser.add_argument_group("stedgeai")
    stock.add_argument("--latency-us", type=number, default=0.0, metavar="N", help="added to each turn-around")
    stock.add_argument(
        "--header-size",
        type=int,
        choices=(1, 2),
        default=1,
        help="bytes of a packet's header, 2 as firmware of newer ST tools (default: %(default)s)",
    )
    bridge = parser.add_argument_group("bridge")
    bridge.add_argument(
        "--tcp",
        type=whole_number(0, _HIGHEST_PORT),
        default=None,
        metavar="PORT",
        help="a TCP port of this machine instead of a pseudo terminal; 0: one that is free",
    )
    parser.set_defaults(run=run_simulate)


def run_simulate(args: argparse.Namespace) -> int:
    """Simulate a board until SIGINT or SIGTERM."""
    return _simulate_bridge(args) if args.protocol == "bridge" else _simulate_stedgeai(args)


def _simulate_stedgeai(args: argparse.Namespace) -> int:
    if args.tcp is not None:
        raise CommandError("--tcp: only with --protocol bridge")
    line = PtyLine(args.baud, args.latency_us / 1e6)
    network = LiteRtNetwork(find_model(args.model))
    board = SimulatedBoard(network, line, PacketFormat(args.header_size), args.device_ms)
    _serve(args.link, line.path, board.serve, line.close)
    line.release()
    return 0


def _simulate_bridge(args: argparse.Namespace) -> int:
    if args.latency_us or args.header_size != 1:
        raise CommandError("--latency-us and --header-size: only with --protocol stedgeai")
    if args.link is not None and args.tcp is not None:
        raise CommandError("--link: there is nothing to link to with --tcp")
    stream = PtyStream() if args.tcp is None else TcpStream(args.tcp)
    board = simulate_model(find_model(args.model), stream, args.baud, args.device_ms or 0.0)
    _serve(args.link, stream.path, board.serve, board.close)
    stream.close()
    return 0


def _serve(link: Path | None, path: str, serve: Callable[[], None], close: Callable[[], None]) -> None:
    """Print where a board is found, and let it serve until a signal comes."""
    ended = threading.Event()
    for number_ in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number_, lambda *_: ended.set())
    with _linked(link, path):
        print(link or path, flush=True)
        thread = threading.Thread(target=serve)
        thread.start()
        ended.wait()
        close()
        thread.join()


@contextmanager
def _linked(link: Path | None, target: str) -> Iterator[None]:
    """Keep a symbolic link to the pseudo terminal while it exists."""
    if link is None:
        yield
        return
    if link.exists() and not link.is_symlink():
        raise CommandError(f"--link: '{link}' is there already, and no symbolic link; give another path")
    try:
        link.unlink(missing_ok=True)
        link.symlink_to(target)
    except OSError as error:
        raise CommandError(f"--link: '{link}' cannot be made: {error.strerror}; give another path") from error
    try:
        yield
    finally:
        link.unlink(missing_ok=True)
