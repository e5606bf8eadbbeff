"""Turn messages into depth images, label images and cameras, and boxes into messages."""

from __future__ import annotations

import array
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from geometry_msgs.msg import Point, Quaternion, Vector3
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection3D, ObjectHypothesisWithPose

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.depth import DepthImage, unit_of_encoding
from yolov8_seg_ros.core.instances import MAX_LABELS
from yolov8_seg_ros.core.object_boxes import ObjectBox
from yolov8_seg_ros.errors import CalibrationError, DepthError

_FIELD_TYPES = {
    "float32": PointField.FLOAT32,
    "uint32": PointField.UINT32,
    "uint16": PointField.UINT16,
}


def depth_from_msg(msg: Image, unit_m: float = 0.0) -> DepthImage:
    """Return the depth image of a message, without copying its pixels.

    Args:
        msg: 16UC1, mono16 or 32FC1.
        unit_m: metres that 1 is worth; 0: as the encoding says.

    Raises:
        DepthError: for another encoding, or sizes that do not fit one another.
    """
    encoding_unit_m = unit_of_encoding(msg.encoding)
    return DepthImage(_pixels(msg, "f4" if msg.encoding == "32FC1" else "u2"), unit_m or encoding_unit_m)


def labels_from_msg(msg: Image, ids: Sequence[str]) -> NDArray[np.uint8]:
    """Return the label image of a message: k where the k-th detection is visible, 0 background.

    Args:
        msg: mono8 with these values, or 16UC1 with the ids of tracks.
        ids: of the detections.

    Raises:
        DepthError: for another encoding, or sizes that do not fit one another.
    """
    if msg.encoding == "16UC1":
        ranks = np.zeros(1 << 16, np.uint8)
        for rank, text in enumerate(ids[:MAX_LABELS], start=1):
            number = track_number(text)
            ranks[number % len(ranks)] = rank if number else 0
        return ranks.take(_pixels(msg, "u2"))
    if msg.encoding not in ("mono8", "8UC1"):
        raise DepthError(f"instances: expected mono8 or 16UC1, got '{msg.encoding}'")
    # OpenCV wants pixels without gaps.
    return np.ascontiguousarray(_pixels(msg, "u1"))


def track_number(text: str) -> int:
    """Return the number that a detection's id is, 0 if it is none."""
    return int(text) if text.isascii() and text.isdecimal() else 0


def camera_from_msg(msg: CameraInfo) -> PinholeCamera:
    """Return the camera that a CameraInfo describes.

    Raises:
        CalibrationError: if it cannot be used.
    """
    if not msg.width or not msg.height:
        raise CalibrationError(f"CameraInfo: the images are {msg.width}x{msg.height}; calibrate the camera")
    return PinholeCamera.from_calibration((msg.height, msg.width), msg.k, msg.distortion_model, msg.d)


def parse_extrinsics(text: str) -> RigidTransform:
    """Return the transform of 'x y z qx qy qz qw'.

    Raises:
        CalibrationError: for a text that is something else.
    """
    try:
        numbers = [float(word) for word in text.replace(",", " ").split()]
    except ValueError:
        numbers = []
    if len(numbers) != 7:
        raise CalibrationError(f"expected 'x y z qx qy qz qw', got '{text}'")
    return RigidTransform.from_quaternion(numbers[3:], numbers[:3])


def to_detection_3d(
    box: ObjectBox, shift_m: NDArray[np.float64], detection: Detection2D, header: Header
) -> Detection3D:
    """Return the message of a box; number, class and score are those of the detection.

    The pose of its result is the median of the visible points, and the covariance is theirs: (x, y, z) of the 6x6
    matrix.

    Args:
        box: of the object.
        shift_m: float64 (3,), by how much it is moved, as its track is smoothed.
        detection: of the object.
        header: of the message.
    """
    message = Detection3D(header=header, id=detection.id)
    message.bbox.center.position = to_point(box.center_m + shift_m)
    message.bbox.center.orientation = Quaternion(z=math.sin(box.yaw_rad / 2), w=math.cos(box.yaw_rad / 2))
    x, y, z = box.size_m.tolist()
    message.bbox.size = Vector3(x=x, y=y, z=z)
    covariance = np.zeros((6, 6))
    covariance[:3, :3] = box.covariance_m2
    for hypothesis in detection.results[:1]:
        result = ObjectHypothesisWithPose(hypothesis=hypothesis.hypothesis)
        result.pose.pose.position = to_point(box.surface_m + shift_m)
        result.pose.pose.orientation = message.bbox.center.orientation
        result.pose.covariance = covariance.ravel()
        message.results.append(result)
    return message


def to_point(position_m: NDArray[np.float64]) -> Point:
    """Return the message of a position, float64 (3,)."""
    x, y, z = position_m.tolist()
    return Point(x=x, y=y, z=z)


def to_cloud(points: NDArray[Any], header: Header) -> PointCloud2:
    """Return the message of points: a structured array (n,), or (height, width) for an organised cloud.

    The names and places of the fields are those of the array's dtype.
    """
    height, width = (1, len(points)) if points.ndim == 1 else points.shape
    return PointCloud2(
        header=header,
        height=height,
        width=width,
        fields=_fields(points.dtype),
        is_bigendian=False,
        point_step=points.dtype.itemsize,
        row_step=points.dtype.itemsize * width,
        data=as_bytes(points),
        is_dense=points.ndim == 1,
    )


def to_gray_image(pixels: NDArray[np.uint8], header: Header) -> Image:
    """Return a mono8 message of uint8 (height, width), without gaps between the rows."""
    height, width = pixels.shape
    return Image(header=header, height=height, width=width, encoding="mono8", step=width, data=as_bytes(pixels))


def as_bytes(values: NDArray[Any]) -> array.array[int]:
    """Return the memory of an array as messages take it over at once."""
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(values).view(np.uint8).data.cast("B"))
    return data


def info_topic(image_topic: str) -> str:
    """Return the topic of the CameraInfo that belongs to an image topic: beside it, as image_transport has it."""
    return f"{image_topic.rpartition('/')[0]}/camera_info"


def _fields(dtype: np.dtype[Any]) -> Sequence[PointField]:
    assert dtype.fields is not None
    return [
        PointField(name=name, offset=offset, datatype=_FIELD_TYPES[kind.name], count=1)
        for name, (kind, offset, *_) in dtype.fields.items()
    ]


def _pixels(msg: Image, kind: str) -> NDArray[Any]:
    dtype = np.dtype(kind).newbyteorder(">" if msg.is_bigendian else "<")
    size = f"{msg.width}x{msg.height} {msg.encoding}"
    if not msg.width or not msg.height:
        raise DepthError(f"the image is empty: {size}")
    if msg.step < msg.width * dtype.itemsize:
        raise DepthError(f"step {msg.step} does not fit {size}; expected {msg.width * dtype.itemsize} or more")
    if len(msg.data) < msg.height * msg.step:
        raise DepthError(
            f"{len(msg.data)} bytes of data do not fit {size} with step {msg.step}; expected {msg.height * msg.step}"
        )
    return np.ndarray((msg.height, msg.width), dtype, memoryview(msg.data), strides=(msg.step, dtype.itemsize))
