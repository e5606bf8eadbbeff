"""Test that images of cameras and videos may stay as they are encoded, and are the same once converted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import MediaError
from yolov8_seg_ros.media import captures
from yolov8_seg_ros.media.image_message import image_of_pixels
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.media.sources import open_media

HW = (48, 64)
LENGTH = 3


def write_video(path, codec):
    writer = cv2.VideoWriter(str(path), codec, 25, HW[::-1])
    scene = SyntheticScene(HW)
    for index in range(LENGTH):
        writer.write(scene.frame(index).image)
    writer.release()
    return path


@pytest.fixture
def uncompressed(tmp_path):
    return write_video(tmp_path / "raw.avi", 0)


def bgr_of(frame):
    return image_of_pixels(frame.image, frame.encoding).to_bgr()


class FakeDriver:
    """Fake of cv2.VideoCapture: a camera whose driver has one format."""

    backend, characters, pixels = "V4L2", "YUYV", np.full((*HW, 2), 128, np.uint8)
    can_keep = True

    def __init__(self):
        self.is_converted = True

    def open(self, device, backend=cv2.CAP_ANY):
        return True

    def isOpened(self):  # noqa: N802
        return True

    def getBackendName(self):  # noqa: N802
        return self.backend

    def get(self, name):
        code = int.from_bytes(self.characters.encode(), "little")
        height, width = HW
        known = {
            cv2.CAP_PROP_FOURCC: code,
            cv2.CAP_PROP_FRAME_HEIGHT: height,
            cv2.CAP_PROP_FRAME_WIDTH: width,
        }
        return float(known.get(name, 30.0))

    def set(self, name, value):
        if name == cv2.CAP_PROP_CONVERT_RGB:
            self.is_converted = bool(value) or not self.can_keep
            return self.can_keep
        return True

    def grab(self):
        return True

    def retrieve(self):
        return True, np.full((*HW, 3), 130, np.uint8) if self.is_converted else self.pixels

    def release(self):
        pass


def first_frame(monkeypatch, **fields):
    monkeypatch.setattr(captures.cv2, "VideoCapture", type("Driver", (FakeDriver,), fields))
    return next(iter(open_media("/dev/video0", keep_encoding=True)))


def test_an_uncompressed_video_keeps_its_encoding_and_is_the_same_once_converted(uncompressed):
    kept, converted = (list(open_media(uncompressed, keep_encoding=keep)) for keep in (True, False))
    assert [frame.encoding for frame in kept] == ["i420"] * LENGTH
    assert [frame.encoding for frame in converted] == ["bgr8"] * LENGTH
    for one, other in zip(kept, converted, strict=True):
        assert one.name == other.name
        # OpenCV and FFmpeg differ in how they round, and in the colour between two pixels that share it.
        assert np.abs(bgr_of(one).astype(int) - other.image).mean() < 2


@pytest.mark.parametrize("codec", ["MJPG", "mp4v"])
def test_a_compressed_video_is_decoded(tmp_path, codec):
    path = write_video(tmp_path / "clip.avi", cv2.VideoWriter.fourcc(*codec))
    kept, converted = (list(open_media(path, keep_encoding=keep)) for keep in (True, False))
    assert {frame.encoding for frame in kept} == {"bgr8"}
    assert len(kept) == LENGTH
    for one, other in zip(kept, converted, strict=True):
        assert np.array_equal(one.image, other.image)


def test_an_uncompressed_video_begins_again(uncompressed):
    media = open_media(uncompressed, keep_encoding=True)
    first, second = list(media), list(media)
    assert all(np.array_equal(a.image, b.image) for a, b in zip(first, second, strict=True))


FORMATS = {
    "YUYV": ("yuv422_yuy2", (*HW, 2)),
    "UYVY": ("yuv422", (*HW, 2)),
    "NV12": ("nv12", (72, 64)),
    "NV21": ("nv21", (72, 64)),
    "YU12": ("i420", (72, 64)),
}


@pytest.mark.parametrize("characters", FORMATS)
def test_a_driver_s_pixels_are_not_converted(monkeypatch, characters):
    encoding, shape = FORMATS[characters]
    frame = first_frame(monkeypatch, characters=characters, pixels=np.full(shape, 128, np.uint8))
    assert (frame.encoding, frame.image.shape) == (encoding, shape)
    # (128 - 16) * 255 / 219: a luma of 128 without colour.
    assert np.unique(bgr_of(frame)).tolist() == [130]


@pytest.mark.parametrize(
    "fields",
    [{"characters": "MJPG"}, {"backend": "GSTREAMER"}, {"can_keep": False}],
    ids=["compressed", "another backend", "refused"],
)
def test_what_cannot_be_converted_later_is_converted_by_opencv(monkeypatch, fields):
    frame = first_frame(monkeypatch, **fields)
    assert (frame.encoding, frame.image.shape) == ("bgr8", (*HW, 3))


def test_pixels_that_do_not_fit_are_refused(monkeypatch):
    with pytest.raises(MediaError, match="video0: image 0 is damaged: got 100 bytes, expected 6144"):
        first_frame(monkeypatch, pixels=np.zeros((1, 100), np.uint8))
