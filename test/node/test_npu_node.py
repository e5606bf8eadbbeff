"""Test the node with the NPU backend, on delegates built for it: what it tells, and how it fails."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from support.delegates import RESHAPE, build_library
from support.ros_harness import parameters, process
from support.seg_camera import FAILURE, SUCCESS, Camera, activate, make_node, send_and_await, stamps, value_of
from support.tiny_models import write_segmentation_model
from vision_msgs.msg import Detection2DArray


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})


@pytest.fixture
def camera(ros):
    made = Camera()
    made.listen(Detection2DArray, "detections")
    return ros.add(made)


@pytest.fixture
def npu_node(ros, model, tmp_path):
    """Make nodes with a delegate."""

    def make(backend, library, **overrides):
        values = {"backend": backend, "npu.delegate": str(library), "npu.cache_dir": str(tmp_path / "cache")}
        return make_node(ros, model, **values, **overrides)

    return make


def test_images_go_through_the_npu_in_order(ros, camera, npu_node, tmp_path):
    activate(npu_node("npu", build_library(tmp_path, TAKES=RESHAPE)))
    send_and_await(ros, camera)
    for _ in range(20):
        camera.send()
    ros.until(lambda: stamps(camera)[-1] == camera.sent, "the newest image's detections")
    assert stamps(camera) == sorted(stamps(camera))
    assert len(list((tmp_path / "cache").glob("*.nbg"))) == 1
    ros.until(lambda: camera.health, "the diagnostics")
    assert "which runs 2 of 2 operations" in value_of(camera.health, "backend")
    assert camera.health.level != DiagnosticStatus.ERROR


def test_a_broken_npu_is_an_error_for_as_long_as_the_cpu_stands_in(ros, camera, npu_node, tmp_path):
    activate(npu_node("auto", build_library(tmp_path, TAKES=RESHAPE, FAILS_IN="INVOKE")))
    assert len(send_and_await(ros, camera).detections) == 1
    camera.diagnostics.clear()
    ros.until(lambda: len(camera.diagnostics) == 2, "two diagnostics")
    for message in camera.diagnostics:
        (health,) = message.status
        assert health.level == DiagnosticStatus.ERROR
        assert health.message.startswith("running on the CPU, since the NPU is broken: ")
        assert "the NPU does not answer" in health.message
    assert value_of(camera.health, "choice of backend").startswith("auto chose cpu: ")


def test_a_delegate_that_takes_nothing_is_a_warning_with_auto(ros, camera, npu_node, tmp_path):
    activate(npu_node("auto", build_library(tmp_path, TAKES=0)))
    send_and_await(ros, camera)
    expected = "takes none of the 2 operations"
    ros.until(lambda: camera.health and expected in camera.health.message, f"'{expected}' in the diagnostics")
    assert camera.health.level == DiagnosticStatus.WARN


def test_the_absence_of_an_npu_is_no_fault_with_auto(ros, camera, npu_node, tmp_path):
    activate(npu_node("auto", tmp_path / "absent.so"))
    send_and_await(ros, camera)
    ros.until(lambda: camera.health, "the diagnostics")
    assert value_of(camera.health, "choice of backend").startswith("auto chose cpu: there is no NPU delegate at ")
    assert camera.health.level != DiagnosticStatus.ERROR


@pytest.mark.parametrize(
    ("definitions", "reason"),
    [
        ({"TAKES": 0}, "takes none of the 2 operations"),
        ({"FAILS_IN": "CREATE"}, "no NPU was found"),
        ({"FAILS_IN": "PREPARE"}, "this NPU is of another generation"),
        ({"FAILS_IN": "KERNEL", "TAKES": RESHAPE}, "no memory on the NPU"),
        ({"FAILS_IN": "INVOKE", "TAKES": RESHAPE}, "the NPU does not answer"),
    ],
    ids=["takes nothing", "create", "prepare", "kernel", "invoke"],
)
def test_a_failing_npu_is_a_failed_configure(ros, camera, npu_node, tmp_path, definitions, reason):
    node = npu_node("npu", build_library(tmp_path, **definitions))
    assert node.trigger_configure() == FAILURE
    ros.until(lambda: camera.health and reason in camera.health.message, f"'{reason}' in the diagnostics")
    assert camera.health.level == DiagnosticStatus.ERROR
    node.set_parameters([type(node.get_parameter("backend"))("backend", value="cpu")])
    assert node.trigger_configure() == SUCCESS


def test_options_of_another_form_are_a_failed_configure(ros, camera, npu_node, tmp_path):
    node = npu_node("npu", tmp_path / "any.so", **{"npu.options": "fast"})
    assert node.trigger_configure() == FAILURE
    reason = "npu.options: expected key=value, separated by commas; got 'fast'"
    ros.until(lambda: camera.health and reason in camera.health.message, "the reason in the diagnostics")


def run_to_its_end(model, library):
    with process("node.seg_node", *parameters(model=model, backend="npu", **{"npu.delegate": library})) as node:
        output, _ = node.communicate(timeout=30)
    return node.returncode, output


def test_a_failed_start_says_why_and_ends_the_process(model, tmp_path):
    exit_code, output = run_to_its_end(model, build_library(tmp_path, FAILS_IN="CREATE"))
    assert exit_code == 1
    assert "it says: no NPU was found" in output
    assert "Traceback" not in output
    assert "Exception ignored" not in output


def test_a_delegate_that_ends_the_process_shows_in_its_exit_code(model, tmp_path):
    library = build_library(tmp_path, "aborting.c")
    exit_code, output = run_to_its_end(model, library)
    assert exit_code == -signal.SIGABRT
    assert output.strip().endswith(f"loading {model} with the NPU delegate {library}")
