"""Place the threads that a runtime computes with."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

_TASKS = Path("/proc/self/task")


class WorkerThreads:
    """Threads of this process that compute together with the thread that calls them.

    Linux wakes such a thread on its caller's processor now and then, and leaves it there for milliseconds although
    another one idles: with two processors, most images of a camera then take as long as with one.

    Args:
        thread_ids: the kernel's ids of the threads, the caller not among them.
    """

    def __init__(self, thread_ids: Iterable[int]) -> None:
        self._thread_ids = tuple(thread_ids)
        self._avoided: int | None = None
        self._libc = ctypes.CDLL(None)

    def avoid_caller(self) -> None:
        """Restrict the threads to the processors that the caller does not run on, if there are enough of them."""
        if not self._thread_ids:
            return
        caller_on = self._libc.sched_getcpu()
        if caller_on == self._avoided:
            return
        others = os.sched_getaffinity(os.getpid()) - {caller_on}
        if len(others) < len(self._thread_ids):
            return
        try:
            for thread_id in self._thread_ids:
                os.sched_setaffinity(thread_id, others)
        except OSError:
            # Where the kernel does not allow it, or a thread has ended, they run where they are.
            self._thread_ids = ()
        self._avoided = caller_on


def running_threads() -> set[int]:
    """Return the kernel's ids of this process's threads that have the name of the calling one, as new ones do."""
    name = _name_of("thread-self")
    return {int(path.name) for path in _TASKS.iterdir() if _name_of(f"self/task/{path.name}") == name}


def _name_of(process: str) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text(encoding="utf-8")
    except OSError:
        # It has ended meanwhile.
        return ""
