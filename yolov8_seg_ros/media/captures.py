"""Read video files, streams and cameras with OpenCV."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2

from yolov8_seg_ros.errors import MediaError
from yolov8_seg_ros.media.frames import Media, MediaFrame
from yolov8_seg_ros.media.image_file import MAX_IMAGE_PIXELS
from yolov8_seg_ros.media.image_message import I420, pixels_shape
from yolov8_seg_ros.text import clean_text

#: A frame rate outside this range is a broken header's.
_FPS_RANGE = (0.1, 1000.0)
#: OpenCV takes no more for the number of a camera.
_MAX_CAMERA_DIGITS = 4
_MAX_QUOTED_CHARS = 200
#: Encodings that images of a file may keep, by FFmpeg's codes.
_ENCODINGS = {
    "YUY2": "yuv422_yuy2",
    "UYVY": "yuv422",
    "NV12": "nv12",
    "NV21": "nv21",
    "I420": I420,
}
#: What makes OpenCV return the bytes of a file as they are.
_AS_IN_THE_FILE = -1
#: A driver fills one buffer while the other is read: with one alone, every second image is lost.
_BUFFERS = 2


@dataclass(frozen=True)
class CameraMode:
    """A mode that is requested of a camera, which may deliver another.

    Attributes:
        image_hw: height and width in pixels.
        rate_hz: images a second; 0 for its own choice.
        pixel_format: four characters such as MJPG or YUYV; empty for its own choice.
    """

    image_hw: tuple[int, int] = (480, 640)
    rate_hz: float = 0.0
    pixel_format: str = ""


@dataclass(frozen=True)
class _Layout:
    """The layout of pixels that are not converted.

    Attributes:
        encoding: as `image_of_pixels` takes it.
        shape: of the pixels.
    """

    encoding: str
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Return the bytes of an image."""
        return math.prod(self.shape)


class Video(Media):
    """A video file.

    Args:
        path: the file.
        keep_encoding: whether the images of an uncompressed one stay as they are encoded.

    Raises:
        MediaError: if OpenCV cannot decode it.
    """

    is_video = True

    def __init__(self, path: Path, keep_encoding: bool = False) -> None:
        self._path = path
        self._kept: _Layout | None = None
        self._capture = self._open()
        self.fps = _rate_hz(self._capture)
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(count) if count > 0 else None
        if math.prod(_image_hw(self._capture)) > MAX_IMAGE_PIXELS or not self._capture.grab():
            self.close()
            raise self._undecodable()
        if keep_encoding:
            self._keep_encoding()

    def __iter__(self) -> Iterator[MediaFrame]:
        """Read the frames in order."""
        # Seeking is inexact with many codecs, opening again is not.
        self.close()
        self._capture = self._open()
        for index in itertools.count():
            read, image = self._capture.read()
            if not read and not index:
                raise self._undecodable()
            if not read:
                return
            yield self._frame(image, index)

    def close(self) -> None:
        """Release the file."""
        self._capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise self._undecodable()
        if self._kept is not None:
            capture.set(cv2.CAP_PROP_FORMAT, _AS_IN_THE_FILE)
        return capture

    def _keep_encoding(self) -> None:
        """Convert the images no more, if they are uncompressed."""
        if self._capture.get(cv2.CAP_PROP_FOURCC):
            return
        layout = _layout(self._capture)
        self._capture.set(cv2.CAP_PROP_FORMAT, _AS_IN_THE_FILE)
        read, packet = self._capture.read()
        if layout is not None and read and packet.size == layout.size:
            self._kept = layout

    def _frame(self, pixels: Any, index: int) -> MediaFrame:
        """Return a frame of what OpenCV read: BGR, or bytes in the layout that is kept."""
        name, layout = f"{self._path.stem}_{index:06d}", self._kept
        if layout is None:
            return MediaFrame(pixels, name, index)
        if pixels.size != layout.size:
            raise MediaError(f"{self._path}: image {index} is damaged: got {pixels.size} bytes, expected {layout.size}")
        return MediaFrame(pixels.reshape(layout.shape), name, index, encoding=layout.encoding)

    def _undecodable(self) -> MediaError:
        return MediaError(
            f"{self._path}: neither an image nor a video that OpenCV can decode; convert it, for example to H.264 MP4"
        )


class RateLimit:
    """A limit to the images that are taken of a source."""

    def __init__(self, max_rate_hz: float) -> None:
        self._period_s = 1 / max_rate_hz
        self._due_s = -math.inf

    def admits(self, now_s: float) -> bool:
        """Return whether an image that comes now, in seconds of `time.monotonic`, is taken."""
        if now_s < self._due_s:
            return False
        # One period of credit, so that jitter at the source's own rate loses nothing.
        self._due_s = max(self._due_s, now_s - self._period_s) + self._period_s
        return True


class Camera(Media):
    """A stream on a network, or a camera that only OpenCV can read.

    Args:
        device: number, path or address.
        mode: requested of a camera.
        max_rate_hz: frames that come faster than this are left out.

    Raises:
        MediaError: if it cannot be opened.
    """

    is_live = True

    def __init__(self, device: str, mode: CameraMode, max_rate_hz: float) -> None:
        self._source = camera_text(device)
        self._max_rate_hz = max_rate_hz
        self._capture = cv2.VideoCapture()
        if not device.isdecimal() or len(device) <= _MAX_CAMERA_DIGITS:
            self._capture.open(int(device) if device.isdecimal() else device)
        if not self._capture.isOpened():
            raise unopened(self._source)
        self._request(mode)
        self.fps = _rate_hz(self._capture)
        self._filled_s = _BUFFERS / self.fps if self._has_buffers and self.fps else math.inf

    def __iter__(self) -> Iterator[MediaFrame]:
        """Read the newest frames."""
        limit, index = RateLimit(self._max_rate_hz), 0
        # Frames not wanted are fetched too, or the driver would hand out old ones later.
        while self._capture.grab():
            now_s = time.monotonic()
            if not limit.admits(now_s):
                continue
            read, image = self._capture.retrieve()
            if not read:
                break
            yield MediaFrame(image, f"camera_{index:06d}", index)  # type: ignore[arg-type]
            index += 1
            if time.monotonic() - now_s > self._filled_s:
                # All buffers are full: the oldest image is left out.
                self._capture.grab()
        raise MediaError(f"{self._source}: delivers no more images; was it unplugged?")

    def close(self) -> None:
        """Release the device."""
        self._capture.release()

    def _request(self, mode: CameraMode) -> None:
        if mode.pixel_format:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.pixel_format))
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.image_hw[0])
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.image_hw[1])
        if mode.rate_hz:
            self._capture.set(cv2.CAP_PROP_FPS, mode.rate_hz)
        # No more than needed: an old frame is worth nothing to a robot.
        self._has_buffers = self._capture.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)


def camera_text(device: str) -> str:
    """Return what a camera is called in errors."""
    return f"camera {clean_text(device, _MAX_QUOTED_CHARS)}"


def unopened(source: str, reason: str = "") -> MediaError:
    """Return the error of a camera that cannot be opened, with those that are there."""
    found = " ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
    return MediaError(
        f"{source}: cannot be opened{reason}; cameras found: {found}; "
        "check the number or address, the cable, and that this user may read it (group video)"
    )


def _layout(capture: cv2.VideoCapture) -> _Layout | None:
    """Return the layout of a file's images."""
    number = int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT))
    encoding = _ENCODINGS.get(number.to_bytes(4, "little", signed=number < 0).decode("latin-1"))
    height, width = _image_hw(capture)
    if encoding is None or height % 2 or width % 2:
        return None
    return _Layout(encoding, pixels_shape(encoding, (height, width)))


def _image_hw(capture: cv2.VideoCapture) -> tuple[int, int]:
    return int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT)), int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))


def _rate_hz(capture: cv2.VideoCapture) -> float | None:
    rate_hz = capture.get(cv2.CAP_PROP_FPS)
    return rate_hz if _FPS_RANGE[0] <= rate_hz <= _FPS_RANGE[1] else None
