"""Test the image source: over real DDS in one process, and as the process that a user starts and stops."""

from __future__ import annotations

import signal
from dataclasses import replace

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import MediaError, OptionError

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from rclpy.node import Node
from rclpy.parameter import Parameter as RosParameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image, TimeReference
from support.ros_harness import DEADLINE_S, parameters, process

from yolov8_seg_ros.media.frames import MediaFrame
from yolov8_seg_ros.media.scene import SyntheticScene
from yolov8_seg_ros.node import image_source
from yolov8_seg_ros.node.image_source import ImageSource, Pace, frame_index
from yolov8_seg_ros.settings.tables import IMAGE_SOURCE_SETTINGS, SOURCE_ENCODINGS

SMALL = {"width": 96, "height": 64, "rate_hz": 100.0}


class Watcher(Node):
    """Keep what the image source publishes."""

    def __init__(self, topic="image", raw=True, compressed=False):
        super().__init__("watcher")
        self.images, self.compressed, self.references = [], [], []
        qos = QoSProfile(depth=100)
        reference_qos = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        if raw:
            self.create_subscription(Image, topic, self.images.append, qos)
        if compressed:
            self.create_subscription(CompressedImage, f"{topic}/compressed", self.compressed.append, qos)
        self.create_subscription(TimeReference, f"{topic}/time_reference", self.references.append, reference_qos)

    def index_of(self, message, rate_hz):
        (reference,) = [r for r in self.references if r.header.stamp == message.header.stamp]
        return frame_index(reference, rate_hz)


class SourceBench:
    """Make image sources on a harness and keep the exit codes that they ask for."""

    def __init__(self, ros):
        self.executor, self.nodes = ros.executor, ros.nodes
        self.add, self.until = ros.add, ros.until
        self.exit_codes = []

    def source(self, cli_args=None, **values):
        overrides = [RosParameter(name, value=value) for name, value in values.items()]
        return self.add(ImageSource(self.exit_codes.append, parameter_overrides=overrides, cli_args=cli_args))

    def until_ended(self):
        self.until(lambda: self.exit_codes, "the source to end")


@pytest.fixture
def harness(ros):
    return SourceBench(ros)


@pytest.fixture
def folder(tmp_path):
    for name, level in (("a.png", 10), ("c.png", 30), ("d.png", 40)):
        cv2.imwrite(str(tmp_path / name), np.full((48, 64, 3), level, np.uint8))
    (tmp_path / "b.png").write_bytes(b"not an image")
    return tmp_path


def test_parameters_are_declared_as_the_table_says(harness):
    node = harness.source()
    for setting in IMAGE_SOURCE_SETTINGS:
        assert node.get_parameter(setting.name).value == setting.default
        assert node.describe_parameter(setting.name).description == setting.description
        assert node.describe_parameter(setting.name).read_only


def test_the_scene_arrives_whole_and_its_truth_can_be_told(harness):
    watcher = harness.add(Watcher())
    harness.source(**SMALL, seed=3, num_frames=8, wait_for_subscribers=1, frame_id="eye")
    harness.until_ended()
    harness.until(lambda: len(watcher.images) == 8 and len(watcher.references) == 8, "eight images")
    assert harness.exit_codes == [0]
    scene = SyntheticScene((64, 96), seed=3)
    for index, message in enumerate(watcher.images):
        assert watcher.index_of(message, 100.0) == index
        assert (message.encoding, message.header.frame_id) == ("bgr8", "eye")
        assert np.array_equal(CvBridge().imgmsg_to_cv2(message, "bgr8"), scene.frame(index).image)
    assert [r.source for r in watcher.references] == [f"demo_{k:06d}" for k in range(8)]


def test_stamps_are_the_time_of_capture(harness):
    watcher = harness.add(Watcher())
    before = harness.nodes[0].get_clock().now().nanoseconds
    harness.source(**SMALL, num_frames=5, wait_for_subscribers=1)
    harness.until(lambda: len(watcher.images) == 5, "five images")
    stamps = [Time.from_msg(message.header.stamp).nanoseconds for message in watcher.images]
    assert stamps == sorted(set(stamps))
    assert before < stamps[0]
    assert stamps[-1] < harness.nodes[0].get_clock().now().nanoseconds


def test_a_recording_is_played_with_its_timing(harness, tmp_path):
    pytest.importorskip("rosbags")
    from support import bags

    types = bags.types_of("mcap")
    images = bags.noise_images(4)
    entries = bags.image_entries(types, images)
    times_ns = [0, 10_000_000, 310_000_000, 320_000_000]
    timed = [replace(entry, log_time_ns=bags.START_NS + time) for entry, time in zip(entries, times_ns, strict=True)]
    path = bags.write_bag(tmp_path / "drive", "mcap", [*timed, *bags.odd_entries(types, 3)], types)
    watcher = harness.add(Watcher())

    harness.source(source=str(path), loop=False, wait_for_subscribers=1)

    harness.until_ended()
    harness.until(lambda: len(watcher.images) == 4, "four images")
    for message, image in zip(watcher.images, images, strict=True):
        np.testing.assert_array_equal(CvBridge().imgmsg_to_cv2(message, "bgr8"), image)
    stamps = [Time.from_msg(message.header.stamp).nanoseconds for message in watcher.images]
    # None comes early; how late one is, is the machine's business.
    assert all(stamp - stamps[0] >= time_ns - 1000 for stamp, time_ns in zip(stamps, times_ns, strict=True))


@pytest.mark.parametrize(
    ("indices", "times_s", "due_s"),
    [
        ([0, 1, 2], [0.0, 0.5, 2.0], [100.0, 100.5, 102.0]),
        ([0, 1, 0, 1], [0.0, 0.5, 0.0, 0.5], [100.0, 100.5, 100.75, 101.25]),
        ([0, 0, 0], [0.0, 0.0, 0.0], [100.0, 100.25, 100.5]),
        ([0, 3], [0.0, 0.5], [100.0, 100.5]),
        ([0, 1, 2], [0.0, 0.5, 0.25], [100.0, 100.5, 100.5]),
    ],
    ids=["once", "in a loop", "one image in a loop", "an image skipped", "out of order"],
)
def test_frames_with_times_are_due(indices, times_s, due_s):
    pace, now_s = Pace(0.25), iter((100.0, 300.0, 500.0, 700.0))
    pixels = np.zeros((2, 2, 3), np.uint8)
    frames = [MediaFrame(pixels, "", index, time_s=time_s) for index, time_s in zip(indices, times_s, strict=True)]
    assert [pace.due_s(frame, next(now_s)) for frame in frames] == due_s


def test_raw_and_compressed_show_the_same(harness):
    watcher = harness.add(Watcher(compressed=True))
    harness.source(**SMALL, num_frames=4, wait_for_subscribers=2, jpeg_quality=95)
    harness.until(lambda: len(watcher.images) == 4 and len(watcher.compressed) == 4, "four of each")
    for raw, compressed in zip(watcher.images, watcher.compressed, strict=True):
        assert compressed.header == raw.header
        assert compressed.format == "bgr8; jpeg compressed bgr8"
        image = cv2.imdecode(np.frombuffer(compressed.data, np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(CvBridge().imgmsg_to_cv2(raw, "bgr8").astype(int) - image).mean() < 8


@pytest.mark.parametrize(("transport", "raw"), [("raw", 1), ("compressed", 0)])
def test_only_the_transports_asked_for_are_offered(harness, transport, raw):
    node = harness.source(**SMALL, transport=transport)
    assert len(node.get_publishers_info_by_topic("/image")) == raw
    assert len(node.get_publishers_info_by_topic("/image/compressed")) == 1 - raw


@pytest.mark.parametrize("encoding", SOURCE_ENCODINGS)
def test_encodings_hold_the_same_image(harness, encoding):
    watcher = harness.add(Watcher())
    harness.source(**SMALL, num_frames=1, wait_for_subscribers=1, encoding=encoding)
    harness.until(lambda: watcher.images, "an image")
    assert watcher.images[0].encoding == encoding
    expected = SyntheticScene((64, 96)).frame(0).image
    if encoding == "mono8":
        expected = cv2.cvtColor(cv2.cvtColor(expected, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    assert np.array_equal(CvBridge().imgmsg_to_cv2(watcher.images[0], "bgr8"), expected)


def test_a_folder_is_published_once_without_what_cannot_be_read(harness, folder):
    watcher = harness.add(Watcher())
    harness.source(source=str(folder), rate_hz=100.0, loop=False, wait_for_subscribers=1)
    harness.until_ended()
    harness.until(lambda: len(watcher.images) == 3 and len(watcher.references) == 3, "three images")
    assert [(r.source, frame_index(r, 100.0)) for r in watcher.references] == [
        ("a.png", 0),
        ("c.png", 2),
        ("d.png", 3),
    ]
    assert [message.data[0] for message in watcher.images] == [10, 30, 40]
    assert harness.exit_codes == [0]


def test_a_loop_begins_again(harness, folder):
    watcher = harness.add(Watcher())
    harness.source(source=str(folder), rate_hz=100.0, num_frames=7, wait_for_subscribers=1)
    harness.until(lambda: len(watcher.references) == 7, "seven images")
    assert "".join(r.source[0] for r in watcher.references) == "acdacda"


def test_nothing_is_published_before_the_subscribers_are_there(harness):
    harness.source(**SMALL, num_frames=1, wait_for_subscribers=2)
    first = harness.add(Watcher())
    harness.until(lambda: harness.nodes[0]._image.get_subscription_count() == 1, "the first subscriber")
    for _ in range(10):
        harness.executor.spin_once(timeout_sec=0.02)
    assert not first.references
    second = harness.add(Watcher())
    harness.until(lambda: first.images and second.images, "an image at both")


def test_nothing_is_published_before_the_reference_has_a_subscriber(harness):
    source = harness.source(**SMALL, num_frames=1, wait_for_subscribers=1, wait_for_reference=True)
    images = []
    harness.nodes[0].create_subscription(Image, "image", images.append, 10)
    harness.until(lambda: source.get_subscriptions_info_by_topic("/image"), "the image's subscriber")
    for _ in range(40):
        harness.executor.spin_once(timeout_sec=0.02)
    assert not images
    watcher = harness.add(Watcher(raw=False))
    harness.until(lambda: images and watcher.references, "an image and its reference")


def test_without_subscribers_the_source_runs_on(harness):
    harness.source(**SMALL, num_frames=3)
    harness.until_ended()
    assert harness.exit_codes == [0]


def test_at_its_end_a_source_may_idle(harness, folder):
    node = harness.source(source=str(folder), rate_hz=100.0, loop=False, stop_at_end=False)
    harness.until(node._timer.is_canceled, "the end of the source")
    assert not harness.exit_codes


@pytest.mark.parametrize("reliability", ["reliable", "best_effort"])
def test_reliability(harness, reliability):
    node = harness.source(**SMALL, reliability=reliability)
    (info,) = node.get_publishers_info_by_topic("/image")
    assert info.qos_profile.reliability == ReliabilityPolicy[reliability.upper()]


def test_all_topics_follow_where_image_is_remapped(harness):
    watcher = harness.add(Watcher("/front/image_raw", compressed=True))
    cli_args = ["--ros-args", "-r", "image:=/front/image_raw"]
    harness.source(cli_args, **SMALL, num_frames=1, wait_for_subscribers=2)
    harness.until(lambda: watcher.images and watcher.compressed and watcher.references, "all topics")


class LostCamera:
    """Stand in for a camera that is unplugged after two images."""

    is_live, is_timed, fps, frame_count = True, False, 30.0, None

    def __init__(self):
        self.closed = False

    def __iter__(self):
        for index in range(2):
            yield MediaFrame(np.zeros((48, 64, 3), np.uint8), f"camera_{index}", index)
        raise MediaError("camera 0: delivers no more images; was it unplugged?")

    def close(self):
        self.closed = True


def test_a_lost_camera_ends_with_an_error(harness, monkeypatch):
    camera = LostCamera()
    monkeypatch.setattr(image_source, "open_media", lambda *_, **__: camera)
    watcher = harness.add(Watcher())
    node = harness.source(source="0", wait_for_subscribers=1, stop_at_end=False)
    harness.until_ended()
    assert harness.exit_codes == [1]
    harness.until(lambda: len(watcher.images) == 2, "the two images")
    assert not node.get_publishers_info_by_topic("/image/time_reference")
    node.destroy_node()
    assert camera.closed


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"source": "no/such.png"}, MediaError, "'no/such.png': no such file or folder"),
        ({"source": ""}, MediaError, "'': no such file or folder"),
        ({"source": 99}, MediaError, "camera 99: cannot be opened"),
        ({"source": True}, OptionError, "source: expected a text, got True"),
        ({"rate_hz": "fast"}, OptionError, "rate_hz: expected a number, got 'fast'"),
        ({"rate_hz": -1}, OptionError, "rate_hz: expected 0.0 to 1000.0, got -1"),
        ({"width": 1}, OptionError, "width"),
        ({"encoding": "bgr16"}, OptionError, "encoding: expected one of bgr8, rgb8, .*; got 'bgr16'"),
    ],
    ids=["no file", "empty", "no camera", "not text", "not a number", "negative", "too small", "no encoding"],
)
def test_a_mistake_is_named(harness, given, error, message):
    with pytest.raises(error, match=message):
        harness.source(**given)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_process_in_peace(harness, number):
    watcher = harness.add(Watcher())
    with process("node.image_source", *parameters(rate_hz=200.0)) as running:
        harness.until(lambda: watcher.images, "an image of the process")
        running.send_signal(number)
        output, _ = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 0
    # Only what Fast DDS is set up by.
    assert all("Fast DDS: " in line for line in output.splitlines()), output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (parameters(source="/no/such.mp4"), "'/no/such.mp4': no such file"),
        (parameters(seed=-3), "[image_source]: seed: expected 0 or more, got -3"),
        (parameters(rate_hz=-5.0), "[image_source]: rate_hz: expected 0.0 to 1000.0, got -5.0"),
        (["-p", "loop"], "'-p loop'"),
    ],
    ids=["no file", "too low", "out of range", "no value"],
)
def test_a_mistake_ends_the_process_with_one_line(arguments, message):
    with process("node.image_source", *arguments) as running:
        output, _ = running.communicate(timeout=DEADLINE_S)
    assert running.returncode == 1
    *others, last = output.splitlines()
    assert message in last
    assert all("[rcl]" in line for line in others)
