"""Publish what a simulated robot publishes beside its colour images: depth, calibration, transforms, ground truth.

Topics beside those of `image_source`:

- `depth/image` (sensor_msgs/Image, 16UC1 in millimetres or 32FC1 in metres), filled while subscribed to.
- `camera_info` and `depth/camera_info` (sensor_msgs/CameraInfo), beside the image topics where these are remapped.
- `/tf` (tf2_msgs/TFMessage): `base_link` in `world`, with each image and its stamp.
- `/tf_static`: `camera_link` in `base_link`, and the optical frames in `camera_link`.
  The names of all frames but `world` begin with `frame_prefix`.
- `~/ground_truth` (vision_msgs/Detection3DArray): all objects in `world`, with each image and its stamp. `id` is the
  object's number, `score` the fraction of it that is visible in the image.
- `~/ground_truth_2d` (vision_msgs/Detection2DArray): boxes of the visible parts in the image, with the same ids and
  scores, highest first; without objects of which less than 30 % is visible.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from cv_bridge import CvBridge
from geometry_msgs.msg import Point, Pose, Quaternion, Transform, TransformStamped, Vector3
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import (
    BoundingBox3D,
    Detection2DArray,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.media.depth_message import info_topic
from yolov8_seg_ros.media.rgbd_scene import BASE_FROM_CAMERA, CAMERA_FROM_OPTICAL, RgbdFrame, RgbdScene, RoomObject
from yolov8_seg_ros.media.scene import SCENE_CLASSES
from yolov8_seg_ros.node.conversions import detections_to_msg

WORLD_FRAME, BASE_FRAME, CAMERA_FRAME = "world", "base_link", "camera_link"
#: Of a depth camera of its own.
DEPTH_FRAME = "depth_optical_frame"
_QUEUE_DEPTH = 10
#: As tf2 has it.
_TRANSFORM_DEPTH = 100


class SimulatedRobot:
    """The publishers of a node that simulates a robot.

    Args:
        node: that publishes.
        scene: the robot's room and cameras.
        settings: those of `image_source`.

    Attributes:
        color_frame: of the colour images.
    """

    def __init__(self, node: Node, scene: RgbdScene, settings: Mapping[str, Any]) -> None:
        self._node, self._scene, self._encoding = node, scene, settings["depth_encoding"]
        prefix = settings["frame_prefix"]
        self.color_frame = prefix + settings["frame_id"]
        self._base_frame, self._camera_frame = prefix + BASE_FRAME, prefix + CAMERA_FRAME
        self._depth_frame = self.color_frame if scene.depth_registered else prefix + DEPTH_FRAME
        self._bridge = CvBridge()
        qos = QoSProfile(depth=_QUEUE_DEPTH, reliability=ReliabilityPolicy[settings["reliability"].upper()])
        self._depth = node.create_publisher(Image, "depth/image", qos)
        self._color_info = node.create_publisher(CameraInfo, info_topic(node.resolve_topic_name("image")), qos)
        self._depth_info = node.create_publisher(CameraInfo, info_topic(node.resolve_topic_name("depth/image")), qos)
        self._truth = node.create_publisher(Detection3DArray, "~/ground_truth", _QUEUE_DEPTH)
        self._truth_2d = node.create_publisher(Detection2DArray, "~/ground_truth_2d", _QUEUE_DEPTH)
        self._transforms = node.create_publisher(TFMessage, "/tf", _TRANSFORM_DEPTH)
        self._fixed_transforms = self._publish_fixed_transforms()

    def publish(self, frame: RgbdFrame, header: Header) -> None:
        """Publish all that belongs to one colour image, given that image's header."""
        moved = _transform(WORLD_FRAME, self._base_frame, frame.world_from_base, header.stamp)
        self._transforms.publish(TFMessage(transforms=[moved]))
        depth_header = Header(stamp=header.stamp, frame_id=self._depth_frame)
        self._color_info.publish(_camera_info(self._scene.camera, header))
        self._depth_info.publish(_camera_info(self._scene.depth_camera, depth_header))
        if self._depth.get_subscription_count():
            pixels = encode_depth(frame.depth_m, self._encoding)
            self._depth.publish(self._bridge.cv2_to_imgmsg(pixels, self._encoding, depth_header))
        truth = Detection3DArray(header=Header(stamp=header.stamp, frame_id=WORLD_FRAME))
        truth.detections = [_detection(one, frame.visible[one.number], truth.header) for one in self._scene.objects]
        self._truth.publish(truth)
        self._truth_2d.publish(detections_to_msg(_by_visibility(frame), SCENE_CLASSES, header))

    def _publish_fixed_transforms(self) -> Publisher[TFMessage]:
        qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        publisher = self._node.create_publisher(TFMessage, "/tf_static", qos)
        stamp = self._node.get_clock().now().to_msg()
        fixed = [
            _transform(self._base_frame, self._camera_frame, BASE_FROM_CAMERA, stamp),
            _transform(self._camera_frame, self.color_frame, CAMERA_FROM_OPTICAL, stamp),
        ]
        if not self._scene.depth_registered:
            from_depth = self._scene.camera_from_depth_optical
            fixed.append(_transform(self._camera_frame, self._depth_frame, from_depth, stamp))
        publisher.publish(TFMessage(transforms=fixed))
        return publisher


def encode_depth(depth_m: NDArray[np.float32], encoding: str) -> NDArray[Any]:
    """Return depths as REP 118 encodes them: 16UC1 in millimetres, 0 for no return; 32FC1 as they are."""
    if encoding == "32FC1":
        return depth_m
    return np.rint(1000 * np.nan_to_num(depth_m)).astype(np.uint16)


def _by_visibility(frame: RgbdFrame) -> Instances:
    """Return the ground truth with the visible fractions as scores, highest first."""
    assert frame.truth.track_id is not None
    visible = frame.visible[frame.truth.track_id]
    return replace(frame.truth, score=visible)[np.argsort(-visible, kind="stable")]


def _camera_info(camera: PinholeCamera, header: Header) -> CameraInfo:
    height, width = camera.image_hw
    matrix = camera.matrix
    return CameraInfo(
        header=header,
        height=height,
        width=width,
        distortion_model="plumb_bob",
        d=np.zeros(5),
        k=matrix.ravel(),
        r=np.eye(3).ravel(),
        p=np.hstack([matrix, np.zeros((3, 1))]).ravel(),
    )


def _detection(one: RoomObject, visible: float, header: Header) -> Detection3D:
    pose = Pose(position=Point(**_xyz(one.world_from_object)), orientation=_quaternion(one.world_from_object))
    hypothesis = ObjectHypothesis(class_id=one.class_name, score=float(visible))
    result = ObjectHypothesisWithPose(hypothesis=hypothesis)
    result.pose.pose = pose
    size = Vector3(**dict(zip("xyz", one.size_m, strict=True)))
    return Detection3D(header=header, id=str(one.number), results=[result], bbox=BoundingBox3D(center=pose, size=size))


def _transform(parent: str, child: str, parent_from_child: RigidTransform, stamp: Any) -> TransformStamped:
    return TransformStamped(
        header=Header(stamp=stamp, frame_id=parent),
        child_frame_id=child,
        transform=Transform(translation=Vector3(**_xyz(parent_from_child)), rotation=_quaternion(parent_from_child)),
    )


def _xyz(transform: RigidTransform) -> dict[str, float]:
    return dict(zip("xyz", transform.translation_m.tolist(), strict=True))


def _quaternion(transform: RigidTransform) -> Quaternion:
    vector = cv2.Rodrigues(transform.rotation)[0].ravel()
    angle_rad = float(np.linalg.norm(vector))
    # sinc is sin(pi x) / (pi x), so that no angle is divided by.
    x, y, z = (vector * np.sinc(angle_rad / 2 / np.pi) / 2).tolist()
    return Quaternion(x=x, y=y, z=z, w=float(np.cos(angle_rad / 2)))
