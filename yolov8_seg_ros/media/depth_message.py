"""Turn messages into depth images, label images and cameras; nothing in a message is trusted unchecked.

A message is any object with the fields of sensor_msgs, as in `image_message`.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera
from yolov8_seg_ros.core.depth import DepthImage, unit_of_encoding
from yolov8_seg_ros.core.instances import MAX_LABELS
from yolov8_seg_ros.core.object_placing import track_number
from yolov8_seg_ros.errors import CalibrationError, DecodeError, DepthError
from yolov8_seg_ros.media.image_file import decode_unchanged
from yolov8_seg_ros.media.image_message import CompressedImage, RawImage
from yolov8_seg_ros.text import clean_text

#: What image_transport adds to the name of a topic of depth images that it compresses.
COMPRESSED_DEPTH_SUFFIX = "/compressedDepth"
#: Before the image itself: how depths became whole numbers, and the two numbers by which they did.
_COMPRESSED_HEADER = struct.Struct("<iff")


def depth_from_msg(msg: Any, unit_m: float = 0.0) -> DepthImage:
    """Return the depth image of a message; the pixels of a raw one are not copied.

    Args:
        msg: Image of 16UC1, mono16 or 32FC1; or CompressedImage of these, as compressed_depth_image_transport makes it
            with PNG.
        unit_m: metres that 1 is worth; 0: as the encoding says.

    Raises:
        DepthError: for another encoding, sizes that do not fit one another, or a damaged image.
    """
    if not hasattr(msg, "encoding"):
        return _decompressed(msg, unit_m)
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


def camera_from_msg(msg: Any, rectified: bool = False) -> PinholeCamera:
    """Return the camera that a CameraInfo describes, for images as the camera sent them: binned, or a part of them.

    Args:
        msg: of ROS 2, or of ROS 1, where K, D and P are in capital letters.
        rectified: whether the images are rectified: P describes them then, without a lens, rather than K and D.

    Raises:
        CalibrationError: if it cannot be used.

    Source: the comments of sensor_msgs/CameraInfo, and ROS REP 104.
    """
    if not msg.width or not msg.height:
        raise CalibrationError(f"CameraInfo: the images are {msg.width}x{msg.height}; calibrate the camera")
    image_hw, offset_xy, binning_xy = _part_of_sensor(msg)
    matrix, distortion, projection = (msg.k, msg.d, msg.p) if hasattr(msg, "k") else (msg.K, msg.D, msg.P)
    model = msg.distortion_model
    if rectified:
        matrix, model, distortion = _rectified_matrix(matrix, distortion, projection), "", ()
    matrix = _matrix_of_part(matrix, offset_xy, binning_xy)
    return PinholeCamera.from_calibration(image_hw, matrix, model, distortion)


def is_rectified_topic(image_topic: str) -> bool:
    """Return whether a topic is named as image_proc names those of rectified images: image_rect, image_rect_color."""
    return "rect" in re.split("[/_]", image_topic)


def info_topic(image_topic: str) -> str:
    """Return the topic of the CameraInfo that belongs to an image topic: beside it, as image_transport has it."""
    return f"{image_topic.removesuffix(COMPRESSED_DEPTH_SUFFIX).rpartition('/')[0]}/camera_info"


def _decompressed(msg: CompressedImage, unit_m: float) -> DepthImage:
    """Return the depth image of a compressed message.

    Source: the message format of compressed_depth_image_transport.
    """
    encoding, _, codec = (part.strip() for part in msg.format.partition(";"))
    encoding_unit_m, data = unit_of_encoding(encoding), memoryview(msg.data)
    if "rvl" in codec.lower():
        raise DepthError(f"compressed as RVL ('{clean_text(msg.format)}'); expected PNG: set the publisher's format")
    if len(data) < _COMPRESSED_HEADER.size:
        raise DepthError(f"{len(data)} bytes are no compressed depth image")
    try:
        pixels = decode_unchanged(data[_COMPRESSED_HEADER.size :])
    except DecodeError as error:
        raise DepthError(f"compressed depth image: {error}") from error
    if pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise DepthError(f"compressed depth image: expected one number of 16 bits a pixel, got {pixels.dtype} pixels")
    if encoding == "32FC1":
        _, scale, offset = _COMPRESSED_HEADER.unpack_from(data)
        # Inverse depths, finer near by; 0 for none.
        with np.errstate(divide="ignore", invalid="ignore"):
            pixels = np.where(pixels > 0, np.float32(scale) / (pixels - np.float32(offset)), np.float32(np.nan))
    return DepthImage(pixels, unit_m or encoding_unit_m)


def _rectified_matrix(matrix: Sequence[float], distortion: Sequence[float], projection: Sequence[float]) -> list[float]:
    """Return K of rectified images: the left part of P; without P that of a camera without distortion."""
    if any(projection):
        return [projection[4 * row + column] for row in range(3) for column in range(3)]
    if any(distortion):
        raise CalibrationError("P is all zeros, though the images are rectified: calibrate, or set rectified to none")
    return list(matrix)


def _part_of_sensor(msg: Any) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Return the images' height and width, the columns and rows before them, and how many of each are one pixel."""
    roi, binning_xy = msg.roi, (msg.binning_x or 1, msg.binning_y or 1)
    width, height = (roi.width, roi.height) if roi.width and roi.height else (msg.width, msg.height)
    return (height // binning_xy[1], width // binning_xy[0]), (roi.x_offset, roi.y_offset), binning_xy


def _matrix_of_part(matrix: Sequence[float], offset_xy: tuple[int, int], binning_xy: tuple[int, int]) -> list[float]:
    """Return K of a part of the sensor's image, of which some columns and rows are averaged to one pixel."""
    moved = [float(value) for value in matrix]
    for axis in (0, 1):
        focal, center, binning = 4 * axis, 3 * axis + 2, binning_xy[axis]
        # The centre of the first pixel is that of all that are averaged to it.
        moved[center] = (moved[center] - offset_xy[axis] + 0.5) / binning - 0.5
        moved[focal] /= binning
    return moved


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
