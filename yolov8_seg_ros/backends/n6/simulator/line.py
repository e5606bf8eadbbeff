"""The board's end of a simulated serial line: a pseudo terminal, as fast as possible or as slow as a real line."""

from __future__ import annotations

import os
import pty
import select
import threading
import time
import tty
from contextlib import suppress

_BITS_PER_BYTE = 10
_READ_BYTES = 1 << 16
#: While waiting, the line checks this often whether it is closed.
_SLICE_MS = 100
#: A host that reads nothing for so long is gone; a real line would have lost the bytes by then.
_LOST_AFTER_S = 5.0
#: A paced line may be behind by so much and catch up, since sleeps are not exact.
_CATCH_UP_S = 0.05
#: A paced line delivers bytes in portions of so much time.
_PORTION_S = 0.005


class LineClosed(Exception):  # noqa: N818 - not an error
    """The line was closed while the board waited; ends the board's work."""


class Pace:
    """A line's rate: delays its bytes as a baud rate does.

    Args:
        baud_rate: in bits per second; 0: no delay.
    """

    def __init__(self, baud_rate: int) -> None:
        self.byte_s = _BITS_PER_BYTE / baud_rate if baud_rate else 0.0
        self._free_s = 0.0

    def pass_time(self, duration_s: float) -> None:
        """Wait until the line has been busy for so long since it was last free."""
        if duration_s <= 0:
            return
        now_s = time.monotonic()
        # Time without bytes does not count.
        start_s = self._free_s if self._free_s > now_s - _CATCH_UP_S else now_s
        self._free_s = start_s + duration_s
        if self._free_s > now_s:
            time.sleep(self._free_s - now_s)


class PtyLine:
    """The board's end of a serial line whose other end is a pseudo terminal.

    Args:
        baud_rate: of both directions, in bits per second; 0: as fast as possible.
        latency_s: added to each turn-around, as by an adapter and its driver.
    """

    def __init__(self, baud_rate: int = 0, latency_s: float = 0.0) -> None:
        # The host's end stays open here too: otherwise reading fails each time that a host leaves.
        self._fd, self._host_fd = pty.openpty()
        tty.setraw(self._host_fd)
        tty.setraw(self._fd)
        os.set_blocking(self._fd, False)
        self.path = os.ttyname(self._host_fd)
        self._pace = Pace(baud_rate)
        self._latency_s = latency_s
        self._received = b""
        self._closed = threading.Event()
        self._readable = select.poll()
        self._readable.register(self._fd, select.POLLIN)
        self._writable = select.poll()
        self._writable.register(self._fd, select.POLLOUT)

    def read(self, num_bytes: int) -> bytes:
        """Wait for so many bytes and return them.

        Raises:
            LineClosed: if `close` is called meanwhile.
        """
        taken = self._received or self._read_some()
        while len(taken) < num_bytes:
            taken += self._read_some()
        taken, self._received = taken[:num_bytes], taken[num_bytes:]
        self._pace.pass_time(num_bytes * self._pace.byte_s + self._latency_s)
        return taken

    def write(self, data: bytes) -> None:
        """Send bytes; those that no host reads are lost in the end.

        Raises:
            LineClosed: if `close` is called meanwhile.
        """
        if not self._pace.byte_s:
            self._write_all(data)
            return
        portion = max(int(_PORTION_S / self._pace.byte_s), 1)
        for start in range(0, len(data), portion):
            piece = data[start : start + portion]
            self._pace.pass_time(len(piece) * self._pace.byte_s)
            if not self._write_all(piece):
                return

    def discard(self) -> None:
        """Discard what has come so far, as a board does that starts up."""
        self._received = b""
        with suppress(BlockingIOError):
            while os.read(self._fd, _READ_BYTES):
                pass

    def close(self) -> None:
        """Close the line: `read` and `write` raise LineClosed. May be called from any thread."""
        self._closed.set()

    def release(self) -> None:
        """Close the pseudo terminal, once nobody reads or writes: a host finds its port gone."""
        for descriptor in (self._fd, self._host_fd):
            with suppress(OSError):
                os.close(descriptor)

    def _read_some(self) -> bytes:
        while not self._closed.is_set():
            try:
                if self._readable.poll(_SLICE_MS):
                    return os.read(self._fd, _READ_BYTES)
            except BlockingIOError:
                continue
        raise LineClosed

    def _write_all(self, data: bytes) -> bool:
        """Write bytes; return whether a host took them."""
        written = self._write_some(data)
        return written == len(data) or self._write_patiently(memoryview(data)[written:])

    def _write_patiently(self, left: memoryview) -> bool:
        deadline_s = time.monotonic() + _LOST_AFTER_S
        while left:
            if self._closed.is_set():
                raise LineClosed
            if self._writable.poll(_SLICE_MS) and (written := self._write_some(left)):
                left = left[written:]
                deadline_s = time.monotonic() + _LOST_AFTER_S
            elif time.monotonic() > deadline_s:
                return False
        return True

    def _write_some(self, data: bytes | memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
