"""Export a network: measure, convert, quantise, name, compare, and only then put the file in its place."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.errors import ExportError
from yolov8_seg_ros.files import replacing
from yolov8_seg_ros.tools.export.agreement import Agreement, compare
from yolov8_seg_ros.tools.export.convert import convert
from yolov8_seg_ros.tools.export.environment import quiet
from yolov8_seg_ros.tools.export.network import (
    SEEN_SCORE,
    SHARED_HEAD_COEFFICIENT,
    ContractModule,
    Network,
    Range,
    SeenRanges,
    check_parts,
    measure,
)
from yolov8_seg_ros.tools.export.pictures import network_inputs
from yolov8_seg_ros.tools.export.quantize import quantize

SMALLEST_PX, LARGEST_PX = 192, 640
METADATA_MEMBER = "metadata.txt"
#: How the converter calls a module's first argument.
INPUT_NAME = "args_0"
_PIXELS: Range = (0.0, 1.0)
#: In steps of 1/256, in which sigmoids come anyway.
_FRACTIONS: Range = (0.0, 255 / 256)


@dataclass(frozen=True)
class ExportOptions:
    """How a network is exported.

    Attributes:
        input_hw: height and width of the network's input, in pixels.
        split_head: give boxes, scores and coefficients as outputs, and so scales, of their own.
        per_tensor: give a convolution's weights one scale rather than one a channel.
        num_threads: how many threads calibrate.
        float_output: where to write the float network too, to measure what int8 loses.
    """

    input_hw: tuple[int, int]
    split_head: bool = False
    per_tensor: bool = False
    num_threads: int = 1
    float_output: Path | None = None

    def __post_init__(self) -> None:
        if any(size % STRIDES_PX[-1] or not SMALLEST_PX <= size <= LARGEST_PX for size in self.input_hw):
            raise ExportError(
                f"the input is to be {self.input_hw[1]}x{self.input_hw[0]} pixels; expected multiples of "
                f"{STRIDES_PX[-1]} from {SMALLEST_PX} to {LARGEST_PX}"
            )


def export(
    network: Network,
    pictures: Sequence[NDArray[np.uint8]],
    output: Path,
    options: ExportOptions,
    tell: Callable[[str], None] = lambda stage: None,
) -> Agreement:
    """Write `output`, an int8 .tflite file of ST's contract, unless the comparison with the float network fails.

    Args:
        network: what to export.
        pictures: bgr8 (height, width, 3), to calibrate and to compare with.
        output: the file.
        options: how.
        tell: called with the name of each stage that begins.

    Raises:
        ExportError: if the network cannot be exported, or lost too much; no file is left then, an old one stays.
    """
    network.module.eval()
    check_parts(network, options.input_hw)
    tell("measuring the head")
    seen = measure(network.module, network_inputs(pictures, options.input_hw))
    if seen.is_empty:
        raise ExportError(
            f"the network finds nothing with a score of {SEEN_SCORE} in {len(pictures)} pictures, "
            "so there is nothing to calibrate with; give pictures of what it was trained on"
        )
    tell("converting")
    gain = 1.0 if options.split_head else seen.gain
    float_model = convert(ContractModule(network.module, options.split_head, gain), options.input_hw)
    tell(f"calibrating with {len(pictures)} pictures")
    int8_model = _quantize(float_model, pictures, seen, options)
    metadata = metadata_of(network, options)
    with replacing(output) as temporary:
        write_model(temporary, int8_model, metadata)
        tell("comparing int8 with float")
        agreement = _compare(network, float_model, temporary, pictures, options.num_threads)
        _require_agreement(agreement, output)
    if options.float_output is not None:
        with replacing(options.float_output) as temporary:
            write_model(temporary, float_model, metadata)
    return agreement


def _quantize(
    float_model: bytes, pictures: Sequence[NDArray[np.uint8]], seen: SeenRanges, options: ExportOptions
) -> bytes:
    with quiet():
        return quantize(
            float_model,
            network_inputs(pictures, options.input_hw),
            pinned_ranges(seen, options.split_head),
            seen.offsets,
            per_tensor=options.per_tensor,
            num_threads=options.num_threads,
        )


def _require_agreement(agreement: Agreement, output: Path) -> None:
    complaints = "; ".join(agreement.complaints())
    if complaints:
        table = "\n".join(f"  {name:20}{text}" for name, text in agreement.rows())
        raise ExportError(f"the export is not good, {output} was not written: {complaints}\n{table}")


def pinned_ranges(seen: SeenRanges, split_head: bool) -> dict[str, Range]:
    """Give the ranges that are known, by the names of inputs and outputs."""
    low, high = seen.coefficients
    if not split_head:
        return {INPUT_NAME: _PIXELS, "head": _FRACTIONS if low >= 0 else (-SHARED_HEAD_COEFFICIENT, 1.0)}
    return {INPUT_NAME: _PIXELS, "boxes": _FRACTIONS, "scores": _FRACTIONS, "coefficients": (low, high)}


def metadata_of(network: Network, options: ExportOptions) -> dict[str, object]:
    """Give what is written into the file."""
    return {
        **network.metadata,
        "task": "segment",
        "names": dict(enumerate(network.class_names)),
        "imgsz": list(options.input_hw),
        "stride": STRIDES_PX[-1],
        "batch": 1,
        "channels": 3,
    }


def write_model(model_path: Path, model: bytes, metadata: dict[str, object]) -> None:
    """Write a .tflite file with metadata behind it, in a zip archive, which runtimes ignore."""
    model_path.write_bytes(model)
    with zipfile.ZipFile(model_path, "a", zipfile.ZIP_DEFLATED) as archive:
        # A fixed date, so that the same network gives the same file.
        archive.writestr(zipfile.ZipInfo(METADATA_MEMBER), repr(metadata))


def _compare(
    network: Network, float_model: bytes, int8_path: Path, pictures: Sequence[NDArray[np.uint8]], num_threads: int
) -> Agreement:
    with TemporaryDirectory() as folder, ExitStack() as stack:
        float_path = Path(folder) / "float.tflite"
        float_path.write_bytes(float_model)
        expected, examined = (
            stack.enter_context(TfliteBackend(path, num_threads, network.class_names))
            for path in (float_path, int8_path)
        )
        return compare(expected, examined, pictures)
