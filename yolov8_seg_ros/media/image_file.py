"""Read image files, which may be damaged, or say that they are larger than any memory."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.errors import DecodeError, MediaError
from yolov8_seg_ros.files import read_file

#: A few bytes can announce an image of gigabytes, and decoders would make it: no camera here has more pixels.
MAX_IMAGE_PIXELS = 50_000_000
_EXPECTED = "JPEG, PNG, BMP, TIFF, WebP or PPM"
#: The format is recognised by this many bytes.
_START_BYTES = 12

#: Width and height in pixels; None where the header does not say them.
_SizeWh = tuple[int, int] | None

# JPEG's markers: those that begin a frame header, those without a length, start of scan and end of image.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE = frozenset({0x00, 0x01, *range(0xD0, 0xD8)})
_JPEG_SCAN, _JPEG_END = 0xDA, 0xD9
# TIFF's tags, and the bytes of the types of number that they may have.
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 256, 257, 322, 323
_TIFF_NUMBER_BYTES = {3: 2, 4: 4, 16: 8}
_TIFF_MAX_ENTRIES = 4096
_PNM_MAX_HEADER_BYTES = 1 << 16
_PNM_HEADER = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+([0-9]{1,9})(?:\s|#[^\n]*\n)+([0-9]{1,9})\s")


@dataclass(frozen=True)
class ImageFormat:
    """A format of image files.

    Attributes:
        name: as people write it.
        suffixes: of its files, in small letters.
        starts: how its files may begin.
        read_size_wh: reads width and height in pixels from a file's bytes, without decoding it.
    """

    name: str
    suffixes: tuple[str, ...]
    starts: tuple[bytes, ...]
    read_size_wh: Callable[[bytes], _SizeWh]


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read an image file as bgr8 (height, width, 3), turned upright as its EXIF data say.

    Raises:
        MediaError: if it cannot be read, is not an image, is too large, or is cut short.
    """
    try:
        return decode_image(read_file(path))
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    except DecodeError as error:
        raise MediaError(f"{path}: {error}") from error


def decode_image(data: bytes | memoryview) -> NDArray[np.uint8]:
    """Decode a JPEG, PNG, BMP, TIFF, WebP or PPM image as uint8 (height, width, 3) in BGR order.

    The image is turned upright as its EXIF data say. Of an image with several frames the first one is returned.

    Raises:
        DecodeError: if the data are of none of these formats, damaged or cut short, or if the image has more than
            `MAX_IMAGE_PIXELS`; the latter is found before anything is decoded.
    """
    return _decoded(bytes(data), cv2.IMREAD_COLOR).astype(np.uint8, copy=False)


def decode_unchanged(data: bytes | memoryview) -> NDArray[Any]:
    """Decode an image of the same formats as it is stored: not turned, with its own channels and depth.

    Raises:
        DecodeError: as for `decode_image`.
    """
    return _decoded(bytes(data), cv2.IMREAD_UNCHANGED)


def image_format(data: bytes) -> ImageFormat | None:
    """Return the format of a file that begins with these bytes; None for one that is not supported."""
    if data[:4] == b"RIFF" and data[8:12] != b"WEBP":
        return None
    return next((known for known in _FORMATS if data.startswith(known.starts)), None)


def is_image_file(path: Path) -> bool:
    """Return whether a file is an image of a supported format, by its suffix or else by its first bytes."""
    if path.suffix.lower() in IMAGE_SUFFIXES:
        return True
    with path.open("rb") as file:
        return image_format(file.read(_START_BYTES)) is not None


def is_turned(data: bytes, upright: NDArray[np.uint8]) -> bool:
    """Return whether EXIF data turn an image, by decoding it once more as it is stored.

    Args:
        data: of the file.
        upright: what `decode_image` makes of it.

    Raises:
        DecodeError: if it cannot be decoded.
    """
    # Few images have EXIF data at all.
    if b"Exif\0\0" not in data and b"eXIf" not in data and b"EXIF" not in data:
        return False
    return not np.array_equal(upright, _decoded(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION))


def is_cut_short(data: bytes) -> bool:
    """Return whether JPEG or PNG data lack their end: OpenCV would fill the rest of the image with grey."""
    if data.startswith(b"\xff\xd8"):
        # Neither marker can occur inside a scan; those of a thumbnail come before the image's own.
        return data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and b"IEND" not in data


def _decoded(data: bytes, flags: int) -> NDArray[Any]:
    _check(data)
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DecodeError(f"OpenCV cannot decode it: {error.err}") from error
    if image is None:
        raise DecodeError(f"{len(data)} bytes are damaged, or not an image; expected {_EXPECTED}")
    return image


def _check(data: bytes) -> None:
    found = image_format(data)
    if found is None:
        raise DecodeError(f"{len(data)} bytes are not an image of a known format; expected {_EXPECTED}")
    if is_cut_short(data):
        raise DecodeError(f"the image is cut short at {len(data)} bytes")
    size_wh = found.read_size_wh(data)
    if size_wh is None:
        raise DecodeError(f"{len(data)} bytes of {found.name} do not say how large the image is: it is damaged")
    if size_wh[0] * size_wh[1] > MAX_IMAGE_PIXELS:
        raise DecodeError(
            f"an image of {size_wh[0]}x{size_wh[1]} pixels, expected {MAX_IMAGE_PIXELS // 1_000_000} million pixels "
            "at most; make it smaller"
        )


def _jpeg_size_wh(data: bytes) -> _SizeWh:
    place = 2
    # As libjpeg reads it: what lies between two segments is skipped, and a marker may have more than one 0xFF.
    while (place := data.find(b"\xff", place)) >= 0:
        while data[place : place + 1] == b"\xff":
            place += 1
        header = data[place : place + 8]
        if len(header) < 8 or header[0] in (_JPEG_SCAN, _JPEG_END):
            return None
        if header[0] in _JPEG_FRAMES:
            return int.from_bytes(header[6:8], "big"), int.from_bytes(header[4:6], "big")
        place += 1 if header[0] in _JPEG_BARE else 1 + max(2, int.from_bytes(header[1:3], "big"))
    return None


def _png_size_wh(data: bytes) -> _SizeWh:
    if data[12:16] != b"IHDR" or len(data) < 24:
        return None
    return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")


def _bmp_size_wh(data: bytes) -> _SizeWh:
    if len(data) < 26:
        return None
    if int.from_bytes(data[14:18], "little") == 12:
        return int.from_bytes(data[18:20], "little"), int.from_bytes(data[20:22], "little")
    # A negative height stands for rows from top to bottom.
    width, height = (int.from_bytes(data[place : place + 4], "little", signed=True) for place in (18, 22))
    return abs(width), abs(height)


def _webp_size_wh(data: bytes) -> _SizeWh:
    kind = data[12:16]
    if len(data) < 30:
        return None
    if kind == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def _tiff_size_wh(data: bytes) -> _SizeWh:
    """Return the size of the first image, or of its tiles if these are larger: both are allocated."""
    byte_order = "little" if data[:2] == b"II" else "big"

    def number(place: int, num_bytes: int) -> int:
        return int.from_bytes(data[place : place + num_bytes], byte_order)  # type: ignore[arg-type]

    # BigTIFF has wider numbers: of offset, number of entries, and count of values.
    start_at, offset_bytes, count_bytes = (8, 8, 8) if number(2, 2) == 43 else (4, 4, 2)
    directory, entry_bytes = number(start_at, offset_bytes), 4 + 2 * offset_bytes
    tags: dict[int, int] = {}
    for index in range(min(number(directory, count_bytes), _TIFF_MAX_ENTRIES)):
        place = directory + count_bytes + index * entry_bytes
        tag, num_bytes = number(place, 2), _TIFF_NUMBER_BYTES.get(number(place + 2, 2), 0)
        if tag in (_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT):
            if not num_bytes or number(place + 4, offset_bytes) != 1:
                return None
            tags[tag] = max(tags.get(tag, 0), number(place + 4 + offset_bytes, num_bytes))
    if not tags.keys() >= {_TIFF_WIDTH, _TIFF_HEIGHT}:
        return None
    sizes = [(tags[_TIFF_WIDTH], tags[_TIFF_HEIGHT]), (tags.get(_TIFF_TILE_WIDTH, 0), tags.get(_TIFF_TILE_HEIGHT, 0))]
    return max(sizes, key=lambda size: size[0] * size[1])


def _pnm_size_wh(data: bytes) -> _SizeWh:
    header = _PNM_HEADER.match(data[:_PNM_MAX_HEADER_BYTES])
    return (int(header[1]), int(header[2])) if header else None


_FORMATS = (
    ImageFormat("JPEG", (".jpg", ".jpeg"), (b"\xff\xd8\xff",), _jpeg_size_wh),
    ImageFormat("PNG", (".png",), (b"\x89PNG\r\n\x1a\n",), _png_size_wh),
    ImageFormat("BMP", (".bmp",), (b"BM",), _bmp_size_wh),
    ImageFormat("TIFF", (".tif", ".tiff"), (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), _tiff_size_wh),
    ImageFormat("WebP", (".webp",), (b"RIFF",), _webp_size_wh),
    ImageFormat("PPM", (".ppm",), (b"P1", b"P2", b"P3", b"P4", b"P5", b"P6"), _pnm_size_wh),
)
IMAGE_SUFFIXES = frozenset(suffix for known in _FORMATS for suffix in known.suffixes)
