"""Look into each picture of a data set: what it is, whether it can be read, how large it is."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from yolov8_seg_ros.errors import DecodeError
from yolov8_seg_ros.media.image_file import decode_image

#: How files of each format begin, and the suffixes that they go by.
_FORMATS = {
    "JPEG": ((b"\xff\xd8\xff",), (".jpg", ".jpeg")),
    "PNG": ((b"\x89PNG\r\n\x1a\n",), (".png",)),
    "BMP": ((b"BM",), (".bmp",)),
    "TIFF": ((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"), (".tif", ".tiff")),
    "PPM": ((b"P3", b"P6"), (".ppm",)),
}
_WEBP_SUFFIXES = (".webp",)


@dataclass(frozen=True)
class PictureFacts:
    """Hold what is known of a picture's file.

    Attributes:
        path: of the file.
        digest: equal for files of the same bytes; empty where the file cannot be opened.
        suffixes: those that its content may go by; empty where the format is not known.
        format: its name.
        size_wh: width and height in pixels, upright; None where it cannot be read.
        fault: why it cannot be read; empty where it can.
        is_turned: whether its EXIF data turn it.
    """

    path: Path
    digest: str = ""
    format: str = ""
    suffixes: tuple[str, ...] = ()
    size_wh: tuple[int, int] | None = None
    fault: str = ""
    is_turned: bool = False


def inspect_pictures(paths: Iterable[Path], advance: Callable[[], object] = lambda: None) -> dict[Path, PictureFacts]:
    """Read and decode pictures, several at a time.

    Args:
        paths: the files.
        advance: called after each.
    """
    facts = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(inspect_picture, paths):
            facts[found.path] = found
            advance()
    return facts


def inspect_picture(path: Path) -> PictureFacts:
    """Read and decode a picture."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return PictureFacts(path, fault=error.strerror or str(error))
    digest = hashlib.sha256(data).hexdigest()
    name, suffixes = _format(data)
    try:
        height, width = decode_image(data).shape[:2]
    except DecodeError as error:
        return PictureFacts(path, digest, name, suffixes, fault=str(error))
    return PictureFacts(path, digest, name, suffixes, (width, height), is_turned=_is_turned(data))


def _format(data: bytes) -> tuple[str, tuple[str, ...]]:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", _WEBP_SUFFIXES
    for name, (starts, suffixes) in _FORMATS.items():
        if data.startswith(starts):
            return name, suffixes
    return "", ()


def _is_turned(data: bytes) -> bool:
    """Tell whether a picture has to be turned upright, by decoding it both ways: few pictures have EXIF data at all."""
    if b"Exif\0\0" not in data and b"eXIf" not in data and b"EXIF" not in data:
        return False
    raw = np.frombuffer(data, np.uint8)
    upright, lying = (cv2.imdecode(raw, cv2.IMREAD_COLOR | flag) for flag in (0, cv2.IMREAD_IGNORE_ORIENTATION))
    return upright is not None and lying is not None and not np.array_equal(upright, lying)
