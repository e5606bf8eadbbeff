"""Export a network: convert, quantize, compare with the float network, and only then replace the file."""

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
from yolov8_seg_ros.tools.export.convert import convert, quantize
from yolov8_seg_ros.tools.export.environment import quiet
from yolov8_seg_ros.tools.export.images import network_inputs
from yolov8_seg_ros.tools.export.network import Network, check_outputs

MIN_INPUT_PX, MAX_INPUT_PX = 192, 640
METADATA_MEMBER = "metadata.txt"


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        input_hw: height and width of the network's input, in pixels.
        per_tensor: quantize the weights of a convolution with one scale instead of one per channel.
        num_threads: threads that run the network.
        float_output: where to write the float network too, to measure what int8 loses.

    Raises:
        ExportError: for a size that the network cannot have.
    """

    input_hw: tuple[int, int]
    per_tensor: bool = False
    num_threads: int = 1
    float_output: Path | None = None

    def __post_init__(self) -> None:
        if any(size % STRIDES_PX[-1] or not MIN_INPUT_PX <= size <= MAX_INPUT_PX for size in self.input_hw):
            raise ExportError(
                f"the input size is {self.input_hw[1]}x{self.input_hw[0]} pixels; expected multiples of "
                f"{STRIDES_PX[-1]} from {MIN_INPUT_PX} to {MAX_INPUT_PX}"
            )


def export(
    network: Network,
    images: Sequence[NDArray[np.uint8]],
    output: Path,
    options: ExportOptions,
    report: Callable[[str], None] = lambda stage: None,
) -> Agreement:
    """Write an int8 .tflite file with a raw head, unless it differs too much from the float network.

    Args:
        network: the trained network.
        images: bgr8 (height, width, 3), to calibrate and to compare with.
        output: the file.
        options: input size and quantization.
        report: called with the name of each stage when it begins.

    Raises:
        ExportError: if the network cannot be exported, or lost too much; `output` is unchanged then.
    """
    network.module.eval()
    check_outputs(network, options.input_hw)
    report("converting")
    float_model = convert(network.module, options.input_hw)
    report(f"calibrating with {len(images)} images")
    inputs = network_inputs(images, options.input_hw)
    with quiet():
        int8_model = quantize(float_model, inputs, per_tensor=options.per_tensor, num_threads=options.num_threads)
    metadata = _metadata(network, options)
    with ExitStack() as stack:
        temporary = stack.enter_context(replacing(output))
        float_path = Path(stack.enter_context(TemporaryDirectory())) / "float.tflite"
        if options.float_output is not None:
            float_path = stack.enter_context(replacing(options.float_output))
        _write_model(temporary, int8_model, metadata)
        _write_model(float_path, float_model, metadata)
        report("comparing int8 with float")
        agreement = _compare(float_path, temporary, images, options.num_threads)
        _require_agreement(agreement, output)
    return agreement


def _metadata(network: Network, options: ExportOptions) -> dict[str, object]:
    return {
        **network.metadata,
        "task": "segment",
        "names": dict(enumerate(network.class_names)),
        "imgsz": list(options.input_hw),
        "stride": STRIDES_PX[-1],
        "batch": 1,
        "channels": 3,
    }


def _write_model(model_path: Path, model: bytes, metadata: dict[str, object]) -> None:
    """Write a .tflite file and append a zip archive with its metadata, which runtimes ignore."""
    model_path.write_bytes(model)
    with zipfile.ZipFile(model_path, "a", zipfile.ZIP_DEFLATED) as archive:
        # With a fixed date, so that the same network results in the same file.
        archive.writestr(zipfile.ZipInfo(METADATA_MEMBER), repr(metadata))


def _compare(float_path: Path, int8_path: Path, images: Sequence[NDArray[np.uint8]], num_threads: int) -> Agreement:
    with TfliteBackend(float_path, num_threads) as expected, TfliteBackend(int8_path, num_threads) as examined:
        return compare(expected, examined, images)


def _require_agreement(agreement: Agreement, output: Path) -> None:
    failures = "; ".join(agreement.failures())
    if failures:
        table = "\n".join(f"  {name:20}{text}" for name, text in agreement.rows())
        raise ExportError(f"int8 differs too much from float, {output} was not written: {failures}\n{table}")
