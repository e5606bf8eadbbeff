"""Build the package's compiled library for tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from yolov8_seg_ros.core import library

SOURCES = Path(library.__file__).parent / "native"
COMPILER = shutil.which("cc") or shutil.which("gcc") or "cc"
_FLAGS = ("-std=c99", "-O3", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror", "-shared", "-fPIC")


def build(folder: Path, *options: str) -> Path:
    """Build the library with further options; give its path."""
    path = folder / "libpostprocess.so"
    subprocess.run([COMPILER, *_FLAGS, *options, "-o", path, *sorted(SOURCES.glob("*.c")), "-lm"], check=True)
    return path
