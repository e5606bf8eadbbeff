"""Test the firmware's core as such: no warnings, no heap, no globals, sanitizers, how much of it the tests reach."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.bridge_core import CHECKOUT, CORE
from support.native_library import SANITIZED, SOURCE_FOLDER, SOURCES, STRICT, build, build_shared, compiler

HOST = CORE.parent / "host"
CORE_SOURCES = sorted(CORE.glob("*.c"))
INCLUDES = tuple(f"-I{folder}" for folder in (SOURCE_FOLDER, CORE, HOST))
ALLOWED_CALLS = {"memcpy", "memset", "memmove", "memcmp", "rint"}
TESTS = ("test_vectors.py", "test_session.py", "test_frames.py", "test_flow.py", "test_jpeg.py", "test_noise.py")
LEAST_LINES, LEAST_BRANCHES = 0.95, 0.90


def build_board(folder: Path, *options: str, sources: list[Path] | None = None) -> Path:
    """Build the library of the host's board with further options; return its path."""
    sources = sources or [*CORE_SOURCES, *sorted(HOST.glob("*.c")), *SOURCES]
    return build_shared(folder / "libn6board.so", sources, *STRICT, *INCLUDES, *options)


def run_tests(library: Path, folder: Path, *tests: str, **environment: str) -> None:
    """Run tests in another process, with another library."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-p",
        "no:cacheprovider",
        *(f"test/firmware/{t}" for t in tests),
    ]
    variables = dict(os.environ, N6_BOARD_LIBRARY=str(library), **environment)
    result = subprocess.run(command, cwd=CHECKOUT, env=variables, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout[-4000:] + result.stderr[-4000:]


@pytest.mark.parametrize("source", CORE_SOURCES, ids=lambda path: path.name)
def test_no_heap_and_no_globals(source, tmp_path):
    target = build(tmp_path / "object.o", [source], *STRICT, *INCLUDES, "-c")
    lines = subprocess.run(["nm", target], capture_output=True, text=True, check=True).stdout
    symbols = re.findall(r"([A-Za-z]) (\S+)$", lines, re.MULTILINE)
    assert not [name for kind, name in symbols if kind in "BbDC"]
    called = {name for kind, name in symbols if kind == "U" and not name.startswith(("n6_", "seg_", "_"))}
    assert called <= ALLOWED_CALLS
    assert all(name.startswith("n6_") for kind, name in symbols if kind == "T")


def test_no_byte_beyond_its_memory(tmp_path):
    runtime = subprocess.run([compiler(), "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    sanitizer = Path(runtime.stdout.strip())
    if not sanitizer.is_absolute():
        pytest.skip("this compiler brings no address sanitizer")
    library = build_board(tmp_path, *SANITIZED)
    run_tests(
        library,
        tmp_path,
        "test_vectors.py",
        "test_session.py",
        "test_frames.py",
        "test_flow.py",
        "test_jpeg.py",
        LD_PRELOAD=str(sanitizer),
        ASAN_OPTIONS="detect_leaks=0",
        PYTHONMALLOC="malloc",
    )


def test_the_tests_reach_nearly_all_of_the_core(tmp_path):
    if not shutil.which("gcov"):
        pytest.skip("gcov is missing: it comes with gcc")
    for source in (*CORE_SOURCES, *sorted(HOST.glob("*.c")), *SOURCES):
        options = ("--coverage",) if source in CORE_SOURCES else ()
        optimized = ["-O0" if option == "-O3" else option for option in STRICT]
        build(
            tmp_path / f"{source.stem}_{source.parent.name}.o", [source], *optimized, *INCLUDES, "-fPIC", "-c", *options
        )
    library = build_shared(tmp_path / "libn6board.so", sorted(tmp_path.glob("*.o")), "--coverage")
    run_tests(library, tmp_path, *TESTS)
    notes = sorted(tmp_path.glob("*.gcno"))
    output = subprocess.run(
        ["gcov", "--branch-probabilities", "--json-format", "--stdout", *map(str, notes)],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    lines, branches = [], []
    for document in output.splitlines():
        for file in json.loads(document)["files"]:
            if Path(file["file"]).parent == CORE and file["file"].endswith(".c"):
                lines += [(file["file"], line["line_number"], line["count"] > 0) for line in file["lines"]]
                branches += [
                    (file["file"], line["line_number"], branch["count"] > 0)
                    for line in file["lines"]
                    for branch in line["branches"]
                ]
    for rows, least, name in ((lines, LEAST_LINES, "lines"), (branches, LEAST_BRANCHES, "branches")):
        missed = sorted({f"{Path(path).name}:{number}" for path, number, is_reached in rows if not is_reached})
        share = sum(is_reached for *_, is_reached in rows) / len(rows)
        print(f"{name} reached: {share:.1%} of {len(rows)}; not all of {missed}")
        assert share >= least, missed
