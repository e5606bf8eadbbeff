"""Test that images of videos may stay as they are encoded, and are the same once converted."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

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
