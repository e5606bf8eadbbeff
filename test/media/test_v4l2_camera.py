"""Test cameras of V4L2 in a process that finds a camera made of software."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from support.native_library import SOURCE_FOLDER, STRICT, build_shared

from benchmarks.v4l2_camera import DEVICE, SoftwareCamera, c_compiler, encoded
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.media.v4l2_camera import is_slow_to_read

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

path, device, width, height, rate_hz, pixel_format, count, is_kept, num_held = sys.argv[1:]
mode = CameraMode((int(height), int(width)), float(rate_hz), pixel_format)
try:
    with open_media(device, camera_mode=mode, keep_encoding=is_kept == "True") as camera:
        held, copies, ages_s, are_copied = [], [], [], []
        for frame in itertools.islice(camera, int(count)):
            if frame.captured_s is not None:
                ages_s.append(time.monotonic() - frame.captured_s)
            copies.append(frame.image.copy())
            are_copied.append(frame.image.flags.owndata)
            held = [*held, frame.image][-int(num_held):] if int(num_held) else []
        bgr = image_of_pixels(frame.image, frame.encoding).to_bgr()
        known = {"fps": camera.fps, "encoding": frame.encoding, "description": camera.description}
    # Once the device is closed, too.
    assert all(np.array_equal(image, copy) for image, copy in zip(held[::-1], copies[::-1]))
    np.savez(path, ages_s=ages_s, are_copied=are_copied, images=copies, bgr=bgr, **known)
except MediaError as error:
    sys.exit(str(error))
"""


@pytest.fixture
def camera(tmp_path):
    return SoftwareCamera(tmp_path / "camera")


@pytest.fixture
def bgr():
    return SyntheticScene(HW).frame(0).image


def run(
    camera,
    tmp_path,
    pixel_format="",
    hw=HW,
    rate_hz=0.0,
    count=3,
    device=DEVICE,
    is_kept=True,
    num_held=1,
    program=PROGRAM,
):
    arguments = [tmp_path / "seen.npz", device, hw[1], hw[0], rate_hz, pixel_format, count, is_kept, num_held]
    command = [sys.executable, "-c", program, *map(str, arguments)]
    environment = {**os.environ, **camera.environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S)


def seen_by_process(camera, tmp_path, *args, **options):
    done = run(camera, tmp_path, *args, **options)
    assert done.returncode == 0, done.stderr
    return dict(np.load(tmp_path / "seen.npz"))


FORMATS = {
    "YUYV": ("yuv422_yuy2", (*HW, 2), cv2.COLOR_YUV2BGR_YUYV),
    "UYVY": ("yuv422", (*HW, 2), cv2.COLOR_YUV2BGR_UYVY),
    "NV12": ("nv12", (HW[0] * 3 // 2, HW[1]), cv2.COLOR_YUV2BGR_NV12),
    "NV21": ("nv21", (HW[0] * 3 // 2, HW[1]), cv2.COLOR_YUV2BGR_NV21),
    "YU12": ("i420", (HW[0] * 3 // 2, HW[1]), cv2.COLOR_YUV2BGR_I420),
    "RGB3": ("rgb8", (*HW, 3), cv2.COLOR_RGB2BGR),
    "GREY": ("mono8", HW, cv2.COLOR_GRAY2BGR),
}


@pytest.mark.parametrize("pixel_format", FORMATS)
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "converted"])
def test_images_arrive_as_the_driver_delivers_them(camera, tmp_path, pixel_format, is_kept):
    encoding, shape, conversion = FORMATS[pixel_format]
    pixels = np.random.default_rng(3).integers(0, 256, shape, np.uint8)
    camera.add_mode(pixel_format, HW, pixels.tobytes())
    seen = seen_by_process(camera, tmp_path, pixel_format, is_kept=is_kept)
    assert seen["encoding"] == (encoding if is_kept else "bgr8")
    assert seen["description"] == f"{pixel_format} 64x48 at 30 Hz"
    bgr = cv2.cvtColor(pixels, conversion)
    assert all(np.array_equal(image, pixels if is_kept else bgr) for image in seen["images"])
    assert np.array_equal(seen["bgr"], bgr)


@pytest.mark.parametrize(("pixel_format", "row_bytes"), [("YUYV", 2 * HW[1] + 32), ("NV12", HW[1] + 16)])
def test_bytes_between_two_rows_are_left_out(camera, tmp_path, pixel_format, row_bytes):
    _, shape, conversion = FORMATS[pixel_format]
    padded = np.random.default_rng(4).integers(0, 256, (shape[0], row_bytes), np.uint8)
    pixels = padded[:, : np.prod(shape[1:])].reshape(shape).copy()
    camera.add_mode(pixel_format, HW, padded.tobytes(), row_bytes)
    seen = seen_by_process(camera, tmp_path, pixel_format)
    assert np.array_equal(seen["images"][-1], pixels)
    assert np.array_equal(seen["bgr"], cv2.cvtColor(pixels, conversion))


def test_a_camera_with_no_format_that_is_read_here_is_left_to_opencv(camera, tmp_path, bgr):
    planes = cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV_YV12)
    camera.add_mode("YV12", HW, planes.tobytes())
    seen = seen_by_process(camera, tmp_path)
    assert str(seen["description"]).startswith("with OpenCV, as it offers none of the pixel formats YUYV UYVY")
    assert seen["encoding"] == "bgr8"
    assert np.abs(seen["bgr"].astype(int) - bgr).mean() < 6


def test_images_are_copied_only_where_the_driver_would_run_out_of_buffers(camera, tmp_path, bgr):
    camera.add_mode("YUYV", HW, encoded(bgr, "YUYV"))
    few = seen_by_process(camera, tmp_path, rate_hz=SLOW_HZ, count=12, num_held=2)
    assert not few["are_copied"].any()
    many = seen_by_process(camera, tmp_path, rate_hz=SLOW_HZ, count=12, num_held=12)
    assert not many["are_copied"][:3].any()
    assert many["are_copied"][3:].all()
    for line in camera.log():
        if line.startswith("stop"):
            taken, lost = map(int, re.findall(r"\d+", line))
            assert taken >= 12
            assert lost < taken / 4


def test_damaged_images_are_left_out(tmp_path, bgr):
    camera = SoftwareCamera(tmp_path / "camera", damaged=2)
    camera.add_mode("YUYV", HW, encoded(bgr, "YUYV"))
    seen = seen_by_process(camera, tmp_path, count=5, num_held=5)
    assert all(image.tobytes() == encoded(bgr, "YUYV") for image in seen["images"])


@pytest.mark.parametrize("pixel_format", ["YUYV", "NV12", "MJPG"])
def test_colours_are_right(camera, tmp_path, bgr, pixel_format):
    camera.add_mode(pixel_format, HW, encoded(bgr, pixel_format))
    seen = seen_by_process(camera, tmp_path, pixel_format)
    # Red and blue swapped differ by much more than what is lost in the encoding.
    assert np.abs(seen["bgr"].astype(int) - bgr).mean() < 6
    assert np.abs(seen["bgr"][..., ::-1].astype(int) - bgr).mean() > 12


def test_jpegs_are_decoded_by_those_who_need_their_pixels(camera, tmp_path, bgr):
    jpeg = np.frombuffer(encoded(bgr, "MJPG"), np.uint8)
    camera.add_mode("MJPG", HW, jpeg.tobytes())
    kept, converted = (seen_by_process(camera, tmp_path, is_kept=is_kept) for is_kept in (True, False))
    assert (kept["encoding"], converted["encoding"]) == ("jpeg", "bgr8")
    assert np.array_equal(kept["images"][-1], jpeg)
    for seen in (kept, converted):
        assert np.array_equal(seen["bgr"], cv2.imdecode(jpeg, cv2.IMREAD_COLOR))


def test_a_damaged_jpeg_is_skipped_where_it_is_converted(camera, tmp_path, bgr):
    camera.add_mode("MJPG", HW, encoded(bgr, "MJPG")[:-200])
    camera.add_mode("YUYV", HW, encoded(bgr, "YUYV"))
    program = PROGRAM.replace("keep_encoding=", "on_skip=lambda error: sys.exit(f'skipped: {error}'), keep_encoding=")
    done = run(camera, tmp_path, "MJPG", is_kept=False, program=program)
    assert f"skipped: camera {DEVICE}: the image is cut short" in done.stderr


def test_format_size_and_rate_reach_the_driver(camera, tmp_path, bgr):
    for pixel_format in ("NV12", "YUYV"):
        camera.add_mode(pixel_format, HW, encoded(bgr, pixel_format))
        camera.add_mode(pixel_format, SMALL_HW, encoded(bgr[::2, ::2].copy(), pixel_format))
    seen = seen_by_process(camera, tmp_path, "YUYV", SMALL_HW, 15.0)
    assert seen["images"].shape[1:] == (*SMALL_HW, 2)
    assert seen["fps"] == 15.0
    started = [index for index, line in enumerate(camera.log()) if line.startswith("start")]
    assert len(started) == 1
    assert {"format YUYV_32x24_64", "period 1000/15000"} <= set(camera.log()[: started[0]])
    settings = [line for line in camera.log() if line.startswith("format")]
    assert settings[-1] == "format YUYV_32x24_64"


def test_a_mode_that_the_camera_lacks_is_replaced_by_the_nearest_one(camera, tmp_path, bgr):
    camera.add_mode("YUYV", SMALL_HW, encoded(bgr[::2, ::2].copy(), "YUYV"))
    seen = seen_by_process(camera, tmp_path, "NV12", (480, 640))
    assert (seen["encoding"], seen["images"].shape[1:]) == ("yuv422_yuy2", (*SMALL_HW, 2))


def test_by_itself_the_first_format_of_the_size_is_taken(camera, tmp_path, bgr):
    camera.add_mode("YUYV", SMALL_HW, encoded(bgr[::2, ::2].copy(), "YUYV"))
    camera.add_mode("MJPG", HW, encoded(bgr, "MJPG"))
    assert seen_by_process(camera, tmp_path, hw=HW)["encoding"] == "jpeg"
    assert seen_by_process(camera, tmp_path, hw=SMALL_HW)["encoding"] == "yuv422_yuy2"
    # Of no size that is requested, the format that costs least is taken.
    assert seen_by_process(camera, tmp_path, hw=(96, 128))["encoding"] == "yuv422_yuy2"


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
    camera = SoftwareCamera(tmp_path / "camera", age_ms)
    camera.add_mode("YUYV", HW, encoded(bgr, "YUYV"))
    ages_s = seen_by_process(camera, tmp_path)["ages_s"]
    # The driver counts in microseconds, rounded down.
    assert ((ages_s >= least_s - 1e-6) & (ages_s <= most_s)).all()


def test_a_device_that_is_not_there_is_an_error_in_one_line(camera, tmp_path, bgr):
    camera.add_mode("YUYV", HW, encoded(bgr, "YUYV"))
    camera.unplug()
    done = run(camera, tmp_path)
    assert done.returncode == 1
    assert f"camera {DEVICE}: cannot be opened (No such file or directory)" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_device_that_is_no_camera_is_an_error_in_one_line(camera, tmp_path):
    done = run(camera, tmp_path, device="/dev/null")
    assert done.returncode == 1
    assert "camera /dev/null: cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr


class SlowMemory(bytes):
    """Memory that takes a millisecond to read."""

    def __getitem__(self, part):
        time.sleep(0.001)
        return super().__getitem__(part)


def test_memory_that_is_not_cached_is_known_by_its_speed():
    assert is_slow_to_read(SlowMemory(1 << 16))
    assert not is_slow_to_read(bytes(1 << 16))


def test_the_library_has_no_warnings(tmp_path):
    build_shared(tmp_path / "libcapture.so", [SOURCE_FOLDER / "capture" / "capture.c"], *STRICT)
