"""Test what the package offers to Python programs, and that README's example runs as it is printed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

import yolov8_seg_ros
from yolov8_seg_ros.media.scene import SCENE_CLASSES, SyntheticScene

CHECKOUT = Path(__file__).resolve().parents[1]
SCENE_MODEL = CHECKOUT / "models" / "shapes_256x192.tflite"


def run_python(program: str, folder: Path, **environment: str) -> str:
    """Run a program in a folder; return what it prints."""
    variables = {**os.environ, "PYTHONPATH": str(CHECKOUT), **environment}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def readme_example() -> str:
    section = (CHECKOUT / "README.md").read_text(encoding="utf-8").split("## From Python\n", 1)[1]
    return re.search(r"```python\n(.*?)```", section, re.DOTALL).group(1)


def test_the_example_in_the_readme_runs_as_printed(tmp_path):
    scene = SyntheticScene((192, 256), seed=3).frame(40)
    assert cv2.imwrite(str(tmp_path / "street.jpg"), scene.image)
    models = tmp_path / "models"
    models.mkdir()
    shutil.copy(SCENE_MODEL, models / "yolov8n_256.tflite")
    lines = run_python(readme_example(), tmp_path, YOLOV8_SEG_MODELS=str(models)).splitlines()
    assert len(lines) == len(scene.truth)
    for line in lines:
        name, score, *_ = line.split()
        assert name in SCENE_CLASSES
        assert 0.25 <= float(score) <= 1


def test_importing_the_package_loads_neither_numpy_nor_opencv(tmp_path):
    program = "import sys, yolov8_seg_ros; print(*{'numpy', 'cv2', 'rclpy'} & set(sys.modules))"
    assert run_python(program, tmp_path).split() == []


@pytest.mark.parametrize("name", yolov8_seg_ros.__all__)
def test_public_names_are_there_and_listed(name):
    assert getattr(yolov8_seg_ros, name).__name__ == name
    assert name in dir(yolov8_seg_ros)


def test_other_names_are_refused_as_by_any_module():
    with pytest.raises(AttributeError, match="module 'yolov8_seg_ros' has no attribute 'Segmentor'"):
        _ = yolov8_seg_ros.Segmentor
