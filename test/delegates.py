"""Build delegates for tests: real shared libraries, from C, with the machine's compiler."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).resolve().parent / "native"
#: Builtin operations by their number in TensorFlow Lite's schema.
CONV_2D, RESHAPE = 3, 22


def build_library(folder: Path, source: str = "delegate.c", **definitions: object) -> Path:
    """Build `source` with macros defined; give the library, named after them."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    assert compiler, "the tests need a C compiler: apt install gcc"
    macros = [f"-D{name}={value}" for name, value in definitions.items()]
    library = folder / f"lib{'_'.join([Path(source).stem, *map(str, definitions.values())]).lower()}.so"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC"]
    subprocess.run([compiler, *flags, *macros, "-o", str(library), str(SOURCES / source)], check=True)
    return library


def recorded(path: Path) -> list[tuple[str, str]]:
    """Give what a delegate recorded: the options that it was given, and what it did."""
    if not path.exists():
        return []
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return [(key, value) for key, _, value in pairs]
