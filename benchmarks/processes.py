"""Start the benchmark's processes, hear what they print, and see what they take of the machine."""

from __future__ import annotations

import ctypes
import os
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from yolov8_seg_ros.executables import prepare_process
from yolov8_seg_ros.node import transport

_END_S = 10.0


def environment(profile: bool) -> dict[str, str]:
    """Return the environment of all processes of a run: with this package's transport profile, or with none."""
    prepare_process()
    chosen = dict(os.environ)
    for name in (transport.VARIABLE, transport.OLD_VARIABLE, transport.OPT_OUT_VARIABLE):
        chosen.pop(name, None)
    if not profile:
        chosen[transport.OPT_OUT_VARIABLE] = "none"
    # Apart from what else runs on this machine, another benchmark too.
    chosen["ROS_DOMAIN_ID"] = str(1 + os.getpid() % 100)
    return chosen


class Process:
    """A running process whose output is read.

    Args:
        command: program and arguments.
        environ: its environment.

    Attributes:
        pid: its number.
    """

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self._command = command
        self._running = subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.pid = self._running.pid
        self._lines: list[str] = []
        self._changed = threading.Condition()
        self._has_ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._running.stdout is not None
        for line in self._running.stdout:
            with self._changed:
                self._lines.append(line.rstrip())
                self._changed.notify_all()
        with self._changed:
            self._has_ended = True
            self._changed.notify_all()

    def wait_for(self, mark: str, limit_s: float) -> None:
        """Wait for a line that holds `mark`; a process that ends first, or takes too long, ends the benchmark."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_ended or self._has(mark), limit_s)
            if not self._has(mark):
                said = "\n".join(self._lines) or "nothing"
                command = shlex.join(self._command)
                raise SystemExit(f"{command}\nwas to say '{mark}' within {limit_s:.0f} s; it said:\n{said}")

    def line_with(self, mark: str, limit_s: float) -> str:
        """Return the first line that holds `mark`; wait for it as `wait_for` does."""
        self.wait_for(mark, limit_s)
        return next(line for line in self._lines if mark in line)

    def _has(self, mark: str) -> bool:
        return any(mark in line for line in self._lines)

    def last_words(self, mark: str) -> str:
        """End the process; return its output after `mark`."""
        self.end()
        self.wait_for(mark, _END_S)
        return next(line for line in self._lines if mark in line).partition(mark)[2]

    def end(self) -> None:
        """Terminate the process, and kill it if it does not end."""
        self._running.terminate()
        try:
            self._running.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._running.kill()
            self._running.wait()

    def cpu_s(self) -> float:
        """Return the processor time that all its threads took."""
        clock = ctypes.c_int()
        if ctypes.CDLL(None).clock_getcpuclockid(self.pid, ctypes.byref(clock)):
            raise SystemExit(f"process {self.pid} has ended")
        return time.clock_gettime(clock.value)

    def resident_mib(self) -> float:
        """Return how much memory it holds, shared segments included."""
        status = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(resident.split()[1]) / 1024


@contextmanager
def process(environ: Mapping[str, str], module: str, *arguments: str) -> Iterator[Process]:
    """Run a Python module for as long as the block lasts."""
    started = Process([sys.executable, "-m", module, *arguments], environ)
    try:
        yield started
    finally:
        started.end()
