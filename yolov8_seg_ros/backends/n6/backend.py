"""Run a YOLOv8-seg network on a board that sends the network's outputs."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Generic

from yolov8_seg_ros.backends.model_forms import read_forms
from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.n6.board import (
    PAUSES_S,
    BoardNetwork,
    BoardProtocol,
    ConnectionT,
    ReconnectingBoard,
    TensorConnection,
    connect,
)
from yolov8_seg_ros.backends.n6.port import Port, Stop, never
from yolov8_seg_ros.backends.n6.serial_port import open_port
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.backend import Backend, BackendInfo, TensorBackend
from yolov8_seg_ros.core.model_spec import ModelSpec, TensorSpec
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.errors import BackendError, ModelError

_SCALE_TOLERANCE = 1e-5


@dataclass(frozen=True)
class WantedModel:
    """The model that is to run on the board.

    Attributes:
        title: of the model, for messages.
        specs: what its tensors may be: those of the file as it is, or with its raw head; empty: any YOLOv8-seg model.
        class_names: a name for each class, since the board may know none; None: the board's, or numbered names.
        sha256s: of the file as it is, and with its raw head.
    """

    title: str = ""
    specs: tuple[ModelSpec, ...] = ()
    class_names: Sequence[str] | None = None
    sha256s: tuple[bytes, ...] = ()


def wanted_model(path: Path | None, class_names: Sequence[str] | None) -> WantedModel:
    """Read what is to be on the board from the file that the board's network was made of.

    Args:
        path: the .tflite file; None: any YOLOv8-seg model will do.
        class_names: a name for each class; None: those of the file.

    Raises:
        ModelError: if the file is not a YOLOv8-seg model.
        BackendError: if no runtime is installed that can read it.
    """
    if path is None:
        return WantedModel(class_names=class_names)
    specs = tuple(_read_spec(path, class_names, raw_head) for raw_head in (False, True))
    names = specs[0].class_names if specs[0].names_given else None
    return WantedModel(str(path), specs, names, tuple(sha256(form.content).digest() for form in read_forms(path)))


def _read_spec(path: Path, class_names: Sequence[str] | None, raw_head: bool) -> ModelSpec:
    with TfliteBackend(path, 1, class_names, raw_head) as reader:
        return reader.spec


class BoardBackend(Backend, Generic[ConnectionT]):
    """A network run by an STM32N6.

    Runs fail at once while the board is lost; `fault` says why and since when.

    Args:
        options: where the board is.
        wanted: what is to run on it.
        protocols: that the board may speak, in the order in which they are tried.
        stop: transfers end as soon as this returns True.
        log: called with a line for the log, such as when a lost board is back; from any thread.
        pauses_s: before a lost board is tried again, and the longest one: pauses double.
        opener: opens a port of this path and baud rate.

    Raises:
        BackendError: if there is no board, or it does not work.
        ModelError: if the wanted network is not on it.
    """

    def __init__(
        self,
        options: N6Options,
        wanted: WantedModel,
        protocols: Sequence[BoardProtocol[ConnectionT]],
        *,
        stop: Stop = never,
        log: Callable[[str], object] = lambda line: None,
        pauses_s: tuple[float, float] = PAUSES_S,
        opener: Callable[[str, int, Stop], Port] = open_port,
    ) -> None:
        self._options = options
        self._wanted = wanted
        self._protocols = protocols
        self._opener = opener
        self._log = log
        self._first_info: BackendInfo | None = None
        self._board = ReconnectingBoard(self._open, stop, self._set_fault, log, pauses_s)
        assert self._first_info is not None
        self.info = self._first_info

    @abstractmethod
    def _choose_network(self, connection: ConnectionT) -> BackendInfo:
        """Check that the wanted network is on the board, set `spec`, and return what the backend is.

        Raises:
            BackendError: if the board does not work.
            ModelError: if it is not, or another one than when the backend was opened.
        """

    def pause(self) -> None:
        """End a transfer at once; runs fail until `resume`. May be called from any thread."""
        self._board.pause()

    def resume(self) -> None:
        """Allow runs again; from any thread."""
        self._board.resume()

    def close(self) -> None:
        """Disconnect from the board."""
        self._board.close()

    def _set_fault(self, fault: str) -> None:
        self.fault = fault

    def _open(self, stop: Stop) -> ConnectionT:
        connection = connect(self._options, self._protocols, stop, self._opener)
        try:
            info = self._choose_network(connection)
            self._first_info = self._first_info or info
        except BaseException:
            connection.close()
            raise
        return connection


class N6Backend(BoardBackend[TensorConnection], TensorBackend):
    """A network run by an STM32N6 that sends its outputs. For arguments and errors see `BoardBackend`."""

    _opened_spec: ModelSpec | None = None

    def run(self, network_input: Tensor) -> tuple[Tensor, ...]:
        """Run the network on one quantized input; return its quantized outputs, the caller's own.

        Raises:
            BackendError: if there is no board, or it fails.
            RunInterruptedError: if `pause` was called, or the board is not yet back in step after that.
        """
        return self._board.call(lambda connection: connection.run(self._network, [network_input]).outputs)

    def _choose_network(self, connection: TensorConnection) -> BackendInfo:
        device_name = connection.device_name()
        network, spec = choose_network(connection.networks(), self._wanted)
        if self._opened_spec not in (None, spec):
            raise ModelError(another_network(network.name))
        self._network = network
        self.spec = self._opened_spec = spec
        description = f"{device_name} on {connection.port}, network '{network.name}', {network.runtime}"
        return BackendInfo(description, needs_warm_up=False)


def another_network(name: str) -> str:
    """Return what is wrong with a board that has another network than before."""
    return f"the board now has another network, '{name}'; clean up and configure the node"


def choose_network(networks: Sequence[BoardNetwork], wanted: WantedModel) -> tuple[BoardNetwork, ModelSpec]:
    """Return the first of the board's networks that is the wanted one, and what its tensors mean.

    Raises:
        ModelError: if there is none; the message says of each why not.
        BackendError: if there is no network at all.
    """
    if not networks:
        raise BackendError("there is no network on the board; generate the firmware for your model and flash it")
    reasons = []
    for network in networks:
        try:
            return network, _spec_of(network, wanted)
        except ModelError as error:
            reasons.append(f"network '{network.name}' on the board: {error}")
    raise ModelError("; ".join(reasons))


def _spec_of(network: BoardNetwork, wanted: WantedModel) -> ModelSpec:
    tensors = (*network.inputs, *network.outputs)
    if wanted.specs and not any(_same_tensors(tensors, (spec.input, *spec.outputs)) for spec in wanted.specs):
        in_file = (wanted.specs[0].input, *wanted.specs[0].outputs)
        raise ModelError(
            f"its tensors are not those of {wanted.title} (on the board: {', '.join(map(str, tensors))}; in the file: "
            f"{', '.join(map(str, in_file))}); flash the firmware for that file, or name the file that was flashed, "
            "or leave the model empty and name its classes by a file"
        )
    return ModelSpec.from_tensors(network.inputs, network.outputs, wanted.class_names)


def _same_tensors(found: Sequence[TensorSpec], wanted: Sequence[TensorSpec]) -> bool:
    return len(found) == len(wanted) and all(map(_alike, _sorted(found), _sorted(wanted)))


def _sorted(tensors: Sequence[TensorSpec]) -> list[TensorSpec]:
    """Sort tensors by what the firmware keeps: neither their names nor their order."""
    return sorted(tensors, key=lambda tensor: (len(tensor.shape), tensor.shape, tensor.quant.scale))


def _alike(one: TensorSpec, other: TensorSpec) -> bool:
    same_type = (one.shape, one.quant.dtype, one.quant.zero_point) == (
        other.shape,
        other.quant.dtype,
        other.quant.zero_point,
    )
    return same_type and math.isclose(one.quant.scale, other.quant.scale, rel_tol=_SCALE_TOLERANCE)
