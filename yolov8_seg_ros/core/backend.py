"""Define what runs a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TypeVar

from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.network_instances import NetworkInstances
from yolov8_seg_ros.core.network_spec import NetworkSpec
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.quantization import Tensor

BackendT = TypeVar("BackendT", bound="Backend")


@dataclass(frozen=True)
class BackendInfo:
    """Facts about an open backend. They do not change.

    Attributes:
        description: what it is and where it runs, for a person.
        reason: why it was chosen among others; empty where the user named it.
        head: how the head is used, for a person.
        warnings: what a person should know about it although it runs.
        is_accelerator: whether the processor is free for other work while it runs.
        frames_in_flight: how many threads may run it at a time; each gets what belongs to its own input.
        needs_warm_up: whether its first run takes longer than the others.
        first_run_ms: duration of the first run in milliseconds; None where opening made no run.
    """

    description: str
    reason: str = ""
    head: str = ""
    warnings: tuple[str, ...] = ()
    is_accelerator: bool = False
    frames_in_flight: int = 1
    needs_warm_up: bool = True
    first_run_ms: float | None = None


class Backend(ABC):
    """A network that can be run: a `TensorBackend` or a `DetectingBackend`. A context manager that closes it.

    Attributes:
        spec: what goes into it, and its classes.
        info: facts that do not change.
        fault: what is wrong with it now, or with the better one that it replaces; empty where nothing is wrong.
    """

    spec: NetworkSpec
    info: BackendInfo
    fault: str = ""

    def pause(self) -> None:
        """Interrupt a run that takes long; runs fail until `resume`. May be called from any thread."""
        return

    def resume(self) -> None:
        """Allow runs again; from any thread."""
        return

    @abstractmethod
    def close(self) -> None:
        """Release what the backend holds; it cannot run afterwards."""

    def __enter__(self: BackendT) -> BackendT:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class TensorBackend(Backend):
    """A backend that returns the network's outputs.

    Attributes:
        spec: what its tensors mean.
    """

    spec: ModelSpec

    @abstractmethod
    def run(self, network_input: Tensor) -> Sequence[Tensor]:
        """Run the network on one quantized input; return its quantized outputs in the order of `spec.outputs`.

        Those of an accelerator are the caller's own, since it runs while the last outputs are decoded. Those of another
        backend may be overwritten by its next run.

        Raises:
            BackendError: if it fails.
        """


class DetectingBackend(Backend):
    """A backend that decodes the network's outputs itself."""

    @abstractmethod
    def detect(self, network_input: Tensor, options: DetectionOptions, masks: bool) -> NetworkInstances:
        """Run the network on one quantized input; return the instances, which are the caller's own.

        Args:
            network_input: as `spec.input` says.
            options: which instances are kept.
            masks: whether they get masks.

        Raises:
            BackendError: if it fails.
        """
