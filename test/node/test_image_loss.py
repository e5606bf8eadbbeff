"""Test over real DDS that the node tells of images that get lost on their way, and of no others."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.event_handler import UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image
from support.ros_harness import parameters, process
from support.seg_camera import Camera, activate, connected, make_node, value_of
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.node import transport
from yolov8_seg_ros.node.image_input import ImageInput
from yolov8_seg_ros.node.image_loss import LossCounter
from yolov8_seg_ros.node.transport import large_image_profile

pytestmark = pytest.mark.skipif(
    not get_rmw_implementation_identifier().startswith("rmw_fastrtps"), reason="the profile is one of Fast DDS"
)

COUNT = 90
POLICIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}


class Reader(Node):
    """Reader of the node's counters on /diagnostics."""

    def __init__(self):
        super().__init__("reader")
        self.counts = []
        self.create_subscription(DiagnosticArray, "/diagnostics", self._take, 10)

    def _take(self, message):
        (status,) = message.status
        self.counts.append({entry.key: entry.value for entry in status.values})

    def count(self, name):
        return int(self.counts[-1][f"frames {name}"])

    @property
    def knows_all(self):
        last = self.counts[-1] if len(self.counts) > 1 else {}
        return last.get("output rate (Hz)") == last.get("input rate (Hz)") == "0.0"


def test_with_the_profile_at_both_sides_best_effort_images_are_not_lost(ros, tmp_path):
    model = write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})
    images = parameters(
        source="demo",
        rate_hz=30.0,
        num_frames=COUNT,
        wait_for_subscribers=1,
        transport="raw",
        reliability="best_effort",
    )
    profile = {"YOLOV8_SEG_TRANSPORT_PROFILE": "large_images"}
    reader = ros.add(Reader())
    with process("node.seg_node", *parameters(model=model), **profile):
        ros.until(lambda: reader.counts, "the node's diagnostics")
        with process("node.image_source", *images, **profile) as camera:
            ros.until(lambda: camera.poll() is not None, "the camera to end")
        reader.counts.clear()
        ros.until(lambda: reader.knows_all, "the last images to be counted")
    assert (reader.count("received"), reader.count("lost in transport")) == (COUNT, 0)


@pytest.fixture
def report_lost(monkeypatch):
    """Return a function that reports lost images to the node, as the middleware does."""
    reported = []

    def take(_counter):
        count = sum(reported)
        reported.clear()
        return count

    monkeypatch.setattr(LossCounter, "take", take)
    return reported.append


@pytest.mark.parametrize(
    ("offered", "asked", "remedy"),
    [
        pytest.param("best_effort", "auto", "make its publisher reliable", id="best effort"),
        pytest.param("best_effort", "best_effort", "make its publisher reliable", id="best effort, as asked for"),
        pytest.param("reliable", "best_effort", "set image_reliability to auto", id="reliable, but not wanted"),
        pytest.param("reliable", "auto", "let its publisher keep more images", id="reliable"),
    ],
)
def test_lost_images_are_warned_of_once_with_the_remedy(
    ros, tmp_path, report_lost, monkeypatch, capfd, offered, asked, remedy
):
    monkeypatch.setenv(transport.VARIABLE, "")
    camera = ros.add(Camera(POLICIES[offered]))
    activate(make_node(ros, write_segmentation_model(tmp_path / "tiny.tflite"), image_reliability=asked))
    ros.until(connected(camera), "the node to listen")
    capfd.readouterr()

    lost = "frames lost in transport"
    for newly_lost, total in ((50, "50"), (COUNT, str(50 + COUNT))):
        report_lost(newly_lost)
        ros.until(lambda total=total: camera.health and value_of(camera.health, lost) == total, "the count")
    messages = [message.status[0].message for message in camera.diagnostics]
    assert any("lost in transport" in message or "they get lost" in message for message in messages)
    (warning,) = [line for line in capfd.readouterr().err.splitlines() if "lost in transport" in line]
    assert "50 of 50 images of /image got lost in transport" in warning
    assert remedy in warning
    assert "this node goes without it as well" in warning
    path = re.search(r"FAST\w+_DEFAULT_PROFILES_FILE=(\S+)", warning).group(1)
    assert Path(path).samefile(large_image_profile())


@pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
def test_what_the_queue_drops_while_the_executor_is_held_up_is_not_lost_in_transport(ros, reliability):
    node, arrived = ros.add(Node("listener")), []
    subscription = ImageInput(node, "image", "raw", reliability, arrived.append)
    subscription.open()
    publisher = node.create_publisher(Image, "image", QoSProfile(depth=100, reliability=POLICIES[reliability]))
    ros.until(publisher.get_subscription_count, "the subscription")
    for _ in range(COUNT):
        publisher.publish(Image())
    publisher.publish(Image(width=1))
    ros.until(lambda: arrived and arrived[-1].width == 1, "the last image")
    assert len(arrived) < COUNT
    assert subscription.lost == 0
    subscription.destroy()


def test_a_middleware_that_cannot_tell_of_losses_is_used_all_the_same(ros, monkeypatch):
    def refuse(_counter, _subscription):
        raise UnsupportedEventTypeError("message lost")

    monkeypatch.setattr(LossCounter, "__init__", refuse)
    node, arrived = ros.add(Node("listener")), []
    subscription = ImageInput(node, "image", "raw", "reliable", arrived.append)
    subscription.open()
    publisher = node.create_publisher(Image, "image", 1)
    ros.until(publisher.get_subscription_count, "the subscription")
    publisher.publish(Image())
    ros.until(lambda: arrived, "the image")
    subscription.destroy()


def test_images_that_the_middleware_loses_are_counted(ros):
    node = ros.add(Node("listener"))
    subscription = ImageInput(node, "image", "raw", "best_effort", lambda message: None)
    subscription.open()
    # Without the profile an image is larger than the sender's segment, and goes out in pieces.
    images = parameters(source="demo", rate_hz=200.0, transport="raw", reliability="best_effort")
    with process("node.image_source", *images, YOLOV8_SEG_TRANSPORT_PROFILE="none"):
        ros.until(lambda: subscription.lost, "a loss")
    subscription.destroy()
