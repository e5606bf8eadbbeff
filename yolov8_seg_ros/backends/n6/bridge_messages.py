"""Build and read the payloads of the bridge protocol, which docs/n6_bridge_protocol.md defines byte by byte."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np

from yolov8_seg_ros.core.model_spec import STRIDES_PX
from yolov8_seg_ros.core.native import logit
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.text import clean_text

MAGIC, VERSION = 0x4252364E, 1
STATUS = struct.Struct("<II")
_WELCOME = struct.Struct("<HHIIIIHHII")
_MODEL = struct.Struct("<HHBBBBfiHHHH32s")
_LEVEL = struct.Struct("<HHHH")
_ERROR = struct.Struct("<HBBHHII")
_INPUT_TYPES = ("int8", "uint8")
_MAX_LEVELS = 8


class PictureFormat(IntEnum):
    """Forms in which a picture is sent."""

    RGB = 0
    TENSOR = 1
    JPEG = 2


class Capability(IntEnum):
    """Bits of what a board can do."""

    RGB = 1
    TENSOR = 2
    JPEG = 4
    MASKS = 8


class MaskForm(IntEnum):
    """Forms of masks: none, the signs of logits, or what a host needs to draw as from all logits."""

    NONE = 0
    SIGNS = 1
    CONTOURS = 2


class ErrorCode(IntEnum):
    """Why a board refuses a packet."""

    NO_SESSION = 1
    UNSUPPORTED = 2
    BAD_LENGTH = 3
    BAD_VALUE = 4
    NOT_CONFIGURED = 5
    NO_CREDIT = 6
    DAMAGED = 7
    BAD_JPEG = 8
    NETWORK_FAILED = 9


class MessageError(ValueError):
    """A payload of a board that does not keep to the protocol although its checksums are right."""


@dataclass(frozen=True)
class Welcome:
    """Description of a board by itself.

    Attributes:
        version: of the protocol.
        credit: frames that the board has room for.
        capabilities: bits of `Capability`.
        max_picture_bytes: longest payload of a picture.
        max_jpeg_bytes: longest JPEG; 0 without that capability.
        max_result_bytes: longest payload of a result.
        max_instances: largest number of instances that may be asked for.
        clock_hz: of the processor; 0: unknown.
        npu_hz: of the NPU; 0: unknown.
        device: its name.
    """

    version: int
    credit: int
    capabilities: int
    max_picture_bytes: int
    max_jpeg_bytes: int
    max_result_bytes: int
    max_instances: int
    clock_hz: int
    npu_hz: int
    device: str


@dataclass(frozen=True)
class BoardModel:
    """The network on a board.

    Attributes:
        name: of the network.
        input_hw: height and width of its input, in pixels.
        input_quant: of its input.
        box_bins: bins a side of the box logits; 0: a decoded head.
        levels: stride in pixels, columns and rows of anchors.
        num_coefficients: mask coefficients of an instance.
        grid_hw: rows and columns of the prototypes.
        file_sha256: of the .tflite file that the network was made of; None: unknown.
        class_names: a name for each class, empty where the board does not know it.
    """

    name: str
    input_hw: tuple[int, int]
    input_quant: QuantParams
    box_bins: int
    levels: tuple[tuple[int, int, int], ...]
    num_coefficients: int
    grid_hw: tuple[int, int]
    file_sha256: bytes | None
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class Refusal:
    """An ERROR of a board.

    Attributes:
        code: one of `ErrorCode`, or an unknown one.
        request_type: type of the packet that was refused.
        request_sequence: its sequence number.
        frame: number of the picture; 0: not about a picture, or unknown.
        detail: depends on the code.
        text: for people.
    """

    code: int
    request_type: int
    request_sequence: int
    frame: int
    detail: int
    text: str

    def __str__(self) -> str:
        name = ErrorCode(self.code).name if self.code in list(ErrorCode) else f"error {self.code}"
        return f"{name}, {self.detail}" + (f": {self.text}" if self.text else "")


@dataclass(frozen=True)
class Configuration:
    """Configuration of a board.

    Attributes:
        detection: which instances are kept.
        masks: what is sent of masks.
        num_classes: of the model.
    """

    detection: DetectionOptions
    masks: MaskForm
    num_classes: int

    @property
    def mask_logit(self) -> float:
        """Return the logit above which a cell is inside a mask."""
        return logit(self.detection.mask_threshold)

    def to_bytes(self, number: int) -> bytes:
        """Return the payload of CONFIGURE."""
        kept = self.detection
        switches = kept.agnostic_nms | kept.multi_label << 1 | kept.vote_boxes << 2
        num_listed = 0 if kept.classes is None else self.num_classes
        head = struct.pack(
            "<IfffHBBHH",
            number,
            kept.score_threshold,
            kept.iou_threshold,
            self.mask_logit,
            kept.max_instances,
            self.masks,
            switches,
            num_listed,
            0,
        )
        is_kept = np.isin(np.arange(num_listed), kept.classes or ())
        return head + np.packbits(is_kept, bitorder="little").tobytes()


def hello() -> bytes:
    """Return the payload of HELLO."""
    return struct.pack("<IHH", MAGIC, VERSION, 0)


def picture(frame: int, picture_format: PictureFormat, data: bytes) -> bytes:
    """Return the payload of PICTURE."""
    return struct.pack("<IBxxxII", frame, picture_format, 0, 0) + data


def ping(last_frame: int, data: bytes = b"") -> bytes:
    """Return the payload of PING."""
    return struct.pack("<I", last_frame) + data


def read_status(payload: bytes) -> tuple[int, int]:
    """Return `released` and `answered`, with which each payload of a board begins."""
    released, answered = unpack(STATUS, payload, 0)
    return released, answered


def number_bytes(number: int) -> bytes:
    """Return what CONFIGURED has behind its status: the number of the configuration."""
    return struct.pack("<I", number)


def read_welcome(payload: bytes) -> Welcome:
    """Read WELCOME.

    Raises:
        MessageError: if it makes no sense.
    """
    version, credit, capabilities, picture_bytes, jpeg_bytes, result_bytes, instances, _, clock_hz, npu_hz = unpack(
        _WELCOME, payload, STATUS.size
    )
    if not credit or not instances:
        raise MessageError("the board has room for no frame, or for no instance")
    name = _text(payload[STATUS.size + _WELCOME.size :])
    return Welcome(
        version, credit, capabilities, picture_bytes, jpeg_bytes, result_bytes, instances, clock_hz, npu_hz, name
    )


def read_model(payload: bytes) -> BoardModel:
    """Read MODEL.

    Raises:
        MessageError: if it makes no sense.
    """
    width, height, kind, bins, num_levels, _, scale, zero_point, num_classes, coefficients, columns, rows, sha256 = (
        unpack(_MODEL, payload, STATUS.size)
    )
    if kind >= len(_INPUT_TYPES) or not 1 <= num_levels <= _MAX_LEVELS or not num_classes or not columns or not rows:
        raise MessageError("the board's description of its network makes no sense")
    start = STATUS.size + _MODEL.size
    levels = tuple(unpack(_LEVEL, payload, start + index * _LEVEL.size)[:3] for index in range(num_levels))
    texts = _texts(payload[start + num_levels * _LEVEL.size :])
    if len(texts) != 1 + num_classes:
        raise MessageError(f"the board has {len(texts) - 1} class names for {num_classes} classes")
    quant = QuantParams(np.dtype(_INPUT_TYPES[kind]), scale, zero_point)
    return BoardModel(
        texts[0],
        (height, width),
        quant,
        bins,
        levels,
        coefficients,
        (rows, columns),
        sha256 if any(sha256) else None,
        tuple(texts[1:]),
    )


def expected_levels(input_hw: tuple[int, int], is_raw: bool) -> tuple[tuple[int, int, int], ...]:
    """Return the levels of a network as a board describes them."""
    if not is_raw:
        return ((0, 0, 0),)
    height, width = input_hw
    return tuple((stride, width // stride, height // stride) for stride in STRIDES_PX)


def read_error(payload: bytes) -> Refusal:
    """Read ERROR.

    Raises:
        MessageError: if it makes no sense.
    """
    code, request_type, _, request_sequence, _, frame, detail = unpack(_ERROR, payload, STATUS.size)
    text = _text(payload[STATUS.size + _ERROR.size :])
    return Refusal(code, request_type, request_sequence, frame, detail, text)


def unpack(layout: struct.Struct, payload: bytes, start: int) -> tuple[Any, ...]:
    """Return the fields of a structure that begins at byte `start` of a payload.

    Raises:
        MessageError: if the payload ends before it.
    """
    if len(payload) < start + layout.size:
        raise MessageError(f"{len(payload)} bytes are too few")
    return layout.unpack_from(payload, start)


def _texts(data: bytes) -> list[str]:
    texts, start = [], 0
    while start < len(data):
        end = start + 1 + data[start]
        if end > len(data):
            raise MessageError("a text is cut off")
        texts.append(_text(data[start + 1 : end]))
        start = end
    return texts


def _text(data: bytes) -> str:
    return clean_text(data.decode("utf-8", "backslashreplace"))
