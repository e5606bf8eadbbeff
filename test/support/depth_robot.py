"""A robot in one process: a segmentation that knows the truth, a colour and a depth camera, and transforms."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import TransformStamped
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header
from tf2_msgs.msg import TFMessage
from vision_msgs.msg import Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from support.depth_scene import Plane, Shape, camera_pose, render
from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.node.depth.depth_messages import as_bytes
from yolov8_seg_ros.node.depth.depth_node import DepthNode

CAMERA = PinholeCamera((240, 320), (262.5, 262.5), (159.5, 119.5))
DEPTH_CAMERA = PinholeCamera((200, 320), (210.0, 210.0), (160.1, 99.0))
DEPTH_IN_COLOR = RigidTransform.from_quaternion((0.0, 0.01, 0.0, 1.0), (-0.03, 0.0, 0.0))
CLASS_NAMES = ("person", "chair", "ball")
REST = (Plane((0, 0, -0.5)), Plane((6, 0, 0), (-1, 0, 0)))
COLOR_FRAME, DEPTH_FRAME, WORLD_FRAME = "camera_optical", "depth_optical", "world"
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
PERIOD_NS = 100_000_000
FIRST_NS = 1_000_000_000_000


class Robot(Node):
    """Publish what a depth node reads; each call publishes what belongs to one image.

    Attributes:
        pose: of the colour camera in the world.
    """

    def __init__(self, registered: bool = True, depth_encoding: str = "16UC1") -> None:
        super().__init__("robot")
        self.pose = camera_pose((0, 0, 1.0), pitch_deg=10)
        self.registered, self.encoding = registered, depth_encoding
        self.depth_frame = COLOR_FRAME if registered else DEPTH_FRAME
        self._detections = self.create_publisher(Detection2DArray, "yolov8_seg/detections", 10)
        self._instances = self.create_publisher(Image, "yolov8_seg/instances", 10)
        self._label_info = self.create_publisher(LabelInfo, "yolov8_seg/label_info", LATCHED)
        self._image = self.create_publisher(Image, "image", 10)
        self._info = self.create_publisher(CameraInfo, "camera_info", 10)
        self._depth = self.create_publisher(Image, "depth/image", 10)
        self._compressed_depth = self.create_publisher(CompressedImage, "depth/image/compressedDepth", 10)
        self._depth_info = self.create_publisher(CameraInfo, "depth/camera_info", 10)
        self._tf = self.create_publisher(TFMessage, "/tf", 100)
        self._tf_static = self.create_publisher(TFMessage, "/tf_static", LATCHED)
        names = ("background", *CLASS_NAMES)
        classes = [VisionClass(class_id=value, class_name=name) for value, name in enumerate(names)]
        self._label_info.publish(LabelInfo(class_map=classes, threshold=0.25))

    def is_heard(self, *more: str) -> bool:
        """Return whether the depth node subscribes to all that it needs."""
        topics = ("yolov8_seg/detections", "yolov8_seg/instances", "camera_info", "/tf", *more)
        depths = ("depth/image", "depth/image/compressedDepth")
        return all(map(self.count_subscribers, topics)) and any(map(self.count_subscribers, depths))

    def show(
        self,
        objects: Sequence[tuple[Shape, str, str]],
        index: int = 0,
        *,
        tf: bool = True,
        info: bool = True,
        depth: bool = True,
        depth_delay_ns: int = 0,
        **changes: Any,
    ) -> Time:
        """Publish an image of objects, each a shape, a class and an id; return its stamp.

        Args:
            objects: the k-th has the value k in the label image.
            index: of the image.
            tf: whether the camera's pose is published.
            info: whether the cameras' calibrations are.
            depth: whether the depth image is.
            depth_delay_ns: by how much the depth image's stamp is later.
            changes: attributes of the depth image or its pixels (`depth_m`) that are replaced, `k` and `p` of the
                calibrations.
        """
        stamp = Time(nanoseconds=FIRST_NS + index * PERIOD_NS)
        header = Header(stamp=stamp.to_msg(), frame_id=COLOR_FRAME)
        shapes = [shape for shape, _, _ in objects]
        view = render(CAMERA, self.pose, shapes, REST)
        if tf:
            self.publish_pose(stamp)
        if info:
            self._info.publish(_camera_info(CAMERA, header, changes.get("k"), changes.get("p")))
        if depth:
            depth_header = Header(
                stamp=Time(nanoseconds=stamp.nanoseconds + depth_delay_ns).to_msg(), frame_id=self.depth_frame
            )
            depth_camera, depth_view = CAMERA, view
            if not self.registered:
                depth_camera, depth_view = DEPTH_CAMERA, render(DEPTH_CAMERA, self.pose @ DEPTH_IN_COLOR, shapes, REST)
            depth_m = changes.get("depth_m", depth_view.depth_m)
            if info:
                self._depth_info.publish(_camera_info(depth_camera, depth_header, changes.get("k"), changes.get("p")))
            message = _depth_image(depth_m, changes.get("encoding", self.encoding), depth_header)
            self._depth.publish(message)
            if message.encoding == "16UC1":
                self._compressed_depth.publish(_compressed(message))
        image = np.zeros((*CAMERA.image_hw, 3), np.uint8)
        image[view.labels > 0] = (10, 20, 30)
        self._image.publish(_image(image, "bgr8", header))
        self._detections.publish(_detections(objects, header))
        self._instances.publish(_image(changes.get("labels", view.labels), "mono8", header))
        return stamp

    def publish_pose(self, stamp: Time) -> None:
        """Publish where the camera is at a time."""
        self._tf.publish(TFMessage(transforms=[_transform(WORLD_FRAME, COLOR_FRAME, self.pose, stamp)]))

    def publish_extrinsics(self) -> None:
        """Publish where the depth camera is, for all times."""
        fixed = _transform(COLOR_FRAME, DEPTH_FRAME, DEPTH_IN_COLOR, Time())
        self._tf_static.publish(TFMessage(transforms=[fixed]))


def make_depth_node(ros: Any, *remappings: str, **parameters: Any) -> DepthNode:
    """Return a depth node on a bench, configured and active."""
    overrides = [Parameter(name, value=value) for name, value in parameters.items()]
    arguments = ["--ros-args", *(word for rule in remappings for word in ("--remap", rule))]
    node = ros.add(DepthNode(parameter_overrides=overrides, cli_args=arguments))
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    return node


def _image(pixels: np.ndarray, encoding: str, header: Header) -> Image:
    height, width = pixels.shape[:2]
    data = as_bytes(pixels)
    return Image(header=header, height=height, width=width, encoding=encoding, step=len(data) // height, data=data)


def _depth_image(depth_m: np.ndarray, encoding: str, header: Header) -> Image:
    if encoding == "32FC1":
        return _image(np.where(depth_m > 0, depth_m, np.nan).astype(np.float32), encoding, header)
    return _image(np.rint(np.nan_to_num(depth_m) * 1000).astype(np.uint16), encoding, header)


def _compressed(message: Image) -> CompressedImage:
    """Return a depth image as compressed_depth_image_transport publishes it."""
    pixels = np.frombuffer(message.data, np.uint16).reshape(message.height, message.width)
    data = bytes(12) + cv2.imencode(".png", pixels)[1].tobytes()
    return CompressedImage(header=message.header, format=f"{message.encoding}; compressedDepth png", data=data)


def _camera_info(
    camera: PinholeCamera, header: Header, k: Sequence[float] | None, p: Sequence[float] | None
) -> CameraInfo:
    height, width = camera.image_hw
    matrix = camera.matrix.ravel() if k is None else np.array(k, np.float64)
    projection = np.zeros(12) if p is None else np.array(p, np.float64)
    return CameraInfo(
        header=header, height=height, width=width, distortion_model="plumb_bob", d=[0.0] * 5, k=matrix, p=projection
    )


def _detections(objects: Sequence[tuple[Shape, str, str]], header: Header) -> Detection2DArray:
    message = Detection2DArray(header=header)
    for rank, (_, class_name, number) in enumerate(objects):
        result = ObjectHypothesisWithPose()
        result.hypothesis.class_id, result.hypothesis.score = class_name, 0.9 - 0.1 * rank
        message.detections.append(Detection2D(header=header, id=number, results=[result]))
    return message


def _transform(parent: str, child: str, pose: RigidTransform, stamp: Time) -> TransformStamped:
    message = TransformStamped(child_frame_id=child)
    message.header.frame_id, message.header.stamp = parent, stamp.to_msg()
    move, turn = message.transform.translation, message.transform.rotation
    move.x, move.y, move.z = pose.translation_m.tolist()
    vector = cv2.Rodrigues(pose.rotation)[0].ravel()
    angle = float(np.linalg.norm(vector))
    axis = vector / angle if angle else vector
    turn.x, turn.y, turn.z = (np.sin(angle / 2) * axis).tolist()
    turn.w = float(np.cos(angle / 2))
    return message
