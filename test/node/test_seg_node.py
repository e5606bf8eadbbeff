"""Test the node `yolov8_seg` over real DDS in one process: life cycle, parameters, topics, bad input."""

from __future__ import annotations

import array
import random
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import RunInterruptedError

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool
from support.camera_messages import mutated_image, mutated_jpeg
from support.seg_camera import (
    FAILURE,
    HW,
    SUCCESS,
    Camera,
    activate,
    connected,
    make_node,
    send_and_await,
    stamps,
    value_of,
)
from support.tiny_models import write_detection_model, write_segmentation_model
from vision_msgs.msg import Detection2DArray, LabelInfo

from yolov8_seg_ros.backends.open_backend import BACKENDS, open_backend
from yolov8_seg_ros.node import seg_node
from yolov8_seg_ros.node.publishers import RESULT_TOPICS
from yolov8_seg_ros.node.seg_node import SegNode
from yolov8_seg_ros.node.stream import CameraStream
from yolov8_seg_ros.settings.tables import SEG_NODE_SETTINGS

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})


@pytest.fixture
def backends(monkeypatch):
    """Return the list in which each backend that a node opens is put."""
    opened = []

    def keep(**settings):
        opened.append(open_backend(**settings))
        return opened[-1]

    monkeypatch.setattr(seg_node, "open_backend", keep)
    return opened


@pytest.fixture
def camera(ros):
    made = Camera()
    made.listen(Detection2DArray, "detections")
    return ros.add(made)


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


# Topics


def test_masks_are_computed_only_while_somebody_looks(ros, camera, model, monkeypatch):
    asked = []
    postprocess = Segmenter.postprocess
    monkeypatch.setattr(Segmenter, "postprocess", lambda *given: asked.append(given[-1]) or postprocess(*given))
    node = make_node(ros, model)
    activate(node)
    asked.clear()
    send_and_await(ros, camera)
    subscription = camera.listen(Image, "instances")
    ros.until(lambda: subscribers(node, "instances"), "the mask's subscriber")
    send_and_await(ros, camera)
    camera.destroy_subscription(subscription)
    ros.until(lambda: not subscribers(node, "instances"), "the mask's subscriber to leave")
    send_and_await(ros, camera)
    assert asked == [False, True, False]


def subscribers(node, topic):
    """Return how many subscribers the publisher of a node's topic has found."""
    (publisher,) = (p for p in node.publishers if p.topic_name == f"/yolov8_seg/{topic}")
    return publisher.get_subscription_count()


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_all_results_of_an_image_bear_its_header_and_fit(ros, camera, model, reliability):
    node = make_node(ros, model)
    activate(node)
    for topic in ("instances", "semantic"):
        camera.listen(Image, topic)
    camera.listen(Image, "overlay", reliability=reliability)
    ros.until(lambda: all(subscribers(node, t) for t in ("instances", "semantic", "overlay")), "all subscribers")
    message = send_and_await(ros, camera)
    topics = ("instances", "semantic", "overlay")
    ros.until(lambda: all(camera.results[topic] for topic in topics), "all results")
    for topic in topics:
        assert camera.results[topic][0].header == message.header
        assert (camera.results[topic][0].height, camera.results[topic][0].width) == HW
    assert [camera.results[topic][0].encoding for topic in topics] == ["mono8", "mono8", "bgr8"]
    labels, classes = (np.frombuffer(camera.results[t][0].data, np.uint8) for t in ("instances", "semantic"))
    assert set(labels.tolist()) == {0, int(message.detections[0].id)}
    # Class 1, dog, has value 2.
    assert set(classes.tolist()) == {0, 2}
    np.testing.assert_array_equal(labels > 0, classes > 0)


@pytest.mark.parametrize(("cameras", "prefixes"), [("", [""]), ("front,rear", ["front/", "rear/"])])
def test_the_topics_are_those_of_the_list(ros, model, cameras, prefixes):
    node = make_node(ros, model, cameras=cameras)
    assert node.trigger_configure() == SUCCESS
    own = [p.topic_name.removeprefix("/yolov8_seg/") for p in node.publishers if "/yolov8_seg/" in p.topic_name]
    assert sorted(own) == sorted(prefix + topic for prefix in prefixes for topic in RESULT_TOPICS)


def test_label_info_reaches_late_subscribers(ros, camera, model):
    activate(make_node(ros, model))
    camera.listen(LabelInfo, "label_info", durability=DurabilityPolicy.TRANSIENT_LOCAL)
    ros.until(lambda: camera.results["label_info"], "the label info")
    names = [entry.class_name for entry in camera.results["label_info"][0].class_map]
    assert names == ["background", "cat", "dog"]


def test_auto_reliability_follows_the_publishers(ros, model):
    node = make_node(ros, model)
    activate(node)
    camera = ros.add(Camera(ReliabilityPolicy.BEST_EFFORT))
    camera.listen(Detection2DArray, "detections")
    send_and_await(ros, camera)
    reliable = ros.add(Node("reliable_camera"))
    reliable.create_publisher(Image, "image", 10)
    camera.destroy_publisher(camera.raw)
    policy = ReliabilityPolicy.RELIABLE
    offers = node.get_subscriptions_info_by_topic
    ros.until(
        lambda: [info.qos_profile.reliability for info in offers("/image")] == [policy], "a reliable subscription"
    )


def test_best_effort_is_kept_where_it_is_asked_for(ros, camera, model):
    node = make_node(ros, model, image_reliability="best_effort")
    activate(node)
    send_and_await(ros, camera)
    (info,) = node.get_subscriptions_info_by_topic("/image")
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_compressed_images_are_taken_beside_the_remapped_topic(ros, model):
    arguments = ["--ros-args", "-r", "image:=/front/color"]
    activate(make_node(ros, model, cli_args=arguments, image_transport="compressed"))
    camera = Node("camera")
    ros.add(camera)
    publisher = camera.create_publisher(CompressedImage, "/front/color/compressed", 10)
    received = []
    camera.create_subscription(Detection2DArray, "yolov8_seg/detections", received.append, 10)
    ros.until(publisher.get_subscription_count, "the node to listen")
    jpeg = cv2.imencode(".jpg", np.full((*HW, 3), 90, np.uint8))[1]
    message = CompressedImage(format="jpeg", data=array.array("B", jpeg.tobytes()))
    publisher.publish(message)
    ros.until(lambda: received, "the detections")
    assert len(received[0].detections) == 1


# Health and bad input


def test_diagnostics_tell_how_it_goes(ros, camera, model):
    activate(make_node(ros, model))
    send_and_await(ros, camera)
    ros.until(lambda: camera.health and value_of(camera.health, "frames processed") == "1", "the count")
    assert camera.health.name == "yolov8_seg: segmentation"
    assert value_of(camera.health, "model") == str(model)
    assert "CPU" in value_of(camera.health, "backend")
    assert value_of(camera.health, "head").startswith("as published: ")
    ros.until(lambda: camera.health.level == DiagnosticStatus.WARN, "a warning about the silent camera")
    assert camera.health.message == "no images on /image"


@pytest.mark.parametrize(
    ("reliability", "remedy"),
    [("auto", "make its publisher reliable"), ("best_effort", "make its publisher reliable"), ("reliable", "")],
    ids=["auto", "best_effort", "reliable, hence not matched"],
)
def test_silence_of_a_best_effort_camera_is_told_with_the_remedy(ros, model, reliability, remedy):
    camera = ros.add(Camera(ReliabilityPolicy.BEST_EFFORT))
    activate(make_node(ros, model, image_reliability=reliability))
    ros.until(lambda: camera.health and camera.health.level == DiagnosticStatus.WARN, "a warning about the silence")
    message = camera.health.message
    assert message.startswith("no images on /image")
    assert remedy in message
    assert ("get lost" in message) == bool(remedy)


@pytest.mark.parametrize("mutate", [mutated_image, mutated_jpeg])
def test_hundreds_of_mutations_do_not_kill_it(ros, camera, model, mutate):
    transport = "raw" if mutate is mutated_image else "compressed"
    node = make_node(ros, model, image_transport=transport)
    activate(node)
    (stream,) = node.streams
    ros.until(connected(camera), "the node to listen")
    publisher = camera.raw if transport == "raw" else camera.compressed
    rng = random.Random(9)
    for count in range(250):
        message = mutate(rng)
        publisher.publish(message)
        ros.until(lambda count=count: concluded(stream) > count, f"mutation {count}")
    invalid = stream.counts.invalid
    assert invalid > 25
    assert stream.counts.failed == 0
    assert node._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE
    good = camera.sent + 1
    if transport == "raw":
        assert camera.send() == good
    else:
        message = CompressedImage()
        message.data = array.array("B", cv2.imencode(".png", np.zeros((*HW, 3), np.uint8))[1].tobytes())
        message.header.stamp.sec = good
        publisher.publish(message)
    ros.until(lambda: good in stamps(camera), "the good image after them")
    ros.until(lambda: camera.health and value_of(camera.health, "frames invalid") == str(invalid), "the count")


def concluded(stream):
    counts = stream.counts
    return counts.processed + counts.invalid + counts.failed


def test_a_failing_backend_is_reported_and_survived(ros, camera, model, backends, monkeypatch):
    activate(make_node(ros, model))
    run = backends[0].run
    monkeypatch.setattr(backends[0], "run", lambda _: (_ for _ in ()).throw(RuntimeError("the NPU is on fire")))
    ros.until(connected(camera), "the node to listen")
    camera.send()
    ros.until(lambda: camera.health and "the NPU is on fire" in camera.health.message, "the error in the diagnostics")
    assert camera.health.level == DiagnosticStatus.ERROR
    monkeypatch.setattr(backends[0], "run", run)
    send_and_await(ros, camera)


def test_a_fault_of_the_backend_is_shown_until_it_passes(ros, camera, model, backends):
    activate(make_node(ros, model))
    backends[0].fault = "the cable is out"
    ros.until(lambda: camera.health and camera.health.message == "the cable is out", "the fault in the diagnostics")
    assert camera.health.level == DiagnosticStatus.ERROR
    backends[0].fault = ""
    ros.until(lambda: camera.health.level != DiagnosticStatus.ERROR, "the fault to pass")


def test_the_backend_is_paused_while_nobody_listens(ros, camera, model, backends, monkeypatch):
    node = make_node(ros, model)
    activate(node)
    calls = []
    monkeypatch.setattr(backends[0], "pause", lambda: calls.append("pause"))
    monkeypatch.setattr(backends[0], "resume", lambda: calls.append("resume"))
    node.trigger_deactivate()
    node.trigger_activate()
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert calls == ["pause", "resume", "pause", "pause"]


def test_an_interrupted_run_is_no_failure(ros, camera, model, backends, monkeypatch):
    node = make_node(ros, model)
    activate(node)
    (stream,) = node.streams
    run = backends[0].run
    monkeypatch.setattr(backends[0], "run", lambda _: (_ for _ in ()).throw(RunInterruptedError("paused")))
    ros.until(connected(camera), "the node to listen")
    camera.send()
    ros.until(lambda: stream.counts.dropped, "the end of the run")
    assert stream.counts.failed == 0
    monkeypatch.setattr(backends[0], "run", run)
    send_and_await(ros, camera)


def test_an_error_that_nobody_foresaw_while_configuring_is_logged_and_shown(ros, camera, model, monkeypatch, capfd):
    monkeypatch.setattr(seg_node, "open_backend", lambda **_: (_ for _ in ()).throw(PermissionError("no entry")))
    node = make_node(ros, model)
    assert node.trigger_configure() == FAILURE
    ros.until(lambda: camera.health and camera.health.message == "cannot configure: no entry", "the reason")
    assert camera.health.level == DiagnosticStatus.ERROR
    logged = "".join(capfd.readouterr())
    assert "cannot configure: no entry" in logged
    assert "Traceback" in logged


def test_an_error_while_activating_is_logged_and_shown_and_it_can_be_configured_again(
    ros, camera, model, monkeypatch, capfd
):
    node = make_node(ros, model)
    assert node.trigger_configure() == SUCCESS
    with monkeypatch.context() as broken:
        broken.setattr(CameraStream, "listen", lambda *_: (_ for _ in ()).throw(RuntimeError("a defect")))
        assert node.trigger_activate() == TransitionCallbackReturn.ERROR
    ros.until(lambda: camera.health and camera.health.message == "cannot activate: a defect", "the reason")
    assert "Traceback" in "".join(capfd.readouterr())
    activate(node)
    send_and_await(ros, camera)


@pytest.mark.parametrize(
    ("transitions", "message"),
    [
        ((), "unconfigured"),
        (("configure",), "inactive"),
        (("configure", "activate", "deactivate"), "inactive"),
        (("configure", "cleanup"), "unconfigured"),
        (("shutdown",), "finalized"),
    ],
    ids=lambda value: " ".join(value) or "none" if isinstance(value, tuple) else value,
)
def test_diagnostics_tell_the_states_apart(ros, camera, model, transitions, message):
    node = make_node(ros, model)
    for transition in transitions:
        assert getattr(node, f"trigger_{transition}")() == SUCCESS
    ros.until(lambda: camera.health and camera.health.message == message, f"'{message}' in the diagnostics")
    assert camera.health.level == DiagnosticStatus.OK


def test_diagnostics_say_that_it_is_disabled(ros, camera, model):
    activate(make_node(ros, model))
    ros.call(camera.create_client(SetBool, "yolov8_seg/set_enabled"), SetBool.Request(data=False))
    ros.until(lambda: camera.health and camera.health.message == "disabled by ~/set_enabled", "the state")


def test_a_negative_stamp_is_served(ros, camera, model):
    activate(make_node(ros, model))
    camera.sent = -8
    message = send_and_await(ros, camera)
    assert message.header.stamp.sec == -7
    ros.until(lambda: camera.health and value_of(camera.health, "frames processed") == "1", "the count")
    assert value_of(camera.health, "frames failed") == "0"


def test_with_a_clock_that_stands_still_images_are_served_and_a_warning_is_shown(ros, model):
    activate(make_node(ros, model, use_sim_time=True))
    camera = ros.add(Camera(ReliabilityPolicy.BEST_EFFORT))
    camera.listen(Detection2DArray, "detections")
    send_and_await(ros, camera)
    warning = "use_sim_time is on, and /clock stands still"

    def is_warned():
        camera.send()
        return camera.health and camera.health.message == warning

    ros.until(is_warned, "the warning")
    assert camera.health.level == DiagnosticStatus.WARN


def test_each_kind_of_invalid_image_is_logged(ros, camera, model, capfd):
    node = make_node(ros, model)
    activate(node)
    (stream,) = node.streams
    ros.until(connected(camera), "the node to listen")
    for count, encoding in enumerate(["one", "one", "other", "evil\x1b[31m" + "x" * 10_000], start=1):
        camera.raw.publish(Image(height=2, width=2, step=2, encoding=encoding, data=array.array("B", bytes(4))))
        ros.until(lambda count=count: stream.counts.invalid == count, f"image {count}")
    logged = "".join(capfd.readouterr())
    assert logged.count("encoding 'one' is not supported") == 1
    assert logged.count("encoding 'other' is not supported") == 1
    assert "\x1b[31m" not in logged
    assert "x" * 100 not in logged
    assert len(stream.last_error) < 500


def test_an_absurd_frame_id_makes_an_image_invalid(ros, camera, model):
    node = make_node(ros, model)
    activate(node)
    (stream,) = node.streams
    ros.until(connected(camera), "the node to listen")
    image = Image(height=2, width=2, step=6, encoding="bgr8", data=array.array("B", bytes(12)))
    image.header.frame_id = "f" * 257
    camera.raw.publish(image)
    ros.until(lambda: stream.counts.invalid, "the count")
    assert stream.last_error == "the frame_id has 257 characters; expected at most 256"


def test_a_model_of_many_classes_publishes_all_but_the_semantic_image(ros, camera, tmp_path, capfd):
    names = {index: f"class {index}" for index in range(300)}
    node = make_node(ros, write_segmentation_model(tmp_path / "many.tflite", num_classes=300, names=names))
    activate(node)
    camera.listen(Image, "instances")
    ros.until(lambda: subscribers(node, "instances"), "the subscriber")
    send_and_await(ros, camera)
    ros.until(lambda: camera.results["instances"], "the instances")
    assert "the model has 300 classes, and ~/semantic has room for 255: not published" in "".join(capfd.readouterr())
    assert not [p for p in node.publishers if p.topic_name.endswith("semantic")]


# Views


def test_the_colours_of_instances_and_the_compressed_overlay_are_published_on_demand(ros, camera, model):
    node = make_node(ros, model)
    activate(node)
    camera.listen(Image, "instances_color")
    camera.listen(CompressedImage, "overlay/compressed")
    ros.until(lambda: all(subscribers(node, t) for t in ("instances_color", "overlay/compressed")), "the subscribers")
    message = send_and_await(ros, camera)
    ros.until(lambda: all(camera.results[t] for t in ("instances_color", "overlay/compressed")), "the images")
    (colors,), (overlay,) = camera.results["instances_color"], camera.results["overlay/compressed"]
    assert colors.header == overlay.header == message.header
    pixels = np.frombuffer(colors.data, np.uint8).reshape(*HW, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 2
    assert pixels.max() > 100
    assert cv2.imdecode(np.frombuffer(overlay.data, np.uint8), cv2.IMREAD_COLOR).shape == (*HW, 3)


# Topics of remapped cameras


@pytest.mark.parametrize(
    ("remapping", "topic"),
    [
        ("image:=/front/color", "/front/color/compressed"),
        ("image:=/front/color/compressed", "/front/color/compressed"),
        ("image/compressed:=/front/jpeg", "/front/jpeg"),
    ],
)
def test_the_compressed_topic_follows_every_way_to_remap_it(ros, model, remapping, topic):
    node = make_node(ros, model, cli_args=["--ros-args", "-r", remapping], image_transport="compressed")
    activate(node)
    (stream,) = node.streams
    assert stream.topic == topic
    assert node.count_subscribers(topic) == 1


def test_raw_images_that_come_only_compressed_are_told_with_the_remedy(ros, model):
    camera = ros.add(Node("camera"))
    camera.create_publisher(CompressedImage, "image/compressed", 10)
    node = make_node(ros, model)
    activate(node)
    (stream,) = node.streams
    ros.until(stream.why_silent, "the silence")
    assert stream.why_silent() == (
        "no images on /image, but /image/compressed has a publisher: set image_transport to compressed"
    )


# Several cameras


def camera_of(ros, name):
    made = Camera(prefix=f"{name}/")
    made.listen(Detection2DArray, "detections")
    return ros.add(made)


def test_each_camera_has_its_own_topics(ros, model):
    node = make_node(ros, model, cameras=["front", "rear"])
    front, rear = camera_of(ros, "front"), camera_of(ros, "rear")
    activate(node)
    for camera, count in ((front, 3), (rear, 2)):
        for _ in range(count):
            send_and_await(ros, camera)
    assert [len(camera.results["detections"]) for camera in (front, rear)] == [3, 2]
    assert [stream.counts.processed for stream in node.streams] == [3, 2]
    assert [stream.topic for stream in node.streams] == ["/front/image", "/rear/image"]


def test_a_camera_that_sends_garbage_leaves_the_others_alone(ros, model):
    node = make_node(ros, model, cameras="front, rear")
    front, rear = camera_of(ros, "front"), camera_of(ros, "rear")
    activate(node)
    ros.until(connected(front), "the node to listen")
    for _ in range(20):
        front.raw.publish(Image(encoding="garbage"))
        send_and_await(ros, rear)
    garbled, healthy = node.streams
    ros.until(lambda: concluded(garbled) + garbled.counts.dropped == 20, "the garbage to be counted")
    assert garbled.counts.invalid > 0
    assert healthy.counts.processed == 20


def test_diagnostics_have_an_entry_for_each_of_several_cameras(ros, model):
    node = make_node(ros, model, cameras=["front", "rear"])
    front = camera_of(ros, "front")
    activate(node)
    send_and_await(ros, front)
    ros.until(lambda: front.diagnostics and len(front.diagnostics[-1].status) == 3, "three entries")
    names = [status.name for status in front.diagnostics[-1].status]
    assert names == ["yolov8_seg: segmentation", "yolov8_seg: camera front", "yolov8_seg: camera rear"]
    ros.until(lambda: front.diagnostics[-1].status[2].message == "no images on /rear/image", "the silence")


def test_a_camera_may_have_parameters_of_its_own(ros, model):
    own = {"rear.image_transport": "compressed", "rear.max_rate_hz": 5}
    node = make_node(ros, model, cameras=["front", "rear"], max_rate_hz=20.0, **own)
    assert node.get_parameter("front.max_rate_hz").value == 20.0
    activate(node)
    assert [stream.topic for stream in node.streams] == ["/front/image", "/rear/image/compressed"]


def test_parameters_of_a_camera_that_there_is_not_are_warned_of(ros, model, capfd):
    make_node(ros, model, cameras=["front"], **{"rear.weight": 2.0})
    assert "there is no camera rear: rear.weight has no effect" in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("cameras", "expected"),
    [
        ("front,front", "'front' is there twice"),
        ("front, 2nd", "'2nd' cannot name a camera"),
        ("a/b", "'a/b' cannot name a camera"),
        (["n6"], "'n6' cannot name a camera"),
    ],
)
def test_names_of_cameras_are_checked(ros, camera, model, cameras, expected):
    node = make_node(ros, model, cameras=cameras)
    assert node.trigger_configure() == FAILURE
    ros.until(lambda: camera.health and expected in camera.health.message, "the reason")


# Tracking


def test_an_object_keeps_its_id_which_also_is_in_the_image(ros, camera, model):
    tracking = {"tracking.enabled": True, "tracking.ids_in_instances": True}
    node = make_node(ros, model, **tracking)
    activate(node)
    camera.listen(Image, "instances")
    ros.until(lambda: subscribers(node, "instances"), "the subscriber")
    ids = [send_and_await(ros, camera).detections[0].id for _ in range(3)]
    assert ids == ["1", "1", "1"]
    ros.until(lambda: len(camera.results["instances"]) == 3, "the images")
    for message in camera.results["instances"]:
        assert message.encoding == "16UC1"
        assert set(np.frombuffer(message.data, np.uint16).tolist()) == {0, 1}


def test_ids_are_never_used_again(ros, model):
    node = make_node(ros, model, cameras=["front", "rear"], **{"tracking.enabled": True})
    cameras = camera_of(ros, "front"), camera_of(ros, "rear")
    seen = []
    for _ in range(2):
        activate(node)
        seen += [send_and_await(ros, camera).detections[0].id for camera in cameras]
        assert node.trigger_deactivate() == SUCCESS
        assert node.trigger_cleanup() == SUCCESS
    assert seen == ["1", "2", "3", "4"]
