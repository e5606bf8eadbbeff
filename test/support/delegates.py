"""Build delegates for tests: real shared libraries, from C, with the machine's compiler."""

from __future__ import annotations

from pathlib import Path

from support.native_library import build_shared

SOURCES = Path(__file__).resolve().parent / "delegate_sources"
#: Builtin operations by their number in TensorFlow Lite's schema.
CONV_2D, RESHAPE = 3, 22


def build_library(folder: Path, source: str = "delegate.c", **definitions: object) -> Path:
    """Build `source` with macros defined; give the library, named after them."""
    macros = [f"-D{name}={value}" for name, value in definitions.items()]
    library = folder / f"lib{'_'.join([Path(source).stem, *map(str, definitions.values())]).lower()}.so"
    return build_shared(library, [SOURCES / source], "-std=c11", "-O1", *macros)


def recorded(path: Path) -> list[tuple[str, str]]:
    """Return what a delegate recorded: the options that it was given, and what it did."""
    if not path.exists():
        return []
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return [(key, value) for key, _, value in pairs]
