"""Build shared libraries for tests, from C, with the machine's compiler."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from yolov8_seg_ros.core.native import LIBRARY

#: Of the package's own library.
SOURCES = LIBRARY.parent
_STRICT = ("-std=c99", "-O3", "-Wconversion", "-pedantic")


def compiler() -> str:
    """Return the path of the C compiler."""
    path = shutil.which("cc") or shutil.which("gcc")
    assert path, "the tests need a C compiler: apt install gcc"
    return path


def build_shared(library: Path, sources: Iterable[Path], *options: str) -> Path:
    """Build a library; return its path."""
    flags = ("-Wall", "-Wextra", "-Werror", "-shared", "-fPIC")
    subprocess.run([compiler(), *flags, *options, "-o", library, *sources, "-lm"], check=True)
    return library


def build_seg(folder: Path, *options: str) -> Path:
    """Build the package's own library with further options; return its path."""
    return build_shared(folder / LIBRARY.name, sorted(SOURCES.glob("*.c")), *_STRICT, *options)
