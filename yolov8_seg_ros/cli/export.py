"""Verb `export`: write a trained network as an int8 .tflite file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from yolov8_seg_ros.cli.arguments import whole_number
from yolov8_seg_ros.cli.output import print_table
from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.tools.export.environment import ENVIRONMENT, PACKAGES, quiet, require_packages
from yolov8_seg_ros.tools.export.images import DEFAULT_COUNT, find_images

_DESCRIPTION = """\
Export a trained YOLOv8 or YOLO11 segmentation network as an int8 .tflite file with a raw head: int8 NHWC images in;
box logits, class logits and mask coefficients of each stride, and prototypes out; class names in the file. At the end
int8 is compared with float on the calibration images. If it lost too much, no file is written; exit code 1."""
_EPILOG = f"""\
examples ('make export-env' once makes the environment):
  {ENVIRONMENT}/bin/yolov8_seg export best.pt --data data.yaml --size 256
  {ENVIRONMENT}/bin/yolov8_seg export best.pt --data images/ --size 320x256 --per-tensor --output mp2.tflite
  {ENVIRONMENT}/bin/yolov8_seg export shapes.pt --network training.network:trained --data demo --size 256x192"""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the verb."""
    parser = subparsers.add_parser(
        "export", description=_DESCRIPTION, epilog=_EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("weights", type=Path, metavar="WEIGHTS", help="Ultralytics checkpoint, or a file for --network")
    parser.add_argument(
        "--data", required=True, metavar="IMAGES", help="to calibrate with: a folder, a data.yaml, or demo"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the .tflite file (default: beside WEIGHTS)")
    parser.add_argument(
        "--size", type=size_hw, default=(256, 256), metavar="N or WxH", help="input in pixels (default: 256)"
    )
    parser.add_argument("--per-tensor", action="store_true", help="one scale for all weights of a layer (for the MP2)")
    parser.add_argument(
        "--images",
        type=whole_number(1),
        default=DEFAULT_COUNT,
        metavar="N",
        help="maximum number of calibration images (default: %(default)s)",
    )
    parser.add_argument(
        "--network",
        default="",
        metavar="MODULE:FUNCTION",
        help="a function that reads WEIGHTS and returns a Network (see yolov8_seg_ros.tools.export.network)",
    )
    parser.add_argument("--float", type=Path, metavar="FILE", help="write the float network too, to compare with")
    parser.add_argument(
        "--num-threads", "--threads", type=whole_number(1), default=1, metavar="N", help="CPU threads (default: 1)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Export; return 0 if the file was written."""
    require_packages(*PACKAGES)
    _check_files(args)
    images = find_images(args.data, args.images)
    # Imported late, since these take seconds, and quietly: some packages warn of what is not needed here.
    with quiet():
        from yolov8_seg_ros.tools.export.checkpoint import load_network
        from yolov8_seg_ros.tools.export.exporter import ExportOptions, export

    options = ExportOptions(args.size, args.per_tensor, args.num_threads, args.float)
    output = args.output or default_output(args.weights, options.input_hw, args.per_tensor)
    network = load_network(args.weights, args.network)
    agreement = export(network, images, output, options, lambda stage: print(f"{stage} ...", file=sys.stderr))
    print_table(agreement.rows(), of_text=True)
    print(f"{output}  ({output.stat().st_size} bytes)")
    return 0


def _check_files(args: argparse.Namespace) -> None:
    if not args.weights.is_file():
        example = "runs/segment/train/weights/best.pt"
        raise CommandError(f"'{args.weights}': no such file; give a checkpoint, such as {example}")
    for file in filter(None, (args.output, args.float)):
        if not file.parent.is_dir():
            raise CommandError(f"'{file}': there is no folder '{file.parent}' to write to; make it first")


def default_output(weights: Path, input_hw: tuple[int, int], per_tensor: bool) -> Path:
    """Return a path beside the weights, named after size and quantization."""
    height, width = input_hw
    size = f"{width}" if width == height else f"{width}x{height}"
    variant = "_per_tensor" * per_tensor
    return weights.with_name(f"{weights.stem}_{size}_int8{variant}.tflite")


def size_hw(text: str) -> tuple[int, int]:
    """Parse a size, one number for both sides or width x height; return height and width, in pixels."""
    numbers = text.lower().split("x")
    if len(numbers) > 2 or not all(number.isdecimal() for number in numbers):
        raise argparse.ArgumentTypeError(f"expected a size such as 256 or 320x256, got '{text}'")
    return int(numbers[-1]), int(numbers[0])
