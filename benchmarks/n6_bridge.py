"""Measure the frame rate of the node with a simulated STM32N6 board, by line and by firmware.

    python -m benchmarks.n6_bridge --image street.jpg

The board's network takes as long as an STM32N6570-DK's. Board, camera, node and listener are processes of their own.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from benchmarks.end_to_end import Feed, Measured, measure
from benchmarks.images import absolute_path, benchmark_image
from benchmarks.processes import environment, process
from yolov8_seg_ros.backends.n6.bridge_backend import AUTOMATIC, RAW, PictureEncoder
from yolov8_seg_ros.backends.n6.bridge_wire import num_line_bytes
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.model_files.store import SCENE_MODEL

DEVICE_MS = 31.57
_OUTPUTS = ("detections", "instances")
_LINK = "/tmp/benchmark_n6"
_BITS_PER_BYTE = 10
_PICTURE_HEAD_BYTES = 16
_START_LIMIT_S = 30.0
#: What a frame of the stock protocol carries up and down, of 33 bytes a packet.
_STOCK_BYTES = 505_302


@dataclass(frozen=True)
class Row:
    """A line to a board.

    Attributes:
        name: of the row.
        simulate: options of `n6 simulate`.
        parameters: of the node.
        baud_rate: of the line; 0: none.
        rate_hz: of the camera.
        frames: that are measured.
        is_stock: whether the board has ST's validation firmware.
    """

    name: str
    simulate: tuple[str, ...]
    parameters: tuple[str, ...]
    baud_rate: int
    rate_hz: float
    frames: int
    is_stock: bool = False


_BRIDGE = ("--protocol", "bridge")
_ROWS = (
    Row("921600 baud, JPEG", (*_BRIDGE, "--baud", "921600"), ("n6.baud_rate:=921600",), 921_600, 15.0, 150),
    Row("3000000 baud, JPEG", (*_BRIDGE, "--baud", "3000000"), ("n6.baud_rate:=3000000",), 3_000_000, 30.0, 300),
    Row("unpaced line, raw", _BRIDGE, ("n6.jpeg_quality:=0",), 0, 45.0, 450),
    Row("TCP, raw", (*_BRIDGE, "--tcp", "0"), (), 0, 45.0, 450),
    Row("unpaced line, raw, 30 Hz", _BRIDGE, ("n6.jpeg_quality:=0",), 0, 30.0, 300),
    Row("TCP, raw, 30 Hz", (*_BRIDGE, "--tcp", "0"), (), 0, 30.0, 300),
    Row("921600 baud, ST's firmware", ("--baud", "921600"), ("n6.baud_rate:=921600",), 921_600, 1.0, 40, True),
    Row("unpaced line, ST's firmware", (), (), 0, 15.0, 75, True),
)


def main(arguments: list[str] | None = None) -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=SCENE_MODEL)
    parser.add_argument("--image", default="", help="default: one of the built-in scene")
    args = parser.parse_args(arguments)
    path = absolute_path(args.image)
    raw_bytes, jpeg_bytes = (_picture_bytes(args.model, path, quality) for quality in (RAW, AUTOMATIC))
    print(
        f"network {DEVICE_MS} ms, so at most {1e3 / DEVICE_MS:.1f} images a second; 640x480, detections and instances"
    )
    print(
        f"{'line':30}{'bytes up':>10}{'line ms':>9}{'a second':>10}{'frame / line':>14}{'latency ms':>12}{'CPU ms':>8}"
    )
    for row in _ROWS:
        up_bytes = _STOCK_BYTES if row.is_stock else jpeg_bytes if row.baud_rate else raw_bytes
        print(_text(row, up_bytes, _measured(row, args.model, path)), flush=True)
    return 0


def _measured(row: Row, model: str, path: str) -> Measured:
    with _board(row, model) as port:
        parameters = (f"model:={model}", "backend:=n6", f"n6.port:={port}", *row.parameters)
        options = (part for text in parameters for part in ("-p", text))
        node = ("yolov8_seg_ros.executables", "seg_node", "--ros-args", *options)
        feed = Feed(path, rate_hz=row.rate_hz, frames=row.frames, warm_up=round(row.rate_hz) * 2)
        return measure(node, _OUTPUTS, feed, profile=True)


@contextmanager
def _board(row: Row, model: str) -> Iterator[str]:
    """Run a simulated board; return how a node finds it."""
    place = () if "--tcp" in row.simulate else ("--link", _LINK)
    options = ("--model", model, "--device-ms", str(DEVICE_MS), *row.simulate, *place)
    with process(environment(False), "yolov8_seg_ros.executables", "yolov8_seg", "n6", "simulate", *options) as board:
        yield board.line_with(_LINK if place else "tcp://", _START_LIMIT_S)


def _picture_bytes(model: str, path: str, quality: int) -> int:
    """Return the bytes on the line of the image, fitted into the network's input."""
    with open_backend(model, "cpu") as backend:
        segmenter = Segmenter(backend)
        frame = segmenter.new_frame()
        segmenter.preprocess(frame, benchmark_image(path))
        encoder = PictureEncoder(backend.spec.input.quant, quality, 1 << 20)
        return num_line_bytes(_PICTURE_HEAD_BYTES + len(encoder.encode(frame.network_input)[1]))


def _text(row: Row, up_bytes: int, measured: Measured) -> str:
    line_ms = up_bytes * _BITS_PER_BYTE / row.baud_rate * 1e3 if row.baud_rate else 0.0
    frame_ms = 1e3 / measured.rate_hz if measured.rate_hz else float("nan")
    ratio = f"{frame_ms / line_ms:.2f}" if line_ms else ""
    latency_ms = float(np.median(measured.latency_ms))
    return (
        f"{row.name:30}{up_bytes:>10}{line_ms:>9.1f}{measured.rate_hz:>10.2f}{ratio:>14}{latency_ms:>12.1f}"
        f"{measured.cpu_ms:>8.2f}"
    )


if __name__ == "__main__":
    sys.exit(main())
