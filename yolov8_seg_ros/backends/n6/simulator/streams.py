"""The board's end of a stream of bytes that never blocks: a pseudo terminal, or a TCP connection."""

from __future__ import annotations

import os
import pty
import socket
import tty
from abc import ABC, abstractmethod
from contextlib import suppress

from yolov8_seg_ros.backends.n6.port import TCP_SCHEME
from yolov8_seg_ros.errors import LinkError

#: A TCP connection that is held to a rate takes little more than the line behind it would.
_TCP_BUFFER_BYTES = 16_384


class Stream(ABC):
    """The board's end of a stream.

    Attributes:
        path: by which a host opens it.
    """

    path: str

    @abstractmethod
    def fileno(self) -> int:
        """Return the descriptor that is readable when there is something to be done."""

    @abstractmethod
    def read(self, max_bytes: int) -> bytes:
        """Return what has come; nothing where nothing has."""

    @abstractmethod
    def write(self, data: bytes) -> int:
        """Send what can be sent at once; return how many bytes that was."""

    @abstractmethod
    def close(self) -> None:
        """Close the stream: a host finds its port gone."""

    def has_reopened(self) -> bool:
        """Return whether another host has come, once."""
        return False


class PtyStream(Stream):
    """The board's end of a pseudo terminal."""

    def __init__(self) -> None:
        # The host's end stays open here too: otherwise reading fails each time that a host leaves.
        self._fd, self._host_fd = pty.openpty()
        tty.setraw(self._host_fd)
        tty.setraw(self._fd)
        os.set_blocking(self._fd, False)
        self.path = os.ttyname(self._host_fd)

    def fileno(self) -> int:
        """Return the descriptor of the board's end."""
        return self._fd

    def read(self, max_bytes: int) -> bytes:
        """Return what has come; nothing where nothing has."""
        try:
            return os.read(self._fd, max_bytes)
        except BlockingIOError:
            return b""

    def write(self, data: bytes) -> int:
        """Send what can be sent at once; return how many bytes that was."""
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Close both ends."""
        for descriptor in (self._fd, self._host_fd):
            with suppress(OSError):
                os.close(descriptor)


class TcpStream(Stream):
    """A TCP port of this machine to which one host at a time connects.

    Args:
        port: its number; 0: any that is free.

    Raises:
        LinkError: if the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _TCP_BUFFER_BYTES)
        try:
            self._listener.bind(("127.0.0.1", port))
        except OSError as error:
            raise LinkError(f"TCP port {port}: {error.strerror}") from error
        self._listener.listen(1)
        self._listener.setblocking(False)
        host, number = self._listener.getsockname()
        self.path = f"{TCP_SCHEME}{host}:{number}"
        self._host: socket.socket | None = None
        self._has_reopened = False

    def fileno(self) -> int:
        """Return the descriptor of the connection, or that at which hosts connect."""
        return (self._host or self._listener).fileno()

    def read(self, max_bytes: int) -> bytes:
        """Return what has come; nothing where nothing has, or no host is connected."""
        if self._host is None and not self._accept():
            return b""
        assert self._host is not None
        try:
            if received := self._host.recv(max_bytes):
                return received
        except BlockingIOError:
            return b""
        except OSError:
            pass
        self._leave()
        return b""

    def write(self, data: bytes) -> int:
        """Send what can be sent at once; what no host is there for is lost."""
        if self._host is None:
            return len(data)
        try:
            return self._host.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self._leave()
            return len(data)

    def has_reopened(self) -> bool:
        """Return whether another host has connected, once."""
        has_reopened, self._has_reopened = self._has_reopened, False
        return has_reopened

    def close(self) -> None:
        """Close the port and the connection."""
        self._leave()
        self._listener.close()

    def _accept(self) -> bool:
        with suppress(BlockingIOError):
            self._host, _ = self._listener.accept()
            self._host.setblocking(False)
            self._host.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._has_reopened = True
        return self._host is not None

    def _leave(self) -> None:
        if self._host is not None:
            self._host.close()
            self._host = None
