"""Turn image messages into images; nothing in a message is trusted unchecked.

A message is any object with the fields of sensor_msgs: those of rclpy serve, and those that are read from a recording
where there is no ROS. cv_bridge is not used: it knows no nv12, trusts `step`, and converts colours of the whole image
where the network's small input is enough.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import ColorImage, ColorOrder, PixelBuffer
from yolov8_seg_ros.errors import DecodeError, ImageError
from yolov8_seg_ros.media.image_file import decode_image
from yolov8_seg_ros.text import clean_text

#: Longer ones are an attack or a defect.
_MAX_FRAME_ID_CHARS = 256
#: Of a text in a message, where it is repeated in an error.
_MAX_SHOWN_CHARS = 64


class RawImage(Protocol):
    """The fields of sensor_msgs/Image; `data` is any buffer of bytes."""

    header: Any
    height: int
    width: int
    encoding: str
    is_bigendian: Any
    step: int
    data: Any


class CompressedImage(Protocol):
    """The fields of sensor_msgs/CompressedImage; `data` is any buffer of bytes."""

    header: Any
    format: str
    data: Any


@dataclass(frozen=True)
class _Encoding:
    """A layout of pixels in a message.

    Attributes:
        channels: numbers a pixel; 1 and 2 byte ones make no third dimension when there is one of them.
        order: what they are once converted.
        dtype: of a number.
        conversion: OpenCV's way to BGR, or None where the pixels serve as they are.
        row_factor: rows of data per two rows of the image (nv12 has half a plane of colour below that of luma).
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


def _packed_422(order: ColorOrder) -> _Encoding:
    return _Encoding(2, order, even=(True, False))


def _planes(order: ColorOrder, row_factor: int = 3) -> _Encoding:
    return _Encoding(1, order, row_factor=row_factor, even=(True, True))


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
    "yuv422": _packed_422(ColorOrder.UYVY),
    "uyvy": _packed_422(ColorOrder.UYVY),
    "yuv422_yuy2": _packed_422(ColorOrder.YUYV),
    "yuyv": _packed_422(ColorOrder.YUYV),
    "nv12": _planes(ColorOrder.NV12),
    "nv21": _planes(ColorOrder.NV21),
    _NV24: _planes(ColorOrder.NV12, row_factor=6),
    **{f"bayer_{pattern}8": _bayer(conversion) for pattern, conversion in _BAYER.items()},
    **{f"bayer_{pattern}16": _bayer(conversion, "u2") for pattern, conversion in _BAYER.items()},
}
#: Names of the encodings in lower case; drivers write some of them otherwise.
ENCODINGS = tuple(_ENCODINGS)
#: Of cameras and videos, but of no raw message: three planes, and JPEG data.
I420, JPEG = "i420", "jpeg"
_PIXEL_ENCODINGS = _ENCODINGS | {I420: _planes(ColorOrder.I420)}


def unpack_image(msg: RawImage, buffer: PixelBuffer | None = None) -> ColorImage:
    """Return the image of a raw message, without copying its pixels where they serve as they are.

    Args:
        msg: the message.
        buffer: where converted pixels go, until it is used for another image; new memory where None. 16-bit pixels are
            scaled by the highest bit that it has seen.

    Raises:
        ImageError: for an encoding that is not supported, sizes that do not fit one another, or a frame_id that is
            absurdly long.
    """
    _check_header(msg.header)
    buffer = buffer or PixelBuffer()
    encoding = _ENCODINGS.get(msg.encoding.lower())
    if encoding is None:
        raise ImageError(f"encoding '{_shown(msg.encoding)}' is not supported; expected one of {', '.join(ENCODINGS)}")
    pixels = _pixels(msg, encoding, buffer)
    return _converted(pixels, encoding, buffer)


def pixels_shape(encoding: str, image_hw: tuple[int, int]) -> tuple[int, ...]:
    """Return the shape of the pixels of an image in an encoding of `ENCODINGS` but nv24, or `I420`."""
    layout = _PIXEL_ENCODINGS[encoding]
    height, width = image_hw
    shape = (height * layout.row_factor // 2, width)
    return (*shape, layout.channels) if layout.channels > 1 else shape


def shares_colors(encoding: str) -> bool:
    """Return whether pixels of an encoding share their colour, so that sizes have to be even."""
    return any(_PIXEL_ENCODINGS[encoding].even)


def image_of_pixels(pixels: NDArray[Any], encoding: str, buffer: PixelBuffer | None = None) -> ColorImage:
    """Return the image of pixels that are encoded so, without copying them where they serve as they are.

    Args:
        pixels: of the shape `pixels_shape`; of a JPEG its bytes.
        encoding: one of `ENCODINGS` but nv24, `I420` or `JPEG`.
        buffer: where converted pixels go, as in `unpack_image`.

    Raises:
        ImageError: for a damaged JPEG.
    """
    if encoding == JPEG:
        try:
            return ColorImage(decode_image(pixels.data))
        except DecodeError as error:
            raise ImageError(str(error)) from error
    return _converted(pixels, _PIXEL_ENCODINGS[encoding], buffer or PixelBuffer())


def decode_compressed(msg: CompressedImage) -> ColorImage:
    """Return the image of a compressed message.

    Raises:
        ImageError: for a damaged image, a format that is not supported, or a frame_id that is absurdly long.
    """
    _check_header(msg.header)
    try:
        return ColorImage(decode_image(memoryview(msg.data)))
    except DecodeError as error:
        raise ImageError(f"compressed image ('{_shown(msg.format)}'): {error}") from error


def _check_header(header: Any) -> None:
    if len(header.frame_id) > _MAX_FRAME_ID_CHARS:
        # Each detection repeats it.
        raise ImageError(f"the frame_id has {len(header.frame_id)} characters; expected at most {_MAX_FRAME_ID_CHARS}")


def _shown(text: str) -> str:
    return clean_text(text, _MAX_SHOWN_CHARS)


def _pixels(msg: RawImage, encoding: _Encoding, buffer: PixelBuffer) -> NDArray[Any]:
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


def _converted(pixels: NDArray[Any], encoding: _Encoding, buffer: PixelBuffer) -> ColorImage:
    if encoding.dtype == "u2":
        pixels = buffer.shortened(pixels)
    if encoding.conversion is not None:
        pixels = cv2.cvtColor(pixels, encoding.conversion, dst=buffer.shaped(*pixels.shape, 3))
    return ColorImage(pixels, encoding.order)


def _nv24_as_nv12(msg: RawImage, buffer: PixelBuffer) -> NDArray[np.uint8]:
    """Return the pixels with every second colour of every second row."""
    height, width, step = msg.height, msg.width, msg.step
    data = memoryview(msg.data)
    luma: NDArray[np.uint8] = np.ndarray((height, width), np.uint8, data, strides=(step, 1))
    chroma: NDArray[np.uint8] = np.ndarray((height, width, 2), np.uint8, data, height * step, strides=(2 * step, 2, 1))
    pixels = buffer.step(height * 3 // 2, width)
    pixels[:height] = luma
    pixels[height:].reshape(height // 2, width // 2, 2)[:] = chroma[::2, ::2]
    return pixels


def _check_size(msg: RawImage, encoding: _Encoding, rows: int, pixel_bytes: int) -> None:
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
