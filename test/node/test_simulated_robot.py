"""Test what the simulated robot publishes, over real DDS: in one process, and as the process that a user starts."""

from __future__ import annotations

import sys
from collections import defaultdict
from functools import partial

import numpy as np
import pytest

from yolov8_seg_ros.errors import MediaError, OptionError

pytest.importorskip("rclpy")
pytest.importorskip("tf2_msgs")

from cv_bridge import CvBridge
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from support.ros_harness import parameters, process
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2DArray, Detection3DArray

from yolov8_seg_ros.core.camera_geometry import RigidTransform
from yolov8_seg_ros.media.rgbd_scene import BASE_FROM_CAMERA, CAMERA_FROM_OPTICAL, RgbdScene, drive_pose
from yolov8_seg_ros.node.image_source import ImageSource

RATE_HZ = 50.0
SMALL = {"source": "sim", "width": 160, "height": 120, "rate_hz": RATE_HZ, "seed": 3}
NUM_FRAMES = 4
KEPT = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
TOPICS = {
    "image": Image,
    "camera_info": CameraInfo,
    "depth/image": Image,
    "depth/camera_info": CameraInfo,
    "/tf": TFMessage,
    "image_source/ground_truth": Detection3DArray,
    "image_source/ground_truth_2d": Detection2DArray,
}


class Listener(Node):
    """Keep what the simulated robot publishes, by topic."""

    def __init__(self):
        super().__init__("listener")
        self.messages = defaultdict(list)
        for topic, kind in TOPICS.items():
            self.create_subscription(kind, topic, self.messages[topic].append, 100)
        self.create_subscription(TFMessage, "/tf_static", self.messages["/tf_static"].append, KEPT)

    def has(self, count):
        return all(len(self.messages[topic]) >= count for topic in TOPICS) and self.messages["/tf_static"]

    def fixed(self, child):
        """Return parent and transform of a frame that does not move."""
        (message,) = self.messages["/tf_static"]
        (found,) = [one for one in message.transforms if one.child_frame_id == child]
        return found.header.frame_id, rigid(found.transform.translation, found.transform.rotation)


def rigid(position, rotation):
    return RigidTransform.from_quaternion(
        (rotation.x, rotation.y, rotation.z, rotation.w), (position.x, position.y, position.z)
    )


def is_close(one, other):
    return np.allclose(one.rotation, other.rotation) and np.allclose(one.translation_m, other.translation_m)


@pytest.fixture
def drive(ros):
    """Return a function that publishes a drive and returns the listener that received it."""

    def run(**values):
        listener = ros.add(Listener())
        given = {**SMALL, "num_frames": NUM_FRAMES, "wait_for_subscribers": 1, **values}
        overrides = [RosParameter(name, value=value) for name, value in given.items()]
        ros.add(ImageSource(lambda exit_code: None, parameter_overrides=overrides))
        ros.until(lambda: listener.has(NUM_FRAMES), "all topics of all images")
        return listener

    return run


@pytest.mark.parametrize("registered", [True, False], ids=["registered", "two cameras"])
def test_the_calibrations_are_those_of_the_cameras(drive, registered):
    listener = drive(depth_registered=registered)
    scene = RgbdScene((120, 160), seed=3, depth_registered=registered)
    for prefix, camera in (("", scene.camera), ("depth/", scene.depth_camera)):
        for info, image in zip(
            listener.messages[f"{prefix}camera_info"], listener.messages[f"{prefix}image"], strict=True
        ):
            assert info.header == image.header
            assert (info.height, info.width) == (image.height, image.width) == camera.image_hw
            assert np.array_equal(info.k.reshape(3, 3), camera.matrix)
            assert np.array_equal(info.p.reshape(3, 4)[:, :3], camera.matrix)
            assert not np.any(info.d)


@pytest.mark.parametrize(("encoding", "unit_m", "missing"), [("16UC1", 0.001, 0), ("32FC1", 1.0, np.nan)])
def test_depths_arrive_in_their_unit(drive, encoding, unit_m, missing):
    listener = drive(depth_encoding=encoding, depth_noise_m=0.002)
    scene = RgbdScene((120, 160), seed=3, depth_noise_m=0.002)
    for index, message in enumerate(listener.messages["depth/image"]):
        pixels = CvBridge().imgmsg_to_cv2(message, encoding)
        expected = scene.frame(index / RATE_HZ).depth_m
        absent = np.isnan(expected)
        assert message.encoding == encoding
        assert absent.any()
        assert np.array_equal(pixels[absent], np.full(absent.sum(), missing, pixels.dtype), equal_nan=True)
        assert np.abs(pixels[~absent] * unit_m - expected[~absent]).max() <= unit_m / 2 * 1.001


def test_everything_bears_the_stamp_of_its_image(drive):
    listener = drive()
    stamps = [message.header.stamp for message in listener.messages["image"]]
    for topic in TOPICS:
        headers = [
            getattr(message, "header", None) or message.transforms[0].header for message in listener.messages[topic]
        ]
        assert [header.stamp for header in headers] == stamps, topic


def test_all_frames_but_the_world_bear_the_prefix(drive):
    listener = drive(depth_registered=False, frame_prefix="robot1/")
    transforms = [one for topic in ("/tf", "/tf_static") for one in listener.messages[topic][0].transforms]
    images = [listener.messages[topic][0].header.frame_id for topic in ("image", "depth/image")]
    assert {(one.header.frame_id, one.child_frame_id) for one in transforms} == {
        ("world", "robot1/base_link"),
        ("robot1/base_link", "robot1/camera_link"),
        ("robot1/camera_link", "robot1/camera_optical_frame"),
        ("robot1/camera_link", "robot1/depth_optical_frame"),
    }
    assert images == ["robot1/camera_optical_frame", "robot1/depth_optical_frame"]


@pytest.mark.parametrize("registered", [True, False], ids=["registered", "two cameras"])
def test_the_transforms_lead_from_the_images_to_the_world(drive, registered):
    listener = drive(depth_registered=registered)
    scene = RgbdScene((120, 160), seed=3, depth_registered=registered)
    expected = {"image": CAMERA_FROM_OPTICAL, "depth/image": scene.camera_from_depth_optical}
    for topic, camera_from_optical in expected.items():
        parent, found = listener.fixed(listener.messages[topic][0].header.frame_id)
        assert parent == "camera_link"
        assert is_close(found, camera_from_optical)
    parent, found = listener.fixed("camera_link")
    assert parent == "base_link"
    assert is_close(found, BASE_FROM_CAMERA)
    for index, message in enumerate(listener.messages["/tf"]):
        (moved,) = message.transforms
        assert (moved.header.frame_id, moved.child_frame_id) == ("world", "base_link")
        assert is_close(rigid(moved.transform.translation, moved.transform.rotation), drive_pose(index / RATE_HZ))


def test_a_registered_depth_camera_has_the_frame_of_the_colour_camera(drive):
    listener = drive(frame_id="eye")
    assert {listener.messages[topic][0].header.frame_id for topic in ("image", "depth/image")} == {"eye"}
    assert len(listener.messages["/tf_static"][0].transforms) == 2


def test_the_ground_truth_is_that_of_the_scene(drive):
    listener = drive()
    scene = RgbdScene((120, 160), seed=3)
    for index, message in enumerate(listener.messages["image_source/ground_truth"]):
        frame = scene.frame(index / RATE_HZ)
        assert message.header.frame_id == "world"
        assert [detection.id for detection in message.detections] == [str(one.number) for one in scene.objects]
        for detection, one in zip(message.detections, scene.objects, strict=True):
            box, (result,) = detection.bbox, detection.results
            assert (result.hypothesis.class_id, result.hypothesis.score) == (
                one.class_name,
                pytest.approx(frame.visible[one.number]),
            )
            assert (box.size.x, box.size.y, box.size.z) == one.size_m
            assert is_close(rigid(box.center.position, box.center.orientation), one.world_from_object)
            assert result.pose.pose == box.center
        boxes = listener.messages["image_source/ground_truth_2d"][index].detections
        scores = [box.results[0].hypothesis.score for box in boxes]
        assert scores == sorted(scores, reverse=True)
        assert {box.id for box in boxes} == {str(number) for number in frame.truth.track_id}
        for box, score in zip(boxes, scores, strict=True):
            (row,) = np.flatnonzero(frame.truth.track_id == int(box.id))
            assert score == pytest.approx(frame.visible[int(box.id)])
            left, top, right, bottom = frame.truth.xyxy[row]
            assert (box.bbox.center.position.x, box.bbox.center.position.y) == ((left + right) / 2, (top + bottom) / 2)
            assert (box.bbox.size_x, box.bbox.size_y) == (right - left, bottom - top)


def test_calibrations_stay_beside_remapped_images(ros):
    heard = []
    listener = ros.add(Node("listener"))
    for topic in ("/front/camera_info", "/front/deep/camera_info"):
        listener.create_subscription(CameraInfo, topic, partial(lambda topic, _: heard.append(topic), topic), 10)
    overrides = [RosParameter(name, value=value) for name, value in SMALL.items()]
    remapped = ["--ros-args", "-r", "image:=/front/image_raw", "-r", "depth/image:=/front/deep/image_raw"]
    ros.add(ImageSource(lambda exit_code: None, parameter_overrides=overrides, cli_args=remapped))
    ros.until(lambda: len(set(heard)) == 2, "both calibrations")


def test_without_the_messages_of_transforms_it_says_so(ros, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", None)
    monkeypatch.delitem(sys.modules, "yolov8_seg_ros.node.simulated_robot", raising=False)
    with pytest.raises(OptionError, match=r"source: sim needs the ROS package tf2_msgs\.msg, which is not installed"):
        ImageSource(lambda exit_code: None, parameter_overrides=[RosParameter("source", value="sim")])


def test_images_that_are_too_small_are_refused(ros):
    overrides = [RosParameter("source", value="sim"), RosParameter("height", value=40)]
    with pytest.raises(MediaError, match="sim: image_hw: expected at least 64x64 pixels"):
        ImageSource(lambda exit_code: None, parameter_overrides=overrides)


def test_a_process_publishes_depths_that_lie_on_the_floor(ros):
    listener = ros.add(Listener())
    values = {**SMALL, "num_frames": NUM_FRAMES, "wait_for_subscribers": 1, "depth_registered": "false"}
    with process("node.image_source", *parameters(**values)):
        ros.until(lambda: listener.has(NUM_FRAMES), "all topics of all images")
    _, camera_from_depth = listener.fixed("depth_optical_frame")
    _, base_from_camera = listener.fixed("camera_link")
    for image, info, moved in zip(
        *(listener.messages[t] for t in ("depth/image", "depth/camera_info", "/tf")), strict=True
    ):
        transform = moved.transforms[0].transform
        world_from_depth = rigid(transform.translation, transform.rotation) @ base_from_camera @ camera_from_depth
        depth_m = CvBridge().imgmsg_to_cv2(image, "16UC1") / 1000
        # The lowest row shows the floor only.
        v, u = image.height - 1, np.arange(image.width)
        fx, _, cx, _, fy, cy = info.k[:6]
        z = depth_m[v]
        points = np.stack([(u - cx) / fx * z, (v - cy) / fy * z, z], axis=-1) @ world_from_depth.rotation.T
        assert (z > 0).all()
        assert np.abs(points[:, 2] + world_from_depth.translation_m[2]).max() < 0.001
