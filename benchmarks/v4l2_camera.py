"""Build and describe a camera of V4L2 for processes of benchmarks and tests, where none is at hand: see v4l2/camera.h.

The process has OpenCV's own code for V4L2 work with it as with a driver.
"""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

#: Its path, which must not exist.
DEVICE = "/dev/video40"
#: Of a row, in formats where that is not one.
_BYTES_A_PIXEL = {"YUYV": 2, "UYVY": 2, "BGR3": 3, "RGB3": 3, "MJPG": 0}
_LIBRARY = "camera.so"
_SOURCES = Path(__file__).parent / "v4l2"
_WARNINGS = ("-Wall", "-Wextra", "-Werror", "-Wconversion", "-pedantic")
_OPTIONS = ("-std=c99", "-O2", *_WARNINGS, "-fvisibility=hidden", "-shared", "-fPIC")


def c_compiler() -> str | None:
    """Return the path of the C compiler; None where there is none."""
    return shutil.which("cc") or shutil.which("gcc")


@cache
def _library_folder() -> TemporaryDirectory[str]:
    """Build the library once for this process; return its folder, which is removed at the end."""
    folder = TemporaryDirectory(prefix="v4l2_camera_")
    compiler = c_compiler()
    if compiler is None:
        raise SystemExit("a camera of V4L2 can be built with a C compiler only: apt install gcc")
    target = Path(folder.name, _LIBRARY)
    subprocess.run([compiler, *_OPTIONS, "-o", target, *_SOURCES.glob("*.c"), "-lpthread"], check=True)
    return folder


def encoded(bgr: NDArray[np.uint8], pixel_format: str) -> bytes:
    """Return an image as a camera delivers it in a pixel format: YUYV, NV12 or MJPG."""
    if pixel_format == "MJPG":
        return cv2.imencode(".jpg", bgr)[1].tobytes()
    if pixel_format == "YUYV":
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_YUYV).tobytes()
    assert pixel_format == "NV12"
    height = bgr.shape[0]
    planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_I420)
    return planes[:height].tobytes() + np.ravel(planes[height:].reshape(2, -1), order="F").tobytes()


class SoftwareCamera:
    """A camera that processes can open, one at a time.

    Args:
        folder: of its modes; made.
        age_ms: how much later than its time of capture an image can be read; below 0 for times in the future.
        damaged: every so many images one is damaged, 0 for none.

    Attributes:
        environment: of a process that is to find it at `DEVICE`.
    """

    def __init__(self, folder: Path, age_ms: int = 0, damaged: int = 0) -> None:
        self._folder = folder
        folder.mkdir()
        self.environment = {
            "LD_PRELOAD": str(Path(_library_folder().name, _LIBRARY)),
            "V4L2_CAMERA_DEVICE": DEVICE,
            "V4L2_CAMERA_FOLDER": str(folder),
            "V4L2_CAMERA_AGE_MS": str(age_ms),
            "V4L2_CAMERA_DAMAGED": str(damaged),
        }

    def add_mode(
        self, pixel_format: str, image_hw: tuple[int, int], image: bytes, row_bytes: int | None = None
    ) -> None:
        """Offer images of a format and size, which all are these bytes; by themselves, its rows have no padding."""
        height, width = image_hw
        row_bytes = _BYTES_A_PIXEL.get(pixel_format, 1) * width if row_bytes is None else row_bytes
        (self._folder / f"{pixel_format}_{width}x{height}_{row_bytes}").write_bytes(image)

    def unplug(self) -> None:
        """Make the device vanish."""
        (self._folder / "unplugged").touch()

    def plug_in(self) -> None:
        """Make the device appear again."""
        (self._folder / "unplugged").unlink()

    def log(self) -> list[str]:
        """Return what was set, started and stopped so far."""
        path = self._folder / "log"
        return path.read_text(encoding="ascii").splitlines() if path.exists() else []
