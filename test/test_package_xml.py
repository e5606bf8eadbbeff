"""Test that package.xml declares what the package imports, and nothing else, and the version of the changelog."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = "yolov8_seg_ros"
#: Names in rosdep of packages that are imported by another name.
ROSDEP_KEYS = {
    "cffi": "python3-cffi",
    "cv2": "python3-opencv",
    "google": "python3-protobuf",
    "numpy": "python3-numpy",
    "pytest": "python3-pytest",
    "serial": "python3-serial",
    "tf2_ros": "tf2_ros_py",
    "tqdm": "python3-tqdm",
    "yaml": "python3-yaml",
}
#: rosdep does not know them: README.md and the documents say when they are needed and where they come from.
WITHOUT_KEY = {
    "ai_edge_litert",
    "ai_edge_quantizer",
    # These three come with rosbags; the last one is Python's own from 3.14 on.
    "apsw",
    "backports",
    "compression",
    "litert_torch",
    "pycocotools",
    "rosbags",
    "stai_mpu",
    "tflite_runtime",
    "torch",
    "trackeval",
    "ultralytics",
}
#: Used without an import: the modules generated from headers import cffi's backend, and `ros2 launch` is a command.
USED_OTHERWISE = {"python3-cffi", "ros2launch"}


def dependencies(kind):
    return {element.text for element in ElementTree.parse(CHECKOUT / "package.xml").iter(kind)}


def imported(paths):
    """Return the names in rosdep of what some Python files import, but for this package and Python itself."""
    modules = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                modules.add(node.module.split(".")[0])
    others = modules - sys.stdlib_module_names - {PACKAGE} - WITHOUT_KEY
    return {ROSDEP_KEYS.get(module, module) for module in others}


def test_what_the_package_imports_is_declared():
    folders = (PACKAGE, "launch", "examples")
    paths = [path for folder in folders for path in (CHECKOUT / folder).rglob("*.py")]
    generated = set((CHECKOUT / PACKAGE / "native").glob("_[a-z]*.py"))
    assert dependencies("exec_depend") == imported(set(paths) - generated) | USED_OTHERWISE


def test_what_the_build_imports_is_declared():
    assert imported([CHECKOUT / "setup.py"]) - {"setuptools"} <= dependencies("build_depend")


def test_the_messages_that_tests_import_are_declared():
    messages = {name for name in imported((CHECKOUT / "test").rglob("*.py")) if name.endswith(("_msgs", "_srvs"))}
    assert messages <= dependencies("exec_depend") | dependencies("test_depend")


def test_the_version_is_the_same_everywhere():
    changelog = pytest.importorskip("catkin_pkg.changelog").get_changelog_from_path(str(CHECKOUT))
    newest, released, content = [*changelog.foreach_version()][-1]
    setup = (CHECKOUT / "setup.py").read_text()
    assert dependencies("version") == {newest}
    assert re.search(r'version="(.+?)"', setup).group(1) == newest
    assert released is not None
    assert content
