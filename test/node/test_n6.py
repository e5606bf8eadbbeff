"""Test the node with a simulated STM32N6 board: results, a cable's life, and leaving amid a slow transfer."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import numpy as np
import pytest

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State
from rclpy.node import Node
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool
from support.n6_harness import PtyHarness
from support.ros_harness import parameters, process
from support.seg_camera import Camera, activate, connected, make_node, send_and_await, stamps
from support.shared_data import shared_path
from support.tiny_models import write_segmentation_model
from vision_msgs.msg import Detection2DArray

from yolov8_seg_ros.backends.n6.simulator.line import LineClosed, PtyLine
from yolov8_seg_ros.backends.n6.simulator.network import LiteRtNetwork
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.segmenter import Segmenter

NUM_IMAGES = 6
#: A frame of 256x256 pixels takes nine minutes at this rate.
SLOW_BAUD = 9600
SUCCESS_CODE = 0


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})


@pytest.fixture
def board(tmp_path, model):
    with closing(PtyHarness(tmp_path, LiteRtNetwork(model, 1))) as made:
        yield made


@pytest.fixture
def camera(ros):
    made = Camera()
    made.listen(Detection2DArray, "detections")
    return ros.add(made)


@pytest.fixture
def node(ros, model, board):
    made = make_node(ros, model, backend="n6", **{"n6.port": board.port})
    activate(made)
    return made


@contextmanager
def simulated(model, *arguments):
    """Run a simulated board as a process; yield its port."""
    command = [sys.executable, "-m", "yolov8_seg_ros.cli.main", "n6", "simulate", "--model", str(model), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as board:
        try:
            yield board.stdout.readline().strip()
        finally:
            board.send_signal(signal.SIGTERM)
    assert board.returncode == SUCCESS_CODE


def send_until_answered(ros, camera):
    """Send images until one is answered: those that come while the board is brought back into step are left out."""
    answered = len(stamps(camera))
    timer = camera.create_timer(0.1, camera.send)
    ros.until(lambda: len(stamps(camera)) > answered, "a result")
    camera.destroy_timer(timer)


def test_images_become_detections(ros, node, camera):
    message = send_and_await(ros, camera)
    assert [detection.results[0].hypothesis.class_id for detection in message.detections] == ["dog"]
    ros.until(lambda: camera.health and camera.health.level == DiagnosticStatus.OK, "good health")
    assert "STM32N6 on" in camera.health.hardware_id


def test_a_pulled_cable_is_told_and_results_resume(ros, node, camera, board):
    send_and_await(ros, camera)
    board.stay_out()
    board.pull()
    ros.until(lambda: not board.is_plugged_in, "the cable to be out")
    camera.send()
    ros.until(lambda: camera.health and "no such port" in camera.health.message, "the reason")
    assert camera.health.level == DiagnosticStatus.ERROR
    assert camera.health.message.startswith("the board has failed since ")
    assert node._state_machine.current_state[0] == State.PRIMARY_STATE_ACTIVE
    board.plug_in()
    ros.until(lambda: camera.health.level != DiagnosticStatus.ERROR, "the fault to pass")
    send_and_await(ros, camera)


def test_a_board_that_is_not_there_fails_configure(ros, camera, model):
    node = make_node(ros, model, backend="n6", **{"n6.port": "/dev/absent"})
    node.trigger_configure()
    ros.until(lambda: camera.health and "/dev/absent: there is no such port" in camera.health.message, "the reason")
    assert camera.health.level == DiagnosticStatus.ERROR


@pytest.mark.parametrize("leave", ["deactivate", "disable"])
def test_leaving_interrupts_a_transfer_that_stands_still(ros, node, camera, board, leave):
    send_and_await(ros, camera)
    stalled = threading.Event()

    def stall(line):
        line.mute = True
        stalled.set()

    board.line.arm(5000, stall)
    abandoned = camera.send()
    ros.until(stalled.is_set, "the transfer to stand still")
    (stream,) = node.streams
    dropped = stream.counts.dropped
    client = camera.create_client(SetBool, "yolov8_seg/set_enabled")
    if leave == "deactivate":
        node.trigger_deactivate()
    else:
        ros.call(client, SetBool.Request(data=False))
    ros.until(lambda: stream.counts.dropped > dropped, "the transfer's end", deadline_s=1.0)
    assert stream.counts.failed == 0
    board.line.mute = False
    if leave == "deactivate":
        node.trigger_activate()
    else:
        ros.call(client, SetBool.Request(data=True))
    send_until_answered(ros, camera)
    assert abandoned not in stamps(camera)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_process_amid_a_slow_transfer(ros, camera, tmp_path, number):
    model = write_segmentation_model(tmp_path / "large.tflite", input_hw=(256, 256), names={0: "cat", 1: "dog"})
    with simulated(model, "--baud", str(SLOW_BAUD)) as port:
        line = {"n6.port": port, "n6.baud_rate": SLOW_BAUD, "n6.protocol": "stedgeai"}
        arguments = parameters(model=model, backend="n6", **line)
        with process("node.seg_node", *arguments) as node:
            ros.until(connected(camera), "the node to listen")
            ros.until(lambda: is_at_work(camera), "a transfer")
            node.send_signal(number)
            output, _ = node.communicate(timeout=20)
    assert node.returncode == 0
    assert "Traceback" not in output


def is_at_work(camera):
    """Send images until the second of them gives way to a third: the first is on its way to the board."""
    camera.send()
    values = {entry.key: entry.value for entry in camera.health.values} if camera.health else {}
    return values.get("frames dropped for newer ones", "0") != "0"


@contextmanager
def line_that_never_falls_silent():
    """Send packets without an end, as a board does that sends outputs; yield the line."""
    line = PtyLine(baud_rate=921600)

    def send():
        try:
            while True:
                line.write(b"\x20" * 33)
        except LineClosed:
            return

    sender = threading.Thread(target=send)
    sender.start()
    try:
        yield line
    finally:
        line.close()
        sender.join()
        line.release()


def is_in_use(path):
    """Return whether a program has locked the port."""
    descriptor = os.open(path, os.O_RDWR | os.O_NOCTTY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_a_signal_ends_the_process_while_it_configures(ros, model):
    with (
        line_that_never_falls_silent() as line,
        process("node.seg_node", *parameters(model=model, backend="n6", **{"n6.port": line.path})) as node,
    ):
        ros.until(lambda: is_in_use(line.path), "the node to listen for the board")
        node.send_signal(signal.SIGTERM)
        output, _ = node.communicate(timeout=20)
    assert node.returncode == 0
    assert "Traceback" not in output


class Recorder(Node):
    """Keep images and what the node makes of them, by stamp."""

    def __init__(self):
        super().__init__("recorder")
        self.bridge = CvBridge()
        self.images, self.contents, self.detections, self.masks = {}, {}, {}, {}
        self.faults = []
        self.create_subscription(Image, "image", self.take_image, 100)
        self.create_subscription(Detection2DArray, "yolov8_seg/detections", self.take, 100)
        self.create_subscription(Image, "yolov8_seg/instances", lambda m: self.masks.update({key(m): m}), 100)
        self.create_subscription(DiagnosticArray, "/diagnostics", self.take_health, 10)

    def take_image(self, message):
        self.images[key(message)] = message
        self.contents[key(message)] = hash(message.data.tobytes())

    def take(self, message):
        self.detections[key(message)] = message

    def take_health(self, message):
        if message.status[0].level == DiagnosticStatus.ERROR:
            self.faults.append(message.status[0].message)

    def complete(self):
        """Return the stamps of which everything is here, each of another image."""
        stamps = sorted(self.images.keys() & self.detections.keys() & self.masks.keys())
        return list({self.contents[stamp]: stamp for stamp in stamps}.values())


def key(message):
    return message.header.stamp.sec, message.header.stamp.nanosec


def test_three_processes_give_the_results_of_the_cpu_bit_for_bit(ros, st_model_256, tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for path in sorted(shared_path("data/coco_val/images").glob("*.jpg"))[:NUM_IMAGES]:
        (folder / path.name).symlink_to(path)
    recorder = ros.add(Recorder())
    source = parameters(source=folder, rate_hz=3.0, wait_for_subscribers=2, transport="raw")
    with simulated(st_model_256) as port:
        seg = parameters(model=st_model_256, backend="n6", **{"n6.port": port})
        with process("node.seg_node", *seg), process("node.image_source", *source):
            ros.until(lambda: len(recorder.complete()) >= NUM_IMAGES, "all results", deadline_s=150.0)
    assert not recorder.faults
    with open_backend(str(st_model_256), "cpu", raw_head=False) as backend:
        segmenter = Segmenter(backend)
        for stamp in recorder.complete():
            assert_same(recorder, stamp, segmenter)
    print(f"{len(recorder.complete())} images are the same, of {len(recorder.images)} sent")


def assert_same(recorder, stamp, segmenter):
    """Compare all that the node published about an image with the CPU's result."""
    expected = segmenter.segment(recorder.bridge.imgmsg_to_cv2(recorder.images[stamp], "bgr8"))
    found = recorder.detections[stamp].detections
    names = [segmenter.spec.class_names[index] for index in expected.class_id]
    assert [detection.results[0].hypothesis.class_id for detection in found] == names
    assert [detection.results[0].hypothesis.score for detection in found] == expected.score.astype(float).tolist()
    boxes = [(d.bbox.center.position.x, d.bbox.center.position.y, d.bbox.size_x, d.bbox.size_y) for d in found]
    left, top, right, bottom = expected.xyxy.astype(float).T
    np.testing.assert_array_equal(
        np.reshape(boxes, (-1, 4)), np.stack([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top], 1)
    )
    labels = recorder.bridge.imgmsg_to_cv2(recorder.masks[stamp], "mono8")
    np.testing.assert_array_equal(labels, expected.label_image())


def test_a_board_with_the_bridge_firmware_is_a_backend_like_others(ros, model, camera):
    with simulated(model, "--protocol", "bridge", "--tcp", "0") as port:
        node = make_node(ros, model, backend="n6", **{"n6.port": port})
        activate(node)
        for _ in range(NUM_IMAGES):
            message = send_and_await(ros, camera)
            assert [detection.results[0].hypothesis.class_id for detection in message.detections] == ["dog"]
        ros.until(lambda: camera.health and camera.health.level == DiagnosticStatus.OK, "good health")
        assert "bridge firmware" in camera.health.hardware_id
    camera.send()
    ros.until(lambda: camera.health.level == DiagnosticStatus.ERROR, "the fault")
    assert port in camera.health.message
