"""Print tables and times, and make the folders that verbs write to."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.text import STAGES


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows below a blank line: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print()
    for title, *numbers in rows:
        print("  ".join([title.ljust(widths[0]), *(n.rjust(w) for n, w in zip(numbers, widths[1:], strict=True))]))


def stage_times(milliseconds: Iterable[float]) -> str:
    """Return the mean times of the three stages as a text."""
    return ", ".join(f"{stage} {time_ms:.1f} ms" for stage, time_ms in zip(STAGES, milliseconds, strict=True))


def add_output_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the folder that `output_folder` makes."""
    parser.add_argument(
        "--output",
        type=folder,
        default=Path(default),
        metavar="DIR",
        help="folder to write to (default: %(default)s)",
    )


@contextmanager
def output_folder(path: Path) -> Iterator[None]:
    """Make a folder before the work begins, and remove it again where an error leaves it empty.

    Raises:
        CommandError: if it cannot be made.
    """
    is_new = not path.exists()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = "it is a file" if isinstance(error, FileExistsError) else f"{error.filename}: {error.strerror}"
        raise CommandError(f"--output: '{path}' cannot be made a folder: {what}; give another folder") from error
    if any(path.iterdir()):
        print(f"{path} has files already: those of the same names are replaced, others stay", file=sys.stderr)
    try:
        yield
    except BaseException:
        if is_new and not any(path.iterdir()):
            path.rmdir()
        raise


def folder(text: str) -> Path:
    """Read the name of a folder to write to."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"expected a folder, got '{text}'")
    return Path(os.path.expanduser(text))
