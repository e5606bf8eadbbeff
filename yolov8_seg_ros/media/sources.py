"""Read frames from an image, a folder of images, a video file, a recording, a camera or the built-in scene."""

from __future__ import annotations

import itertools
import logging
import math
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from yolov8_seg_ros.choices import DEMO, SIM
from yolov8_seg_ros.commands import install_command
from yolov8_seg_ros.core.image import PixelBuffer
from yolov8_seg_ros.errors import MediaError
from yolov8_seg_ros.files import is_file, is_folder, user_path
from yolov8_seg_ros.media.bag_paths import is_bag
from yolov8_seg_ros.media.captures import Camera, CameraMode, Video
from yolov8_seg_ros.media.frames import Media, MediaFrame
from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES, is_image_file, read_image
from yolov8_seg_ros.media.rgbd_scene import RgbdScene
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.media.v4l2_camera import UnsupportedDeviceError, V4l2Camera
from yolov8_seg_ros.text import clean_text

_MAX_QUOTED_CHARS = 200

_log = logging.getLogger(__name__)


def open_media(
    source: str | Path,
    *,
    image_hw: tuple[int, int] = (480, 640),
    seed: int = 0,
    max_rate_hz: float = math.inf,
    camera_mode: CameraMode | None = None,
    topic: str = "",
    keep_encoding: bool = False,
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
        keep_encoding: leave the images of cameras and uncompressed videos as they are encoded, where
            `image_of_pixels` can convert them.
        on_skip: called with the error of each image of a folder, recording or camera that cannot be read; the others
            follow.

    Raises:
        MediaError: if there is no such source, or nothing in it can be read.
    """
    text = str(source)
    if text == DEMO:
        return _Scene(image_hw, seed)
    if is_camera(text):
        return _open_camera(text, camera_mode or CameraMode(image_hw), max_rate_hz, keep_encoding, on_skip)
    path = user_path(text)
    if text and (is_folder(path) or is_file(path)) and is_bag(path):
        return _Recording(path, topic, on_skip)
    if text and is_folder(path):
        return _Folder(path, on_skip)
    if not is_file(path):
        raise MediaError(
            f"'{clean_text(text, _MAX_QUOTED_CHARS)}': no such file or folder; give an image, a folder of images, "
            f"a video, a recording, a camera (0 or /dev/video0), a stream (rtsp://...), {DEMO} or {SIM}"
        )
    return _Image(path) if is_image_file(path) else Video(path, keep_encoding)


def is_camera(source: str) -> bool:
    """Return whether a source is the number or the device of a camera, or the address of a stream."""
    return source.isdecimal() or source.startswith("/dev/") or "://" in source


def _open_camera(
    device: str, mode: CameraMode, max_rate_hz: float, keep_encoding: bool, on_skip: Callable[[MediaError], None]
) -> Media:
    reason = ""
    if "://" not in device and sys.platform == "linux":
        try:
            return V4l2Camera(device, mode, max_rate_hz, keep_encoding, on_skip)
        except UnsupportedDeviceError as error:
            reason = f"with OpenCV, as {error}"
    camera = Camera(device, mode, max_rate_hz)
    camera.description = reason
    return camera


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
