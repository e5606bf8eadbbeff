"""Launch an image source and the node, and see that detections and masks of the same images come out.

A robot's own tests can start from this file: it needs nothing but the installed package. Run it by

    launch_test test/launch/test_seg_launch.py        or        python3 -m pytest test/launch/test_seg_launch.py
"""

from __future__ import annotations

import os
import time
import unittest

import launch_testing
import launch_testing.actions
import launch_testing.asserts
import pytest
import rclpy
from launch import LaunchDescription
from launch.actions import IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import PathJoinSubstitution
from launch_ros.substitutions import FindPackageShare
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import Image
from vision_msgs.msg import Detection2DArray

#: Away from the robot, and from other tests on this machine.
DOMAIN_ID = 40 + os.getpid() % 40
NAMESPACE = "robot"
NUM_IMAGES = 5
DEADLINE_S = 60.0


@pytest.mark.launch_test
def generate_test_description() -> LaunchDescription:
    """Launch as a robot would, with the built-in scene for a camera and the bundled model, which knows its shapes."""
    launch_file = PathJoinSubstitution([FindPackageShare("yolov8_seg_ros"), "launch", "seg.launch.py"])
    arguments = {"source": "demo", "namespace": NAMESPACE, "image_topic": "front/image_raw"}
    return LaunchDescription(
        [
            SetEnvironmentVariable("ROS_DOMAIN_ID", str(DOMAIN_ID)),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(launch_file), launch_arguments=arguments.items()),
            launch_testing.actions.ReadyToTest(),
        ]
    )


class TestRunning(unittest.TestCase):
    """Checks while all processes run."""

    def setUp(self) -> None:
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=DOMAIN_ID)
        self.node = rclpy.create_node("test_seg_launch", namespace=NAMESPACE, context=self.context)
        self.executor = SingleThreadedExecutor(context=self.context)
        self.executor.add_node(self.node)

    def tearDown(self) -> None:
        self.executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown(context=self.context)

    def collect(self, message_type: type, topic: str) -> dict[tuple[int, int], object]:
        """Record the messages of a topic by their stamps."""
        messages: dict[tuple[int, int], object] = {}

        def keep(message) -> None:
            messages[message.header.stamp.sec, message.header.stamp.nanosec] = message

        self.node.create_subscription(message_type, topic, keep, 10)
        return messages

    def test_detections_and_masks_of_the_same_images_arrive(self) -> None:
        images = self.collect(Image, "front/image_raw")
        detections = self.collect(Detection2DArray, "yolov8_seg/detections")
        instances = self.collect(Image, "yolov8_seg/instances")

        deadline_s = time.monotonic() + DEADLINE_S
        while len(images.keys() & detections.keys() & instances.keys()) < NUM_IMAGES:
            assert time.monotonic() < deadline_s, f"only {len(detections)} detections, {len(instances)} masks"
            self.executor.spin_once(timeout_sec=0.1)

        for stamp in images.keys() & detections.keys() & instances.keys():
            image, mask = images[stamp], instances[stamp]
            assert (mask.encoding, mask.height, mask.width) == ("mono8", image.height, image.width)
            assert mask.header == detections[stamp].header == image.header
            assert detections[stamp].detections
            # A pixel's value is the number of its detection, which is also the detection's id.
            ids = {detection.id for detection in detections[stamp].detections}
            values = {str(value) for value in set(mask.data) - {0}}
            assert values
            assert values <= ids


@launch_testing.post_shutdown_test()
class TestShutdown(unittest.TestCase):
    """Checks after all processes were stopped."""

    def test_both_processes_ended_cleanly(self, proc_info) -> None:
        assert len(list(proc_info)) == 2
        launch_testing.asserts.assertExitCodes(proc_info)
