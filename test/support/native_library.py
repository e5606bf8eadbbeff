"""Build shared libraries and programs for tests, from C, with the machine's compiler."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from yolov8_seg_ros.core.native import LIBRARY

#: Of the package's own library.
SOURCE_FOLDER = LIBRARY.parent
SOURCES = sorted(SOURCE_FOLDER.glob("*.c"))
WARNINGS = ("-Wall", "-Wextra", "-Werror")
#: As setup.py builds it, and with more warnings.
STRICT = ("-std=c99", "-O3", "-ffp-contract=off", "-Wconversion", "-pedantic")
#: To follow `STRICT`: each access to memory is checked. Built with -O1, half as long, as the sanitizers' authors do.
SANITIZED = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=undefined")


def compiler() -> str:
    """Return the path of the C compiler."""
    path = shutil.which("cc") or shutil.which("gcc")
    assert path, "the tests need a C compiler: apt install gcc"
    return path


def build(target: Path, sources: Iterable[Path], *options: str | Path, cc: str | None = None) -> Path:
    """Build a program or what the options say, with warnings as errors; return its path."""
    subprocess.run([cc or compiler(), *WARNINGS, *options, "-o", target, *sources, "-lm"], check=True)
    return target


def build_shared(library: Path, sources: Iterable[Path], *options: str) -> Path:
    """Build a library; return its path."""
    return build(library, sources, "-shared", "-fPIC", *options)


def build_seg(folder: Path, *options: str) -> Path:
    """Build the package's own library with further options; return its path."""
    return build_shared(folder / LIBRARY.name, SOURCES, *STRICT, *options)
