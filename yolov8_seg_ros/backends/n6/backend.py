"""Run the network on a board, and keep at it when the board goes away and comes back."""

from __future__ import annotations

import itertools
import threading
import time

from yolov8_seg_ros.backends.n6.link import Link, LinkSettings, WantedModel, open_link
from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.errors import BackendError, ModelError, RunInterruptedError

PAUSES_S = (0.5, 10.0)
#: How long a run waits for a board that is being brought back into step after an interruption. That may take as long
#: as the rest of the interrupted transfer; a newer image deserves to be the first one then.
_REOPEN_LIMIT_S = 1.0
_JOIN_LIMIT_S = 5.0


class N6Backend(Backend):
    """A network run by an STM32N6 with ST's validation firmware.

    A link that fails is closed, and a thread opens it anew until that succeeds; runs fail at once meanwhile, and
    `fault` says why and since when.

    Args:
        settings: where the board is.
        wanted: what is to run on it.
        pauses_s: before the board is tried again: the first one, and the one up to which they double.

    Raises:
        BackendError: if there is no board, or it does not work.
        ModelError: if the wanted network is not on it.
    """

    needs_warm_up = False

    def __init__(self, settings: LinkSettings, wanted: WantedModel, pauses_s: tuple[float, float] = PAUSES_S) -> None:
        self._settings = settings
        self._wanted = wanted
        self._pauses_s = pauses_s
        self._request_ids = itertools.count(1)
        self._paused, self._closing = threading.Event(), threading.Event()
        self._changed = threading.Condition()
        self._link: Link | None = None
        self._pause_s = 0.0
        self._failing_since = ""
        self.fault = ""
        self.reason = ""
        link = open_link(settings, wanted, request_ids=self._request_ids)
        self.spec = link.spec
        self._install(link)
        self._keeper = threading.Thread(target=self._keep, name="n6 link", daemon=True)
        self._keeper.start()

    def run(self, network_input: Tensor) -> tuple[Tensor, ...]:
        """Run the network on one stored input; give its stored outputs, the caller's own.

        Raises:
            BackendError: if there is no board, or it fails.
            RunInterruptedError: if `pause` was called, or the board is not yet back in step after that.
        """
        link = self._usable_link()
        try:
            result = link.client.run(link.model, [network_input])
        except BackendError as error:
            self._lose(link, error)
            raise
        self._pause_s, self._failing_since = 0.0, ""
        return result.outputs

    def pause(self) -> None:
        """End a transfer at once; from any thread."""
        self._paused.set()
        self._wake()

    def resume(self) -> None:
        """Allow runs again; from any thread."""
        self._paused.clear()

    def close(self) -> None:
        """Let go of the board."""
        self._closing.set()
        self._wake()
        self._keeper.join(_JOIN_LIMIT_S)
        with self._changed:
            link, self._link = self._link, None
        if link is not None:
            link.line.close()

    def _stopped(self) -> bool:
        return self._paused.is_set() or self._closing.is_set()

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _usable_link(self) -> Link:
        with self._changed:
            self._changed.wait_for(lambda: self._link or self.fault or self._stopped(), _REOPEN_LIMIT_S)
            if self._stopped():
                raise RunInterruptedError("the backend is paused")
            if self._link is None:
                if self.fault:
                    raise BackendError(self.fault)
                raise RunInterruptedError("the board is being brought back into step after an interruption")
            return self._link

    def _install(self, link: Link) -> None:
        link.line.stop = self._stopped
        with self._changed:
            self.description = (
                f"{link.device.name} on {link.line.path} at {link.line.baud_rate} baud, "
                f"network '{link.model.name}', {link.model.runtime}"
            )
            self._link, self.fault = link, ""
            self._changed.notify_all()

    def _lose(self, link: Link, error: BackendError) -> None:
        link.line.close()
        with self._changed:
            self._link = None
            if not isinstance(error, RunInterruptedError):
                self._note(error)
            self._changed.notify_all()

    def _note(self, error: Exception) -> None:
        """Say what is wrong, and wait longer before the next attempt."""
        self._failing_since = self._failing_since or time.strftime("%H:%M:%S")
        first_s, last_s = self._pauses_s
        self._pause_s = min(max(2 * self._pause_s, first_s), last_s)
        self.fault = f"the board has failed since {self._failing_since}: {error}"

    def _keep(self) -> None:
        """Open the link anew whenever there is none."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._link is None or self._closing.is_set())
            if self._closing.wait(self._pause_s):
                return
            try:
                self._install(self._open_again())
            except RunInterruptedError:
                return
            except (BackendError, ModelError) as error:
                with self._changed:
                    self._note(error)

    def _open_again(self) -> Link:
        link = open_link(self._settings, self._wanted, self._closing.is_set, self._request_ids)
        if link.spec != self.spec:
            link.line.close()
            raise ModelError(f"the board now has another network, '{link.model.name}'; clean up and configure the node")
        return link
