"""Test over real DDS what the node `yolov8_seg` makes of bad input and errors, and what /diagnostics shows."""

from __future__ import annotations

import array
import random

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import RunInterruptedError

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from lifecycle_msgs.msg import State
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool
from support.camera_messages import mutated_image, mutated_jpeg
from support.seg_camera import (
    FAILURE,
    HW,
    SUCCESS,
    Camera,
    activate,
    concluded,
    connected,
    make_node,
    send_and_await,
    stamps,
    subscribers,
    value_of,
)
from support.tiny_models import write_segmentation_model
from vision_msgs.msg import Detection2DArray

from yolov8_seg_ros.node import seg_node
from yolov8_seg_ros.node.stream import CameraStream

# Health and bad input


def test_diagnostics_tell_how_it_goes(ros, camera, model):
    activate(make_node(ros, model))
    send_and_await(ros, camera)
    ros.until(lambda: camera.health and value_of(camera.health, "frames processed") == "1", "the count")
    assert camera.health.name == "yolov8_seg: segmentation"
    assert value_of(camera.health, "model") == str(model)
    assert "CPU" in value_of(camera.health, "backend")
    assert value_of(camera.health, "head").startswith("as in the file: ")
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
