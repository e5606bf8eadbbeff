"""Find instances by a board that decodes its network's outputs itself."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from yolov8_seg_ros.backends.n6.backend import BoardBackend, WantedModel, another_network
from yolov8_seg_ros.backends.n6.bridge import BridgeConnection
from yolov8_seg_ros.backends.n6.bridge_messages import (
    BoardModel,
    Capability,
    Configuration,
    MaskForm,
    PictureFormat,
    Welcome,
    expected_levels,
)
from yolov8_seg_ros.backends.n6.bridge_result import BoardTimes, Result
from yolov8_seg_ros.backends.n6.port import Port
from yolov8_seg_ros.core.backend import BackendInfo, DetectingBackend
from yolov8_seg_ros.core.model_spec import ModelSpec, find_input
from yolov8_seg_ros.core.network_instances import NetworkInstances
from yolov8_seg_ros.core.network_spec import NetworkSpec, TensorSpec, names_or_numbers
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import BackendError, BoardError, ModelError

#: One image travels while the network works on another one.
_FRAMES_IN_FLIGHT = 2
AUTOMATIC, RAW = -1, 0
#: Where the user leaves the quality to this program, it is this one, and down to the lowest one where a JPEG would have
#: more bytes a pixel: so 921600 baud carry five images of 256x256 a second.
USUAL_QUALITY, _LOWEST_AUTOMATIC_QUALITY, _AUTOMATIC_BYTES_PER_PX = 90, 60, 0.25
#: Colours at half the horizontal resolution, or at the full one.
SHORT_SAMPLING, FINE_SAMPLING = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
#: A JPEG that is too long is made again with a quality that is lower by this.
_QUALITY_STEP = 5
_SCALE_TOLERANCE = 1e-5


class PictureEncoder:
    """Encoder of the network's input for its way to the board. Any thread may use it.

    Args:
        quant: of the network's input.
        quality: of the JPEG, 1 to 100; 0: the tensor as it is; -1: 90, and lower where the JPEG would be long.
        max_jpeg_bytes: that the board has room for.
        log: called with a line for the log, once, where the board has no room for that quality.
    """

    def __init__(
        self, quant: QuantParams, quality: int, max_jpeg_bytes: int, log: Callable[[str], object] = lambda line: None
    ) -> None:
        self._is_automatic = quality == AUTOMATIC
        self._quality = self._last_quality = USUAL_QUALITY if self._is_automatic else quality
        self._sampling = SHORT_SAMPLING if self._is_automatic else FINE_SAMPLING
        self._least_quality = _LOWEST_AUTOMATIC_QUALITY if self._is_automatic else quality
        self._max_jpeg_bytes = max_jpeg_bytes
        self._log = log
        self._is_logged = False
        stored = np.arange(256, dtype=np.uint8).view(quant.dtype)
        self._pixel_of_byte = np.clip(np.rint(quant.dequantize(stored) * 255), 0, 255).astype(np.uint8)

    def encode(self, network_input: Tensor) -> tuple[PictureFormat, bytes]:
        """Return the form and the bytes of a quantized input, 1 x height x width x 3 in RGB.

        Raises:
            BackendError: if no JPEG is short enough for the board.
        """
        if self._quality == RAW:
            return PictureFormat.TENSOR, network_input.tobytes()
        pixels = cv2.LUT(network_input[0].view(np.uint8), self._pixel_of_byte)
        return PictureFormat.JPEG, self._jpeg(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR))

    def _jpeg(self, pixels: cv2.typing.MatLike) -> bytes:
        height, width = pixels.shape[:2]
        wanted_bytes = int(_AUTOMATIC_BYTES_PER_PX * height * width) if self._is_automatic else self._max_jpeg_bytes
        # The next image is much like the last one.
        for quality in range(min(self._quality, self._last_quality + _QUALITY_STEP), 0, -_QUALITY_STEP):
            options = (cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, self._sampling)
            _, encoded = cv2.imencode(".jpg", pixels, [*options, cv2.IMWRITE_JPEG_OPTIMIZE, 1])
            is_lowest = self._is_automatic and quality <= _LOWEST_AUTOMATIC_QUALITY
            if len(encoded) <= (self._max_jpeg_bytes if is_lowest else min(wanted_bytes, self._max_jpeg_bytes)):
                self._last_quality = quality
                if quality < self._least_quality:
                    self._log_lower(quality)
                return encoded.tobytes()
        raise BackendError(f"the board has room for a JPEG of {self._max_jpeg_bytes} bytes; set n6.jpeg_quality to 0")

    def _log_lower(self, quality: int) -> None:
        if not self._is_logged:
            self._is_logged = True
            self._log(
                f"an image was sent with JPEG quality {quality} instead of {self._least_quality}, since the board has "
                f"room for {self._max_jpeg_bytes} bytes; further ones are not logged"
            )


class BridgeBackend(BoardBackend[BridgeConnection], DetectingBackend):
    """A network run by an STM32N6 with this package's firmware. For arguments and errors see `BoardBackend`.

    Attributes:
        board_times: of the last result.
    """

    board_times = BoardTimes()
    _opened_model: BoardModel | None = None
    #: That the log was told about.
    _refused_instances = 0

    def detect(self, network_input: Tensor, options: DetectionOptions, masks: bool) -> NetworkInstances:
        """Run the network on one quantized input; return the instances.

        Raises:
            LostFrameError: if the frame was lost on the line.
            BackendError: if there is no board, or it fails.
            RunInterruptedError: if `pause` was called, or the board is not yet back in step after that.
        """
        picture_format, picture = self._encoder.encode(network_input)
        kept = self._within_limits(options)

        def run(form: MaskForm) -> Result:
            configuration = Configuration(kept, form, len(self.spec.class_names))
            return self._board.call(lambda board: board.detect(picture_format, picture, configuration))

        result = run(MaskForm.CONTOURS if masks else MaskForm.NONE)
        if result.masks_left_out:
            # Coarser masks are shorter.
            result = run(MaskForm.SIGNS)
        if result.masks_left_out:
            raise BoardError(
                f"{len(result.instances)} instances with masks are longer than the {self._welcome.max_result_bytes} "
                "bytes that the board has room for; lower max_instances, or raise score_threshold"
            )
        self.board_times = result.times
        return result.instances

    def _within_limits(self, options: DetectionOptions) -> DetectionOptions:
        limit = self._welcome.max_instances
        if options.max_instances <= limit:
            return options
        if self._refused_instances != options.max_instances:
            self._refused_instances = options.max_instances
            self._log(f"the board sends {limit} instances of an image at most, {options.max_instances} were asked for")
        return replace(options, max_instances=limit)

    def _choose_network(self, connection: BridgeConnection) -> BackendInfo:
        model, welcome = connection.model, connection.welcome
        if self._opened_model not in (None, model):
            raise ModelError(another_network(model.name))
        self.spec = spec_of(model, self._wanted)
        quality, why = choose_quality(self._options.jpeg_quality, connection.port, welcome)
        self._encoder = PictureEncoder(model.input_quant, quality, welcome.max_jpeg_bytes, self._log)
        self._opened_model, self._welcome = model, welcome
        qualities = f"{_LOWEST_AUTOMATIC_QUALITY} to {USUAL_QUALITY}" if quality == AUTOMATIC else f"{quality} or less"
        return BackendInfo(
            description=f"{welcome.device} on {connection.port}, bridge firmware, network '{model.name}', "
            f"images travel {'raw' if quality == RAW else f'as JPEG of quality {qualities}'}, {why}",
            head="raw, decoded on the board" if model.box_bins else "as in the file, decoded on the board",
            is_accelerator=True,
            frames_in_flight=min(_FRAMES_IN_FLIGHT, welcome.credit),
            needs_warm_up=False,
        )


def choose_quality(wanted: int, port: Port, welcome: Welcome) -> tuple[int, str]:
    """Return in which quality images travel to the board, as `PictureEncoder` takes it, and why.

    Args:
        wanted: 1 to 100; 0: raw; -1: raw where the line is fast.
        port: to the board.
        welcome: what the board can do.

    Raises:
        BackendError: if the board can do neither.
    """
    has_jpeg, has_tensor = bool(welcome.capabilities & Capability.JPEG), bool(welcome.capabilities & Capability.TENSOR)
    if not has_jpeg and not has_tensor:
        raise BackendError(f"{port.path}: the board takes neither raw images nor JPEG; flash this package's firmware")
    if wanted > RAW and has_jpeg:
        return wanted, "as asked for"
    if wanted == RAW and has_tensor:
        return RAW, "as asked for"
    if not has_jpeg:
        return RAW, "since the board has no JPEG decoder"
    if not has_tensor:
        return AUTOMATIC, "since the board takes nothing else"
    if port.has_baud_rate:
        return AUTOMATIC, "since a serial line is slower than the NPU"
    return RAW, "since the line is fast"


def spec_of(model: BoardModel, wanted: WantedModel) -> NetworkSpec:
    """Return what goes into the network on a board, and its classes.

    Raises:
        ModelError: if it is not the wanted one, or cannot be.
    """
    height, width = model.input_hw
    try:
        network_input = find_input([TensorSpec("input", (1, height, width, 3), model.input_quant)])
    except ModelError as error:
        raise ModelError(f"the network '{model.name}' on the board: {error}") from error
    if wanted.specs and not any(_is_of(model, spec) for spec in wanted.specs):
        raise ModelError(
            f"the network '{model.name}' on the board, {_form(model)}, is not that of {wanted.title}; flash the "
            "firmware for that file, or name the file that was flashed, or leave the model empty"
        )
    if model.file_sha256 is not None and wanted.sha256s and model.file_sha256 not in wanted.sha256s:
        raise ModelError(
            f"the network '{model.name}' on the board was made of another file than {wanted.title} (SHA-256 "
            f"{model.file_sha256.hex()}); flash the firmware for that file, or name the file that was flashed"
        )
    known = model.class_names if all(model.class_names) else None
    names = known if wanted.class_names is None else wanted.class_names
    return NetworkSpec(network_input, names_or_numbers(len(model.class_names), names), names is not None)


def _is_of(model: BoardModel, spec: ModelSpec) -> bool:
    quant, expected = model.input_quant, spec.input.quant
    return (
        (model.input_hw, len(model.class_names)) == (spec.input_hw, len(spec.class_names))
        and (quant.dtype, quant.zero_point) == (expected.dtype, expected.zero_point)
        and math.isclose(quant.scale, expected.scale, rel_tol=_SCALE_TOLERANCE)
        and (model.box_bins, model.num_coefficients) == (spec.box_bins, spec.num_coefficients)
        and model.levels == expected_levels(spec.input_hw, spec.is_raw)
    )


def _form(model: BoardModel) -> str:
    height, width = model.input_hw
    head = "a raw head" if model.box_bins else "a decoded head"
    return f"{width}x{height}, {len(model.class_names)} classes, {head}"
