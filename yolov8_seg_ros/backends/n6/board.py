"""Restore the connection to a board after faults of board or cable; for any protocol."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from yolov8_seg_ros.backends.n6 import N6_PROTOCOLS, N6Options
from yolov8_seg_ros.backends.n6.port import TCP_SCHEME, Port, Stop, never
from yolov8_seg_ros.backends.n6.serial_port import find_port, open_port
from yolov8_seg_ros.core.model_spec import TensorSpec
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.errors import BackendError, LinkError, LostFrameError, ModelError, RunInterruptedError, one_line

#: Pause before a lost board is tried again, and the longest one: pauses double.
PAUSES_S = (0.5, 10.0)
#: How long a call waits for a board that is being brought back into step after an interruption. That may take as long
#: as the rest of the interrupted transfer; meanwhile a newer image may come.
_REOPEN_LIMIT_S = 1.0
_JOIN_LIMIT_S = 5.0


@dataclass(frozen=True)
class BoardNetwork:
    """A network on a board.

    Attributes:
        name: of the network, for people.
        inputs: tensors, in order.
        outputs: tensors, in order.
        runtime: what runs it, for people.
    """

    name: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    runtime: str


@dataclass(frozen=True)
class RunResult:
    """Outputs of a run, and how long it took.

    Attributes:
        outputs: quantized, in the order of the network's outputs; the caller's own.
        inference_ms: as the board measured it.
        upload_s: until the board had all inputs.
        download_s: from the end of the inference until all outputs were here.
        total_s: from the request until all outputs were here.
    """

    outputs: tuple[Tensor, ...]
    inference_ms: float
    upload_s: float
    download_s: float
    total_s: float


class Connection:
    """A board that has answered.

    Attributes:
        port: to the board.
    """

    def __init__(self, port: Port) -> None:
        self.port = port

    def close(self) -> None:
        """Close the port."""
        self.port.close()


class TensorConnection(Connection, ABC):
    """A board that sends the outputs of its networks. One thread at a time uses it."""

    @abstractmethod
    def device_name(self) -> str:
        """Return what the board is.

        Raises:
            BackendError: if it does not answer as expected.
        """

    @abstractmethod
    def networks(self) -> Sequence[BoardNetwork]:
        """Return the networks on the board.

        Raises:
            BackendError: if it does not answer as expected.
        """

    @abstractmethod
    def run(self, network: BoardNetwork, inputs: Sequence[Tensor]) -> RunResult:
        """Run one of `networks` on quantized inputs.

        Raises:
            BackendError: if the board does not answer as expected, or the port's `stop` returns True.
        """


ConnectionT = TypeVar("ConnectionT", bound=Connection)
ConnectionT_co = TypeVar("ConnectionT_co", bound=Connection, covariant=True)
ResultT = TypeVar("ResultT")


class BoardProtocol(ABC, Generic[ConnectionT_co]):
    """A language of boards.

    Attributes:
        name: as in `N6Options.protocol`.
        baud_rates: usual ones, the most common first.
        has_usb_port: whether boards that speak it may have a USB port of their own.
    """

    name: str
    baud_rates: tuple[int, ...]
    has_usb_port: bool = False

    @abstractmethod
    def connect(self, port: Port) -> ConnectionT_co:
        """Return the connection, if the board at the port speaks this protocol; the caller closes the port.

        Raises:
            LinkError: if it does not.
            BackendError: if it does, but cannot be used.
            RunInterruptedError: if the port's `stop` returns True.
        """


def connect(
    options: N6Options,
    protocols: Sequence[BoardProtocol[ConnectionT]],
    stop: Stop = never,
    opener: Callable[[str, int, Stop], Port] = open_port,
) -> ConnectionT:
    """Return the connection to a board, at the first baud rate and in the first protocol in which it answers.

    Args:
        options: where the board is, and which of the protocols it speaks.
        protocols: in the order in which they are tried.
        stop: whatever waits raises RunInterruptedError as soon as this returns True.
        opener: opens a port of this path and baud rate.

    Raises:
        LinkError: if there is no such port, or no board at it.
        BackendError: if the board cannot be used.
        RunInterruptedError: if `stop` returns True.
    """
    tried = [protocol for protocol in protocols if options.protocol in (N6_PROTOCOLS[0], protocol.name)]
    path = options.port or find_port(with_bridge=any(protocol.has_usb_port for protocol in tried))
    usual_rates = (rate for protocol in tried for rate in protocol.baud_rates)
    failures: list[str] = []
    baud_rates = dict.fromkeys((options.baud_rate, *usual_rates) if options.baud_rate else usual_rates)
    # A TCP connection is the same at any rate.
    for baud_rate in list(baud_rates)[: 1 if path.startswith(TCP_SCHEME) else None]:
        port = opener(path, baud_rate, stop)
        try:
            connection = _connect_at(port, tried, failures)
        except BaseException:
            port.close()
            raise
        if connection is not None:
            return connection
        port.close()
    raise LinkError("; ".join(failures))


def _connect_at(port: Port, protocols: Sequence[BoardProtocol[ConnectionT]], failures: list[str]) -> ConnectionT | None:
    for protocol in protocols:
        try:
            return protocol.connect(port)
        except LinkError as error:
            failures.append(str(error))
    return None


class ReconnectingBoard(Generic[ConnectionT]):
    """A board that may go away and come back.

    A connection that fails is closed by the last call that uses it, and a thread opens it anew until that succeeds;
    calls fail at once meanwhile. A connection is never used again after a failure or an interruption, so that no call
    gets the answer to another one. It goes on after a LostFrameError.

    Args:
        open_connection: connects to the board; is given the `stop` of its port.
        stop: transfers end as soon as this returns True.
        report_fault: called with what is wrong and since when, or with an empty text; from any thread.
        log: called with a line for the log when a lost board is back; from another thread.
        pauses_s: before a lost board is tried again, and the longest one: pauses double.

    Raises:
        BackendError: if there is no board, or it does not work.
        ModelError: if it is not usable for what it is meant for.
    """

    def __init__(
        self,
        open_connection: Callable[[Stop], ConnectionT],
        stop: Stop,
        report_fault: Callable[[str], None],
        log: Callable[[str], object],
        pauses_s: tuple[float, float],
    ) -> None:
        self._open_connection = open_connection
        self._stop = stop
        self._report_fault = report_fault
        self._log = log
        self._pauses_s = pauses_s
        self._paused, self._closing = threading.Event(), threading.Event()
        self._changed = threading.Condition()
        self._connection: ConnectionT | None = None
        #: Calls that use the present connection, or the last one, which they have yet to leave.
        self._num_calls = 0
        self._fault = ""
        self._pause_s = 0.0
        self._failing_since = ""
        self._connection = open_connection(self._is_interrupted)
        self._keeper = threading.Thread(target=self._keep_connected, name="n6 board", daemon=True)
        self._keeper.start()

    def call(self, use: Callable[[ConnectionT], ResultT]) -> ResultT:
        """Return what `use` returns for the connection; from as many threads as the connection is made for.

        Raises:
            LostFrameError: if the frame was lost, and the board is still there.
            BackendError: if there is no board, or it fails.
            RunInterruptedError: if `pause` was called, or the board is not yet back in step after that.
        """
        connection = self._enter()
        try:
            result = use(connection)
        except LostFrameError:
            raise
        except BaseException as error:
            self._drop(connection, error)
            raise
        else:
            with self._changed:
                if connection is self._connection:
                    self._pause_s, self._failing_since = 0.0, ""
            return result
        finally:
            self._leave(connection)

    def pause(self) -> None:
        """End a call at once; calls fail until `resume`. May be called from any thread."""
        self._paused.set()
        self._wake()

    def resume(self) -> None:
        """Allow calls again; from any thread."""
        self._paused.clear()

    def close(self) -> None:
        """Disconnect; calls fail afterwards."""
        self._closing.set()
        self._wake()
        self._keeper.join(_JOIN_LIMIT_S)
        with self._changed:
            connection, self._connection = self._connection, None
            is_unused = not self._num_calls
        if connection is not None and is_unused:
            connection.close()

    def _is_interrupted(self) -> bool:
        """Return whether transfers end now: a pause ends calls, but not the attempts to reconnect."""
        return self._closing.is_set() or self._stop() or (self._paused.is_set() and not self._is_unconnected())

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _enter(self) -> ConnectionT:
        def is_ended() -> bool:
            return self._paused.is_set() or self._closing.is_set()

        with self._changed:
            self._drop_unplugged()
            self._changed.wait_for(lambda: self._connection or self._fault or is_ended(), _REOPEN_LIMIT_S)
            if is_ended():
                raise RunInterruptedError("the backend is paused")
            if self._connection is not None:
                self._num_calls += 1
                return self._connection
            if self._fault:
                raise BackendError(self._fault)
        raise RunInterruptedError("the board is being brought back into step after an interruption")

    def _drop_unplugged(self) -> None:
        """Close a connection whose cable was pulled between two calls: if it is plugged in again, no call fails."""
        connection = self._connection
        if connection is not None and not self._num_calls and connection.port.is_gone():
            self._connection = None
            connection.close()
            self._changed.notify_all()

    def _drop(self, connection: ConnectionT, error: BaseException) -> None:
        """Use the connection no more; unless it was interrupted, record why."""
        with self._changed:
            # Of several calls that fail together, the first one says why.
            if connection is self._connection:
                self._connection = None
                if not isinstance(error, RunInterruptedError):
                    self._record_failure(error)

    def _leave(self, connection: ConnectionT) -> None:
        with self._changed:
            self._num_calls -= 1
            if connection is not self._connection and not self._num_calls:
                connection.close()
                self._changed.notify_all()

    def _record_failure(self, error: BaseException) -> None:
        """Report the failure, and double the pause before the next attempt."""
        self._failing_since = self._failing_since or time.strftime("%H:%M:%S")
        first_s, last_s = self._pauses_s
        self._pause_s = min(max(2 * self._pause_s, first_s), last_s)
        self._set_fault(f"the board has failed since {self._failing_since}: {one_line(error)}")

    def _set_fault(self, fault: str) -> None:
        self._fault = fault
        self._report_fault(fault)

    def _keep_connected(self) -> None:
        """Connect again whenever there is no connection."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_unconnected() or self._closing.is_set())
            if self._closing.wait(self._pause_s):
                return
            try:
                connection = self._open_connection(self._is_interrupted)
            except RunInterruptedError:
                return
            except (BackendError, ModelError) as error:
                with self._changed:
                    self._record_failure(error)
            else:
                self._install(connection)

    def _is_unconnected(self) -> bool:
        """Return whether the last connection is closed: before, its port cannot be opened."""
        return self._connection is None and not self._num_calls

    def _install(self, connection: ConnectionT) -> None:
        with self._changed:
            was_failing = bool(self._fault)
            self._connection = connection
            self._set_fault("")
            self._changed.notify_all()
        if was_failing:
            self._log(f"the board is back on {connection.port}; it had failed since {self._failing_since}")
