"""Arrays that share the memory of image messages, and messages filled from arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image

from .encodings import DTYPES, Encoding, parse_encoding
from .errors import CvBridgeError

DEPTH_OF_DTYPE = {dtype: depth for depth, dtype in DTYPES.items()}


def array_from_message(message: Image) -> NDArray[Any]:
    """Return the pixels of an image message, in this machine's byte order and without the padding of its rows.

    Returns:
        (height, width) where a pixel is one value, else (height, width, channels). It shares the message's memory
        where that has no padding and the right byte order. nv12, nv21 and nv24: all planes, below each other.

    Raises:
        CvBridgeError: if encoding, size, step and length of the data do not fit together.
    """
    encoding = parse_encoding(message.encoding)
    dtype = np.dtype(encoding.dtype).newbyteorder(">" if message.is_bigendian else "<")
    rows = _rows(message, encoding, dtype.itemsize)
    shape = (rows, message.width) + ((encoding.channels,) if encoding.channels > 1 else ())
    strides = (message.step, encoding.channels * dtype.itemsize, dtype.itemsize)[: len(shape)]
    pixels: NDArray[Any] = np.ndarray(shape, dtype, buffer_of(message), strides=strides)
    if encoding.color == "nv24" and message.step != message.width:
        pixels = _nv24_without_padding(message)
    return np.ascontiguousarray(pixels, dtype=encoding.dtype)


def _rows(message: Image, encoding: Encoding, itemsize: int) -> int:
    """Return the number of rows of the array, once all sizes are known to fit."""
    rows = message.height * encoding.rows
    if rows.denominator != 1 or (encoding.rows != 1 and message.width % 2):
        raise CvBridgeError(f"{message.encoding} needs even sizes, got {message.width}x{message.height}")
    least = message.width * encoding.channels * itemsize
    if message.step < least:
        raise CvBridgeError(
            f"step is {message.step} bytes, but {message.width} pixels of {message.encoding} need {least}"
        )
    if len(message.data) < rows * message.step:
        raise CvBridgeError(
            f"data has {len(message.data)} bytes, but {message.width}x{message.height} {message.encoding} "
            f"with step {message.step} needs {rows * message.step}"
        )
    return int(rows)


def buffer_of(message: Any) -> Any:
    """Return the data of a message as a buffer, also where a caller stored a list of numbers."""
    data = message.data
    return bytes(data) if isinstance(data, list) else data


def _nv24_without_padding(message: Image) -> NDArray[np.uint8]:
    """Remove the padding from both planes: a row of colours, two bytes a pixel, takes two steps."""
    height, width, step = message.height, message.width, message.step
    rows: NDArray[np.uint8] = np.ndarray((3 * height, step), np.uint8, buffer_of(message))
    chroma = rows[height:].reshape(height, 2 * step)[:, : 2 * width]
    return np.concatenate([rows[:height, :width], chroma.reshape(2 * height, width)])


def cv_name_of(image: NDArray[Any]) -> str:
    """Return the name of an array's OpenCV type, such as 8UC3.

    Raises:
        CvBridgeError: if it is no image, or has a type which OpenCV does not know.
    """
    if image.ndim not in (2, 3):
        raise CvBridgeError(f"an image has 2 or 3 dimensions, got an array of shape {image.shape}")
    return cv_name(image.dtype, 1 if image.ndim == 2 else image.shape[2])


def cv_name(dtype: np.dtype[Any], channels: int) -> str:
    """Return the name of an OpenCV type, such as 8UC3.

    Raises:
        CvBridgeError: if OpenCV has no such type.
    """
    if dtype.name not in DEPTH_OF_DTYPE:
        raise CvBridgeError(f"images are made of {', '.join(DEPTH_OF_DTYPE)}, got {dtype.name}")
    return f"{DEPTH_OF_DTYPE[dtype.name]}C{channels}"


def message_from_array(image: NDArray[Any], encoding_name: str) -> Image:
    """Make an image message of an array.

    Raises:
        CvBridgeError: if the array is not of the type which the encoding asks for.
    """
    name = cv_name_of(image)
    encoding = parse_encoding(name if encoding_name == "passthrough" else encoding_name)
    if encoding.cv_name != name:
        raise CvBridgeError(f"encoding {encoding_name} needs {encoding.cv_name}, but the image is {name}")
    height = image.shape[0] / encoding.rows
    if height.denominator != 1 or (encoding.rows != 1 and image.shape[1] % 2):
        raise CvBridgeError(f"{encoding_name} needs even sizes, got planes of shape {image.shape}")
    message = Image()
    message.height, message.width = int(height), image.shape[1]
    message.encoding = name if encoding_name == "passthrough" else encoding_name
    message.is_bigendian = _is_bigendian(image.dtype)
    message.step = message.width * encoding.channels * image.dtype.itemsize
    message.data.frombytes(np.ascontiguousarray(image).reshape(-1).view(np.uint8))
    return message


def _is_bigendian(dtype: np.dtype[Any]) -> bool:
    return dtype.byteorder == ">" or (dtype.byteorder == "=" and sys.byteorder == "big")
