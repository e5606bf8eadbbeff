"""Test that messages name commands as they work where they are printed."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest

from yolov8_seg_ros import commands


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return a folder to work in, with a Python that has no tool beside it, and no tool on the PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "bin" / "python"))
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "somewhere" / "program")])
    return tmp_path


def make_tool(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tool = folder / "yolov8_seg"
    tool.write_text("#!/bin/sh")
    tool.chmod(0o755)


@pytest.mark.parametrize("program", ["seg_node", "yolov8_seg"])
def test_where_ros_started_the_program_ros_runs_the_tool(place, monkeypatch, program):
    make_tool(place / "bin")
    monkeypatch.setattr(sys, "argv", [f"/ws/install/yolov8_seg_ros/lib/yolov8_seg_ros/{program}"])
    assert commands.tool_command("model list") == "ros2 run yolov8_seg_ros yolov8_seg model list"


def test_a_tool_on_the_path_is_run_by_its_name(place):
    make_tool(place / "bin")
    assert commands.tool_command("model list") == "yolov8_seg model list"


def test_a_tool_beside_this_python_is_run_by_its_path(place, monkeypatch):
    make_tool(place / "venv" / "bin")
    assert commands.tool_command("demo") == "venv/bin/yolov8_seg demo"
    monkeypatch.chdir(place / "bin")
    assert commands.tool_command("demo") == f"{place}/venv/bin/yolov8_seg demo"


def test_without_a_tool_the_module_is_run(place):
    assert commands.tool_command("demo") == "venv/bin/python -m yolov8_seg_ros.executables yolov8_seg demo"


def test_the_command_works():
    shown = commands.tool_command("model list").split()
    assert "looked in" in subprocess.check_output(shown, text=True)


def test_packages_go_into_the_virtual_environment_that_runs(place, monkeypatch):
    monkeypatch.setattr(sys, "prefix", str(place / "venv"))
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    assert commands.install_command("a", "b") == "venv/bin/python -m pip install a b"


@pytest.mark.parametrize("managed", [True, False], ids=["managed by the system", "not managed"])
def test_packages_of_a_python_without_an_environment(place, monkeypatch, managed):
    monkeypatch.setattr(sys, "prefix", "/usr")
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(sysconfig, "get_path", lambda name: str(place))
    if managed:
        (place / "EXTERNALLY-MANAGED").touch()
        limit = int(np.__version__.split(".")[0]) + 1
        expected = f'pip install --user --break-system-packages a "numpy<{limit}"'
    else:
        expected = "pip install a"
    assert commands.install_command("a") == expected
