"""Start the package's programs, so that a signal that arrives while they still import ends them without a traceback.

Nothing but the standard library is imported before the signals are looked after. The programs have handlers of their
own once they run.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import signal
import sys
from types import FrameType

#: What a shell gives for a program that SIGINT and SIGTERM ended.
_INTERRUPTED, _TERMINATED = 128 + signal.SIGINT, 128 + signal.SIGTERM
#: NumPy's matrix products are small here: threads cost them more than they bring, most of all on a busy machine.
#: OpenCV's threads gain nothing at 640x480 nor at 1920x1080, and the network and the middleware need the processors.
#: OpenCV checks the size of an image too, should its decoder read another one than media/image_file.py.
_ENVIRONMENT = {
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
    "OPENCV_IO_MAX_IMAGE_PIXELS": "50000000",
}
#: What glibc reads from the environment at its own start: the option's number for mallopt(3), and a size in bytes.
#: By itself glibc gives the memory of each image back to the kernel and gets it cleared again for the next one, which
#: takes longer than all else that is done to receive an image.
_MALLOC_OPTIONS = {"MALLOC_TRIM_THRESHOLD_": (-1, 128 << 20), "MALLOC_MMAP_THRESHOLD_": (-3, 32 << 20)}


def seg_node() -> int:
    """Run the segmentation node; return its exit code."""
    return _run_node("yolov8_seg_ros.node.seg_node")


def depth_node() -> int:
    """Run the depth node; return its exit code."""
    return _run_node("yolov8_seg_ros.node.depth.depth_node")


def image_source() -> int:
    """Run the image source; return its exit code."""
    return _run_node("yolov8_seg_ros.node.image_source")


def yolov8_seg() -> int:
    """Run the command-line tool; return its exit code."""
    _leave_at(signal.SIGINT, _INTERRUPTED)
    _leave_at(signal.SIGTERM, _TERMINATED)
    prepare_process()
    main = importlib.import_module("yolov8_seg_ros.cli.main").main
    # The tool removes its temporary files where it is interrupted, so both signals become exceptions.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, _raise_exit)
    try:
        return int(main())
    except KeyboardInterrupt:
        return _INTERRUPTED


def prepare_process() -> None:
    """Set what makes NumPy and the memory of images fast, before either is used; what the user has set stays."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    libc = ctypes.CDLL(None)
    # Other C libraries do without.
    if hasattr(libc, "mallopt"):
        for name, (option, size_bytes) in _MALLOC_OPTIONS.items():
            if name not in os.environ:
                libc.mallopt(option, size_bytes)


def _run_node(module: str) -> int:
    # For the program that starts and stops nodes, an early stop is as good as a later one.
    _leave_at(signal.SIGINT, 0)
    _leave_at(signal.SIGTERM, 0)
    prepare_process()
    exit_code = int(importlib.import_module(module).main())
    # Launch may send a second signal, and Python would die of it while it winds up.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return exit_code


def _raise_exit(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(_TERMINATED)


def _leave_at(number: signal.Signals, exit_code: int) -> None:
    """End the process at once at a signal: during imports there is nothing to tidy up, and raising may be swallowed."""

    def leave(_number: int, _frame: FrameType | None) -> None:
        os._exit(exit_code)

    signal.signal(number, leave)


if __name__ == "__main__":
    programs = {program.__name__: program for program in (seg_node, depth_node, image_source, yolov8_seg)}
    sys.exit(programs[sys.argv.pop(1)]())
