"""Test the node as a process of its own, with real models, images and rates, as a robot runs it."""

from __future__ import annotations

import json
import signal

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from diagnostic_msgs.msg import DiagnosticArray
from pycocotools import mask as rle
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image
from support.ros_harness import parameters, process
from support.shared_data import shared_path
from support.tiny_models import write_segmentation_model
from vision_msgs.msg import Detection2DArray

from yolov8_seg_ros.core.iou import mask_iou

#: What mirrors Ultralytics' own way with the same file.
REFERENCE_OPTIONS = {"decoding": "ultralytics", "max_instances": 255}
REFERENCE_MIN_SCORE = 0.4
MIN_IOU = 0.85
COUNTS = ("received", "processed", "dropped for newer ones")
#: The stamp of images that only find out whether everything is connected.
PROBE = 0
MIN_SHARE = 0.97
PROFILES = {
    "large-image profile": {"YOLOV8_SEG_TRANSPORT_PROFILE": "large_images"},
    "as delivered": {"YOLOV8_SEG_TRANSPORT_PROFILE": "none"},
}


class Robot(Node):
    """Publish images, and collect detections and masks by stamp."""

    def __init__(self):
        super().__init__("robot")
        self._bridge = CvBridge()
        self.publisher = self.create_publisher(Image, "image", QoSProfile(depth=5))
        self.detections, self.masks = {}, {}
        self.on_detections = lambda message: None
        self.counts = []
        self.create_subscription(DiagnosticArray, "/diagnostics", self._take_counts, 10)
        self.create_subscription(Detection2DArray, "yolov8_seg/detections", self._take_detections, 100)
        self.create_subscription(Image, "yolov8_seg/instances", self._take_mask, 100)

    def _take_detections(self, message):
        self.detections[message.header.stamp.sec] = message
        if message.header.stamp.sec != PROBE:
            self.on_detections(message)

    def _take_counts(self, message):
        values = {entry.key: entry.value for entry in message.status[0].values}
        self.counts.append({key: int(values[f"frames {key}"]) for key in COUNTS})

    def _take_mask(self, message):
        self.masks[message.header.stamp.sec] = message

    def send(self, number, bgr):
        message = self._bridge.cv2_to_imgmsg(bgr, "bgr8")
        message.header.stamp.sec = number
        self.publisher.publish(message)

    def has(self, number):
        return number in self.detections and number in self.masks

    def instances(self, number):
        """Return class, box (left, top, width, height) and label of each instance of an image."""
        for detection in self.detections[number].detections:
            box = detection.bbox
            centre = box.center.position
            left, top = centre.x - box.size_x / 2, centre.y - box.size_y / 2
            yield detection.results[0].hypothesis.class_id, [left, top, box.size_x, box.size_y], int(detection.id)

    def label_image(self, number):
        return self._bridge.imgmsg_to_cv2(self.masks[number], "mono8")


@pytest.fixture
def robot(ros):
    return ros.add(Robot())


def connect(ros, robot):
    """Send images until the results of one come back: only then are all topics of both processes connected."""
    probe = np.zeros((48, 64, 3), np.uint8)
    timer = robot.create_timer(0.2, lambda: robot.send(PROBE, probe))
    ros.until(lambda: robot.has(PROBE), "the results of a first image")
    robot.destroy_timer(timer)


def settled_counts(ros, robot):
    """Return the node's own counts once they have stopped growing."""
    robot.counts.clear()
    ros.until(lambda: len(robot.counts) > 1 and robot.counts[-1] == robot.counts[-2], "counts that stand still")
    return np.array([robot.counts[-1][key] for key in COUNTS])


def has_counterpart(wanted, name, found, labels):
    """Return whether a reference detection was found again: class, box and mask."""
    wanted_mask = rle.decode(wanted["segmentation"]).astype(np.bool_)
    for found_name, box, label in found:
        if found_name == name and rle.iou([box], [wanted["bbox"]], [0])[0, 0] >= MIN_IOU:
            # Where a better instance lies above this one, the label image cannot tell: the reference is believed.
            covered = (labels > 0) & (labels < label)
            if mask_iou((labels == label) | (covered & wanted_mask), wanted_mask) >= MIN_IOU:
                return True
    return False


@pytest.mark.parametrize("size", ["256", "320"])
def test_the_reference_detections_are_found_again(ros, robot, coco_images, request, size):
    model = request.getfixturevalue(f"st_model_{size}")
    reference = json.loads(shared_path(f"reference/ultralytics_{size}_conf25.json").read_text())
    names = yaml.safe_load(shared_path("data/coco_val/data.yaml").read_text())["names"]
    with process("node.seg_node", *parameters(model=model, **REFERENCE_OPTIONS)):
        connect(ros, robot)
        missing, count = [], 0
        for path in coco_images:
            number = int(path.stem)
            robot.send(number, cv2.imread(str(path)))
            ros.until(lambda number=number: robot.has(number), f"the results of {path.name}")
            found, labels = list(robot.instances(number)), robot.label_image(number)
            for wanted in reference:
                if wanted["image_id"] == number and wanted["score"] >= REFERENCE_MIN_SCORE:
                    count += 1
                    if not has_counterpart(wanted, names[wanted["category_id"]], found, labels):
                        missing.append((path.name, names[wanted["category_id"]], wanted["score"]))
    share = 1 - len(missing) / count
    print(f"{size}: {count - len(missing)} of {count} found again, {share:.4f}; missing: {missing}")
    assert share >= MIN_SHARE, missing


@pytest.mark.parametrize("profile", PROFILES)
def test_no_frame_is_lost_in_transport_at_30_hz(ros, robot, tmp_path, profile):
    """A frame may give way to a newer one when the machine is busy, but then it is counted."""
    count = 90
    model = write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})
    source = parameters(source="demo", rate_hz=30.0, num_frames=count, wait_for_subscribers=1, transport="raw")
    with process("node.seg_node", *parameters(model=model), **PROFILES[profile]):
        connect(ros, robot)
        before = settled_counts(ros, robot)
        results = []
        robot.on_detections = lambda message: results.append((message.header.stamp.sec, message.header.stamp.nanosec))
        robot.destroy_publisher(robot.publisher)
        with process("node.image_source", *source, **PROFILES[profile]) as camera:
            ros.until(lambda: camera.poll() is not None, "the camera to end")
        received, processed, dropped = settled_counts(ros, robot) - before
    print(f"{profile}: {received} received, {processed} processed, {dropped} dropped for newer ones")
    assert received == count
    assert processed == count - dropped
    assert len(set(results)) == processed
    assert results == sorted(results)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with images"])
def test_signals_end_it_quietly(ros, robot, tmp_path, number, busy):
    model = write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})
    with process("node.seg_node", *parameters(model=model)) as node:
        connect(ros, robot)
        if busy:
            robot.send(1, np.zeros((480, 640, 3), np.uint8))
            ros.until(lambda: robot.has(1), "a result")
            for stamp in range(2, 12):
                robot.send(stamp, np.zeros((480, 640, 3), np.uint8))
        node.send_signal(number)
        output, _ = node.communicate(timeout=20)
    assert node.returncode == 0
    assert "Traceback" not in output


BAD_STARTS = {
    "missing model": (parameters(model="/absent.tflite"), "/absent.tflite"),
    "unknown value": (parameters(fit="crop"), "fit: expected one of letterbox, stretch; got 'crop'"),
    "out of range": (parameters(score_threshold=2.0), "score_threshold: expected 0.0 to 1.0, got 2.0"),
    "bad ROS arguments": (["-p", "nonsense"], "nonsense"),
}


@pytest.mark.parametrize("case", BAD_STARTS)
def test_a_failed_start_says_why_and_ends_the_process(case):
    arguments, expected = BAD_STARTS[case]
    with process("node.seg_node", *arguments) as node:
        output, _ = node.communicate(timeout=30)
    assert node.returncode == 1
    assert expected in output
    assert "Traceback" not in output


def test_services_answer_while_the_backend_is_busy(ros, robot, tmp_path):
    """Work on a large image takes long; a transition must not wait for it."""
    from lifecycle_msgs.msg import Transition
    from lifecycle_msgs.srv import ChangeState

    model = write_segmentation_model(tmp_path / "tiny.tflite", input_hw=(640, 640), names={0: "cat", 1: "dog"})
    with process("node.seg_node", *parameters(model=model)):
        connect(ros, robot)
        client = robot.create_client(ChangeState, "yolov8_seg/change_state")
        robot.send(1, np.zeros((3000, 4000, 3), np.uint8))
        for transition in (Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE):
            request = ChangeState.Request(transition=Transition(id=transition))
            assert ros.call(client, request).success
