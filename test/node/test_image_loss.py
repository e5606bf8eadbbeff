"""Test over real DDS that the node tells of images that get lost on their way, and of no others."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.event_handler import UnsupportedEventTypeError
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.utilities import get_rmw_implementation_identifier
from sensor_msgs.msg import Image
from support.ros_harness import parameters, process
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.node.image_input import ImageInput
from yolov8_seg_ros.node.transport import large_image_profile

pytestmark = pytest.mark.skipif(
    not get_rmw_implementation_identifier().startswith("rmw_fastrtps"), reason="the profile is one of Fast DDS"
)

COUNT = 90
POLICIES = {"reliable": ReliabilityPolicy.RELIABLE, "best_effort": ReliabilityPolicy.BEST_EFFORT}
WITH, WITHOUT = "large_images", "none"
CASES = {
    "best effort, profile at neither side": ("best_effort", WITHOUT, WITHOUT, True),
    "best effort, profile at the node's side": ("best_effort", WITHOUT, WITH, True),
    "best effort, profile at both sides": ("best_effort", WITH, WITH, False),
    "reliable, profile at neither side": ("reliable", WITHOUT, WITHOUT, False),
}


class Reader(Node):
    """Keep what the node tells on /diagnostics."""

    def __init__(self):
        super().__init__("reader")
        self.told, self.warnings = [], []
        self.create_subscription(DiagnosticArray, "/diagnostics", self._take, 10)

    def _take(self, message):
        (status,) = message.status
        self.told.append({entry.key: entry.value for entry in status.values})
        if status.level == DiagnosticStatus.WARN:
            self.warnings.append(status.message)

    def count(self, name):
        return int(self.told[-1][f"frames {name}"])

    @property
    def knows_all(self):
        return len(self.told) > 1 and self.told[-1]["output rate (Hz)"] == self.told[-1]["input rate (Hz)"] == "0.0"


@pytest.mark.parametrize("case", CASES)
def test_lost_images_are_warned_of_once_with_the_remedy(ros, tmp_path, case):
    reliability, camera_profile, node_profile, are_lost = CASES[case]
    model = write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})
    # The larger an image, the surer it is lost; the smaller, the surer a busy machine loses none of it.
    width, height = (1280, 720) if are_lost else (640, 480)
    images = parameters(
        source="demo",
        width=width,
        height=height,
        rate_hz=30.0,
        num_frames=COUNT,
        wait_for_subscribers=1,
        transport="raw",
        reliability=reliability,
    )
    reader = ros.add(Reader())
    with process("node.seg_node", *parameters(model=model), YOLOV8_SEG_TRANSPORT_PROFILE=node_profile) as node:
        ros.until(lambda: reader.told, "the node's diagnostics")
        with process("node.image_source", *images, YOLOV8_SEG_TRANSPORT_PROFILE=camera_profile) as camera:
            ros.until(lambda: camera.poll() is not None, "the camera to end")
        reader.told.clear()
        ros.until(lambda: reader.knows_all, "the last images to be counted")
        node.send_signal(signal.SIGINT)
        output, _ = node.communicate(timeout=20)
    warnings = [line for line in output.splitlines() if "lost in transport" in line]
    received, lost = reader.count("received"), reader.count("lost in transport")
    print(f"{case}: {received} received, {lost} lost; {warnings}")
    if not are_lost:
        assert (received, lost, warnings) == (COUNT, 0, [])
        return
    # Either of the counter's growth or, where nothing at all comes, of the silence.
    assert any("lost in transport" in told or "they get lost" in told for told in reader.warnings)
    assert lost > 0.1 * COUNT
    (warning,) = warnings
    assert re.search(r"\b\d+ of \d+ images of /image got lost in transport", warning)
    assert "make its publisher reliable" in warning
    assert ("this node goes without it as well" in warning) == (node_profile == WITHOUT)
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
    node, arrived = ros.add(Node("listener")), []
    create_subscription = node.create_subscription

    def create_without_losses(*args, event_callbacks, **options):
        if event_callbacks.message_lost is not None:
            raise UnsupportedEventTypeError("message lost")
        return create_subscription(*args, event_callbacks=event_callbacks, **options)

    monkeypatch.setattr(node, "create_subscription", create_without_losses)
    subscription = ImageInput(node, "image", "raw", "reliable", arrived.append)
    subscription.open()
    publisher = node.create_publisher(Image, "image", 1)
    ros.until(publisher.get_subscription_count, "the subscription")
    publisher.publish(Image())
    ros.until(lambda: arrived, "the image")
    subscription.destroy()
