"""Call the drivers of cameras by V4L2, Linux' own interface for them: `native/capture/capture.h` is its manual."""

from __future__ import annotations

import mmap
import os
from functools import lru_cache
from typing import Any, NamedTuple

from yolov8_seg_ros.core.native import LIBRARY, load_library


class PixelFormat(NamedTuple):
    """The format in which a driver writes images.

    Attributes:
        code: four characters.
        image_hw: height and width in pixels.
        row_bytes: from row to row; 0 where the format has no rows.
        image_bytes: of an image at most.
    """

    code: str
    image_hw: tuple[int, int]
    row_bytes: int
    image_bytes: int


class Device:
    """An open camera, whose driver writes images to a few buffers, which this process reads where they are.

    A buffer belongs to the driver from `queue` until `next_image` returns it. One thread at a time uses a device.

    Args:
        path: of the device.

    Attributes:
        image: the last image of `next_image`, as capture.h declares it: `buffer`, its number, `num_bytes`, `is_damaged`
            where a part is lost, `sequence`, which counts what the camera took, `captured_ns` in nanoseconds of
            `time.monotonic`, -1 where the driver has another clock.
        memories: of the buffers; each lives as long as somebody refers to it.

    Raises:
        OSError: if it cannot be opened; as all methods, if the driver refuses or the device is gone.
        NativeLibraryError: if the C library is missing.
    """

    def __init__(self, path: str) -> None:
        self._ffi, self._lib = _load()
        self.image: Any = self._ffi.new("struct capture_image *")
        self.memories: list[Any] = []
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def can_stream(self) -> bool:
        """Return whether it is a camera that writes each image to one buffer."""
        return bool(self._lib.capture_can_stream(self._fd))

    def set_format(self, code: str, image_hw: tuple[int, int]) -> PixelFormat:
        """Request a format; return the one that the driver chose, which may be another."""
        height, width = image_hw
        found = self._ffi.new("struct capture_format *", (code.encode("latin-1"), width, height))
        self._check(self._lib.capture_set_format(self._fd, found))
        chosen = self._ffi.unpack(found.code, 4).decode("latin-1")
        return PixelFormat(chosen, (found.height_px, found.width_px), found.row_bytes, found.image_bytes)

    def set_rate(self, rate_hz: float) -> float | None:
        """Request a rate, 0 for the driver's own; return images a second, None where the driver has no rates."""
        found = self._ffi.new("double *", rate_hz)
        self._check(self._lib.capture_set_rate(self._fd, found))
        return found[0] or None

    def map_buffers(self, count: int) -> int:
        """Make buffers for images of the format; return how many there are, which the driver chooses."""
        place = self._ffi.new("int64_t[2]")
        for number in range(self._check(self._lib.capture_request_buffers(self._fd, count))):
            self._check(self._lib.capture_locate_buffer(self._fd, number, place, place + 1))
            memory = mmap.mmap(self._fd, place[1], offset=place[0])
            self.memories.append(self._ffi.buffer(self._ffi.from_buffer(memory)))
        return len(self.memories)

    def start(self) -> None:
        """Start to have the queued buffers filled."""
        self._check(self._lib.capture_start(self._fd))

    def queue(self, number: int) -> None:
        """Add a buffer to those that the driver fills."""
        self._check(self._lib.capture_queue(self._fd, number))

    def next_image(self, timeout_s: float) -> int:
        """Wait for an image, and describe the newest in `image`; return how many came.

        Older ones are left out: their buffers belong to the driver again.
        """
        return self._check(self._lib.capture_next(self._fd, int(timeout_s * 1e3), self.image))

    def close(self) -> None:
        """Stop, and release the device."""
        if self._fd < 0:
            return
        if self.memories:
            # Both fail where the device is gone, which is as good. Else those who still read the memory would keep the
            # device from being opened again.
            self._lib.capture_stop(self._fd)
            self.memories = []
            self._lib.capture_request_buffers(self._fd, 0)
        os.close(self._fd)
        self._fd = -1

    def _check(self, result: int) -> int:
        if result < 0:
            raise OSError(-result, os.strerror(-result))
        return result


@lru_cache(maxsize=1)
def _load() -> tuple[Any, Any]:
    return load_library("_capture", LIBRARY.with_name("libcapture.so"))
