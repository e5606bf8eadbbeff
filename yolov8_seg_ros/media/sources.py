"""Read frames from an image, a folder of images, a video file, a recording, a camera or the built-in scene."""

from __future__ import annotations

import itertools
import logging
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.choices import DEMO, SIM
from yolov8_seg_ros.commands import install_command
from yolov8_seg_ros.core.image import PixelBuffer
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.errors import MediaError
from yolov8_seg_ros.files import is_file, is_folder, user_path
from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES, MAX_IMAGE_PIXELS, is_image_file, read_image
from yolov8_seg_ros.media.rgbd_scene import RgbdFrame, RgbdScene
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.text import clean_text

#: Suffixes of recordings of ROS 2, and of ROS 1.
BAG_SUFFIXES = (".mcap", ".db3", ".bag")
METADATA_NAME = "metadata.yaml"
#: How the files in a recording of ROS 2 end.
_STORAGE_ENDINGS = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
#: A frame rate outside this range is a broken header's.
_FPS_RANGE = (0.1, 1000.0)
#: OpenCV takes no more for the number of a camera.
_MAX_CAMERA_DIGITS = 4
_MAX_QUOTED_CHARS = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MediaFrame:
    """One frame of a source.

    Attributes:
        image: bgr8 (height, width, 3); belongs to the source, so copy it before drawing into it.
        name: of the image's file, or made of the source's name and the index.
        index: position in the source, from 0; a skipped image keeps its number.
        truth: the ground truth, where the source has it.
        time_s: seconds since the source's first frame, where the frames have times of their own.
        rgbd: the state of the simulated robot; None for other sources.
    """

    image: NDArray[np.uint8]
    name: str
    index: int
    truth: Instances | None = None
    time_s: float | None = None
    rgbd: RgbdFrame | None = None


class Media(ABC):
    """A source of frames, which are read from the beginning each time it is iterated; a context manager.

    Attributes:
        frame_count: number of frames, as far as known beforehand; a video's header may be a little wrong.
        fps: frames a second, where the source has a rate of its own.
        is_live: whether the source sets the pace: asking early means waiting, asking late loses frames.
        is_video: whether the frames are those of one video file.
        is_timed: whether frames have times of their own.
    """

    frame_count: int | None = None
    fps: float | None = None
    is_live: bool = False
    is_video: bool = False
    is_timed: bool = False

    @abstractmethod
    def __iter__(self) -> Iterator[MediaFrame]:
        """Read the frames in order; raises MediaError if the source fails on the way."""

    def close(self) -> None:  # noqa: B027 - most sources have nothing to release
        """Release the device or file."""

    def __enter__(self) -> Media:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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


def open_media(
    source: str | Path,
    *,
    image_hw: tuple[int, int] = (480, 640),
    seed: int = 0,
    max_rate_hz: float = math.inf,
    camera_mode: CameraMode | None = None,
    topic: str = "",
    on_skip: Callable[[MediaError], None] = lambda error: _log.warning("%s", error),
) -> Media:
    """Open a source of frames.

    Args:
        source: "demo", the number or /dev path of a camera, the address of a stream (rtsp://...), or the path of an
            image, folder, video file or recording. Of a folder its own images are read, sorted by name.
        image_hw: size of the scene's images; requested of a camera, which may deliver another.
        seed: which scene.
        max_rate_hz: leave out frames of a camera that come faster than this.
        camera_mode: requested of a camera; of `image_hw` where None.
        topic: of a recording, the topic of the images; its only one where empty.
        on_skip: called with the error of each image of a folder or recording that cannot be read; the others follow.

    Raises:
        MediaError: if there is no such source, or nothing in it can be read.
    """
    text = str(source)
    if text == DEMO:
        return _Scene(image_hw, seed)
    if is_camera(text):
        return _Camera(text, camera_mode or CameraMode(image_hw), max_rate_hz)
    path = user_path(text)
    if text and (is_folder(path) or is_file(path)) and is_bag(path):
        return _Recording(path, topic, on_skip)
    if text and is_folder(path):
        return _Folder(path, on_skip)
    if not is_file(path):
        raise MediaError(
            f"'{clean_text(text, _MAX_QUOTED_CHARS)}': no such file or folder; give an image, a folder of images, "
            f"a video, a recording, a camera (0 or /dev/video0), a stream (rtsp://...) or {DEMO}"
        )
    return _Image(path) if is_image_file(path) else _Video(path)


def is_camera(source: str) -> bool:
    """Return whether a source is the number or the device of a camera, or the address of a stream."""
    return source.isdecimal() or source.startswith("/dev/") or "://" in source


def is_bag(path: Path) -> bool:
    """Return whether a file or folder that exists is a recording of ROS."""
    if not path.is_dir():
        return path.suffix.lower() in BAG_SUFFIXES
    has_images = any(file.suffix.lower() in IMAGE_SUFFIXES for file in path.iterdir())
    return not has_images and next(storage_files(path), None) is not None


def storage_files(folder: Path) -> Iterator[Path]:
    """Return the files of a recording in a folder, in no order."""
    return (file for file in folder.iterdir() if file.name.lower().endswith(_STORAGE_ENDINGS))


class _Scene(Media):
    def __init__(self, image_hw: tuple[int, int], seed: int) -> None:
        try:
            self._scene = SyntheticScene(image_hw, seed)
        except ValueError as error:
            raise MediaError(f"{DEMO}: {error}") from error

    def __iter__(self) -> Iterator[MediaFrame]:
        for index in itertools.count():
            frame = self._scene.frame(index)
            yield MediaFrame(frame.image, f"{DEMO}_{index:06d}", index, frame.truth)


class SimulatedDrive(Media):
    """The drive of a simulated robot, which has no end.

    Args:
        fps: images a second.
        image_hw: as `RgbdScene` takes it, as are the others.
        seed: which room.
        depth_registered: whether depth and colour images have the same pixels.
        depth_noise_m: of the depths.

    Attributes:
        scene: the room.

    Raises:
        MediaError: if an argument is out of its range.
    """

    def __init__(
        self, fps: float, image_hw: tuple[int, int], seed: int, depth_registered: bool, depth_noise_m: float
    ) -> None:
        self.fps = fps
        try:
            self.scene = RgbdScene(image_hw, seed, depth_registered=depth_registered, depth_noise_m=depth_noise_m)
        except ValueError as error:
            raise MediaError(f"{SIM}: {error}") from error

    def __iter__(self) -> Iterator[MediaFrame]:
        assert self.fps is not None
        for index in itertools.count():
            frame = self.scene.frame(index / self.fps)
            yield MediaFrame(frame.image, f"{SIM}_{index:06d}", index, frame.truth, rgbd=frame)


class _Image(Media):
    frame_count = 1

    def __init__(self, path: Path) -> None:
        # Kept, so that a source that repeats one image decodes it once.
        self._frame = MediaFrame(read_image(path), path.name, 0)

    def __iter__(self) -> Iterator[MediaFrame]:
        yield self._frame


class _Folder(Media):
    def __init__(self, folder: Path, on_skip: Callable[[MediaError], None]) -> None:
        self._folder = folder
        self._on_skip = on_skip
        self._paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        self.frame_count = len(self._paths)
        if not self._paths:
            raise MediaError(f"{folder}: no image in this folder; expected {' '.join(sorted(IMAGE_SUFFIXES))}")

    def __iter__(self) -> Iterator[MediaFrame]:
        skipped = 0
        for index, path in enumerate(self._paths):
            try:
                image = read_image(path)
            except MediaError as error:
                skipped += 1
                self._on_skip(error)
                continue
            yield MediaFrame(image, path.name, index)
        if skipped == len(self._paths):
            raise MediaError(f"{self._folder}: none of the {skipped} images in this folder can be read")


class _Video(Media):
    is_video = True

    def __init__(self, path: Path) -> None:
        self._path = path
        self._capture = self._open()
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if _FPS_RANGE[0] <= fps <= _FPS_RANGE[1] else None
        count = self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.frame_count = int(count) if count > 0 else None
        size_wh = self._capture.get(cv2.CAP_PROP_FRAME_WIDTH), self._capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        if size_wh[0] * size_wh[1] > MAX_IMAGE_PIXELS or not self._capture.grab():
            self.close()
            raise self._undecodable()

    def __iter__(self) -> Iterator[MediaFrame]:
        # Seeking is inexact with many codecs, opening again is not.
        self.close()
        self._capture = self._open()
        for index in itertools.count():
            read, image = self._capture.read()
            if not read and not index:
                raise self._undecodable()
            if not read:
                return
            yield MediaFrame(np.asarray(image, np.uint8), f"{self._path.stem}_{index:06d}", index)

    def close(self) -> None:
        self._capture.release()

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise self._undecodable()
        return capture

    def _undecodable(self) -> MediaError:
        return MediaError(
            f"{self._path}: neither an image nor a video that OpenCV can decode; convert it, for example to H.264 MP4"
        )


class _Recording(Media):
    is_timed = True

    def __init__(self, path: Path, topic: str, on_skip: Callable[[MediaError], None]) -> None:
        try:
            # Only here: most who read media need no rosbags.
            from yolov8_seg_ros.media.bag import NANOSECONDS, Bag
        except ModuleNotFoundError as error:
            command = install_command("rosbags")
            raise MediaError(f"{path}: a recording needs the Python package {error.name}: run '{command}'") from error
        self._nanoseconds = NANOSECONDS
        self._on_skip = on_skip
        self._buffer = PixelBuffer()
        self._bag = Bag(path)
        try:
            self._topic = self._bag.choose_image_topic(topic)
        except MediaError:
            self.close()
            raise
        self.frame_count = self._topic.message_count
        self.fps = self._bag.rate_hz(self._topic)

    def __iter__(self) -> Iterator[MediaFrame]:
        first_ns: int | None = None
        for index, message in enumerate(self._bag.messages([self._topic])):
            first_ns = message.log_time_ns if first_ns is None else first_ns
            name = f"{self._bag.path.stem}_{index:06d}"
            try:
                _, image = self._bag.read_image(message, self._buffer)
            except ValueError as error:
                self._on_skip(MediaError(f"{self._bag.path}: image {index} of {self._topic.name}: {error}"))
                continue
            yield MediaFrame(image.to_bgr(), name, index, time_s=(message.log_time_ns - first_ns) / self._nanoseconds)

    def close(self) -> None:
        self._bag.close()


class _Camera(Media):
    is_live = True

    def __init__(self, device: str, mode: CameraMode, max_rate_hz: float) -> None:
        self._device = device
        self._period_s = 1 / max_rate_hz
        self._capture = cv2.VideoCapture()
        if not device.isdecimal():
            self._capture.open(device)
        elif len(device) <= _MAX_CAMERA_DIGITS:
            self._capture.open(int(device))
        if not self._capture.isOpened():
            found = " ".join(sorted(str(p) for p in Path("/dev").glob("video*"))) or "none"
            raise MediaError(
                f"camera {clean_text(device, _MAX_QUOTED_CHARS)}: cannot be opened; cameras found: {found}; "
                "check the number or address, the cable, and that this user may read it (group video)"
            )
        if mode.pixel_format:
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*mode.pixel_format))
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, mode.image_hw[0])
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, mode.image_hw[1])
        if mode.rate_hz:
            self._capture.set(cv2.CAP_PROP_FPS, mode.rate_hz)
        # An old frame is worth nothing to a robot.
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if _FPS_RANGE[0] <= fps <= _FPS_RANGE[1] else None

    def __iter__(self) -> Iterator[MediaFrame]:
        due_s, index = -math.inf, 0
        # Frames not wanted are fetched too, or the driver would hand out old ones later.
        while self._capture.grab():
            now_s = time.monotonic()
            if now_s < due_s:
                continue
            # One period of credit, so that jitter at the camera's own rate loses nothing.
            due_s = max(due_s, now_s - self._period_s) + self._period_s
            read, image = self._capture.retrieve()
            if not read:
                break
            yield MediaFrame(np.asarray(image, np.uint8), f"camera_{index:06d}", index)
            index += 1
        raise MediaError(f"camera {self._device}: delivers no more images; was it unplugged?")

    def close(self) -> None:
        self._capture.release()
