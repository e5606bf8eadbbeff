"""Read the newest images of a V4L2 camera where its driver writes them, without a copy."""

from __future__ import annotations

import errno
import itertools
import math
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.errors import ImageError, MediaError
from yolov8_seg_ros.media.captures import CameraMode, RateLimit, camera_text, unopened
from yolov8_seg_ros.media.frames import BGR8, Media, MediaFrame
from yolov8_seg_ros.media.image_message import I420, JPEG, image_of_pixels, pixels_shape, shares_colors
from yolov8_seg_ros.media.v4l2 import Device, PixelFormat

#: Encodings of images by the codes of V4L2, in the order in which they are tried: those that cost least come first.
_ENCODINGS = {
    "YUYV": "yuv422_yuy2",
    "UYVY": "yuv422",
    "NV12": "nv12",
    "NV21": "nv21",
    "YU12": I420,
    "BGR3": BGR8,
    "RGB3": "rgb8",
    "GREY": "mono8",
    "MJPG": JPEG,
    "JPEG": JPEG,
}
#: One image is read, one waits for its turn, one has just come, and the driver has two more.
_BUFFERS = 5
#: With fewer a driver loses images: it writes to one, and needs the next at once.
_MIN_QUEUED = 2
_SILENCE_S = 10.0
#: A camera is as fast as requested if it reaches so much of the rate: 29.97 Hz will do for 30.
_RATE_TOLERANCE = 0.95
#: How memory is tried that may not be cached: this much of it, so many times, and by how much it is slower then.
_SAMPLE_BYTES, _SAMPLES, _SLOW_FACTOR = 16384, 5, 8.0


class UnsupportedDeviceError(Exception):
    """A device that is no camera, or one that needs another way to be read."""


class _Layout(NamedTuple):
    """The layout of images in a buffer, or of their bytes where they are compressed.

    Attributes:
        encoding: as `image_of_pixels` takes it.
        shape: of the pixels; None for compressed images, which are as long as each is.
        strides: of the pixels, in bytes.
        num_bytes: of a whole image, at least.
    """

    encoding: str
    shape: tuple[int, ...] | None = None
    strides: tuple[int, ...] = ()
    num_bytes: int = 1


class V4l2Camera(Media):
    """A camera of V4L2.

    Of images that came while nobody asked, all but the newest are left out. An image is read where the driver wrote it;
    its buffer goes back to the driver once nobody refers to the image any more. It is copied where the driver would be
    left with too few buffers, and always where their memory is not cached: to read that, a copy is the fastest way.

    Args:
        device: number or path.
        mode: requested of the camera. Without a pixel format, the first one that has the size and the rate is taken.
        max_rate_hz: images that come faster than this are left out.
        keep_encoding: whether images stay as they are encoded, for `image_of_pixels`, rather than converted to BGR.
        on_skip: called with the error of each image that cannot be converted; the others follow.

    Raises:
        MediaError: if it cannot be opened.
        UnsupportedDeviceError: if it is no such camera, or has none of the pixel formats that are read here.
    """

    is_live = skips_old = True

    def __init__(
        self,
        device: str,
        mode: CameraMode,
        max_rate_hz: float,
        keep_encoding: bool,
        on_skip: Callable[[MediaError], None],
    ) -> None:
        self._source = camera_text(device)
        self._max_rate_hz, self._keep_encoding, self._on_skip = max_rate_hz, keep_encoding, on_skip
        #: The images that others may still read, by the numbers of their buffers.
        self._lent: dict[int, weakref.ref[Any]] = {}
        self._num_queued = 0
        self._last_sequence: int | None = None
        try:
            self._device = Device(f"/dev/video{device}" if device.isdecimal() else device)
        except OSError as error:
            raise unopened(self._source, f" ({error.strerror})") from error
        except ValueError as error:
            # No path can hold such characters.
            raise unopened(self._source, f" ({error})") from error
        try:
            self._prepare(mode)
        except OSError as error:
            self.close()
            raise unopened(self._source, f" ({error.strerror})") from error
        except UnsupportedDeviceError:
            self.close()
            raise

    def __iter__(self) -> Iterator[MediaFrame]:
        """Read the newest images."""
        limit = RateLimit(self._max_rate_hz)
        for index in itertools.count():
            try:
                self._wait_for_image(limit)
                pixels, captured_s, missed = self._pixels(), self._captured_s(), self._count_missed()
            except OSError as error:
                raise MediaError(
                    f"{self._source}: delivers no more images ({error.strerror}); was it unplugged?"
                ) from error
            encoding = self._layout.encoding
            if not self._keep_encoding:
                try:
                    pixels, encoding = image_of_pixels(pixels, encoding).to_bgr(), BGR8
                except ImageError as error:
                    self._on_skip(MediaError(f"{self._source}: {error}"))
                    continue
            name = f"camera_{index:06d}"
            yield MediaFrame(pixels, name, index, encoding=encoding, captured_s=captured_s, missed=missed)

    def close(self) -> None:
        """Release the device."""
        self._device.close()

    def _prepare(self, mode: CameraMode) -> None:
        if not self._device.can_stream():
            raise UnsupportedDeviceError("it is no V4L2 camera that streams")
        pixel_format, self.fps, self._layout = self._choose_format(mode)
        for number in range(self._device.map_buffers(_BUFFERS)):
            self._queue(number)
        self._is_copied = is_slow_to_read(self._device.memories[0])
        self._device.start()
        height, width = pixel_format.image_hw
        rate = f" at {self.fps:.4g} Hz" if self.fps else ""
        copied = ", each copied first, since the driver's memory is not cached" if self._is_copied else ""
        self.description = f"{pixel_format.code} {width}x{height}{rate}{copied}"

    def _choose_format(self, mode: CameraMode) -> tuple[PixelFormat, float | None, _Layout]:
        """Set the first format that has the size and the rate that are requested; the first possible one otherwise."""
        first = ""
        for code in (mode.pixel_format,) if mode.pixel_format else _ENCODINGS:
            chosen = self._set_format(code, mode)
            if chosen is None:
                continue
            pixel_format, rate_hz, _ = chosen
            if pixel_format.image_hw == mode.image_hw and (rate_hz or math.inf) >= _RATE_TOLERANCE * mode.rate_hz:
                return chosen
            first = first or pixel_format.code
        chosen = self._set_format(first, mode) if first else None
        if chosen is None:
            raise UnsupportedDeviceError(f"it offers none of the pixel formats {' '.join(_ENCODINGS)}")
        return chosen

    def _set_format(self, code: str, mode: CameraMode) -> tuple[PixelFormat, float | None, _Layout] | None:
        """Set a format and a rate; return what the driver chose, None for a format that cannot be read here."""
        try:
            pixel_format = self._device.set_format(code, mode.image_hw)
        except OSError as error:
            # Some drivers refuse a format, most replace it.
            if error.errno != errno.EINVAL:
                raise
            return None
        layout = _layout(pixel_format)
        return None if layout is None else (pixel_format, self._device.set_rate(mode.rate_hz), layout)

    def _wait_for_image(self, limit: RateLimit) -> None:
        """Wait for an image that is whole, and due; the newest one is in the device's `image`."""
        image, end_s, fault = self._device.image, time.monotonic() + _SILENCE_S, "no image came"
        while (now_s := time.monotonic()) < end_s:
            self._take_back()
            count = self._device.next_image(end_s - now_s)
            if not count:
                continue
            self._num_queued -= 1
            if image.is_damaged or image.num_bytes < self._layout.num_bytes:
                fault = f"all images were damaged, the last had {image.num_bytes} of {self._layout.num_bytes} bytes"
            elif limit.admits(time.monotonic()):
                return
            else:
                end_s = now_s + _SILENCE_S
                self._last_sequence = image.sequence
            self._queue(image.buffer)
        raise MediaError(
            f"{self._source}: {fault} in {_SILENCE_S:.0f} s; check its cable, or ask for a smaller size or rate"
        )

    def _captured_s(self) -> float | None:
        captured_ns = self._device.image.captured_ns
        return None if captured_ns < 0 else captured_ns / 1e9

    def _count_missed(self) -> int:
        """Return how many images came between the last frame and the device's `image`."""
        sequence, last = self._device.image.sequence, self._last_sequence
        self._last_sequence = sequence
        # Not every driver counts.
        return max(0, sequence - last - 1) if last is not None else 0

    def _take_back(self) -> None:
        """Return the buffers to the driver whose images are gone."""
        for number, lent in tuple(self._lent.items()):
            if lent() is None:
                del self._lent[number]
                self._queue(number)

    def _queue(self, number: int) -> None:
        self._device.queue(number)
        self._num_queued += 1

    def _pixels(self) -> NDArray[np.uint8]:
        """Return the pixels of the device's `image`, or its bytes if they are compressed."""
        image, layout = self._device.image, self._layout
        memory = self._device.memories[image.buffer]
        if layout.shape is None:
            data = np.frombuffer(memory[: image.num_bytes], np.uint8)
            self._queue(image.buffer)
            return data
        pixels: NDArray[np.uint8] = np.ndarray(layout.shape, np.uint8, memory, 0, layout.strides)
        if self._is_copied or self._num_queued < _MIN_QUEUED:
            pixels = pixels.copy()
            self._queue(image.buffer)
        else:
            # All arrays that are made of this one keep it alive.
            self._lent[image.buffer] = weakref.ref(pixels)
        return pixels


def _layout(pixel_format: PixelFormat) -> _Layout | None:
    """Return the layout of a format; None for one that cannot be read here."""
    encoding, (height, width) = _ENCODINGS.get(pixel_format.code), pixel_format.image_hw
    if encoding is None or encoding == JPEG:
        return _Layout(JPEG) if encoding else None
    shape = pixels_shape(encoding, (height, width))
    pixel_bytes = math.prod(shape[2:])
    row_bytes = pixel_format.row_bytes or width * pixel_bytes
    if row_bytes < width * pixel_bytes or (shares_colors(encoding) and (height % 2 or width % 2)):
        return None
    # Its planes of colour have rows of half the length.
    if encoding == I420 and row_bytes != width:
        return None
    num_bytes = row_bytes * (shape[0] - 1) + width * pixel_bytes
    if num_bytes > pixel_format.image_bytes:
        return None
    return _Layout(encoding, shape, (row_bytes, pixel_bytes, 1)[: len(shape)], num_bytes)


def is_slow_to_read(memory: Any) -> bool:
    """Return whether bytes of memory are read much slower than a program's own, since they are not cached."""
    size = min(_SAMPLE_BYTES, len(memory))
    return _read_s(memory, size) > _SLOW_FACTOR * _read_s(bytearray(size), size)


def _read_s(memory: Any, size: int) -> float:
    """Return how long it takes to read so many bytes, once they are in the cache if they can be."""
    times_s = []
    for _ in range(_SAMPLES):
        started_s = time.perf_counter()
        memory[:size]
        times_s.append(time.perf_counter() - started_s)
    return min(times_s)
