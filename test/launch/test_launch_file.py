"""Launch the package's nodes with seg.launch.py, for real and in this process, and look at what is started."""

from __future__ import annotations

import logging
import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from delegates import build_library
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription, OpaqueFunction, RegisterEventHandler, Shutdown, TimerAction
from launch.event_handlers import OnProcessExit, OnProcessStart
from launch.events.process import ProcessExited, ProcessStarted
from launch.launch_description_sources import PythonLaunchDescriptionSource
from ros_bench import DEADLINE_S, DOMAIN_ID
from tiny_models import write_segmentation_model

from yolov8_seg_ros.model_files.store import SCENE_MODEL

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "seg.launch.py"
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


pytestmark = pytest.mark.skipif(not is_installed("yolov8_seg_ros"), reason="the package is not built and sourced")


@dataclass
class Started:
    """What a process was started with."""

    name: str
    arguments: list[str]
    environment: dict[str, str]
    parameters: dict[str, object] = field(default_factory=dict)

    @classmethod
    def from_event(cls, event: ProcessStarted) -> Started:
        started = cls(Path(event.cmd[0]).name, list(event.cmd[1:]), dict(event.env))
        for file in started.values_of("--params-file"):
            for node in yaml.safe_load(Path(file).read_text()).values():
                started.parameters |= node["ros__parameters"]
        return started

    def values_of(self, option: str) -> list[str]:
        return [self.arguments[k + 1] for k, argument in enumerate(self.arguments) if argument == option]

    def profile(self) -> str | None:
        return next((self.environment[name] for name in PROFILE_VARIABLES if name in self.environment), None)


@contextmanager
def listening(logger_name: str) -> Iterator[list[str]]:
    """Collect what is logged; launch's loggers keep their messages from pytest."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger(logger_name)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)


class Launch:
    """Launch with arguments; end when so many processes have started, or one has ended, or by itself."""

    def __init__(self, arguments: dict[str, object], stop_after_start: int = 0, stop_after_end_of: str = "") -> None:
        self.started: list[Started] = []
        self.exit_codes: dict[str, int] = {}
        self._stop_after_start = stop_after_start
        self._stop_after_end_of = stop_after_end_of
        service = LaunchService(noninteractive=True)
        service.include_launch_description(self._description(arguments))
        with listening("launch") as self.messages:
            self.return_code = service.run()

    def _description(self, arguments: dict[str, object]) -> LaunchDescription:
        given = [(name, str(value)) for name, value in arguments.items()]
        return LaunchDescription(
            [
                RegisterEventHandler(OnProcessStart(on_start=self._on_start)),
                RegisterEventHandler(OnProcessExit(on_exit=self._on_exit)),
                # Cancelled with the rest when the launch ends.
                TimerAction(period=DEADLINE_S, actions=[OpaqueFunction(function=self._give_up)]),
                IncludeLaunchDescription(PythonLaunchDescriptionSource(str(LAUNCH_FILE)), launch_arguments=given),
            ]
        )

    def _on_start(self, event: ProcessStarted, _context) -> Shutdown | None:
        self.started.append(Started.from_event(event))
        return Shutdown() if len(self.started) == self._stop_after_start else None

    def _on_exit(self, event: ProcessExited, context) -> Shutdown | None:
        name = Path(event.cmd[0]).name
        self.exit_codes[name] = event.returncode
        return Shutdown() if name == self._stop_after_end_of and not context.is_shutdown else None

    def _give_up(self, _context) -> None:
        raise TimeoutError("the launch goes on for too long")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", str(DOMAIN_ID))
    for variable in (*PROFILE_VARIABLES, "YOLOV8_SEG_TRANSPORT_PROFILE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "a tiny 'model'.tflite", names={0: "cat", 1: "dog"})


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / 'it\'s a "picture".png'
    cv2.imwrite(str(path), np.full((48, 64, 3), 90, np.uint8))
    return path


def test_the_node_alone_is_started_by_default(model):
    launch = Launch({}, stop_after_start=1)
    (node,) = launch.started
    assert node.name == "seg_node"
    assert node.values_of("-r") == ["__ns:=/", "image:=image"]
    defaults = yaml.safe_load((LAUNCH_FILE.parents[1] / "config" / "seg.yaml").read_text())["/**"]["ros__parameters"]
    assert node.parameters == defaults
    assert Path(node.profile()).name == "fastdds_large_images.xml"


def test_arguments_reach_both_nodes(model, picture):
    arguments = {"model": model, "backend": "cpu", "autostart": "false", "source": picture, "log_level": "warn"}
    launch = Launch({**arguments, "namespace": "robot", "image_topic": "/cam/image"}, stop_after_start=2)
    node, source = sorted(launch.started, key=lambda process: process.name, reverse=True)
    assert (node.name, source.name) == ("seg_node", "image_source")
    chosen = {"model": str(model), "backend": "cpu", "autostart": False}
    assert {name: node.parameters[name] for name in chosen} == chosen
    assert source.parameters["source"] == str(picture)
    for process in launch.started:
        assert process.values_of("-r") == ["__ns:=/robot", "image:=/cam/image"]
        assert process.values_of("--log-level") == ["warn"]


@pytest.mark.parametrize(
    ("source", "expected"), [("camera", "0"), ("/dev/video2", "/dev/video2"), ("demo", "demo"), ("3", "3")]
)
def test_the_source_stays_a_text(source, expected):
    launch = Launch({"source": source, "autostart": "false"}, stop_after_start=2)
    assert [process.parameters["source"] for process in launch.started if process.name == "image_source"] == [expected]


@pytest.mark.parametrize(
    ("given", "model"),
    [({"source": "demo"}, SCENE_MODEL), ({"source": "demo", "model": "fish"}, "fish"), ({"source": "0"}, "mine")],
    ids=["scene", "scene but a model of one's own", "no scene"],
)
def test_the_scene_has_a_model_of_its_own(tmp_path, given, model):
    params_file = tmp_path / "my.yaml"
    params_file.write_text(yaml.dump({"yolov8_seg": {"ros__parameters": {"model": "mine"}}}))
    launch = Launch({"params_file": params_file, "autostart": "false", **given}, stop_after_start=2)
    (node,) = (process for process in launch.started if process.name == "seg_node")
    assert node.parameters["model"] == model


def test_an_argument_not_given_leaves_the_params_file_be(tmp_path, model):
    params_file = tmp_path / "my.yaml"
    params_file.write_text(yaml.dump({"yolov8_seg": {"ros__parameters": {"model": str(model), "autostart": False}}}))
    (node,) = Launch({"params_file": params_file}, stop_after_start=1).started
    assert node.parameters == {"model": str(model), "autostart": False}


def test_the_transport_profile_can_be_left_out_and_stays_in_the_launch(model):
    (node,) = Launch({"transport_profile": "none"}, stop_after_start=1).started
    assert node.profile() is None
    assert node.environment["YOLOV8_SEG_TRANSPORT_PROFILE"] == "none"
    assert "YOLOV8_SEG_TRANSPORT_PROFILE" not in os.environ


def test_a_source_that_ends_leaves_the_node_running(tmp_path, model, picture):
    params_file = tmp_path / "once.yaml"
    params_file.write_text(yaml.dump({"image_source": {"ros__parameters": {"loop": False}}}))
    arguments = {"model": model, "source": picture, "params_file": params_file}
    launch = Launch(arguments, stop_after_end_of="image_source")
    assert list(launch.exit_codes.items()) == [("image_source", 0), ("seg_node", 0)]
    assert launch.return_code == 0


def test_a_node_that_fails_ends_all_with_an_error():
    launch = Launch({"model": "/no/such.tflite", "source": "demo"})
    assert launch.exit_codes == {"seg_node": 1, "image_source": 0}
    assert launch.return_code == 1
    assert re.search(r"seg_node-\d+ failed with exit code 1", launch.messages[-1])


def test_a_delegate_that_ends_the_process_ends_all_with_its_exit_code(tmp_path, model):
    library = build_library(tmp_path, "aborting.c")
    params_file = tmp_path / "npu.yaml"
    params_file.write_text(yaml.dump({"yolov8_seg": {"ros__parameters": {"npu_delegate": str(library)}}}))
    launch = Launch({"model": model, "backend": "npu", "params_file": params_file})
    assert launch.exit_codes == {"seg_node": -signal.SIGABRT}
    assert launch.return_code == 1
    assert re.search(r"seg_node-\d+ failed with exit code -6", launch.messages[-1])


def test_a_source_that_fails_ends_all_with_an_error(model):
    launch = Launch({"model": model, "source": "/no/such.png"})
    assert launch.exit_codes == {"seg_node": 0, "image_source": 1}
    assert launch.return_code == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"params_file": "/no/such.yaml"}, "params_file: there is no file '/no/such.yaml'"),
        ({"autostart": "perhaps"}, "perhaps"),
        ({"log_level": "loud"}, "loud"),
        ({"transport_profile": "udp"}, "udp"),
        pytest.param(
            {"rviz": "true"},
            "rviz:=true needs the package rviz2",
            marks=pytest.mark.skipif(is_installed("rviz2"), reason="rviz2 is installed"),
        ),
    ],
    ids=["no params file", "autostart", "log level", "profile", "no rviz"],
)
def test_a_mistake_is_named_before_anything_is_started(given, message):
    launch = Launch(given)
    assert (launch.return_code, launch.started) == (1, [])
    assert message in launch.messages[-1]
