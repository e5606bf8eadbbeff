"""Compare the rviz configuration with the node: each display finds its topic, with a QoS that fits."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.node.image_source import ImageSource
from yolov8_seg_ros.node.seg_node import SegNode

CONFIG = yaml.safe_load((Path(__file__).resolve().parents[2] / "config" / "seg.rviz").read_text())
DISPLAYS = {display["Name"]: display for display in CONFIG["Visualization Manager"]["Displays"]}
WINDOW_STATE = bytes.fromhex(CONFIG["Window Geometry"]["QMainWindow State"])
ROS_ARGUMENTS = ["--ros-args", "-r", "__ns:=/robot", "-r", "image:=/cam/image"]


@pytest.fixture
def rviz(ros, tmp_path):
    """Return a node named as seg.launch.py names rviz, beside a camera and the segmentation node, both ready."""
    model = Parameter("model", value=str(write_segmentation_model(tmp_path / "tiny.tflite")))
    node = ros.add(SegNode(parameter_overrides=[model], cli_args=ROS_ARGUMENTS))
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    ros.add(ImageSource(lambda _: None, cli_args=ROS_ARGUMENTS))
    return ros.add(Node("rviz2", cli_args=ROS_ARGUMENTS))


def test_overlay_and_camera_are_shown():
    assert {name: display["Topic"]["Value"] for name, display in DISPLAYS.items()} == {
        "Overlay": "yolov8_seg/overlay",
        "Camera": "image",
    }
    for display in DISPLAYS.values():
        assert display["Class"] == "rviz_default_plugins/Image"
        assert display["Enabled"]


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_display_subscribes_once_it_has_read_its_qos(name):
    # rviz reads "Value: true" before the topic, and would subscribe with the default QoS first.
    assert "Value" not in DISPLAYS[name]


@pytest.mark.parametrize("name", DISPLAYS)
def test_a_display_finds_a_publisher_that_fits(ros, rviz, name):
    topic = DISPLAYS[name]["Topic"]
    (publisher,) = rviz.get_publishers_info_by_topic(rviz.resolve_topic_name(topic["Value"]))
    assert publisher.topic_type == "sensor_msgs/msg/Image"
    asked = QoSProfile(
        depth=topic["Depth"],
        reliability=ReliabilityPolicy[topic["Reliability Policy"].upper().replace(" ", "_")],
        durability=DurabilityPolicy[topic["Durability Policy"].upper().replace(" ", "_")],
    )
    compatibility, reason = qos_check_compatible(publisher.qos_profile, asked)
    assert compatibility != QoSCompatibility.ERROR, reason


def test_the_camera_is_shown_whatever_it_offers():
    assert DISPLAYS["Camera"]["Topic"]["Reliability Policy"] == "Best Effort"


def test_each_pane_has_its_place_in_the_window():
    geometry = CONFIG["Window Geometry"]
    for name in (*DISPLAYS, "Displays"):
        assert geometry[name] == {"collapsed": False}
        assert name.encode("utf-16-be") in WINDOW_STATE


def test_no_pane_hides_another():
    # Qt writes 0xfa before panes that share a place as tabs, 0xfc before those that are side by side. rviz unticks a
    # display whose tab is behind another one.
    assert b"\xfc" in WINDOW_STATE
    assert b"\xfa" not in WINDOW_STATE


def test_the_window_fits_a_small_screen():
    geometry = CONFIG["Window Geometry"]
    assert geometry["X"] + geometry["Width"] <= 1280
    assert geometry["Y"] + geometry["Height"] <= 720
