"""Print tables, times and the version, and make the folders that verbs write to."""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.files import user_path
from yolov8_seg_ros.text import STAGES

_TEXT_COLUMNS = 100
#: Who gives such a name to a folder expects one file.
_FILE_SUFFIXES = (".jpg", ".jpeg", ".png", ".mp4", ".avi", ".mkv", ".mov", ".json", ".mcap", ".db3", ".bag")


def print_table(rows: Sequence[Sequence[str]], *, of_text: bool = False) -> None:
    """Print the columns of a table: the first to the left, the others to the right.

    Args:
        rows: cells, in each row the same number of them.
        of_text: whether there are two columns, the second of which is text: it goes to the left, and is wrapped.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        if of_text:
            wrapped = textwrap.wrap(others[0], _TEXT_COLUMNS, break_long_words=False, break_on_hyphens=False)
            print(f"{first:{widths[0]}}  " + f"\n{'':{widths[0]}}  ".join(wrapped))
        else:
            print("  ".join([first.ljust(widths[0]), *map(str.rjust, others, widths[1:])]))


def package_version() -> str:
    """Return the version of the installed package."""
    # Only here: it takes longer than all other imports of the tool's help.
    import importlib.metadata

    try:
        return importlib.metadata.version("yolov8_seg_ros")
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def counted(count: int, noun: str) -> str:
    """Return a number and a noun, which gets an s where it is more than one."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def stage_times(milliseconds: Iterable[float]) -> str:
    """Return the mean times of the three stages as a text."""
    return ", ".join(f"{stage} {time_ms:.1f} ms" for stage, time_ms in zip(STAGES, milliseconds, strict=True))


def add_output_argument(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the folder that `output_folder` makes."""
    parser.add_argument(
        "-o",
        "--output",
        type=folder,
        default=Path(default),
        metavar="DIR",
        help="folder to write to (default: %(default)s)",
    )


@contextmanager
def output_folder(path: Path) -> Iterator[None]:
    """Create a folder before the work begins, and remove it again where an error leaves it empty.

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
    path = user_path(text)
    if path.suffix.lower() in _FILE_SUFFIXES and not path.exists():
        raise argparse.ArgumentTypeError(f"expected a folder, got '{text}', the name of a file")
    return path
