"""Turn image messages into images and instances into messages; nothing in a message is trusted unchecked.

The distribution's cv_bridge is not used on the way in: it knows no nv12, trusts `step`, and converts colours of the
whole image where the network's small input is enough.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, LabelInfo, ObjectHypothesisWithPose, VisionClass

from yolov8_seg_ros.core.image import ColorImage, ColorOrder, PixelBuffer
from yolov8_seg_ros.core.instances import NO_TRACK, Instances
from yolov8_seg_ros.errors import DecodeError, ImageError
from yolov8_seg_ros.media.image_file import decode_image
from yolov8_seg_ros.text import clean_text

#: What a camera's topic carries.
ImageMessage: TypeAlias = "Image | CompressedImage"
BACKGROUND = "background"
#: Longer ones are an attack or a defect.
_MAX_FRAME_ID_CHARS = 256
#: Of a text in a message, where it is repeated in an error.
_MAX_SHOWN_CHARS = 64
_JPEG_QUALITY = 80


@dataclass(frozen=True)
class _Encoding:
    """A layout of pixels in a message.

    Attributes:
        channels: numbers a pixel; 1 and 2 byte ones make no third dimension when there is one of them.
        order: what they are once converted.
        dtype: of a number.
        conversion: OpenCV's way to BGR, or None where the pixels serve as they are.
        row_factor: rows of data per two rows of the image (nv12 has half a plane of colour below the grey one).
        even: of width and height, whether it must be even, since pixels share their colour.
    """

    channels: int
    order: ColorOrder
    dtype: str = "u1"
    conversion: int | None = None
    row_factor: int = 2
    even: tuple[bool, bool] = (False, False)


def _bayer(conversion: int, dtype: str = "u1") -> _Encoding:
    return _Encoding(1, ColorOrder.BGR, dtype, conversion)


def _packed_422(conversion: int) -> _Encoding:
    return _Encoding(2, ColorOrder.BGR, conversion=conversion, even=(True, False))


def _two_planes(conversion: int, row_factor: int) -> _Encoding:
    return _Encoding(1, ColorOrder.BGR, conversion=conversion, row_factor=row_factor, even=(True, True))


# ROS names a Bayer pattern by its first two rows, OpenCV by the second row's second and third pixel.
_BAYER = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
_NV24 = "nv24"
_ENCODINGS = {
    "bgr8": _Encoding(3, ColorOrder.BGR),
    "rgb8": _Encoding(3, ColorOrder.RGB),
    "bgra8": _Encoding(4, ColorOrder.BGRA),
    "rgba8": _Encoding(4, ColorOrder.RGBA),
    "bgr16": _Encoding(3, ColorOrder.BGR, "u2"),
    "rgb16": _Encoding(3, ColorOrder.RGB, "u2"),
    "bgra16": _Encoding(4, ColorOrder.BGRA, "u2"),
    "rgba16": _Encoding(4, ColorOrder.RGBA, "u2"),
    "8uc3": _Encoding(3, ColorOrder.BGR),
    "8uc1": _Encoding(1, ColorOrder.GRAY),
    "mono8": _Encoding(1, ColorOrder.GRAY),
    "16uc1": _Encoding(1, ColorOrder.GRAY, "u2"),
    "mono16": _Encoding(1, ColorOrder.GRAY, "u2"),
    "yuv422": _packed_422(cv2.COLOR_YUV2BGR_UYVY),
    "uyvy": _packed_422(cv2.COLOR_YUV2BGR_UYVY),
    "yuv422_yuy2": _packed_422(cv2.COLOR_YUV2BGR_YUYV),
    "yuyv": _packed_422(cv2.COLOR_YUV2BGR_YUYV),
    "nv12": _two_planes(cv2.COLOR_YUV2BGR_NV12, row_factor=3),
    "nv21": _two_planes(cv2.COLOR_YUV2BGR_NV21, row_factor=3),
    _NV24: _two_planes(cv2.COLOR_YUV2BGR_NV12, row_factor=6),
    **{f"bayer_{pattern}8": _bayer(conversion) for pattern, conversion in _BAYER.items()},
    **{f"bayer_{pattern}16": _bayer(conversion, "u2") for pattern, conversion in _BAYER.items()},
}
#: Names of the encodings in lower case; drivers write some of them otherwise.
ENCODINGS = tuple(_ENCODINGS)


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
    if len(msg.header.frame_id) > _MAX_FRAME_ID_CHARS:
        # Each detection repeats it.
        raise ImageError(
            f"the frame_id has {len(msg.header.frame_id)} characters; expected at most {_MAX_FRAME_ID_CHARS}"
        )
    return _decoded(msg) if isinstance(msg, CompressedImage) else _unpacked(msg, buffer or PixelBuffer())


def _decoded(msg: CompressedImage) -> ColorImage:
    try:
        return ColorImage(decode_image(memoryview(msg.data)))
    except DecodeError as error:
        raise ImageError(f"compressed image ('{_shown(msg.format)}'): {error}") from error


def _unpacked(msg: Image, buffer: PixelBuffer) -> ColorImage:
    encoding = _ENCODINGS.get(msg.encoding.lower())
    if encoding is None:
        raise ImageError(f"encoding '{_shown(msg.encoding)}' is not supported; expected one of {', '.join(ENCODINGS)}")
    pixels = _pixels(msg, encoding, buffer)
    if encoding.dtype == "u2":
        pixels = buffer.shortened(pixels)
    if encoding.conversion is not None:
        pixels = cv2.cvtColor(pixels, encoding.conversion, dst=buffer.shaped(msg.height, msg.width, 3))
    return ColorImage(pixels, encoding.order)


def _shown(text: str) -> str:
    return clean_text(text, _MAX_SHOWN_CHARS)


def _pixels(msg: Image, encoding: _Encoding, buffer: PixelBuffer) -> NDArray[Any]:
    dtype = np.dtype(encoding.dtype).newbyteorder(">" if msg.is_bigendian else "<")
    rows = msg.height * encoding.row_factor // 2
    pixel_bytes = encoding.channels * dtype.itemsize
    _check_size(msg, encoding, rows, pixel_bytes)
    if msg.encoding.lower() == _NV24:
        return _nv24_as_nv12(msg, buffer)
    shape, strides = (rows, msg.width), (msg.step, pixel_bytes)
    if encoding.channels > 1:
        shape, strides = (*shape, encoding.channels), (*strides, dtype.itemsize)  # type: ignore[assignment]
    return np.ndarray(shape, dtype, memoryview(msg.data), strides=strides)


def _nv24_as_nv12(msg: Image, buffer: PixelBuffer) -> NDArray[np.uint8]:
    """Return the pixels with every second colour of every second row: OpenCV knows no nv24."""
    height, width, step = msg.height, msg.width, msg.step
    data = memoryview(msg.data)
    luma: NDArray[np.uint8] = np.ndarray((height, width), np.uint8, data, strides=(step, 1))
    chroma: NDArray[np.uint8] = np.ndarray((height, width, 2), np.uint8, data, height * step, strides=(2 * step, 2, 1))
    pixels = buffer.step(height * 3 // 2, width)
    pixels[:height] = luma
    pixels[height:].reshape(height // 2, width // 2, 2)[:] = chroma[::2, ::2]
    return pixels


def _check_size(msg: Image, encoding: _Encoding, rows: int, pixel_bytes: int) -> None:
    size = f"{msg.width}x{msg.height} {msg.encoding}"
    if not msg.width or not msg.height:
        raise ImageError(f"the image is empty: {size}")
    if any(must and length % 2 for must, length in zip(encoding.even, (msg.width, msg.height), strict=True)):
        raise ImageError(f"{size}: its colours come in pairs of pixels; expected an even size")
    if msg.step < msg.width * pixel_bytes:
        raise ImageError(f"step {msg.step} does not fit {size}; expected {msg.width * pixel_bytes} or more")
    if len(msg.data) < rows * msg.step:
        raise ImageError(
            f"{len(msg.data)} bytes of data do not fit {size} with step {msg.step}; expected {rows * msg.step}"
        )


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


def detections_to_msg(instances: Instances, class_names: Sequence[str], header: Header) -> Detection2DArray:
    """Return the detections, best score first; their ids are `detection_ids`."""
    ids = detection_ids(instances)
    rows = zip(ids, instances.xyxy.tolist(), instances.score.tolist(), instances.class_id.tolist(), strict=True)
    return Detection2DArray(
        header=header,
        detections=[_detection(header, *row[:3], class_names[row[3]]) for row in rows],
    )


def detection_ids(instances: Instances) -> list[str]:
    """Return an id for each instance: its track's, empty for none; without tracking its value in the label image."""
    if instances.track_id is None:
        return [str(number) for number in range(1, len(instances) + 1)]
    return ["" if number == NO_TRACK else str(number) for number in instances.track_id.tolist()]


def stamp_ns(header: Header) -> int:
    """Return a header's stamp in nanoseconds, negative ones included, which rclpy's Time refuses."""
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)


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
