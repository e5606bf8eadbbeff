"""Join results by image, whatever the order in which they arrive."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("rclpy")

from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, TimeReference
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesis, ObjectHypothesisWithPose

from yolov8_seg_ros.node.viewer import View, Viewer

PARTS = ("reference", "detections", "instances", "overlay")


class Publishers(Node):
    """Stands in for the image source and the segmentation node."""

    def __init__(self) -> None:
        super().__init__("publishers")
        kept = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.of = {
            "reference": self.create_publisher(TimeReference, "image/time_reference", kept),
            "detections": self.create_publisher(Detection2DArray, "seg/detections", 10),
            "instances": self.create_publisher(Image, "seg/instances", 10),
            "overlay": self.create_publisher(Image, "seg/overlay", 10),
        }

    def publish(self, part: str, second: int) -> None:
        self.of[part].publish(message(part, second))

    def are_heard(self) -> bool:
        return all(publisher.get_subscription_count() for publisher in self.of.values())


def message(part: str, second: int):
    header = Header(stamp=Time(sec=second))
    if part == "reference":
        return TimeReference(header=header, source=f"image_{second}.png")
    if part == "detections":
        hypothesis = ObjectHypothesis(class_id="cat", score=0.5)
        return Detection2DArray(
            header=header, detections=[Detection2D(results=[ObjectHypothesisWithPose(hypothesis=hypothesis)])]
        )
    channels, encoding = ((), "mono8") if part == "instances" else ((3,), "bgr8")
    return CvBridge().cv2_to_imgmsg(np.full((4, 6, *channels), second, np.uint8), encoding, header)


@pytest.fixture
def views() -> list[View]:
    return []


@pytest.fixture
def publishers(ros, views):
    made = ros.add(Publishers())
    ros.add(Viewer("seg", views.append, has_references=True))
    ros.until(made.are_heard, "the viewer's subscriptions")
    return made


@pytest.mark.parametrize("order", list(itertools.permutations(PARTS))[::4], ids="-".join)
def test_a_view_is_shown_once_all_its_parts_are_there(ros, publishers, views, order):
    for part in order[:-1]:
        publishers.publish(part, 1)
    # What comes later of another image proves that the first one waits for its last part.
    for part in PARTS:
        publishers.publish(part, 2)
    ros.until(lambda: views, "the second image")
    assert [view.stamp.sec for view in views] == [2]
    publishers.publish(order[-1], 1)
    ros.until(lambda: len(views) == 2, "the first image")
    view = views[1]
    assert (view.stamp.sec, view.reference.source, view.detections) == (1, "image_1.png", [("cat", 0.5)])
    assert (view.overlay.shape, view.overlay.max()) == ((4, 6, 3), 1)
    assert (view.instances.shape, view.instances.max()) == ((4, 6), 1)


def test_images_of_which_a_part_is_lost_are_given_up(ros, publishers, views):
    publishers.publish("reference", 1)
    for second in range(2, 102):
        publishers.publish("reference", second)
        ros.executor.spin_once(timeout_sec=0.1)
    for part in PARTS[1:]:
        publishers.publish(part, 1)
        publishers.publish(part, 101)
    ros.until(lambda: views, "the last image")
    assert [view.stamp.sec for view in views] == [101]


def test_a_camera_has_no_references(ros, views):
    made = ros.add(Publishers())
    viewer = ros.add(Viewer("seg", views.append, has_references=False))
    ros.until(lambda: made.are_heard() and viewer.is_connected, "the viewer's subscriptions")
    for part in PARTS[1:]:
        made.publish(part, 1)
    ros.until(lambda: views, "an image")
    assert views[0].reference is None
