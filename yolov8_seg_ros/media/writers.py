"""Write results, images and videos as files that are whole or not there at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.files import replacing

#: MPEG-4 part 2: OpenCV's own builds can write it; VLC and ffplay play it, browsers do not.
VIDEO_CODEC = "mp4v"
VIDEO_SUFFIX = ".mp4"


def write_json(path: Path, content: Any) -> None:
    """Write numbers, texts, lists and tables as JSON.

    Raises:
        OSError: if the file cannot be written.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        json.dump(content, file)


def write_image(path: Path, bgr: NDArray[np.uint8]) -> None:
    """Write uint8 (height, width, 3) in BGR order, in the format that the suffix names.

    Raises:
        OSError: if the file cannot be written, or OpenCV does not write this format.
    """
    try:
        encoded, data = cv2.imencode(path.suffix, bgr)
    except cv2.error:
        encoded = False
    if not encoded:
        raise OSError(f"{path}: OpenCV cannot write images of this format; use .png or .jpg")
    with replacing(path) as temporary:
        temporary.write_bytes(data.tobytes())


@contextmanager
def video_file(path: Path, fps: float) -> Iterator[VideoFile]:
    """Yield a video to write frames to; the file appears at the end, when all of them can be read again.

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
        # OpenCV does not report what cannot be written.
        if not video.count or not _is_whole(temporary, video.count):
            raise OSError(f"{path}: the video was not written; is there room on the disk?")


class VideoFile:
    """A video being written, whose frames have the size of the first.

    Attributes:
        count: frames written.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self.count = 0
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
        self._writer.write(_with_even_size(bgr))
        self.count += 1

    def close(self) -> None:
        """Write what is left; no frame can follow."""
        if self._writer is not None:
            self._writer.release()

    def _open(self, size_wh: tuple[int, int]) -> cv2.VideoWriter:
        even_wh = (size_wh[0] + size_wh[0] % 2, size_wh[1] + size_wh[1] % 2)
        writer = cv2.VideoWriter(str(self._path), cv2.VideoWriter.fourcc(*VIDEO_CODEC), self._fps, even_wh)
        if not writer.isOpened():
            raise OSError(
                f"{self._path.parent}: OpenCV cannot write a video there; may the folder be written, is there room?"
            )
        return writer


def _with_even_size(bgr: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Repeat the last row and column where their number is odd: the codec would leave them out."""
    height, width = bgr.shape[:2]
    if height % 2 or width % 2:
        bgr = np.pad(bgr, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return bgr


def _is_whole(path: Path, count: int) -> bool:
    """Return whether a video has all frames, of which the last one can be read."""
    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened() or int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) < count:
            return False
        capture.set(cv2.CAP_PROP_POS_FRAMES, count - 1)
        return bool(capture.grab())
    finally:
        capture.release()
