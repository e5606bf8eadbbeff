"""Test the node `yolov8_seg` over real DDS in one process: life cycle and parameters."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool
from support.seg_camera import (
    FAILURE,
    SUCCESS,
    activate,
    make_node,
    send_and_await,
)
from support.tiny_models import write_detection_model, write_segmentation_model

from yolov8_seg_ros.backends.open_backend import BACKENDS
from yolov8_seg_ros.node.seg_node import SegNode
from yolov8_seg_ros.settings.tables import SEG_NODE_SETTINGS

CHECKOUT = Path(__file__).resolve().parents[2]


# Life cycle


def test_an_image_becomes_detections(ros, camera, model):
    activate(make_node(ros, model))
    message = send_and_await(ros, camera)
    (detection,) = message.detections
    assert detection.results[0].hypothesis.class_id == "dog"
    assert detection.results[0].hypothesis.score == pytest.approx(0.9, abs=0.01)
    # The tiny model finds the middle half of its 64x64 input, which holds the 64x48 image and a border.
    assert detection.bbox.center.position.x == pytest.approx(32, abs=1)
    assert detection.bbox.center.position.y == pytest.approx(24, abs=1)


def test_every_transition_can_be_gone_through_twice(ros, camera, model):
    node = make_node(ros, model)
    for _ in range(2):
        activate(node)
        send_and_await(ros, camera)
        assert node.trigger_deactivate() == SUCCESS
        ros.until(lambda: not camera.raw.get_subscription_count(), "the node to stop listening")
        assert node.trigger_activate() == SUCCESS
        send_and_await(ros, camera)
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS


def test_a_lifecycle_manager_drives_it(ros, camera, model):
    make_node(ros, model, autostart=False)
    client = camera.create_client(ChangeState, "yolov8_seg/change_state")
    for transition in (Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE):
        request = ChangeState.Request(transition=Transition(id=transition))
        assert ros.call(client, request).success
    send_and_await(ros, camera)


@pytest.mark.parametrize("state", ["unconfigured", "inactive", "active"])
def test_shutdown_works_in_every_state(ros, model, state):
    node = make_node(ros, model)
    if state != "unconfigured":
        assert node.trigger_configure() == SUCCESS
    if state == "active":
        assert node.trigger_activate() == SUCCESS
    assert node.trigger_shutdown() == SUCCESS


def no_model(tmp_path):
    return {"model": str(tmp_path / "absent.tflite")}


def not_a_model(tmp_path):
    path = tmp_path / "text.tflite"
    path.write_text("this is text, and longer than a header")
    return {"model": str(path)}


def detection_model(tmp_path):
    return {"model": str(write_detection_model(tmp_path / "detect.tflite"))}


def with_model(**values):
    return lambda tmp_path: {
        "model": str(write_segmentation_model(tmp_path / "m.tflite", names={0: "cat", 1: "dog"})),
        **values,
    }


BAD_CONFIGURATIONS = {
    "missing model": (no_model, "absent.tflite"),
    "not a model": (not_a_model, "no TensorFlow Lite model"),
    "detection model": (detection_model, "looks like a detection model"),
    "unknown backend": (with_model(backend="gpu"), f"backend: expected one of {', '.join(BACKENDS)}; got 'gpu'"),
    "unknown fit": (with_model(fit="crop"), "fit: expected one of letterbox, stretch; got 'crop'"),
    "threshold too high": (with_model(score_threshold=1.5), "score_threshold: expected 0.0 to 1.0, got 1.5"),
    "wrong type": (with_model(max_instances="many"), "max_instances: expected a whole number, got 'many'"),
    "too many instances": (with_model(max_instances=256), "max_instances: expected 1 to 255, got 256"),
    "unknown class": (with_model(classes="cat, bird"), "class 'bird' is not one of the model's: cat, dog"),
    "missing names file": (with_model(class_names_file="/absent/names.txt"), "/absent/names.txt"),
}


@pytest.mark.parametrize("case", BAD_CONFIGURATIONS)
def test_a_bad_configuration_fails_with_one_clear_reason(ros, camera, tmp_path, case):
    overrides, expected = BAD_CONFIGURATIONS[case]
    node = make_node(ros, **overrides(tmp_path))
    assert node.trigger_configure() == FAILURE
    ros.until(lambda: camera.health and expected in camera.health.message, f"'{expected}' in the diagnostics")
    assert camera.health.level == DiagnosticStatus.ERROR


def test_a_failed_configuration_can_be_mended(ros, camera, model):
    node = make_node(ros, model, fit="crop", score_threshold=7.0)
    assert node.trigger_configure() == FAILURE
    assert all(r.successful for r in node.set_parameters([Parameter("fit", value="stretch")]))
    assert node.trigger_configure() == FAILURE
    assert all(r.successful for r in node.set_parameters([Parameter("score_threshold", value=0.5)]))
    activate(node)
    send_and_await(ros, camera)


def test_a_model_without_names_runs_with_numbered_ones(ros, camera, tmp_path, capfd):
    activate(make_node(ros, write_segmentation_model(tmp_path / "nameless.tflite")))
    message = send_and_await(ros, camera)
    assert message.detections[0].results[0].hypothesis.class_id == "class_1"
    assert "class_names_file" in "".join(capfd.readouterr())


def test_names_can_come_from_a_file(ros, camera, tmp_path):
    (tmp_path / "names.txt").write_text("bolt\nnut\n")
    nameless = write_segmentation_model(tmp_path / "nameless.tflite")
    activate(make_node(ros, nameless, class_names_file=str(tmp_path / "names.txt")))
    assert send_and_await(ros, camera).detections[0].results[0].hypothesis.class_id == "nut"


# Parameters


def test_the_configuration_file_sets_the_defaults(ros):
    arguments = ["--ros-args", "--params-file", str(CHECKOUT / "config" / "seg.yaml")]
    node = ros.add(SegNode(cli_args=arguments))
    assert {name: parameter.value for name, parameter in node._parameter_overrides.items()} == {
        setting.name: setting.default for setting in SEG_NODE_SETTINGS
    }


def test_the_declared_parameters_equal_the_table(ros):
    node = ros.add(SegNode())
    own_to_ros = {"use_sim_time", "start_type_description_service"}
    declared = {name for name in node._parameters if name.split(".")[0] not in own_to_ros}
    assert declared == {setting.name for setting in SEG_NODE_SETTINGS}
    for setting in SEG_NODE_SETTINGS:
        assert node.get_parameter(setting.name).value == setting.default
        assert node.describe_parameter(setting.name).description == setting.description


def set_parameter(ros, camera, name, value):
    """Set a parameter as `ros2 param set` does; give the refusal, or nothing."""
    if isinstance(value, bool):
        wrapped = ParameterValue(type=ParameterType.PARAMETER_BOOL, bool_value=value)
    elif isinstance(value, int):
        wrapped = ParameterValue(type=ParameterType.PARAMETER_INTEGER, integer_value=value)
    elif isinstance(value, list):
        wrapped = ParameterValue(type=ParameterType.PARAMETER_STRING_ARRAY, string_array_value=value)
    elif isinstance(value, float):
        wrapped = ParameterValue(type=ParameterType.PARAMETER_DOUBLE, double_value=value)
    else:
        wrapped = ParameterValue(type=ParameterType.PARAMETER_STRING, string_value=value)
    client = camera.create_client(SetParameters, "yolov8_seg/set_parameters")
    request = SetParameters.Request(parameters=[ParameterMsg(name=name, value=wrapped)])
    (result,) = ros.call(client, request).results
    return "" if result.successful else result.reason


@pytest.mark.parametrize(
    ("name", "value", "count"),
    [
        ("score_threshold", 0.95, 0),
        ("score_threshold", 0.3, 1),
        ("classes", "cat", 0),
        ("classes", "1", 1),
        ("classes", ["cat", "1"], 1),
        ("max_instances", 255, 1),
        ("iou_threshold", 1, 1),
        ("agnostic_nms", True, 1),
        # What cannot change while it runs may be set to the value that it has.
        ("num_threads", 0, 1),
        ("image_transport", "raw", 1),
    ],
)
def test_thresholds_change_while_it_runs(ros, camera, model, name, value, count):
    activate(make_node(ros, model))
    send_and_await(ros, camera)
    assert set_parameter(ros, camera, name, value) == ""
    assert len(send_and_await(ros, camera).detections) == count


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("score_threshold", 1.5, ""),
        ("score_threshold", "high", "expected a number"),
        ("max_instances", 0, ""),
        ("classes", "bird", "class 'bird' is not one of the model's: cat, dog"),
        ("model", "other.tflite", "only while the node is unconfigured"),
        ("image_transport", "compressed", "only while the node is unconfigured"),
    ],
)
def test_changes_that_cannot_be_are_refused(ros, camera, model, name, value, reason):
    activate(make_node(ros, model))
    refusal = set_parameter(ros, camera, name, value)
    assert refusal
    assert reason in refusal
    assert len(send_and_await(ros, camera).detections) == 1


def test_read_only_parameters_can_be_changed_between_configurations(ros, camera, model):
    node = make_node(ros, "absent.tflite")
    assert set_parameter(ros, camera, "model", str(model)) == ""
    activate(node)
    send_and_await(ros, camera)


def test_the_service_switches_it_off_and_on(ros, camera, model):
    activate(make_node(ros, model))
    client = camera.create_client(SetBool, "yolov8_seg/set_enabled")
    send_and_await(ros, camera)
    assert ros.call(client, SetBool.Request(data=False)).success
    ros.until(lambda: not camera.raw.get_subscription_count(), "the node to stop listening")
    assert ros.call(client, SetBool.Request(data=True)).success
    send_and_await(ros, camera)
