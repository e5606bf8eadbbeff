"""Define what runs a network."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType

from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.quantization import Tensor


class Backend(ABC):
    """A network that can be run. A context manager that closes it.

    Attributes:
        spec: what its tensors mean.
        description: what it is and where it runs, for a person.
        reason: why it was chosen among others; empty where it was asked for by name.
        head: how the head is used, for a person.
        fault: what is wrong with it, or with the better one that it replaces; empty where nothing is.
        needs_warm_up: whether its first run takes longer than the others.
        warnings: what a person should know about it although it runs.
        is_accelerator: whether the processor is free for other work while it runs.
        first_run_ms: how long its first run took, where that was made when it was opened.
    """

    spec: ModelSpec
    description: str
    reason: str = ""
    head: str = ""
    fault: str = ""
    needs_warm_up: bool = True
    warnings: tuple[str, ...] = ()
    is_accelerator: bool = False
    first_run_ms: float | None = None

    @abstractmethod
    def run(self, network_input: Tensor) -> Sequence[Tensor]:
        """Run the network on one quantized input; return its quantized outputs in the order of `spec.outputs`.

        The outputs are the caller's own: a later run does not change them.

        Raises:
            BackendError: if it fails.
        """

    def pause(self) -> None:
        """Interrupt a run that takes long, and let runs fail until `resume`; from any thread."""
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
