"""Test that files appear whole or not at all."""

from __future__ import annotations

import json
import resource

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.media.writers import video_file, write_image, write_json

GREY = np.full((48, 64, 3), 128, np.uint8)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_json_is_written(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5]})

    assert json.loads((tmp_path / "a.json").read_text()) == {"é": [1, 2.5]}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif", ".ppm"])
def test_an_image_is_written(suffix, tmp_path):
    write_image(tmp_path / f"a{suffix}", GREY)

    assert np.abs(cv2.imread(str(tmp_path / f"a{suffix}")).astype(int) - 128).max() <= 3


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_an_unknown_image_format_is_reported(name, tmp_path):
    with pytest.raises(OSError, match="OpenCV cannot write images of this format"):
        write_image(tmp_path / name, GREY)

    assert names(tmp_path) == []


def test_a_video_is_written(tmp_path):
    with video_file(tmp_path / "a.mp4", 12.5) as video:
        for _ in range(3):
            video.write(GREY)
        assert "a.mp4" not in names(tmp_path)

    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert names(tmp_path) == ["a.mp4"]


def test_an_interrupted_video_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError), video_file(tmp_path / "a.mp4", 10) as video:
        video.write(GREY // (1 // 0))

    assert names(tmp_path) == []


def write_noise_video(path, rng):
    with video_file(path, 10) as video:
        for _ in range(20):
            video.write(rng.integers(0, 256, (96, 128, 3), np.uint8))


@pytest.mark.parametrize("room_bytes", [100, 2_000, 20_000, 60_000])
def test_a_full_disk_leaves_the_old_video(room_bytes, tmp_path, rng):
    """A limit of file sizes stands for the disk: writes beyond it fail, and OpenCV does not report them."""
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, limits[1]))
    try:
        with pytest.raises(OSError, match=r"a\.mp4: the video was not written"):
            write_noise_video(path, rng)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.mp4"]


@pytest.mark.parametrize("count", [1, 2, 13, 40])
def test_a_video_of_any_length_and_an_odd_size_is_written(count, tmp_path):
    with video_file(tmp_path / "a.mp4", 10) as video:
        for _ in range(count):
            video.write(np.full((33, 47, 3), 128, np.uint8))

    capture = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == count
    assert capture.read()[1].shape == (34, 48, 3)


def test_a_video_without_frames_is_reported(tmp_path):
    with pytest.raises(OSError, match="the video was not written"), video_file(tmp_path / "a.mp4", 10):
        pass


def test_a_frame_of_another_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a frame of \(48, 64\), expected \(64, 48\)"):  # noqa: PT012, SIM117
        with video_file(tmp_path / "a.mp4", 10) as video:
            video.write(GREY)
            video.write(GREY.transpose(1, 0, 2).copy())

    assert names(tmp_path) == []


def test_a_video_in_a_missing_folder_is_reported(tmp_path):
    with (
        pytest.raises(OSError, match="OpenCV cannot write a video there"),
        video_file(tmp_path / "missing" / "a.mp4", 10) as video,
    ):
        video.write(GREY)
