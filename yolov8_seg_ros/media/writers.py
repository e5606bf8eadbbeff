"""Write files whole or not at all: a reader never meets half a picture, and a failure leaves the old file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

#: A codec that OpenCV's own builds can write and common players can play.
VIDEO_CODEC = "mp4v"
VIDEO_SUFFIX = ".mp4"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, beside `path` and of its suffix; it replaces `path` at the end, or goes on an error."""
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write numbers, texts, lists and tables as JSON.

    Raises:
        OSError: if the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file)


def write_picture(path: Path, bgr: NDArray[np.uint8]) -> None:
    """Write uint8 (height, width, 3) in BGR order, in the format that the suffix names.

    Raises:
        OSError: if the file cannot be written, or OpenCV does not write this format.
    """
    try:
        encoded, data = cv2.imencode(path.suffix, bgr)
    except cv2.error:
        encoded = False
    if not encoded:
        raise OSError(f"{path}: OpenCV cannot write pictures of this format; use .png or .jpg")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


@contextmanager
def video_file(path: Path, fps: float) -> Iterator[VideoFile]:
    """Give a video to write frames to; the file appears when all is well at the end.

    Args:
        path: the file, `.mp4`.
        fps: frames a second.

    Raises:
        OSError: if the file cannot be written, or no frame was.
    """
    with replacing(path) as temporary:
        video = VideoFile(temporary, fps)
        try:
            yield video
        finally:
            video.close()
        if not temporary.is_file() or not temporary.stat().st_size:
            raise OSError(f"{path}: nothing was written; is there room on the disk?")


class VideoFile:
    """A video being written, whose frames have the size of the first."""

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._fps = fps
        self._size_wh = (0, 0)
        self._writer: cv2.VideoWriter | None = None

    def write(self, bgr: NDArray[np.uint8]) -> None:
        """Append a frame, uint8 (height, width, 3) in BGR order.

        Raises:
            OSError: if the file cannot be written.
            ValueError: if the frame is not of the size of the first.
        """
        size_wh = (bgr.shape[1], bgr.shape[0])
        if self._writer is None:
            self._size_wh, self._writer = size_wh, self._open(size_wh)
        if size_wh != self._size_wh:
            raise ValueError(f"a frame of {size_wh}, expected {self._size_wh} (width, height) as before")
        self._writer.write(bgr)

    def close(self) -> None:
        """Write what is left; no frame can follow."""
        if self._writer is not None:
            self._writer.release()

    def _open(self, size_wh: tuple[int, int]) -> cv2.VideoWriter:
        fourcc = cv2.VideoWriter.fourcc(*VIDEO_CODEC)
        writer = cv2.VideoWriter(str(self._path), fourcc, self._fps, size_wh)
        if not writer.isOpened():
            raise OSError(f"{self._path}: OpenCV cannot write a video there; may the folder be written, is there room?")
        return writer
