"""Name the commands that a user can run, as they work where they are printed."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

TOOL = "yolov8_seg"
_PACKAGE = "yolov8_seg_ros"


def tool_command(arguments: str) -> str:
    """Return how the tool `yolov8_seg` is run with some arguments: by ros2 run, by name, by path or as a module."""
    return f"{_tool(Path(sys.argv[0]))} {arguments}"


def install_command(*packages: str) -> str:
    """Return how Python packages are installed for the Python that runs this process.

    A Python that a Linux distribution manages (PEP 668) refuses `pip install` without the option to do it all the same.
    Its NumPy must keep its major version there: cv_bridge and others are compiled for it.
    """
    names = " ".join(packages)
    if sys.prefix != sys.base_prefix:
        return f"{_shown(Path(sys.executable))} -m pip install {names}"
    if Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").is_file():
        return f"pip install --user --break-system-packages {names}{_numpy_limit()}"
    return f"pip install {names}"


def _numpy_limit() -> str:
    try:
        major = int(version("numpy").split(".")[0])
    except PackageNotFoundError:
        return ""
    return f' "numpy<{major + 1}"'


def _tool(program: Path) -> str:
    # Where colcon and ros2 run expect executables: lib/yolov8_seg_ros/.
    if program.parent.name == _PACKAGE and program.parent.parent.name == "lib":
        return f"ros2 run {_PACKAGE} {TOOL}"
    if shutil.which(TOOL):
        return TOOL
    installed = Path(sys.executable).with_name(TOOL)
    if installed.is_file():
        return _shown(installed)
    return f"{_shown(Path(sys.executable))} -m {_PACKAGE}.executables {TOOL}"


def _shown(path: Path) -> str:
    """Return a path as short as it works from the current folder."""
    try:
        relative = path.relative_to(Path.cwd())
    except (ValueError, OSError):
        return str(path)
    return str(relative) if os.sep in str(relative) else f".{os.sep}{relative}"
