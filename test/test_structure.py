"""Test how sources and tests are laid out and worded."""

from __future__ import annotations

import ast
from pathlib import Path

from support.slow_files import SLOW_FILES

FOLDER = Path(__file__).resolve().parent
CHECKOUT = FOLDER.parent
TEST_MODULES = sorted(FOLDER.rglob("test_*.py"))
SOURCE_FOLDERS = ("yolov8_seg_ros", "test", "benchmarks", "training", "underlay", "examples", "launch", "docs")
#: Docstrings say what is returned, read, written or computed, in the words of the field.
NOT_FIRST = {"Give", "Tell", "Hold", "Ask", "Let", "Say", "Take", "Bring", "Look", "What", "Where", "How", "Whether"}


def imported_modules(path: Path) -> set[str]:
    """Return the names of the modules that a file imports, without their packages."""
    names = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.rpartition(".")[2])
        elif isinstance(node, ast.Import):
            names.update(alias.name.rpartition(".")[2] for alias in node.names)
    return names


def test_nothing_imports_a_test_module():
    tests = {module.stem for module in TEST_MODULES}
    modules = [path for path in sorted(FOLDER.rglob("*.py"))]
    found = {str(path.relative_to(FOLDER)): names for path in modules if (names := imported_modules(path) & tests)}
    assert found == {}, "move what two test modules need to test/support"


def test_no_two_modules_have_the_same_name():
    names = [path.stem for path in FOLDER.rglob("*.py") if path.stem not in ("__init__", "conftest")]
    assert len(names) == len(set(names)), "pytest imports test modules by their bare name"


def docstrings(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_bytes()))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    return [text for node in nodes if isinstance(node, kinds) and (text := ast.get_docstring(node))]


def test_docstrings_begin_with_a_plain_word():
    sources = [path for folder in SOURCE_FOLDERS for path in (CHECKOUT / folder).rglob("*.py")]
    found = [
        f"{path.relative_to(CHECKOUT)}: {text.splitlines()[0]}"
        for path in sources
        for text in docstrings(path)
        if text.split()[0].rstrip(".,:;") in NOT_FIRST
    ]
    assert found == []


def test_the_slow_files_are_there():
    assert [name for name in SLOW_FILES if not (FOLDER / name).exists()] == []
