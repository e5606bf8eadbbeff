"""The class that users of cv_bridge know."""

from __future__ import annotations

from typing import Any, ClassVar

import cv2
import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage, Image

from .conversion import convert
from .encodings import CHANNEL_SHIFT, DEPTHS, DTYPES, LIKELY_ENCODINGS, Encoding, getCvType
from .errors import CvBridgeError
from .messages import DEPTH_OF_DTYPE, array_from_message, buffer_of, cv_name, cv_name_of, message_from_array

DTYPE_OF_DEPTH = {DEPTHS[name]: dtype for name, dtype in DTYPES.items()}


class CvBridge:
    """Converter between OpenCV arrays and image messages.

    Attributes:
        cvtype_to_name: name of an OpenCV type, such as 8UC3, by its number.
        cvdepth_to_numpy_depth: NumPy's type name by the number of OpenCV's depth.
        numpy_type_to_cvtype: name of OpenCV's depth, such as 8U, by NumPy's type name and the other way round.
    """

    cvtype_to_name: ClassVar = {
        encoding.cv_type: encoding.cv_name for encoding in (Encoding(d, c) for d in DEPTHS for c in (1, 2, 3, 4))
    }
    cvdepth_to_numpy_depth: ClassVar = DTYPE_OF_DEPTH
    numpy_type_to_cvtype: ClassVar = {**DEPTH_OF_DTYPE, **DTYPES}

    def imgmsg_to_cv2(self, img_msg: Image, desired_encoding: str = "passthrough") -> NDArray[Any]:
        """Return the image of an Image message as an array.

        Args:
            img_msg: a sensor_msgs/Image.
            desired_encoding: an encoding of sensor_msgs; `passthrough` leaves the pixels as they are, and then
                the array may share the message's memory.

        Returns:
            (height, width) where a pixel is one value, else (height, width, channels).

        Raises:
            CvBridgeError: if the message contradicts itself, or cannot be converted.
        """
        image = array_from_message(img_msg)
        return image if desired_encoding == "passthrough" else convert(image, img_msg.encoding, desired_encoding)

    def cv2_to_imgmsg(self, cvim: NDArray[Any], encoding: str = "passthrough", header: Any = None) -> Image:
        """Make an Image message of an array.

        Args:
            cvim: (height, width) or (height, width, channels), in either byte order.
            encoding: what its pixels are; `passthrough` names their type only, such as 8UC3.
            header: a std_msgs/Header for the message.

        Raises:
            CvBridgeError: if the array is not of the type which the encoding asks for.
        """
        message = message_from_array(_checked(cvim), encoding)
        if header is not None:
            message.header = header
        return message

    def compressed_imgmsg_to_cv2(
        self, cmprs_img_msg: CompressedImage, desired_encoding: str = "passthrough"
    ) -> NDArray[Any]:
        """Decode the image of a CompressedImage message.

        Args:
            cmprs_img_msg: a sensor_msgs/CompressedImage in any format which OpenCV reads.
            desired_encoding: an encoding of sensor_msgs; `passthrough` leaves it as decoded (blue first).

        Raises:
            CvBridgeError: if the data is no image, or cannot be converted.
        """
        image = _decode(np.frombuffer(buffer_of(cmprs_img_msg), np.uint8))
        if desired_encoding == "passthrough":
            return image
        decoded = cv_name_of(image)
        return convert(image, LIKELY_ENCODINGS.get(decoded, decoded), desired_encoding)

    def cv2_to_compressed_imgmsg(self, cvim: NDArray[Any], dst_format: str = "jpg") -> CompressedImage:
        """Encode an array as a CompressedImage message.

        Args:
            cvim: grey, or colour with blue first.
            dst_format: the ending of a file format which OpenCV writes, such as jpg, png or tiff.

        Raises:
            CvBridgeError: if OpenCV cannot write such an image in this format.
        """
        message = CompressedImage()
        message.format = dst_format
        message.data.frombytes(_encode(_checked(cvim), dst_format))
        return message

    def dtype_with_channels_to_cvtype2(self, dtype: np.dtype[Any], n_channels: int) -> str:
        """Return the name of an OpenCV type, such as 8UC3."""
        return cv_name(np.dtype(dtype), n_channels)

    def cvtype2_to_dtype_with_channels(self, cvtype: int) -> tuple[str, int]:
        """Return NumPy's type name and the number of channels of an OpenCV type number."""
        depth, channels = cvtype & (1 << CHANNEL_SHIFT) - 1, (cvtype >> CHANNEL_SHIFT) + 1
        if depth not in DTYPE_OF_DEPTH:
            raise CvBridgeError(f"{cvtype} is no OpenCV type of {', '.join(DTYPES)}")
        return DTYPE_OF_DEPTH[depth], channels

    def encoding_to_cvtype2(self, encoding: str) -> int:
        """Return the number of the OpenCV type of an encoding, such as cv2.CV_8UC3 for bgr8."""
        return getCvType(encoding)

    def encoding_to_dtype_with_channels(self, encoding: str) -> tuple[str, int]:
        """Return NumPy's type name and the number of channels of an encoding."""
        return self.cvtype2_to_dtype_with_channels(self.encoding_to_cvtype2(encoding))


def _checked(image: Any) -> NDArray[Any]:
    if not isinstance(image, np.ndarray):
        raise CvBridgeError(f"an image is a NumPy array, got {type(image).__name__}")
    return image


def _decode(data: NDArray[np.uint8]) -> NDArray[Any]:
    try:
        image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    except cv2.error as error:
        raise CvBridgeError(f"OpenCV cannot decode the image: {error.err}") from error
    if image is None:
        raise CvBridgeError(f"the {data.size} bytes of data are no image that OpenCV can decode")
    return image


def _encode(image: NDArray[Any], file_format: str) -> NDArray[np.uint8]:
    what = f"{cv_name_of(image)} image of shape {image.shape} as {file_format}"
    try:
        written, data = cv2.imencode(f".{file_format}", image)
    except cv2.error as error:
        raise CvBridgeError(f"OpenCV cannot write a {what}: {error.err}") from error
    if not written:
        raise CvBridgeError(f"OpenCV cannot write a {what}")
    return data.reshape(-1)
