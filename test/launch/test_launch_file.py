"""Launch the package's nodes with seg.launch.py, for real and in this process, and look at what is started."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from support.delegates import build_library
from support.launch_run import (
    LAUNCH_FILE,
    PROFILE_VARIABLES,
    LaunchRun,
    included,
    is_installed,
    listening,
    needs_installed_package,
)
from support.ros_harness import DOMAIN_ID
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.model_files.store import SCENE_MODEL

pytestmark = needs_installed_package


def launch(arguments: dict[str, object], stop_after_start: int = 0, stop_after_end_of: str = "") -> LaunchRun:
    """Launch the file; stop when so many processes have started, or one has ended, or when it ends by itself."""
    return LaunchRun(
        [included(LAUNCH_FILE, arguments)],
        lambda run: len(run.started) == stop_after_start or stop_after_end_of in run.exit_codes,
    )


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN_ID))
    for variable in (*PROFILE_VARIABLES, "YOLOV8_SEG_TRANSPORT_PROFILE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "a tiny 'model'.tflite", names={0: "cat", 1: "dog"})


@pytest.fixture
def image(tmp_path):
    path = tmp_path / 'it\'s a "image".png'
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return path


def test_the_node_alone_is_started_by_default(model):
    run = launch({}, stop_after_start=1)
    (node,) = run.started
    assert node.name == "seg_node"
    assert node.values_of("-r") == ["__node:=yolov8_seg", "__ns:=/", "image:=image"]
    defaults = yaml.safe_load((LAUNCH_FILE.parents[1] / "config" / "seg.yaml").read_text())["/**"]["ros__parameters"]
    assert node.parameters == defaults
    assert Path(node.profile()).name == "fastdds_large_images.xml"


def test_arguments_reach_both_nodes(model, image):
    arguments = {"model": model, "backend": "cpu", "autostart": "false", "source": image, "log_level": "warn"}
    arguments |= {"image_transport": "compressed", "use_sim_time": "true", "node_name": "eyes"}
    run = launch({**arguments, "namespace": "robot", "image_topic": "/cam/image"}, stop_after_start=2)
    node, source = sorted(run.started, key=lambda process: process.name, reverse=True)
    assert (node.name, source.name) == ("seg_node", "image_source")
    chosen = {"model": str(model), "backend": "cpu", "autostart": False, "image_transport": "compressed"}
    chosen["use_sim_time"] = True
    assert {name: node.parameters[name] for name in chosen} == chosen
    assert (source.parameters["source"], source.parameters["use_sim_time"]) == (str(image), True)
    assert node.values_of("-r") == ["__node:=eyes", "__ns:=/robot", "image:=/cam/image"]
    assert source.values_of("-r") == ["__ns:=/robot", "image:=/cam/image"]
    for process in run.started:
        assert process.values_of("--log-level") == ["warn"]


def test_a_depth_topic_brings_the_depth_node(model):
    arguments = {"model": model, "autostart": "false", "node_name": "eyes", "target_frame": "odom"}
    topics = {"image_topic": "/cam/color/image_raw", "depth_topic": "/cam/depth/image_raw"}
    run = launch({**arguments, **topics, "namespace": "robot", "use_sim_time": "true"}, stop_after_start=2)
    (node,) = (process for process in run.started if process.name == "depth_node")
    expected = {"segmentation": "eyes", "target_frame": "odom", "autostart": False, "use_sim_time": True}
    assert {name: node.parameters[name] for name in expected} == expected
    assert node.values_of("-r") == [
        "__node:=depth_node",
        "__ns:=/robot",
        "image:=/cam/color/image_raw",
        "depth/image:=/cam/depth/image_raw",
    ]


@pytest.mark.parametrize(
    ("source", "expected"),
    [("camera", "0"), ("/dev/video2", "/dev/video2"), ("demo", "demo"), ("sim", "sim"), ("3", "3")],
)
def test_the_source_stays_a_text(source, expected):
    run = launch({"source": source, "autostart": "false"}, stop_after_start=2)
    assert [process.parameters["source"] for process in run.started if process.name == "image_source"] == [expected]


@pytest.mark.parametrize(
    ("given", "model"),
    [
        ({"source": "demo"}, SCENE_MODEL),
        ({"source": "sim"}, SCENE_MODEL),
        ({"source": "demo", "model": "fish"}, "fish"),
        ({"source": "0"}, "mine"),
    ],
    ids=["scene", "simulated room", "scene but a model of one's own", "no scene"],
)
def test_the_scene_has_a_model_of_its_own(tmp_path, given, model):
    params_file = tmp_path / "my.yaml"
    params_file.write_text(yaml.dump({"yolov8_seg": {"ros__parameters": {"model": "mine"}}}))
    run = launch({"params_file": params_file, "autostart": "false", **given}, stop_after_start=2)
    (node,) = (process for process in run.started if process.name == "seg_node")
    assert node.parameters["model"] == model


def test_an_argument_not_given_leaves_the_params_file_be(tmp_path, model):
    params_file = tmp_path / "my.yaml"
    params_file.write_text(yaml.dump({"yolov8_seg": {"ros__parameters": {"model": str(model), "autostart": False}}}))
    (node,) = launch({"params_file": params_file}, stop_after_start=1).started
    assert node.parameters == {"model": str(model), "autostart": False}


def test_the_transport_profile_can_be_left_out_and_stays_in_the_launch(model):
    (node,) = launch({"transport_profile": "none"}, stop_after_start=1).started
    assert node.profile() is None
    assert node.environment["YOLOV8_SEG_TRANSPORT_PROFILE"] == "none"
    assert "YOLOV8_SEG_TRANSPORT_PROFILE" not in os.environ


def test_a_source_that_ends_leaves_the_node_running(tmp_path, model, image):
    params_file = tmp_path / "once.yaml"
    params_file.write_text(yaml.dump({"image_source": {"ros__parameters": {"loop": False}}}))
    arguments = {"model": model, "source": image, "params_file": params_file}
    run = launch(arguments, stop_after_end_of="image_source")
    assert list(run.exit_codes.items()) == [("image_source", 0), ("seg_node", 0)]
    assert run.return_code == 0


def test_a_node_that_fails_ends_all_with_an_error():
    run = launch({"model": "/no/such.tflite", "source": "demo"})
    assert run.exit_codes == {"seg_node": 1, "image_source": 0}
    assert run.return_code == 1
    assert re.search(r"seg_node-\d+ failed with exit code 1", run.messages[-1])


def test_a_delegate_that_ends_the_process_ends_all_with_its_exit_code(tmp_path, model):
    library = build_library(tmp_path, "aborting.c")
    params_file = tmp_path / "npu.yaml"
    params_file.write_text(yaml.dump({"yolov8_seg": {"ros__parameters": {"npu": {"delegate": str(library)}}}}))
    run = launch({"model": model, "backend": "npu", "params_file": params_file})
    assert run.exit_codes == {"seg_node": -signal.SIGABRT}
    assert run.return_code == 1
    assert re.search(r"seg_node-\d+ failed with exit code -6", run.messages[-1])


def test_a_source_that_fails_ends_all_with_an_error(model):
    run = launch({"model": model, "source": "/no/such.png"})
    assert run.exit_codes == {"seg_node": 0, "image_source": 1}
    assert run.return_code == 1


def test_a_node_that_is_not_required_leaves_the_rest_running():
    run = launch({"model": "/no/such.tflite", "source": "demo", "required": "false"}, stop_after_end_of="seg_node")
    assert [(name, exit_code) for name, _, exit_code in run.ended_before_stop] == [("seg_node", 1)]
    assert run.return_code == 0


def test_a_node_that_is_killed_comes_back(model):
    listening = "listening to"
    killed: list[int] = []

    def kill_first(run: LaunchRun) -> bool:
        if listening in run.output and not killed:
            killed.append(run.started[0].pid)
            os.kill(killed[0], signal.SIGKILL)
        return run.output.count(listening) == 2

    arguments = {"model": model, "respawn": "true", "respawn_delay": "0.1"}
    run = LaunchRun([included(LAUNCH_FILE, arguments)], kill_first)
    assert [process.name for process in run.started] == ["seg_node", "seg_node"]
    assert run.ended_before_stop == [("seg_node", killed[0], -signal.SIGKILL)]
    assert (run.ended[1][2], run.return_code) == (0, 0)


@pytest.mark.parametrize(
    ("given", "content", "message"),
    [
        ({}, "seg_node: {ros__parameters: {score_threshold: 0.5}}", "has parameters of seg_node only"),
        ({"node_name": "front"}, "yolov8_seg: {ros__parameters: {score_threshold: 0.5}}", "write /** or front"),
        ({"target_frame": "map"}, "/**: {ros__parameters: {}}", "target_frame:=map has no effect without depth_topic"),
        (
            {"source": "demo", "cameras": "a, b"},
            "/**: {ros__parameters: {}}",
            "add image_topic:=a/image",
        ),
        ({"source": "demo", "cameras": "a, b", "image_topic": "b/image"}, "", ""),
        ({}, "/robot/yolov8_seg: {ros__parameters: {score_threshold: 0.5}}", ""),
        ({}, "robot: {yolov8_seg: {ros__parameters: {score_threshold: 0.5}}}", ""),
        ({}, "depth_node: {ros__parameters: {boxes: aligned}}", ""),
        ({}, "/**: {ros__parameters: {score_threshold: 0.5}}", ""),
        ({}, "", ""),
    ],
    ids=["executable", "other-node", "frame", "source", "source-fits", "namespace", "nested", "depth", "all", "empty"],
)
def test_what_has_no_effect_is_a_warning(given, content, message, model, tmp_path):
    (tmp_path / "params.yaml").write_text(content)
    with listening("yolov8_seg_ros") as warnings:
        launch({"model": model, "params_file": tmp_path / "params.yaml", **given}, stop_after_start=1)
    assert len(warnings) == bool(message)
    assert message in "".join(warnings)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params_file": "/no/such.yaml"}, "params_file: there is no file '/no/such.yaml'"),
        ({"autostart": "perhaps"}, "perhaps"),
        ({"backend": "gpu"}, "gpu"),
        ({"required": "true", "respawn": "true"}, "required:=true and respawn:=true"),
        ({"respawn_delay": "soon"}, "respawn_delay: expected seconds, 0 or more, got 'soon'"),
        ({"respawn_delay": "-1"}, "respawn_delay: expected seconds, 0 or more, got '-1'"),
        ({"log_level": "loud"}, "loud"),
        ({"transport_profile": "udp"}, "udp"),
        pytest.param(
            {"rviz": "true"},
            "rviz:=true needs the package rviz2",
            marks=pytest.mark.skipif(is_installed("rviz2"), reason="rviz2 is installed"),
        ),
    ],
    ids=[
        "no params file",
        "autostart",
        "backend",
        "required and respawn",
        "delay",
        "negative delay",
        "log level",
        "profile",
        "no rviz",
    ],
)
def test_a_mistake_is_named_before_anything_is_started(given, message):
    run = launch(given)
    assert (run.return_code, run.started) == (1, [])
    assert message in run.messages[-1]


def test_no_library_of_the_nodes_is_imported_by_the_launch_file():
    heavy = "{'cv2', 'ai_edge_litert', 'tflite_runtime'}"
    code = f"import runpy, sys; runpy.run_path({str(LAUNCH_FILE)!r}); print(*{heavy} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == ""
