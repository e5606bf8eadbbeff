"""Test that files appear whole or not at all."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.media.writers import replacing, video_file, write_json, write_picture

GREY = np.full((48, 64, 3), 128, np.uint8)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("old")

    with pytest.raises(TypeError):
        write_json(path, [1, object()])

    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.json"]


def test_a_file_is_not_there_before_its_end(tmp_path):
    with replacing(tmp_path / "a.txt") as temporary:
        temporary.write_text("new")
        assert "a.txt" not in names(tmp_path)
        assert temporary.suffix == ".txt"

    assert names(tmp_path) == ["a.txt"]


def test_json_is_written(tmp_path):
    write_json(tmp_path / "a.json", {"é": [1, 2.5]})

    assert json.loads((tmp_path / "a.json").read_text()) == {"é": [1, 2.5]}


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".webp", ".tif", ".ppm"])
def test_a_picture_is_written(suffix, tmp_path):
    write_picture(tmp_path / f"a{suffix}", GREY)

    assert np.abs(cv2.imread(str(tmp_path / f"a{suffix}")).astype(int) - 128).max() <= 3


@pytest.mark.parametrize("name", ["a.xyz", "a"])
def test_an_unknown_picture_format_is_told(name, tmp_path):
    with pytest.raises(OSError, match="OpenCV cannot write pictures of this format"):
        write_picture(tmp_path / name, GREY)

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


def test_a_video_without_frames_is_told(tmp_path):
    with pytest.raises(OSError, match="nothing was written"), video_file(tmp_path / "a.mp4", 10):
        pass


def test_a_frame_of_another_size_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"a frame of \(48, 64\), expected \(64, 48\)"):  # noqa: PT012, SIM117
        with video_file(tmp_path / "a.mp4", 10) as video:
            video.write(GREY)
            video.write(GREY.transpose(1, 0, 2).copy())

    assert names(tmp_path) == []


def test_a_video_in_a_missing_folder_is_told(tmp_path):
    with (
        pytest.raises(OSError, match="OpenCV cannot write a video there"),
        video_file(tmp_path / "missing" / "a.mp4", 10) as video,
    ):
        video.write(GREY)
