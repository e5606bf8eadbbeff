"""Test that each benchmark starts as benchmarks/README.md says, and that those of the core print their tables."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

CHECKOUT = Path(__file__).resolve().parents[1]
COMMANDS = re.findall(
    r"^\| `python -m (benchmarks\.\w+)`", (CHECKOUT / "benchmarks" / "README.md").read_text(encoding="utf-8"), re.M
)


def output_of(module: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", module, *arguments], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers(line: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", line)]


def test_readme_names_them():
    assert {f"benchmarks.{name}" for name in ("stages", "node", "overlap", "tracker", "peer")} <= set(COMMANDS)


@pytest.mark.parametrize("module", COMMANDS)
def test_the_help_names_the_command(module):
    assert f"python -m {module}" in output_of(module, "--help")


def test_stages():
    title, columns, *rows = output_of("benchmarks.stages", "--runs", "1").splitlines()
    assert title.startswith("shapes_256x192, ")
    assert "preprocess" in columns
    assert [row.split()[:2] for row in rows[:2]] == [["640x480", "0"], ["640x480", "1"]]
    assert len(rows) == 12
    assert all(len(numbers(row)) == 7 for row in rows)


def test_tracker():
    _, columns, *rows = output_of("benchmarks.tracker", "--runs", "1").splitlines()
    assert columns.split()[:2] == ["tracks", "tracker"]
    assert len(rows) > 2
    assert all(len(numbers(row)) == 2 for row in rows)
