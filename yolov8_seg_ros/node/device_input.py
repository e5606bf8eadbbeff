"""Read images from a device, file or stream that the node opens itself, so that none has to cross the middleware."""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rclpy.clock import Clock
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CameraInfo, Image

from yolov8_seg_ros.core.image import ColorImage, PixelBuffer
from yolov8_seg_ros.errors import ImageError, OptionError, UserError, one_line
from yolov8_seg_ros.files import read_file
from yolov8_seg_ros.media.captures import CameraMode
from yolov8_seg_ros.media.frames import Media, MediaFrame
from yolov8_seg_ros.media.image_message import image_of_pixels
from yolov8_seg_ros.media.sources import open_media
from yolov8_seg_ros.node.conversions import PlainHeader, bgr_to_msg, header_at, header_to_msg, is_simulated, now_ns
from yolov8_seg_ros.node.subscribers import SubscriberWatch

#: Waits before a device that failed is opened again: the first, and the longest.
_RETRY_S, _MAX_RETRY_S = 0.5, 10.0
#: Rate of a source that has none of its own.
_DEFAULT_RATE_HZ = 30.0
#: How long closing waits for a device that hangs in a read; its thread ends with the process then.
_JOIN_S = 1.0
#: An older image is taken for one whose time is wrong.
_MAX_AGE_S = 5.0
#: Where stamps come from, as the log has it.
_DRIVER, _READING = "the driver's times of capture", "the times at which images are read"
_MAX_CALIBRATION_BYTES = 64 * 1024
_MAX_SIDE_PX = 65535
#: Numbers in the lists of a calibration file.
_MATRICES = {"camera_matrix": ("k", 9), "rectification_matrix": ("r", 9), "projection_matrix": ("p", 12)}
_QOS = QoSProfile(depth=2)


@dataclass(frozen=True)
class CapturedImage:
    """An image with the header of its capture, in place of a message. Its pixels are as the device encodes them."""

    header: PlainHeader
    frame: MediaFrame

    def read(self, buffer: PixelBuffer) -> ColorImage:
        """Return the image; converted pixels go into `buffer`.

        Raises:
            ImageError: for a damaged JPEG.
        """
        return image_of_pixels(self.frame.image, self.frame.encoding, buffer)


class CaptureClock:
    """The clock that stamps the images of one opening of a device.

    A driver's times of capture are used as long as each is later than the one before, not in the future, and not older
    than 5 s. After one that is not so, and where the clock is that of a simulation, times of reading are used.

    Args:
        clock: of the node.

    Attributes:
        source: of the stamps: the driver, or reading.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last_s = 0.0
        self.source = _READING if is_simulated(clock) else _DRIVER

    def stamp_ns(self, captured_s: float | None) -> int:
        """Return the stamp of an image that was just read, in nanoseconds.

        Args:
            captured_s: what the driver says, in seconds of `time.monotonic`.
        """
        if self.source == _DRIVER and captured_s is not None:
            age_s = time.monotonic() - captured_s
            if captured_s > self._last_s and 0 <= age_s <= _MAX_AGE_S:
                self._last_s = captured_s
                return time.time_ns() - int(age_s * 1e9)
        self.source = _READING
        return now_ns(self._clock)


class DeviceInput:
    """Images of a device, each stamped when it was captured, or when it was read: see `CaptureClock`.

    A device that cannot be opened, or fails, is opened again, with pauses that double from 0.5 to 10 s. A file
    begins again at its end. While somebody subscribes, the images are published too, with the camera's calibration.

    Args:
        node: whose clock stamps the images.
        prefix: of the published topics `image` and `camera_info`: `~/`, or `~/front/` for one of several cameras.
        settings: values of the camera's parameters by name.
        on_image: called with each image, in a thread of the input's own, and whether it may hold that thread up: not
            where images of a stream would pile up meanwhile, nor while somebody subscribes to the images.

    Attributes:
        topic: what is read, in place of a topic.

    Raises:
        OptionError: for a calibration file that cannot be used.
    """

    lost = 0

    def __init__(
        self,
        node: LifecycleNode,
        prefix: str,
        settings: Mapping[str, Any],
        on_image: Callable[[CapturedImage, bool], None],
    ) -> None:
        self.topic = settings["device"]
        self._node = node
        self._on_image = on_image
        self._settings = settings
        self._info = read_calibration(settings["calibration_file"]) if settings["calibration_file"] else None
        self._images = node.create_publisher(Image, f"{prefix}image", _QOS)
        self._infos = None if self._info is None else node.create_publisher(CameraInfo, f"{prefix}camera_info", _QOS)
        self._buffer = PixelBuffer()
        self._subscribers = SubscriberWatch(one for one in (self._images, self._infos) if one is not None)
        self._fault, self._stamps = "", ""
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Begin to read, unless that is done."""
        if self._thread is None:
            self._ended = threading.Event()
            # A device may hang in a read for ever: its thread does not keep the process alive.
            self._thread = threading.Thread(target=self._run, args=(self._ended,), name="capture", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stop reading and release the device, unless that is done."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join(_JOIN_S)
            self._thread = None
            self._node.get_logger().info(f"no longer reading {self.topic}")

    def destroy(self) -> None:
        """Stop reading for good."""
        self.close()
        for publisher in (self._images, self._infos):
            if publisher is not None:
                self._node.destroy_publisher(publisher)

    def why_silent(self) -> str:
        """Return what a person should know where no images come."""
        return self._fault or f"no images from {self.topic}"

    def _run(self, ended: threading.Event) -> None:
        # A file that begins again is not worth a line each time.
        retry_s, is_announced = _RETRY_S, False
        while not ended.is_set():
            try:
                with self._open() as media:
                    if not is_announced:
                        how = f": {media.description}" if media.description else ""
                        self._node.get_logger().info(f"reading {self.topic}{how}")
                    can_wait = media.skips_old or not media.is_live
                    for captured in self._captured(media, ended):
                        retry_s, self._fault = _RETRY_S, ""
                        if not is_announced:
                            is_announced = True
                            self._check_calibration(captured)
                        is_seen = self._publish(captured)
                        self._on_image(captured, can_wait and not is_seen)
                continue
            except Exception as error:  # noqa: BLE001 - whatever it is, it is reported, and the device is opened again
                is_announced = False
                self._report(error, retry_s)
            ended.wait(retry_s)
            retry_s = min(2 * retry_s, _MAX_RETRY_S)

    def _check_calibration(self, captured: CapturedImage) -> None:
        """Warn of a calibration that was made for images of another size."""
        image = None if self._info is None else self._image_of(captured)
        if self._info is None or image is None:
            return
        height, width = image.hw
        if (self._info.height, self._info.width) != (height, width):
            self._node.get_logger().warning(
                f"calibration_file: made for images of {self._info.width}x{self._info.height}, those of {self.topic} "
                f"are {width}x{height}: calibrate the camera at this size, or set device_width and device_height"
            )

    def _image_of(self, captured: CapturedImage) -> ColorImage | None:
        """Return the image; None for a damaged one, which is reported where it is segmented."""
        try:
            return captured.read(self._buffer)
        except ImageError:
            return None

    def _report(self, error: Exception, retry_s: float) -> None:
        self._fault = one_line(error)
        details = "" if isinstance(error, UserError) else "\n" + "".join(traceback.format_exception(error))
        self._node.get_logger().error(f"{self._fault}; trying again in {retry_s:g} s{details}")

    def _open(self) -> Media:
        settings = self._settings
        mode = CameraMode(
            (settings["device_height"], settings["device_width"]),
            settings["device_rate_hz"],
            "" if settings["device_pixel_format"] == "auto" else settings["device_pixel_format"],
        )
        # Converted by those who use them: most images of a fast camera are dropped.
        return open_media(
            self.topic, camera_mode=mode, max_rate_hz=settings["max_rate_hz"] or math.inf, keep_encoding=True
        )

    def _captured(self, media: Media, ended: threading.Event) -> Iterator[CapturedImage]:
        """Yield the images of one opening, at the pace of a device, or of a file's rate."""
        clock, frame_id = CaptureClock(self._node.get_clock()), self._settings["frame_id"]
        for frame in media if media.is_live else self._paced(media, ended):
            if ended.is_set():
                return
            captured = CapturedImage(header_at(clock.stamp_ns(frame.captured_s), frame_id), frame)
            if clock.source != self._stamps:
                self._stamps = clock.source
                self._node.get_logger().info(f"stamps of {self.topic} are {self._stamps}")
            yield captured

    def _paced(self, media: Media, ended: threading.Event) -> Iterator[MediaFrame]:
        """Yield the frames of a file at its rate; after one that took long, the newest that is due."""
        period_s = 1.0 / (self._settings["device_rate_hz"] or media.fps or _DEFAULT_RATE_HZ)
        due_s, missed, num_late = time.monotonic(), 0, 0
        for frame in media:
            if missed < num_late:
                missed += 1
                continue
            due_s += missed * period_s
            ended.wait(max(0.0, due_s - time.monotonic()))
            yielded_s = time.monotonic()
            due_s = max(due_s + period_s, yielded_s - period_s)
            yield replace(frame, missed=missed) if missed else frame
            missed, num_late = 0, int((time.monotonic() - yielded_s) / period_s) - 1

    def _publish(self, captured: CapturedImage) -> bool:
        """Publish the image and its calibration to those who subscribe; return whether there is anybody."""
        subscribed = self._subscribers.subscribed()
        image = self._image_of(captured) if self._images in subscribed else None
        if image is not None:
            self._images.publish(bgr_to_msg(image.to_bgr(), header_to_msg(captured.header)))
        if self._info is not None and self._infos is not None and self._infos in subscribed:
            self._info.header = header_to_msg(captured.header)
            self._infos.publish(self._info)
        return bool(subscribed)


def read_calibration(path: str) -> CameraInfo:
    """Read the calibration of a camera, as the package camera_calibration writes it in YAML.

    Raises:
        OptionError: if it cannot be read, or something in it is missing or wrong.
    """
    try:
        data = yaml.safe_load(read_file(Path(path), _MAX_CALIBRATION_BYTES))
        info = CameraInfo(
            width=_size(data["image_width"]),
            height=_size(data["image_height"]),
            distortion_model=str(data["distortion_model"]),
            d=_numbers(data["distortion_coefficients"]["data"]),
        )
        for name, (field, count) in _MATRICES.items():
            numbers = _numbers(data[name]["data"])
            if len(numbers) != count:
                raise OptionError(f"calibration_file: {path}: {name}: expected {count} numbers, got {len(numbers)}")
            setattr(info, field, numbers)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError, AssertionError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(
            f"calibration_file: {path}: {one_line(error)}; expected a file of the package camera_calibration"
        ) from error
    return info


def _size(value: Any) -> int:
    if not 1 <= int(value) <= _MAX_SIDE_PX:
        raise ValueError(f"expected sizes from 1 to {_MAX_SIDE_PX}, got {value}")
    return int(value)


def _numbers(values: Any) -> list[float]:
    numbers = [float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        raise ValueError("expected finite numbers")
    return numbers
