"""Run code that may crash, hang or raise in a forked process, and return what became of it."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator

from yolov8_seg_ros.errors import UserError

OK, TOLD = "ok", "told"
CRASH, HANG, UNCLEAR = "crash", "hang", "unclear error"
_LIMIT_S = 60.0
#: Enough for what is attacked, and too little for an image or tensor that pretends to be enormous.
_MAX_MEMORY_BYTES = 4 << 30


def outcome(work: Callable[[], object]) -> tuple[str, str]:
    """Return what becomes of `work` in a process of its own, and details; the calling process must have no threads."""
    (only,) = outcomes(lambda _number: work(), [0])
    return only


def outcomes(work: Callable[[int], object], numbers: Iterable[int]) -> Iterator[tuple[str, str]]:
    """Return what becomes of `work` with each number, all in one process of its own, until one of them ends it."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "w") as answers:
            _work_and_exit(work, numbers, answers)
    os.close(writing)
    what = OK
    with os.fdopen(reading) as answers:
        for _ in numbers:
            if not select.select([answers], [], [], _LIMIT_S)[0]:
                os.kill(child, signal.SIGKILL)
                what = HANG
                break
            line = answers.readline()
            if not line:
                what = CRASH
                break
            yield tuple(json.loads(line))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if what != OK:
        yield what, f"more than {_LIMIT_S:g} s" if what == HANG else signal.Signals(-status).name


def _work_and_exit(work: Callable[[int], object], numbers: Iterable[int], answers: object) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_MEMORY_BYTES, _MAX_MEMORY_BYTES))
    # The runtime's messages are nobody's.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
    for number in numbers:
        try:
            work(number)
            answer = OK, ""
        except UserError as error:
            answer = TOLD, str(error)
        except BaseException:  # noqa: BLE001 - whatever it is, it is what the parent wants to know
            answer = UNCLEAR, traceback.format_exc()
        print(json.dumps(answer), file=answers, flush=True)
    os._exit(0)
