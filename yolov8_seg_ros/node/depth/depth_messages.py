"""Make the messages that the depth node publishes."""

from __future__ import annotations

import array
from typing import Any

import numpy as np
from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Pose, PoseWithCovariance, Quaternion, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import ColorRGBA, Header
from vision_msgs.msg import (
    BoundingBox3D,
    Detection2D,
    Detection3D,
    Detection3DArray,
    ObjectHypothesis,
    ObjectHypothesisWithPose,
)
from visualization_msgs.msg import Marker, MarkerArray

from yolov8_seg_ros.core.object_placing import DetectedObject

_TYPES: dict[str, Any] = {
    "builtin_interfaces/msg/Duration": Duration,
    "geometry_msgs/msg/Point": Point,
    "geometry_msgs/msg/Pose": Pose,
    "geometry_msgs/msg/PoseWithCovariance": PoseWithCovariance,
    "geometry_msgs/msg/Quaternion": Quaternion,
    "geometry_msgs/msg/Vector3": Vector3,
    "sensor_msgs/msg/PointCloud2": PointCloud2,
    "sensor_msgs/msg/PointField": PointField,
    "std_msgs/msg/ColorRGBA": ColorRGBA,
    "vision_msgs/msg/BoundingBox3D": BoundingBox3D,
    "vision_msgs/msg/Detection3D": Detection3D,
    "vision_msgs/msg/Detection3DArray": Detection3DArray,
    "vision_msgs/msg/ObjectHypothesis": ObjectHypothesis,
    "vision_msgs/msg/ObjectHypothesisWithPose": ObjectHypothesisWithPose,
    "visualization_msgs/msg/Marker": Marker,
    "visualization_msgs/msg/MarkerArray": MarkerArray,
}


def make_message(msgtype: str, /, **fields: Any) -> Any:
    """Return a message of a type that `object_messages` and `object_markers` make."""
    return _TYPES[msgtype](**{name: as_bytes(value) if _is_bytes(value) else value for name, value in fields.items()})


def detected_object(detection: Detection2D) -> DetectedObject:
    """Return what a detection says."""
    if not detection.results:
        return DetectedObject(detection.id, None, 0.0)
    hypothesis = detection.results[0].hypothesis
    return DetectedObject(detection.id, hypothesis.class_id, hypothesis.score)


def _is_bytes(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype == np.uint8


def to_gray_image(pixels: NDArray[np.uint8], header: Header) -> Image:
    """Return a mono8 message of uint8 (height, width), without gaps between the rows."""
    height, width = pixels.shape
    return Image(header=header, height=height, width=width, encoding="mono8", step=width, data=as_bytes(pixels))


def as_bytes(values: NDArray[Any]) -> array.array[int]:
    """Return the memory of an array as messages take it over at once."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).view(np.uint8).data.cast("B"))
    return data
