"""Test the node `yolov8_seg` over real DDS in one process: life cycle, parameters, topics, bad input."""

from __future__ import annotations

import array
import random
from pathlib import Path

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import RunInterruptedError

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState
from rcl_interfaces.msg import Parameter as ParameterMsg
from rcl_interfaces.msg import ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool
from test_conversions import mutated_image, mutated_picture
from tiny_models import write_detection_model, write_segmentation_model
from vision_msgs.msg import Detection2DArray, LabelInfo

from yolov8_seg_ros.backends.open_backend import BACKENDS
from yolov8_seg_ros.node.seg_node import SegNode
from yolov8_seg_ros.settings.tables import SEG_NODE_SETTINGS

CHECKOUT = Path(__file__).resolve().parents[2]
HW = (48, 64)
SUCCESS, FAILURE = TransitionCallbackReturn.SUCCESS, TransitionCallbackReturn.FAILURE


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})


class Camera(Node):
    """Publish images as a camera does, and keep all that the node makes of them."""

    def __init__(self, reliability=ReliabilityPolicy.RELIABLE):
        super().__init__("camera")
        qos = QoSProfile(depth=10, reliability=reliability)
        self.raw = self.create_publisher(Image, "image", qos)
        self.compressed = self.create_publisher(CompressedImage, "image/compressed", qos)
        self.results = {}
        self.diagnostics = []
        self.create_subscription(DiagnosticArray, "/diagnostics", self.diagnostics.append, 10)
        self.sent = 0

    def listen(self, message_type, topic, **qos):
        self.results[topic] = []
        profile = QoSProfile(depth=50, **qos)
        return self.create_subscription(message_type, f"yolov8_seg/{topic}", self.results[topic].append, profile)

    def send(self, pixels=None):
        self.sent += 1
        image = Image(height=HW[0], width=HW[1], encoding="bgr8", step=HW[1] * 3)
        image.header.stamp.sec = self.sent
        image.data = array.array("B", np.full((*HW, 3), 90, np.uint8).tobytes())
        self.raw.publish(image)
        return self.sent

    @property
    def health(self):
        return self.diagnostics[-1].status[0] if self.diagnostics else None


def make_node(ros, model, cli_args=None, **overrides):
    values = {"model": str(model), **overrides}
    node = SegNode(parameter_overrides=[Parameter(k, value=v) for k, v in values.items()], cli_args=cli_args)
    return ros.add(node)


def activate(node):
    assert node.trigger_configure() == SUCCESS
    assert node.trigger_activate() == SUCCESS


@pytest.fixture
def camera(ros):
    made = Camera()
    made.listen(Detection2DArray, "detections")
    return ros.add(made)


def connected(camera):
    return lambda: camera.raw.get_subscription_count() or camera.compressed.get_subscription_count()


def send_and_await(ros, camera):
    """Send an image and wait for its detections."""
    ros.until(connected(camera), "the node to listen")
    stamp = camera.send()
    ros.until(lambda: stamp in stamps(camera), f"the detections of image {stamp}")
    return next(m for m in camera.results["detections"] if m.header.stamp.sec == stamp)


def stamps(camera, topic="detections"):
    return [message.header.stamp.sec for message in camera.results[topic]]


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
    node = make_node(ros, model)
    activate(node)
    segmenter = node._session._segmenter
    postprocess = segmenter.postprocess
    monkeypatch.setattr(segmenter, "postprocess", lambda *given: asked.append(given[-1]) or postprocess(*given))
    send_and_await(ros, camera)
    subscription = camera.listen(Image, "instances")
    ros.until(lambda: node._session._instances.get_subscription_count(), "the mask's subscriber")
    send_and_await(ros, camera)
    camera.destroy_subscription(subscription)
    ros.until(lambda: not node._session._instances.get_subscription_count(), "the mask's subscriber to leave")
    send_and_await(ros, camera)
    assert asked == [False, True, False]


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_all_results_of_an_image_bear_its_header_and_fit(ros, camera, model, reliability):
    node = make_node(ros, model)
    activate(node)
    for topic in ("instances", "semantic"):
        camera.listen(Image, topic)
    camera.listen(Image, "overlay", reliability=reliability)
    session = node._session
    publishers = (session._instances, session._semantic, session._overlay)
    ros.until(lambda: all(p.get_subscription_count() for p in publishers), "all subscribers")
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
    picture = cv2.imencode(".jpg", np.full((*HW, 3), 90, np.uint8))[1]
    message = CompressedImage(format="jpeg", data=array.array("B", picture.tobytes()))
    publisher.publish(message)
    ros.until(lambda: received, "the detections")
    assert len(received[0].detections) == 1


# Health and bad input


def value_of(health, key):
    return next(entry.value for entry in health.values if entry.key == key)


def test_diagnostics_tell_how_it_goes(ros, camera, model):
    activate(make_node(ros, model))
    send_and_await(ros, camera)
    ros.until(lambda: camera.health and value_of(camera.health, "frames processed") == "1", "the count")
    assert camera.health.name == "/yolov8_seg: segmentation"
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


@pytest.mark.parametrize("mutate", [mutated_image, mutated_picture])
def test_a_thousand_mutations_do_not_kill_it(ros, camera, model, mutate):
    transport = "raw" if mutate is mutated_image else "compressed"
    node = make_node(ros, model, image_transport=transport)
    activate(node)
    ros.until(connected(camera), "the node to listen")
    publisher = camera.raw if transport == "raw" else camera.compressed
    rng = random.Random(9)
    for count in range(1000):
        message = mutate(rng)
        publisher.publish(message)
        ros.until(lambda count=count: node._session._pipeline.counts.done > count, f"mutation {count}")
    assert node._session._unusable > 100
    assert node._session._failed == 0
    assert node._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE
    good = camera.sent + 1
    if transport == "raw":
        assert camera.send() == good
    else:
        picture = CompressedImage()
        picture.data = array.array("B", cv2.imencode(".png", np.zeros((*HW, 3), np.uint8))[1].tobytes())
        picture.header.stamp.sec = good
        publisher.publish(picture)
    ros.until(lambda: good in stamps(camera), "the good image after them")
    ros.until(lambda: value_of(camera.health, "frames unusable") == str(node._session._unusable), "the count")


def test_a_failing_backend_is_told_and_survived(ros, camera, model, monkeypatch):
    node = make_node(ros, model)
    activate(node)
    backend = node._session._backend
    run = backend.run
    monkeypatch.setattr(backend, "run", lambda _: (_ for _ in ()).throw(RuntimeError("the NPU is on fire")))
    ros.until(connected(camera), "the node to listen")
    camera.send()
    ros.until(lambda: camera.health and "the NPU is on fire" in camera.health.message, "the error in the diagnostics")
    assert camera.health.level == DiagnosticStatus.ERROR
    monkeypatch.setattr(backend, "run", run)
    send_and_await(ros, camera)


def test_a_fault_of_the_backend_is_told_until_it_passes(ros, camera, model):
    node = make_node(ros, model)
    activate(node)
    node._session._backend.fault = "the cable is out"
    ros.until(lambda: camera.health and camera.health.message == "the cable is out", "the fault in the diagnostics")
    assert camera.health.level == DiagnosticStatus.ERROR
    node._session._backend.fault = ""
    ros.until(lambda: camera.health.level != DiagnosticStatus.ERROR, "the fault to pass")


def test_the_backend_is_paused_while_nobody_listens(ros, camera, model, monkeypatch):
    node = make_node(ros, model)
    activate(node)
    backend = node._session._backend
    calls = []
    monkeypatch.setattr(backend, "pause", lambda: calls.append("pause"))
    monkeypatch.setattr(backend, "resume", lambda: calls.append("resume"))
    node.trigger_deactivate()
    node.trigger_activate()
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert calls == ["pause", "resume", "pause", "pause"]


def test_an_interrupted_run_is_no_failure(ros, camera, model, monkeypatch):
    node = make_node(ros, model)
    activate(node)
    backend = node._session._backend
    run = backend.run
    monkeypatch.setattr(backend, "run", lambda _: (_ for _ in ()).throw(RunInterruptedError("paused")))
    ros.until(connected(camera), "the node to listen")
    camera.send()
    ros.until(lambda: node._session._pipeline.counts.done, "the end of the run")
    assert node._session._failed == 0
    monkeypatch.setattr(backend, "run", run)
    send_and_await(ros, camera)
