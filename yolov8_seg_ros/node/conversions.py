"""Turn image messages into images and instances into messages."""

from __future__ import annotations

import array
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from rclpy.clock import Clock, ROSClock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from yolov8_seg_ros.core.image import ColorImage, PixelBuffer
from yolov8_seg_ros.core.instances import NO_TRACK, Instances
from yolov8_seg_ros.errors import ImageError as ImageError
from yolov8_seg_ros.media.image_message import ENCODINGS as ENCODINGS
from yolov8_seg_ros.media.image_message import decode_compressed, unpack_image
from yolov8_seg_ros.text import BACKGROUND

#: What a camera's topic carries.
ImageMessage: TypeAlias = "Image | CompressedImage"
_JPEG_QUALITY = 80


class PlainTime(NamedTuple):
    """The fields of a Time."""

    sec: int
    nanosec: int


class PlainHeader(NamedTuple):
    """The fields of a Header, for what needs no message: rclpy takes 40 us to make one where caches are cold."""

    stamp: PlainTime
    frame_id: str


AnyHeader: TypeAlias = "Header | PlainHeader"


def image_from_msg(msg: ImageMessage, buffer: PixelBuffer | None = None) -> ColorImage:
    """Return the image of a message, without copying its pixels where they serve as they are.

    Args:
        msg: raw or compressed.
        buffer: where converted pixels go, until it is used for another image; new memory where None. 16-bit pixels are
            scaled by the highest bit that it has seen.

    Raises:
        ImageError: for an encoding that is not supported, sizes that do not fit one another, a damaged image, or a
            frame_id that is absurdly long.
    """
    return decode_compressed(msg) if isinstance(msg, CompressedImage) else unpack_image(msg, buffer)


class LabelCanvas:
    """A message whose pixels are painted in place, image after image: publishing copies them anyhow.

    Args:
        encoding: `mono8` or `16UC1`.
    """

    def __init__(self, encoding: str) -> None:
        self._message = Image(encoding=encoding, is_bigendian=sys.byteorder == "big")
        self._dtype = np.dtype(np.uint16 if encoding == "16UC1" else np.uint8)
        self._pixels: NDArray[Any] = np.empty((0, 0), self._dtype)

    def pixels(self, hw: tuple[int, int]) -> NDArray[Any]:
        """Return the message's own pixels, (height, width) in the type of the encoding, of any content."""
        if self._pixels.shape != hw:
            height, width = hw
            message = self._message
            message.height, message.width, message.step = height, width, width * self._dtype.itemsize
            message.data = array.array("B", bytes(height * message.step))
            # Read back, since rclpy keeps a copy.
            self._pixels = np.frombuffer(message.data, self._dtype).reshape(hw)
        return self._pixels

    def message(self, header: Header) -> Image:
        """Return the message; what is painted later is in it, too."""
        self._message.header = header
        return self._message


def bgr_to_msg(bgr: NDArray[np.uint8], header: Header) -> Image:
    """Return a bgr8 message of uint8 (height, width, 3)."""
    height, width = bgr.shape[:2]
    return Image(header=header, height=height, width=width, encoding="bgr8", step=3 * width, data=_data(bgr))


def bgr_to_jpeg_msg(bgr: NDArray[np.uint8], header: Header) -> CompressedImage:
    """Return a JPEG message of uint8 (height, width, 3)."""
    _, jpeg = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY))
    return CompressedImage(header=header, format="bgr8; jpeg compressed bgr8", data=_data(jpeg))


def _data(pixels: NDArray[np.uint8]) -> array.array[int]:
    # Of the types that the setter takes, only an array is taken over without a look at each byte.
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(pixels).data.cast("B"))
    return data


def detections_to_msg(instances: Instances, class_names: Sequence[str], header: AnyHeader) -> Detection2DArray:
    """Return the detections, best score first; their ids are `detection_ids`."""
    header = header_to_msg(header)
    ids = detection_ids(instances)
    rows = zip(ids, instances.xyxy.tolist(), instances.score.tolist(), instances.class_id.tolist(), strict=True)
    return Detection2DArray(
        header=header,
        detections=[_detection(header, *row[:3], class_names[row[3]]) for row in rows],
    )


def detection_ids(instances: Instances) -> list[str]:
    """Return an id for each instance: its track's, empty for none; without tracking its value in the label image."""
    if instances.track_id is None:
        return list(map(str, range(1, len(instances) + 1)))
    return ["" if number == NO_TRACK else str(number) for number in instances.track_id.tolist()]


def is_simulated(clock: Clock) -> bool:
    """Return whether a node's clock is that of a simulation or a recording, rather than the machine's."""
    return isinstance(clock, ROSClock) and clock.ros_time_is_active


def now_ns(clock: Clock) -> int:
    """Return the time of a node's clock in nanoseconds, without the object that the clock's own `now` makes."""
    return clock.now().nanoseconds if is_simulated(clock) else time.time_ns()


def header_at(time_ns: int, frame_id: str) -> PlainHeader:
    """Return a header with a stamp."""
    return PlainHeader(PlainTime(*divmod(time_ns, 1_000_000_000)), frame_id)


def header_to_msg(header: AnyHeader) -> Header:
    """Return a header as a message; the same one if it is one."""
    if isinstance(header, PlainHeader):
        return Header(stamp=Time(sec=header.stamp.sec, nanosec=header.stamp.nanosec), frame_id=header.frame_id)
    return header


def stamp_ns(header: AnyHeader) -> int:
    """Return a header's stamp in nanoseconds, negative ones included, which rclpy's Time refuses."""
    stamp = header.stamp
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)


def _detection(header: Header, number: str, xyxy: list[float], score: float, class_name: str) -> Detection2D:
    left, top, right, bottom = xyxy
    detection = Detection2D(header=header, id=number)
    detection.bbox.center.position.x = (left + right) / 2
    detection.bbox.center.position.y = (top + bottom) / 2
    detection.bbox.size_x = right - left
    detection.bbox.size_y = bottom - top
    result = ObjectHypothesisWithPose()
    result.hypothesis.class_id = class_name
    result.hypothesis.score = score
    detection.results.append(result)
    return detection


def label_info(class_names: Sequence[str], score_threshold: float, header: Header) -> LabelInfo:
    """Return what the pixel values of the semantic image mean: 0 is background, class k has value k + 1."""
    names = (BACKGROUND, *class_names)
    classes = [VisionClass(class_id=value, class_name=name) for value, name in enumerate(names)]
    return LabelInfo(header=header, class_map=classes, threshold=score_threshold)
