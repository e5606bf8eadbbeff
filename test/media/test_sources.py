"""Test the sources of frames, and that whatever cannot be read is reported in one line."""

from __future__ import annotations

import itertools
import sys

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import MediaError
from yolov8_seg_ros.media import captures, sources
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.media.sources import open_media
from yolov8_seg_ros.media.v4l2_camera import UnsupportedDeviceError

EXIF_TURNED_RIGHT = (
    b"\xff\xe1\x00\x22Exif\x00\x00MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01"
    b"\x00\x06\x00\x00\x00\x00\x00\x00"
)


def grey_image(level: int = 90) -> np.ndarray:
    image = np.full((48, 64, 3), level, np.uint8)
    image[:10, :20] = (255, 0, 0)
    return image


def encoded(suffix: str, level: int = 90) -> bytes:
    return cv2.imencode(suffix, grey_image(level))[1].tobytes()


@pytest.fixture
def folder(tmp_path):
    for name, level in (("b.png", 20), ("a.png", 10), ("C.PNG", 30)):
        (tmp_path / name).write_bytes(encoded(".png", level))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.png").write_bytes(encoded(".png"))
    return tmp_path


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 12.5, (64, 48))
    for level in (20, 120, 220):
        writer.write(grey_image(level))
    writer.release()
    return path


class FakeCamera:
    """Fake of cv2.VideoCapture: a camera of 30 Hz that is unplugged after 60 frames."""

    def __init__(self):
        self.device, self.frames, self.now_s, self.released = None, 60, 0.0, False
        self.requested = {}

    def open(self, device, backend=cv2.CAP_ANY):
        self.device = device
        return self.isOpened()

    def isOpened(self):  # noqa: N802
        return self.device not in (None, 7)

    def getBackendName(self):  # noqa: N802
        return "FAKE"

    def set(self, name, value):
        self.requested[name] = value
        return True

    def get(self, _property):
        return 30.0

    def grab(self):
        self.frames -= 1
        self.now_s += 1 / 30
        return self.frames >= 0

    def retrieve(self):
        return True, grey_image(int(self.frames))

    def release(self):
        self.released = True


def left_to_opencv(*_):
    raise UnsupportedDeviceError("it is a fake")


@pytest.fixture
def camera(monkeypatch):
    cameras = []
    monkeypatch.setattr(sources, "V4l2Camera", left_to_opencv)
    monkeypatch.setattr(captures.cv2, "VideoCapture", lambda: cameras.append(FakeCamera()) or cameras[-1])
    monkeypatch.setattr(captures.time, "monotonic", lambda: cameras[-1].now_s)
    return cameras


def test_a_mode_is_requested_of_a_camera(camera):
    open_media("0", camera_mode=captures.CameraMode((720, 1280), 25.0, "MJPG"))
    assert camera[0].requested == {
        cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"MJPG"),
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FPS: 25.0,
        cv2.CAP_PROP_BUFFERSIZE: 2,
    }


def test_the_oldest_image_is_left_out_where_all_buffers_are_full(camera):
    frames = iter(open_media("0"))
    next(frames)
    waiting = camera[0].frames
    camera[0].now_s += 1.0
    assert np.array_equal(next(frames).image, grey_image(waiting - 2))
    assert np.array_equal(next(frames).image, grey_image(waiting - 3))


@pytest.mark.parametrize("address", ["rtsp://camera.local/stream", "http://10.0.0.7:8080/video"])
def test_a_stream_is_opened_by_its_address(camera, address):
    with open_media(address) as source:
        assert source.is_live
    assert camera[0].device == address


@pytest.mark.parametrize("name", ["one.png", "übergröße 图片.png", "no_suffix", "called_a_video.mp4"])
def test_an_image_is_one_frame_each_time(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(encoded(".png"))
    with open_media(path) as source:
        assert source.frame_count == 1
        for _ in range(2):
            (frame,) = source
            assert np.array_equal(frame.image, grey_image())
            assert (frame.name, frame.index, frame.truth) == (name, 0, None)


def test_an_image_is_turned_upright(tmp_path):
    data = encoded(".jpg")
    path = tmp_path / "turned.jpg"
    path.write_bytes(data[:2] + EXIF_TURNED_RIGHT + data[2:])
    image = read_image(path)
    assert image.shape == (64, 48, 3)
    assert image[5, 43, 0] > 200


def test_a_folder_gives_its_own_images_by_name(folder):
    source = open_media(str(folder))
    assert source.frame_count == 3
    for _ in range(2):
        assert [(f.name, f.index, int(f.image[-1, -1, 0])) for f in source] == [
            ("C.PNG", 0, 30),
            ("a.png", 1, 10),
            ("b.png", 2, 20),
        ]


@pytest.mark.parametrize(
    "data",
    [b"", b"not an image", encoded(".png")[:-20], encoded(".jpg")[:-30], encoded(".jpg")[:40]],
    ids=["empty", "text", "short png", "short jpeg", "jpeg header"],
)
def test_an_image_that_cannot_be_read_is_reported_and_skipped(folder, data):
    broken = folder / "aa.jpg"
    broken.write_bytes(data)
    errors = []
    names = [(frame.name, frame.index) for frame in open_media(folder, on_skip=errors.append)]
    assert names == [("C.PNG", 0), ("a.png", 1), ("b.png", 3)]
    assert [str(error).startswith(f"{broken}: ") for error in errors] == [True]
    assert "\n" not in str(errors[0])
    with pytest.raises(MediaError, match=r"aa\.jpg"):
        open_media(broken)


def test_a_skipped_image_is_logged_by_default(folder, log):
    (folder / "aa.jpg").write_bytes(b"?")
    assert len(list(open_media(folder))) == 3
    assert "aa.jpg: 1 bytes are not an image" in log.text


def test_a_folder_without_a_readable_image_ends_with_an_error(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"?")
    with pytest.raises(MediaError, match="none of the 1 images"):
        list(open_media(tmp_path, on_skip=lambda _: None))


def test_a_video_gives_all_frames_each_time(video):
    with open_media(video) as source:
        assert source.frame_count == 3
        assert source.fps == pytest.approx(12.5)
        assert not source.is_live
        for _ in range(2):
            frames = list(source)
            assert [f.name for f in frames] == ["clip_000000", "clip_000001", "clip_000002"]
            assert [f.index for f in frames] == [0, 1, 2]
            assert np.allclose([f.image[-1, -1, 0] for f in frames], [20, 120, 220], atol=8)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("missing.mp4", None, "no such file or folder; give an image"),
        ("", None, "no such file or folder"),
        ("text.mp4", b"not a video", "neither an image nor a video"),
        ("empty.avi", b"", "neither an image nor a video"),
        ("empty folder", "folder", "no image in this folder"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_opened_is_named(tmp_path, name, data, message):
    path = tmp_path / name if name else ""
    if data == "folder":
        path.mkdir()
    elif data is not None:
        path.write_bytes(data)
    with pytest.raises(MediaError, match=f"{name}'?: {message}") as caught:
        open_media(path)
    assert "\n" not in str(caught.value)


def test_the_demo_is_the_scene_with_its_truth():
    frames = list(itertools.islice(open_media("demo", image_hw=(96, 128), seed=4), 3))
    expected = SyntheticScene((96, 128), seed=4).frame(2)
    assert [f.name for f in frames] == ["demo_000000", "demo_000001", "demo_000002"]
    assert np.array_equal(frames[2].image, expected.image)
    assert np.array_equal(frames[2].truth.xyxy, expected.truth.xyxy)


def test_a_scene_that_cannot_be_is_reported():
    with pytest.raises(MediaError, match="demo: image_hw"):
        open_media("demo", image_hw=(1, 1))


@pytest.mark.parametrize(("source", "device"), [("0", 0), ("/dev/video2", "/dev/video2")])
def test_a_camera_is_live_and_its_loss_an_error(camera, source, device):
    with open_media(source) as opened:
        assert opened.is_live
        assert opened.fps == 30.0
        frames = iter(opened)
        assert [next(frames).index for _ in range(60)] == list(range(60))
        with pytest.raises(MediaError, match=f"camera {source}: delivers no more"):
            next(frames)
    assert camera[0].device == device
    assert camera[0].released


@pytest.mark.parametrize(("rate_hz", "expected"), [(10.0, 20), (30.0, 60), (25.0, 50), (60.0, 60)])
def test_a_camera_is_slowed_down_by_leaving_frames_out(camera, rate_hz, expected):
    frames = []
    with pytest.raises(MediaError):
        frames.extend(open_media("0", max_rate_hz=rate_hz))
    assert abs(len(frames) - expected) <= 1


@pytest.mark.parametrize(
    "source", ["99999999999", "9" * 5000, "/dev/video\0", "~nosuchuser/x", "x" * 5000, "a\0b"], ids=len
)
def test_a_source_that_cannot_be_is_reported(source):
    with pytest.raises(MediaError, match=r"cannot be opened|no such file or folder") as caught:
        open_media(source)
    assert len(str(caught.value)) < 500


def test_a_camera_that_is_not_there_is_named(camera):
    with pytest.raises(MediaError, match="camera 7: cannot be opened; cameras found: "):
        open_media("7")


def recording(tmp_path, topics=("/image",)):
    pytest.importorskip("rosbags")
    from support import bags

    types = bags.types_of("mcap")
    images = bags.noise_images(3)
    entries = [entry for topic in topics for entry in bags.image_entries(types, images, topic)]
    entries[1].message.step = 3
    return images, bags.write_bag(tmp_path / "drive", "mcap", entries, types)


def test_a_recording_is_read_with_its_times(tmp_path):
    images, path = recording(tmp_path)
    skipped = []
    with open_media(path, on_skip=skipped.append) as source:
        assert (source.frame_count, source.fps, source.is_timed) == (3, 25.0, True)
        for _ in range(2):
            frames = list(source)
            assert [(frame.index, frame.name, frame.time_s) for frame in frames] == [
                (0, "drive_000000", 0.0),
                (2, "drive_000002", 0.08),
            ]
            np.testing.assert_array_equal(frames[1].image, images[2])
    assert "image 1 of /image: step 3 does not fit" in str(skipped[0])


def test_one_of_several_cameras_must_be_named(tmp_path):
    _, path = recording(tmp_path, ["/front", "/rear"])
    with pytest.raises(MediaError, match="expected one of its image topics: /front, /rear"):
        open_media(path)
    with pytest.raises(MediaError, match="topic '/top': expected one of"):
        open_media(path, topic="/top")
    with open_media(path, topic="/rear") as source:
        assert source.frame_count == 3


def test_without_rosbags_a_recording_says_what_to_install(tmp_path, monkeypatch):
    _, path = recording(tmp_path)
    from support import bags

    for name in [name for name in sys.modules if name.startswith(("rosbags", "yolov8_seg_ros.media.bag"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [bags.WithoutRosbags, *sys.meta_path])
    with pytest.raises(MediaError, match=r"needs the Python package rosbags: run '.*pip install rosbags"):
        open_media(path)


def test_a_folder_of_pictures_beside_a_recording_is_a_folder_of_pictures(folder, tmp_path):
    (folder / "drive.mcap").write_bytes(b"")
    assert [frame.name for frame in open_media(folder)] == ["C.PNG", "a.png", "b.png"]
