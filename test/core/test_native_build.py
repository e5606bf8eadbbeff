"""Test the C as such: no warnings, no heap, no globals, and no byte beyond its memory."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.native_library import SANITIZED, SOURCES, STRICT, build, build_seg, compiler

#: The C library's functions that may be called: they need no memory and no operating system.
ALLOWED_CALLS = {"ceil", "floor", "memcmp", "memcpy", "memset", "memmove"}


@pytest.fixture(scope="module")
def symbols(tmp_path_factory) -> dict[str, list[tuple[str, str]]]:
    """Compile each source; return the kind and the name of each of its symbols, as `nm` lists them."""
    folder = tmp_path_factory.mktemp("objects")
    found = {}
    for source in SOURCES:
        object_file = build(folder / f"{source.stem}.o", [source], *STRICT, "-c")
        lines = subprocess.run(["nm", object_file], capture_output=True, text=True, check=True).stdout
        found[source.name] = re.findall(r"([A-Za-z]) (\S+)$", lines, re.MULTILINE)
    return found


def test_strict_build(tmp_path):
    assert build_seg(tmp_path).exists()


@pytest.mark.parametrize("source", [source.name for source in SOURCES])
def test_no_heap_and_no_globals(symbols, source):
    assert not [name for kind, name in symbols[source] if kind in "BbDdC"]
    called = {name for kind, name in symbols[source] if kind == "U" and not name.startswith(("seg_", "_"))}
    assert called <= ALLOWED_CALLS


def test_public_names_begin_with_seg(symbols):
    public = [name for names in symbols.values() for kind, name in names if kind == "T"]
    assert public
    assert all(name.startswith("seg_") for name in public)


def test_no_byte_beyond_its_memory(tmp_path):
    """Run random outputs through a library that checks each access, in a process of its own."""
    runtime = subprocess.run([compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    sanitizer = Path(runtime.stdout.strip())
    if not sanitizer.is_absolute():
        pytest.skip("this compiler brings no address sanitizer")
    path = build_seg(tmp_path, *SANITIZED)
    here = Path(__file__).resolve()
    environment = dict(
        os.environ,
        LD_PRELOAD=str(sanitizer),
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
        PYTHONPATH=os.pathsep.join(map(str, here.parents[1:3])),
    )
    script = here.parents[1] / "support" / "random_outputs.py"
    done = subprocess.run([sys.executable, script, path], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.startswith("300 images, ")
