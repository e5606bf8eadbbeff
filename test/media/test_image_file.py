"""Test that images are read as they were written, and that damaged, huge and foreign data are refused at once."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest

from yolov8_seg_ros import executables
from yolov8_seg_ros.errors import DecodeError, MediaError
from yolov8_seg_ros.media import image_file
from yolov8_seg_ros.media.image_file import (
    MAX_IMAGE_PIXELS,
    decode_image,
    image_format,
    is_cut_short,
    is_turned,
    read_image,
)

IMAGE = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)


def encoded(suffix: str, image=IMAGE, *options: int) -> bytes:
    return cv2.imencode(suffix, image, options)[1].tobytes()


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".ppm", ".tiff"])
def test_a_lossless_image_is_decoded_as_it_was(suffix):
    assert np.array_equal(decode_image(memoryview(encoded(suffix))), IMAGE)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(".jpg"), id="jpeg"),
        pytest.param(encoded(".jpg", IMAGE, cv2.IMWRITE_JPEG_PROGRESSIVE, 1), id="progressive-jpeg"),
        pytest.param(encoded(".jpg", IMAGE[..., 0]), id="gray-jpeg"),
        pytest.param(encoded(".png", IMAGE.astype(np.uint16) << 8), id="png-of-16-bit"),
        pytest.param(encoded(".png", np.dstack([IMAGE, IMAGE[..., 0]])), id="png-with-alpha"),
        pytest.param(encoded(".webp", IMAGE, cv2.IMWRITE_WEBP_QUALITY, 80), id="webp"),
        pytest.param(encoded(".webp", IMAGE, cv2.IMWRITE_WEBP_QUALITY, 101), id="lossless-webp"),
        pytest.param(encoded(".tiff", IMAGE[..., 0]), id="gray-tiff"),
        pytest.param(encoded(".pgm", IMAGE[..., 0]), id="pgm"),
        pytest.param(encoded(".ppm").replace(b"\n", b"\n# made by hand\n", 1), id="ppm-with-comment"),
        pytest.param(encoded(".jpg").replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1), id="jpeg-with-fill-bytes"),
    ],
)
def test_every_format_has_three_channels(data):
    assert decode_image(data).shape == (48, 64, 3)


def test_gray_images_get_three_channels():
    assert np.array_equal(decode_image(encoded(".png", IMAGE[..., 0])), IMAGE[..., :1].repeat(3, axis=2))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "0 bytes are not an image", id="nothing"),
        pytest.param(b"not an image", "12 bytes are not an image", id="text"),
        pytest.param(encoded(".png")[:-20], "cut short at", id="short-png"),
        pytest.param(encoded(".jpg")[:-2], "cut short at", id="jpeg-without-its-end"),
        pytest.param(encoded(".jpg")[:100], "do not say how large", id="jpeg-header"),
        pytest.param(encoded(".png")[:16] + b"IEND", "do not say how large", id="png-header"),
        pytest.param(encoded(".tiff")[:9], "do not say how large", id="tiff-header"),
        pytest.param(b"P6 " + b"9" * 5000, "do not say how large", id="ppm-header"),
        pytest.param(b"P6 4 4 255\n", "damaged", id="ppm-without-pixels"),
        # What OpenCV can read beyond the formats that cameras and data sets use.
        pytest.param(encoded(".jp2"), "not an image of a known format", id="jpeg-2000"),
        pytest.param(encoded(".pfm", IMAGE[..., 0].astype(np.float32)), "not an image of a known format", id="pfm"),
        pytest.param(encoded(".hdr", IMAGE.astype(np.float32)), "not an image of a known format", id="radiance"),
    ],
)
def test_damaged_and_foreign_data_are_refused(data, reason):
    with pytest.raises(DecodeError, match=reason):
        decode_image(data)


def huge_jpeg(width, height):
    data = bytearray(encoded(".jpg"))
    place = data.index(b"\xff\xc0")
    data[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def huge_png(width, height):
    def chunk(name, content):
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    rows = zlib.compress(bytes((width // 8 + 1) * height))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def huge_bmp(width, height):
    data = bytearray(encoded(".bmp"))
    data[18:26] = struct.pack("<ii", width, height)
    return bytes(data)


def huge_webp(width, height):
    data = bytearray(encoded(".webp", IMAGE, cv2.IMWRITE_WEBP_QUALITY, 101))
    data[21:25] = struct.pack("<I", (width - 1) | (height - 1) << 14)
    return bytes(data)


def tiff(entries, byte_order="<"):
    head = (b"II*\0" if byte_order == "<" else b"MM\0*") + struct.pack(f"{byte_order}I", 8)
    directory = struct.pack(f"{byte_order}H", len(entries))
    for tag, value in entries:
        directory += struct.pack(f"{byte_order}HHII", tag, 4, 1, value)
    return head + directory + bytes(4)


def big_tiff(width, height):
    entries = b"".join(struct.pack("<HHQQ", tag, 16, 1, value) for tag, value in ((256, width), (257, height)))
    return b"II+\0" + struct.pack("<HHQQ", 8, 0, 16, 2) + entries + bytes(8)


HUGE = [
    pytest.param(huge_jpeg(32000, 32000), "32000x32000", id="jpeg"),
    pytest.param(b"\xff\xd8" + b"\xff\xe1\x00\x04\xff\xc0" + huge_jpeg(30000, 30000)[2:], "30000x30000", id="jpeg-app"),
    pytest.param(huge_png(30000, 30000), "30000x30000", id="png"),
    pytest.param(huge_bmp(30000, -30000), "30000x30000", id="bmp"),
    pytest.param(huge_webp(16383, 16383), "16383x16383", id="webp"),
    pytest.param(tiff([(256, 20000), (257, 20000)]), "20000x20000", id="tiff"),
    pytest.param(tiff([(256, 20000), (257, 20000)], ">"), "20000x20000", id="tiff-big-endian"),
    pytest.param(tiff([(256, 8), (257, 8), (322, 20000), (323, 20000)]), "20000x20000", id="tiff-tiles"),
    pytest.param(big_tiff(20000, 20000), "20000x20000", id="big-tiff"),
    pytest.param(b"P6\n30000 30000\n255\n", "30000x30000", id="ppm"),
]


@pytest.mark.parametrize(("data", "size"), HUGE)
def test_an_image_that_says_to_be_huge_is_refused(data, size):
    with pytest.raises(DecodeError, match=f"an image of {size} pixels, expected 50 million"):
        decode_image(data)


def test_huge_images_are_refused_before_memory_is_taken():
    code = (
        "import resource, sys\n"
        "from yolov8_seg_ros.errors import DecodeError\n"
        "from yolov8_seg_ros.media.image_file import decode_image\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try:\n    decode_image(sys.stdin.buffer.read())\n"
        "except DecodeError:\n    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=huge_jpeg(32000, 32000), capture_output=True, check=True)
    assert int(done.stdout) < 20_000  # kB


def test_opencv_is_given_the_same_limit(monkeypatch):
    monkeypatch.delenv("OPENCV_IO_MAX_IMAGE_PIXELS", raising=False)
    executables.prepare_process()
    assert os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] == str(MAX_IMAGE_PIXELS)


def test_the_largest_image_is_decoded():
    image = np.zeros((5000, MAX_IMAGE_PIXELS // 5000), np.uint8)
    assert decode_image(encoded(".png", image)).shape == (*image.shape, 3)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".bmp", ".tiff", ".webp", ".ppm"])
def test_mutated_data_are_decoded_to_the_size_of_the_header_or_refused(suffix, rng, monkeypatch):
    monkeypatch.setattr(image_file, "MAX_IMAGE_PIXELS", 300_000)
    whole = encoded(suffix)
    for _ in range(100):
        data = bytearray(whole)
        # TIFF has its header at the end.
        start = max(0, len(data) - 200) if suffix == ".tiff" and rng.random() < 0.5 else 0
        for place in rng.integers(start, min(len(data), start + 200), rng.integers(1, 4)):
            data[place] = rng.integers(256)
        try:
            image = decode_image(bytes(data))
        except DecodeError:
            continue
        # EXIF data may turn the image.
        assert sorted(image.shape[:2]) == sorted(image_format(data).read_size_wh(bytes(data)))


def test_whole_data_are_not_cut_short():
    assert not any(is_cut_short(encoded(suffix)) for suffix in (".jpg", ".png", ".bmp"))
    assert not is_cut_short(encoded(".jpg") + b"trailer of a telephone")


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_image():
    data, thumbnail = encoded(".jpg"), encoded(".jpg")
    with_thumbnail = data[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + data[2:]
    assert not is_cut_short(with_thumbnail)
    assert decode_image(with_thumbnail).shape == IMAGE.shape
    assert is_cut_short(with_thumbnail[:-10])


@pytest.mark.parametrize(("orientation", "expected"), [(1, False), (3, True), (6, True)], ids=["upright", "180", "90"])
def test_exif_orientation(orientation, expected):
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0" + bytes([orientation]) + bytes(7)
    data = encoded(".jpg")
    data = data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    assert is_turned(data, decode_image(data)) is expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(os.mkfifo, "not a regular file", id="pipe"),
        pytest.param(lambda path: path.symlink_to("/dev/zero"), "not a regular file", id="endless-device"),
        pytest.param(lambda path: path.mkdir(), "not a regular file", id="folder"),
        pytest.param(lambda path: None, "No such file", id="missing"),
        pytest.param(lambda path: path.write_bytes(b"words"), "5 bytes are not an image", id="no-image"),
    ],
)
def test_a_file_that_is_not_an_image_is_reported(make, message, tmp_path):
    path = tmp_path / "x.jpg"
    make(path)
    with pytest.raises(MediaError, match=rf"x\.jpg: .*{message}"):
        read_image(path)
