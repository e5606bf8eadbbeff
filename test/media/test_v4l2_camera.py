"""Test cameras with OpenCV's own code for V4L2, in a process that finds a camera made of software."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import cv2
import numpy as np
import pytest

from benchmarks.v4l2_camera import DEVICE, V4l2Camera, c_compiler, encoded
from yolov8_seg_ros.media.scene import SyntheticScene

pytestmark = [
    pytest.mark.skipif(c_compiler() is None, reason="needs a C compiler: apt install gcc"),
    pytest.mark.skipif(sys.platform != "linux", reason="V4L2 is Linux' own"),
]

HW, SMALL_HW = (48, 64), (24, 32)
TIMEOUT_S = 60
#: Of a camera whose images must not be lost, even where other programs keep the machine busy.
SLOW_HZ = 10.0
PROGRAM = """
import itertools
import sys
import time
import numpy as np
from yolov8_seg_ros.errors import MediaError
from yolov8_seg_ros.media.captures import CameraMode
from yolov8_seg_ros.media.image_message import image_of_pixels
from yolov8_seg_ros.media.sources import open_media

path, device, width, height, rate_hz, pixel_format, count = sys.argv[1:]
mode = CameraMode((int(height), int(width)), float(rate_hz), pixel_format)
try:
    with open_media(device, camera_mode=mode, keep_encoding=True) as camera:
        timed = [(time.monotonic(), frame) for frame in itertools.islice(camera, int(count))]
        frames = [frame for _, frame in timed]
        bgr = image_of_pixels(frames[-1].image, frames[-1].encoding).to_bgr()
        ages_s = [read_s - frame.captured_s for read_s, frame in timed]
        images, encoding = [frame.image for frame in frames], frames[-1].encoding
        np.savez(path, ages_s=ages_s, fps=camera.fps, encoding=encoding, images=images, bgr=bgr)
except MediaError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def camera(tmp_path):
    return V4l2Camera(tmp_path / "camera")


@pytest.fixture
def bgr():
    return SyntheticScene(HW).frame(0).image


def run(camera, tmp_path, pixel_format="", hw=HW, rate_hz=0.0, count=3, device=DEVICE):
    arguments = [tmp_path / "seen.npz", device, hw[1], hw[0], rate_hz, pixel_format, count]
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    environment = {**os.environ, **camera.environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)


def seen_by_process(camera, tmp_path, *args, **options):
    done = run(camera, tmp_path, *args, **options)
    assert done.returncode == 0, done.stderr
    return np.load(tmp_path / "seen.npz")


@pytest.mark.parametrize(
    ("pixel_format", "encoding", "shape", "conversion"),
    [
        ("YUYV", "yuv422_yuy2", (*HW, 2), cv2.COLOR_YUV2BGR_YUYV),
        ("NV12", "nv12", (HW[0] * 3 // 2, HW[1]), cv2.COLOR_YUV2BGR_NV12),
    ],
    ids=["YUYV", "NV12"],
)
def test_images_arrive_as_the_driver_delivers_them(camera, tmp_path, pixel_format, encoding, shape, conversion):
    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    camera.add_mode(pixel_format, HW, pixels.tobytes())
    seen = seen_by_process(camera, tmp_path, pixel_format)
    assert seen["encoding"] == encoding
    assert all(np.array_equal(image, pixels) for image in seen["images"])
    assert np.array_equal(seen["bgr"], cv2.cvtColor(pixels, conversion))


@pytest.mark.parametrize("pixel_format", ["YUYV", "NV12", "MJPG"])
def test_colours_are_right(camera, tmp_path, bgr, pixel_format):
    camera.add_mode(pixel_format, HW, encoded(bgr, pixel_format))
    seen = seen_by_process(camera, tmp_path, pixel_format)
    # Red and blue swapped differ by much more than what is lost in the encoding.
    assert np.abs(seen["bgr"].astype(int) - bgr).mean() < 6
    assert np.abs(seen["bgr"][..., ::-1].astype(int) - bgr).mean() > 12


def test_jpegs_are_decoded_when_they_are_read(camera, tmp_path, bgr):
    jpeg = encoded(bgr, "MJPG")
    camera.add_mode("MJPG", HW, jpeg)
    seen = seen_by_process(camera, tmp_path)
    assert seen["encoding"] == "bgr8"
    assert np.array_equal(seen["images"][-1], cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR))


def test_format_size_and_rate_reach_the_driver(camera, tmp_path, bgr):
    for pixel_format in ("NV12", "YUYV"):
        camera.add_mode(pixel_format, HW, encoded(bgr, pixel_format))
        camera.add_mode(pixel_format, SMALL_HW, encoded(bgr[::2, ::2].copy(), pixel_format))
    seen = seen_by_process(camera, tmp_path, "YUYV", SMALL_HW, 15.0)
    assert seen["images"].shape[1:] == (*SMALL_HW, 2)
    assert seen["fps"] == 15.0
    started = [index for index, line in enumerate(camera.log()) if line.startswith("start")]
    assert len(started) == 1
    assert {"format YUYV_32x24", "period 1/15"} < set(camera.log()[: started[0]])
    settings = [line for line in camera.log() if line.startswith("format")]
    assert settings[-1] == "format YUYV_32x24"


def test_a_mode_that_the_camera_lacks_is_replaced_by_the_nearest_one(camera, tmp_path, bgr):
    camera.add_mode("YUYV", SMALL_HW, encoded(bgr[::2, ::2].copy(), "YUYV"))
    seen = seen_by_process(camera, tmp_path, "NV12", (480, 640))
    assert (seen["encoding"], seen["images"].shape[1:]) == ("yuv422_yuy2", (*SMALL_HW, 2))


def test_no_image_is_lost_while_another_is_read(camera, tmp_path, bgr):
    camera.add_mode("YUYV", HW, encoded(bgr, "YUYV"))
    seen_by_process(camera, tmp_path, rate_hz=SLOW_HZ, count=20)
    taken, lost = map(int, re.findall(r"\d+", camera.log()[-1]))
    assert taken >= 20
    # With one buffer it is every second one.
    assert lost < taken / 4


@pytest.mark.parametrize(
    ("age_ms", "least_s", "most_s"), [(40, 0.04, np.inf), (-60_000, -60, 0)], ids=["late", "future"]
)
def test_frames_have_the_driver_s_times_of_capture(tmp_path, bgr, age_ms, least_s, most_s):
    camera = V4l2Camera(tmp_path / "camera", age_ms)
    camera.add_mode("YUYV", HW, encoded(bgr, "YUYV"))
    ages_s = seen_by_process(camera, tmp_path)["ages_s"]
    # The driver counts in microseconds, rounded down.
    assert ((ages_s >= least_s - 1e-6) & (ages_s <= most_s)).all()


def test_a_device_that_is_not_there_is_an_error_in_one_line(camera, tmp_path, bgr):
    camera.add_mode("YUYV", HW, encoded(bgr, "YUYV"))
    camera.unplug()
    done = run(camera, tmp_path)
    assert done.returncode == 1
    assert f"camera {DEVICE}: cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr
