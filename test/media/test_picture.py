"""Test that damaged pictures are refused with their reason."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import PictureError
from yolov8_seg_ros.media.picture import decode_picture, is_cut_short

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def encoded(suffix: str) -> bytes:
    return cv2.imencode(suffix, IMAGE)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tiff"])
def test_a_lossless_picture_is_decoded_as_it_was(suffix):
    assert np.array_equal(decode_picture(memoryview(encoded(suffix))), IMAGE)


def test_grey_pictures_get_three_channels():
    data = cv2.imencode(".png", IMAGE[..., 0])[1].tobytes()
    assert np.array_equal(decode_picture(data), IMAGE[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "0 bytes are not a picture"),
        (b"not a picture", "13 bytes are not a picture"),
        (encoded(".png")[:-20], "cut short at"),
        (encoded(".jpg")[:-2], "cut short at"),
        (encoded(".jpg")[:300], "are not a picture|cut short"),
    ],
    ids=["nothing", "text", "short png", "jpeg without its end", "jpeg header"],
)
def test_damaged_data_are_refused(data, reason):
    with pytest.raises(PictureError, match=reason):
        decode_picture(data)


def test_the_whole_data_are_not_cut_short():
    assert not any(is_cut_short(encoded(suffix)) for suffix in (".jpg", ".png", ".bmp"))
    assert not is_cut_short(encoded(".jpg") + b"trailer of a telephone")


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture():
    data, thumbnail = encoded(".jpg"), encoded(".jpg")
    with_thumbnail = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
    assert not is_cut_short(with_thumbnail)
    assert is_cut_short(with_thumbnail[:-10])
