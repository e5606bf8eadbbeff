"""Define what runs a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.quantization import Tensor


@dataclass(frozen=True)
class BackendInfo:
    """Facts about an open backend. They do not change.

    Attributes:
        description: what it is and where it runs, for a person.
        reason: why it was chosen among others; empty where the user named it.
        head: how the head is used, for a person.
        warnings: what a person should know about it although it runs.
        is_accelerator: whether the processor is free for other work while it runs.
        frames_in_flight: how many threads may be in `run` at a time; each gets the outputs of its own input.
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
    """A network that can be run. A context manager that closes it.

    Attributes:
        spec: meaning of its tensors.
        info: facts that do not change.
        fault: what is wrong with it now, or with the better one that it replaces; empty where nothing is wrong.
    """

    spec: ModelSpec
    info: BackendInfo
    fault: str = ""

    @abstractmethod
    def run(self, network_input: Tensor) -> Sequence[Tensor]:
        """Run the network on one quantized input; return its quantized outputs in the order of `spec.outputs`.

        Those of an accelerator are the caller's own, since it runs while the last outputs are decoded. Those of another
        backend may be overwritten by its next run.

        Raises:
            BackendError: if it fails.
        """

    def pause(self) -> None:
        """Interrupt a run that takes long; runs fail until `resume`. May be called from any thread."""
        return

    def resume(self) -> None:
        """Allow runs again; from any thread."""
        return

    @abstractmethod
    def close(self) -> None:
        """Release what the backend holds; it cannot run afterwards."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
