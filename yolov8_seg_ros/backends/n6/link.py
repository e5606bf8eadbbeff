"""Open the way to a board: port, baud rate, and the network that is meant."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from yolov8_seg_ros.backends.n6.client import BoardClient
from yolov8_seg_ros.backends.n6.device import BoardModel, Device
from yolov8_seg_ros.backends.n6.discovery import find_port
from yolov8_seg_ros.backends.n6.exchange import TimeLimits
from yolov8_seg_ros.backends.n6.serial_line import SerialLine
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.model_spec import ModelSpec, TensorSpec
from yolov8_seg_ros.errors import BackendError, LinkError, ModelError

#: What ST's firmware comes with, the likeliest first.
BAUD_RATES = (921_600, 115_200)
_SCALE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class LinkSettings:
    """Where the board is.

    Attributes:
        serial_port: the device; empty finds the ST-LINK.
        baud_rate: tried before the usual ones; 0 leaves it at those.
        header_size: of packets, 1 or 2 bytes.
        limits: how long the board may take.
    """

    serial_port: str = ""
    baud_rate: int = 0
    header_size: int = 1
    limits: TimeLimits = field(default_factory=TimeLimits)


@dataclass(frozen=True)
class WantedModel:
    """What is to run on the board.

    Attributes:
        title: of the model, for messages.
        spec: what its tensors must be; anything that is a YOLOv8-seg model where None.
        class_names: a name for each class, since the board knows none; numbered names where None.
    """

    title: str = ""
    spec: ModelSpec | None = None
    class_names: Sequence[str] | None = None


def wanted_model(path: Path | None, class_names: Sequence[str] | None) -> WantedModel:
    """Read from the file that the board's network was made of what is to be there.

    Args:
        path: the .tflite file; None where anything will do.
        class_names: a name for each class; those of the file where None.

    Raises:
        ModelError: if the file is not a YOLOv8-seg model.
        BackendError: if no runtime is installed that can read it.
    """
    if path is None:
        return WantedModel(class_names=class_names)
    with TfliteBackend(path, 1, class_names) as reader:
        spec = reader.spec
    return WantedModel(str(path), spec, spec.class_names if spec.names_given else None)


@dataclass(frozen=True)
class Link:
    """A board that is ready to run.

    Attributes:
        line: to it.
        client: the conversation with it.
        device: what it is.
        model: the network that is meant.
        spec: what its tensors mean.
    """

    line: SerialLine
    client: BoardClient
    device: Device
    model: BoardModel
    spec: ModelSpec


def connect(
    settings: LinkSettings, stop: Callable[[], bool] = lambda: False, request_ids: Iterator[int] | None = None
) -> tuple[SerialLine, BoardClient]:
    """Get in step with the board, at the first baud rate at which it answers.

    Raises:
        LinkError: if there is no such port, or no board at it.
        BoardError: if the board speaks another revision of the protocol.
        RunInterruptedError: if `stop` says so.
    """
    path = settings.serial_port or find_port()
    failures = []
    for baud_rate in dict.fromkeys((settings.baud_rate or BAUD_RATES[0], *BAUD_RATES)):
        line = SerialLine(path, baud_rate)
        line.stop = stop
        try:
            client = BoardClient(line, settings.header_size, settings.limits, request_ids)
            client.connect()
        except LinkError as error:
            line.close()
            failures.append(str(error))
        except BaseException:
            line.close()
            raise
        else:
            return line, client
    raise LinkError("; ".join(failures))


def open_link(
    settings: LinkSettings,
    wanted: WantedModel,
    stop: Callable[[], bool] = lambda: False,
    request_ids: Iterator[int] | None = None,
) -> Link:
    """Connect to the board, and find the wanted network on it.

    Raises:
        BackendError: if there is no board, or it does not work.
        ModelError: if the wanted network is not on it.
        RunInterruptedError: if `stop` says so.
    """
    line, client = connect(settings, stop, request_ids)
    try:
        device = client.device()
        model, spec = choose_model(client.models(), wanted)
    except BaseException:
        line.close()
        raise
    return Link(line, client, device, model, spec)


def choose_model(models: Sequence[BoardModel], wanted: WantedModel) -> tuple[BoardModel, ModelSpec]:
    """Give the first of the board's networks that is the wanted one, and what its tensors mean.

    Raises:
        ModelError: if there is none; the message says of each why not.
        BackendError: if there is no network at all.
    """
    if not models:
        raise BackendError("there is no network on the board; generate the firmware for your model and flash it")
    reasons = []
    for model in models:
        try:
            return model, _spec_of(model, wanted)
        except ModelError as error:
            reasons.append(f"network '{model.name}' on the board: {error}")
    raise ModelError("; ".join(reasons))


def _spec_of(model: BoardModel, wanted: WantedModel) -> ModelSpec:
    inputs, outputs = ([tensor.spec for tensor in tensors] for tensors in (model.inputs, model.outputs))
    if wanted.spec is not None:
        _require_same(inputs, [wanted.spec.input], wanted.title)
        _require_same(outputs, wanted.spec.outputs, wanted.title)
    return ModelSpec.from_tensors(inputs, outputs, wanted.class_names)


def _require_same(found: Sequence[TensorSpec], wanted: Sequence[TensorSpec], title: str) -> None:
    if len(found) != len(wanted) or not all(map(_alike, _sorted(found), _sorted(wanted))):
        raise ModelError(
            f"its tensors are not those of {title} (on the board: {', '.join(map(str, found))}; in the file: "
            f"{', '.join(map(str, wanted))}); flash the firmware for that file, or name the file that was flashed, "
            "or leave the model empty and name its classes by a file"
        )


def _sorted(tensors: Sequence[TensorSpec]) -> list[TensorSpec]:
    """Order tensors by what survives the way to the board: neither their names nor their order."""
    return sorted(tensors, key=lambda tensor: (len(tensor.shape), tensor.shape, tensor.quant.scale))


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    same_type = (one.shape, one.quant.dtype, one.quant.zero_point) == (
        other.shape,
        other.quant.dtype,
        other.quant.zero_point,
    )
    return same_type and math.isclose(one.quant.scale, other.quant.scale, rel_tol=_SCALE_TOLERANCE)
