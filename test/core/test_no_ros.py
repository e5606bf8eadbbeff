"""Prove that core, backends, data sets and evaluation need no ROS, and that the core needs nothing above it."""

from __future__ import annotations

import pkgutil
import subprocess
import sys

import pytest

import yolov8_seg_ros.backends
import yolov8_seg_ros.core
import yolov8_seg_ros.dataset
import yolov8_seg_ros.evaluation

ROS_PACKAGES = (
    "ament_index_python",
    "builtin_interfaces",
    "cv_bridge",
    "diagnostic_msgs",
    "geometry_msgs",
    "launch",
    "launch_ros",
    "lifecycle_msgs",
    "rcl_interfaces",
    "rclpy",
    "rosidl_parser",
    "rosidl_runtime_py",
    "rpyutils",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
    "vision_msgs",
)
SHELL = [f"yolov8_seg_ros.{part}" for part in ("node", "cli")]
CORE = [module.name for module in pkgutil.walk_packages(yolov8_seg_ros.core.__path__, "yolov8_seg_ros.core.")]
BACKENDS = [
    module.name for module in pkgutil.walk_packages(yolov8_seg_ros.backends.__path__, "yolov8_seg_ros.backends.")
]
DATASET = [module.name for module in pkgutil.walk_packages(yolov8_seg_ros.dataset.__path__, "yolov8_seg_ros.dataset.")]
EVALUATION = [
    module.name for module in pkgutil.walk_packages(yolov8_seg_ros.evaluation.__path__, "yolov8_seg_ros.evaluation.")
]

#: Runs in a fresh interpreter: its arguments are the module to import and the packages it must do without.
PROGRAM = """
import importlib, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if any(name == package or name.startswith(package + ".") for package in sys.argv[2:]):
            raise ImportError(f"{name} is not to be imported here")

sys.meta_path.insert(0, Blocker())
importlib.import_module(sys.argv[1])
"""


def import_without(module: str, *packages: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, module, *packages], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize("module", CORE)
def test_core_needs_neither_ros_nor_what_is_built_on_it(module):
    result = import_without(module, *ROS_PACKAGES, *SHELL, "yolov8_seg_ros.backends")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", BACKENDS)
def test_backends_need_no_ros(module):
    result = import_without(module, *ROS_PACKAGES, *SHELL)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("module", [*DATASET, *EVALUATION])
def test_data_sets_and_evaluation_need_neither_ros_nor_what_is_built_on_it(module):
    result = import_without(module, *ROS_PACKAGES, *SHELL, "yolov8_seg_ros.backends")
    assert result.returncode == 0, result.stderr


def test_the_block_holds():
    result = import_without("yolov8_seg_ros.core.segmenter", "yolov8_seg_ros.core.head")
    assert result.returncode == 1
    assert "yolov8_seg_ros.core.head is not to be imported here" in result.stderr
