"""Define what the encoding names of image messages mean.

The names are those of sensor_msgs/image_encodings.hpp, and any `<depth>C<channels>` such as 8UC3 or 32FC1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from .errors import CvBridgeError

# OpenCV 4's depth by its name, and the NumPy type of the same values.
DEPTHS = {"8U": 0, "8S": 1, "16U": 2, "16S": 3, "32S": 4, "32F": 5, "64F": 6}
DTYPES = {
    "8U": "uint8",
    "8S": "int8",
    "16U": "uint16",
    "16S": "int16",
    "32S": "int32",
    "32F": "float32",
    "64F": "float64",
}
MAX_CHANNELS = 512  # of an OpenCV array
CHANNEL_SHIFT = 3  # an OpenCV type is depth + (channels - 1) * 8

# What an array most likely is that does not tell: OpenCV orders colours blue first.
LIKELY_ENCODINGS = {
    "8UC1": "mono8",
    "8UC3": "bgr8",
    "8UC4": "bgra8",
    "16UC1": "mono16",
    "16UC3": "bgr16",
    "16UC4": "bgra16",
}

GENERIC = re.compile(r"(8U|8S|16U|16S|32S|32F|64F)(?:C([0-9]+))?")


@dataclass(frozen=True)
class Encoding:
    """Layout and meaning of the pixels of a message.

    Attributes:
        depth: name of OpenCV's depth, such as 8U.
        channels: values a pixel in the array; 1 for planes below each other.
        color: `gray`, `rgb`, `bgra`, `bayer_rggb`, `uyvy`, `nv12` ...; empty where the encoding does not tell.
        rows: rows of the array for each row of the image.
    """

    depth: str
    channels: int
    color: str = ""
    rows: Fraction = Fraction(1)

    @property
    def dtype(self) -> str:
        """Name of the NumPy type."""
        return DTYPES[self.depth]

    @property
    def bits(self) -> int:
        """Bits of one value."""
        return int(self.depth[:-1])

    @property
    def cv_name(self) -> str:
        """Name of the OpenCV type, such as 8UC3."""
        return f"{self.depth}C{self.channels}"

    @property
    def cv_type(self) -> int:
        """Return the number of the OpenCV type, such as cv2.CV_8UC3."""
        return DEPTHS[self.depth] + (self.channels - 1 << CHANNEL_SHIFT)


def _named() -> dict[str, Encoding]:
    encodings = {}
    for depth, bits in (("8U", 8), ("16U", 16)):
        encodings[f"mono{bits}"] = Encoding(depth, 1, "gray")
        encodings.update({f"{c}{bits}": Encoding(depth, len(c), c) for c in ("rgb", "bgr", "rgba", "bgra")})
        for order in ("rggb", "bggr", "gbrg", "grbg"):
            encodings[f"bayer_{order}{bits}"] = Encoding(depth, 1, f"bayer_{order}")
    encodings.update(dict.fromkeys(("uyvy", "yuv422"), Encoding("8U", 2, "uyvy")))
    encodings.update(dict.fromkeys(("yuyv", "yuv422_yuy2"), Encoding("8U", 2, "yuyv")))
    encodings["nv12"] = Encoding("8U", 1, "nv12", Fraction(3, 2))
    encodings["nv21"] = Encoding("8U", 1, "nv21", Fraction(3, 2))
    encodings["nv24"] = Encoding("8U", 1, "nv24", Fraction(3))
    return encodings


NAMED = _named()


@lru_cache(maxsize=256)
def parse_encoding(name: str) -> Encoding:
    """Return what an encoding's name means.

    Raises:
        CvBridgeError: if there is no such encoding.
    """
    if name in NAMED:
        return NAMED[name]
    match = GENERIC.fullmatch(name)
    channels = int(match[2] or 1) if match else 0
    if not match or not 1 <= channels <= MAX_CHANNELS:
        raise CvBridgeError(
            f"Unrecognized image encoding [{name}]: expected one of {', '.join(NAMED)}, or a type such as 8UC3"
        )
    return Encoding(match[1], channels)


def getCvType(encoding: str) -> int:  # noqa: N802 (the distribution's name)
    """Return the number of the OpenCV type of an encoding, such as cv2.CV_8UC3 for bgr8.

    Raises:
        CvBridgeError: if there is no such encoding.
    """
    return parse_encoding(encoding).cv_type
