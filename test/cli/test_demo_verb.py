"""Run the demo for real on images of a folder, and write what a viewer could receive."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from sensor_msgs.msg import TimeReference
from support.ros_harness import DOMAIN_ID
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.cli.demo_recorder import Recorder
from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.node.viewer import View


def view(name: str | None, grey: int = 90, detections: tuple[tuple[str, float], ...] = ()) -> View:
    return View(
        stamp=Time(),
        overlay=np.full((40, 60, 3), grey, np.uint8),
        instances=np.zeros((40, 60), np.uint8),
        detections=list(detections),
        reference=None if name is None else TimeReference(source=name),
        class_names=(),
    )


def recorded(folder: Path, *views: View) -> Recorder:
    with Recorder(folder, rate_hz=10, truth=None) as recorder:
        for one in views:
            recorder.show(one)
    recorder.write_page({"source": "a <folder>", "model": "tiny"})
    return recorder


def image_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.jpg"))


def test_files_that_differ_in_their_suffix_are_both_kept(tmp_path):
    recorder = recorded(tmp_path, view("a.jpg", 10), view("a.png", 200), view("b.png"))
    assert image_names(tmp_path) == ["a.jpg", "a_2.jpg", "b.jpg"]
    assert cv2.imread(str(tmp_path / "a_2.jpg")).mean() > 190
    assert recorder.count == 3
    assert recorder.summary().startswith("3 annotated images, demo.mp4 and index.html are in")


def test_images_of_a_camera_are_numbered(tmp_path):
    recorded(tmp_path, view(None), view(None))
    assert image_names(tmp_path) == ["camera_000000.jpg", "camera_000001.jpg"]


def test_the_page_shows_all_images_and_counts_classes(tmp_path):
    recorded(tmp_path, view("a b.png", detections=[("cat", 0.9), ("cat", 0.5)]), view("c.png", detections=[("<b>", 1)]))
    page = (tmp_path / "index.html").read_text()
    names = json.loads(re.search(r"const names = (\[.*?\])", page)[1])
    assert names == ["a%20b.jpg", "c.jpg"]
    assert "<td>cat</td><td>2</td><td>0.70</td>" in page
    assert "<td>&lt;b&gt;</td><td>1</td><td>1.00</td>" in page
    assert "a &lt;folder&gt;" in page
    assert "<b>" not in page
    assert "$" not in page


def test_a_page_of_images_without_objects(tmp_path):
    recorded(tmp_path, view("a.png"))
    assert "a.jpg: nothing" in (tmp_path / "index.html").read_text()


@pytest.mark.parametrize("frames", ["0", "-3", "many"])
def test_a_number_of_images_that_cannot_be_is_refused(frames, tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["demo", "--frames", frames, "--output", str(tmp_path / "out")])
    assert caught.value.code == 2
    assert "1 or more" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def run_demo(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "yolov8_seg_ros.executables", "yolov8_seg", "demo", *map(str, arguments)]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(DOMAIN_ID)}
    return subprocess.run(command, env=environment, text=True, capture_output=True, check=False)


def test_a_folder_is_played_once_through(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for name in "abc":
        cv2.imwrite(str(images / f"{name}.png"), np.full((48, 64, 3), 90, np.uint8))
    model = write_segmentation_model(tmp_path / "tiny.tflite")
    ended = run_demo("--source", images, "--model", model, "--output", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    assert image_names(tmp_path / "out") == ["a.jpg", "b.jpg", "c.jpg"]
    assert "3 annotated images" in ended.stdout


def test_a_source_that_is_not_there_leaves_nothing(tmp_path):
    model = write_segmentation_model(tmp_path / "tiny.tflite")
    ended = run_demo("--source", "nothing.jpg", "--model", model, "--output", tmp_path / "out")
    assert ended.returncode == 1
    [line] = ended.stderr.splitlines()
    assert line.startswith("yolov8_seg: error: 'nothing.jpg': no such file or folder; give an image")
    assert not (tmp_path / "out").exists()


def test_the_simulated_robot_is_segmented_and_compared_with_its_ground_truth(tmp_path):
    pytest.importorskip("tf2_msgs")
    ended = run_demo("--source", "sim", "--frames", 5, "--output", tmp_path / "out")
    assert ended.returncode == 0, ended.stderr
    # On a busy machine the node leaves images out.
    names = image_names(tmp_path / "out")
    assert names
    assert set(names) <= {f"sim_{index:06d}.jpg" for index in range(5)}
    quality = re.search(r"mean mask IoU with the ground truth, objects that touch no other: (\d\.\d+)", ended.stdout)
    assert float(quality[1]) > 0.9
