"""Turn messages into depth images, label images and cameras; nothing in a message is trusted unchecked.

A message is any object with the fields of sensor_msgs, as in `image_message`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera
from yolov8_seg_ros.core.depth import DepthImage, unit_of_encoding
from yolov8_seg_ros.core.instances import MAX_LABELS
from yolov8_seg_ros.core.object_placing import track_number
from yolov8_seg_ros.errors import CalibrationError, DepthError
from yolov8_seg_ros.media.image_message import RawImage


def depth_from_msg(msg: RawImage, unit_m: float = 0.0) -> DepthImage:
    """Return the depth image of a message, without copying its pixels.

    Args:
        msg: 16UC1, mono16 or 32FC1.
        unit_m: metres that 1 is worth; 0: as the encoding says.

    Raises:
        DepthError: for another encoding, or sizes that do not fit one another.
    """
    encoding_unit_m = unit_of_encoding(msg.encoding)
    return DepthImage(_pixels(msg, "f4" if msg.encoding == "32FC1" else "u2"), unit_m or encoding_unit_m)


def labels_from_msg(msg: RawImage, ids: Sequence[str]) -> NDArray[np.uint8]:
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


def camera_from_msg(msg: Any) -> PinholeCamera:
    """Return the camera that a CameraInfo describes.

    Args:
        msg: of ROS 2, or of ROS 1, where K and D are in capital letters.

    Raises:
        CalibrationError: if it cannot be used.
    """
    if not msg.width or not msg.height:
        raise CalibrationError(f"CameraInfo: the images are {msg.width}x{msg.height}; calibrate the camera")
    matrix, distortion = (msg.k, msg.d) if hasattr(msg, "k") else (msg.K, msg.D)
    return PinholeCamera.from_calibration((msg.height, msg.width), matrix, msg.distortion_model, distortion)


def info_topic(image_topic: str) -> str:
    """Return the topic of the CameraInfo that belongs to an image topic: beside it, as image_transport has it."""
    return f"{image_topic.rpartition('/')[0]}/camera_info"


def _pixels(msg: RawImage, kind: str) -> NDArray[Any]:
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
