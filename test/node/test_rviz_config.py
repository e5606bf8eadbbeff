"""Compare the rviz configurations with the nodes: each display finds its topic, with a QoS that fits."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("rclpy")
pytest.importorskip("tf2_ros")

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSCompatibility, QoSProfile, ReliabilityPolicy, qos_check_compatible
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.node.depth.depth_node import DepthNode
from yolov8_seg_ros.node.image_source import ImageSource
from yolov8_seg_ros.node.seg_node import SegNode

FOLDER = Path(__file__).resolve().parents[2] / "config"
CONFIGS = {name: yaml.safe_load((FOLDER / name).read_text()) for name in ("seg.rviz", "depth.rviz")}
#: Of the window that shows images only.
DISPLAYS = {display["Name"]: display for display in CONFIGS["seg.rviz"]["Visualization Manager"]["Displays"]}
#: Of both windows, what has a topic.
WITH_TOPIC = [
    pytest.param(display, id=f"{name}-{display['Name']}")
    for name, config in CONFIGS.items()
    for display in config["Visualization Manager"]["Displays"]
    if "Topic" in display
]
TYPES = {"Image": "sensor_msgs/msg/Image", "PointCloud2": "sensor_msgs/msg/PointCloud2"}
TYPES["MarkerArray"] = "visualization_msgs/msg/MarkerArray"


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS)
def window(request):
    """Return the geometry of each window."""
    return request.param["Window Geometry"]


ROS_ARGUMENTS = ["--ros-args", "-r", "__ns:=/robot", "-r", "image:=/cam/image"]


@pytest.fixture
def rviz(ros, tmp_path):
    """Return a node named as seg.launch.py names rviz, beside a camera and the segmentation node, both ready."""
    model = Parameter("model", value=str(write_segmentation_model(tmp_path / "tiny.tflite")))
    node = ros.add(SegNode(parameter_overrides=[model], cli_args=ROS_ARGUMENTS))
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    ros.add(ImageSource(lambda _: None, cli_args=ROS_ARGUMENTS))
    depth_node = ros.add(DepthNode(cli_args=ROS_ARGUMENTS))
    assert depth_node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    return ros.add(Node("rviz2", cli_args=ROS_ARGUMENTS))


def test_overlay_and_camera_are_shown():
    assert {name: display["Topic"]["Value"] for name, display in DISPLAYS.items()} == {
        "Overlay": "yolov8_seg/overlay",
        "Camera": "image",
    }
    for display in DISPLAYS.values():
        assert display["Class"] == "rviz_default_plugins/Image"
        assert display["Enabled"]


@pytest.mark.parametrize("display", WITH_TOPIC)
def test_a_display_subscribes_once_it_has_read_its_qos(display):
    # rviz reads "Value: true" before the topic, and would subscribe with the default QoS first.
    assert "Value" not in display


@pytest.mark.parametrize("display", WITH_TOPIC)
def test_a_display_finds_a_publisher_that_fits(ros, rviz, display):
    topic = display["Topic"]
    (publisher,) = rviz.get_publishers_info_by_topic(rviz.resolve_topic_name(topic["Value"]))
    assert publisher.topic_type == TYPES[display["Class"].rpartition("/")[2]]
    asked = QoSProfile(
        depth=topic["Depth"],
        reliability=ReliabilityPolicy[topic["Reliability Policy"].upper().replace(" ", "_")],
        durability=DurabilityPolicy[topic["Durability Policy"].upper().replace(" ", "_")],
    )
    compatibility, reason = qos_check_compatible(publisher.qos_profile, asked)
    assert compatibility != QoSCompatibility.ERROR, reason


def test_the_camera_is_shown_whatever_it_offers():
    assert DISPLAYS["Camera"]["Topic"]["Reliability Policy"] == "Best Effort"


def test_objects_and_their_points_are_shown():
    displays = CONFIGS["depth.rviz"]["Visualization Manager"]["Displays"]
    enabled = {display["Name"] for display in displays if display["Enabled"]}
    assert enabled == {"Grid", "Cloud", "Objects", "Overlay"}
    # Boxes and points lie in different frames.
    transformer = CONFIGS["depth.rviz"]["Visualization Manager"]["Transformation"]["Current"]["Class"]
    assert transformer == "rviz_default_plugins/TF"


def test_each_pane_has_its_place_in_the_window(window):
    panes = [name for name, value in window.items() if isinstance(value, dict)]
    assert {"Displays", "Overlay"} <= set(panes)
    for name in panes:
        assert window[name] == {"collapsed": False}
        assert name.encode("utf-16-be") in bytes.fromhex(window["QMainWindow State"])


def test_no_pane_hides_another(window):
    # Qt writes 0xfa before panes that share a place as tabs, 0xfc before those that are side by side. rviz unticks a
    # display whose tab is behind another one.
    state = bytes.fromhex(window["QMainWindow State"])
    assert b"\xfc" in state
    assert b"\xfa" not in state


def test_the_window_fits_a_small_screen(window):
    assert window["X"] + window["Width"] <= 1280
    assert window["Y"] + window["Height"] <= 720
