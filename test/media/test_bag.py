"""Test the reading of recordings in all containers, and of those that are damaged or made to do harm."""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import suppress

import numpy as np
import pytest
import yaml

pytest.importorskip("rosbags")

from support import bags

from yolov8_seg_ros.errors import ImageError, MediaError
from yolov8_seg_ros.media.bag import Bag, ImageHeader

NUM_IMAGES = 3
CAMERA = "/camera/image_raw"


def recording(folder, container="mcap", hw=(12, 16)):
    types = bags.types_of(container)
    entries = [
        *bags.image_entries(types, bags.noise_images(NUM_IMAGES, hw)),
        *bags.odd_entries(types, NUM_IMAGES),
    ]
    return bags.write_bag(folder / "drive", container, entries, types)


def read_all(path):
    """Read everything; return the images that can be used."""
    images = []
    with Bag(path) as bag:
        for topic in bag.image_topics:
            bag.unsupported_form(topic)
        for message in bag.messages():
            if message.topic.is_image:
                try:
                    images.append(bag.read_image(message))
                except ImageError:
                    continue
    return images


@pytest.mark.parametrize("container", bags.CONTAINERS)
def test_all_messages_are_read_from_each_container(container, tmp_path):
    path = recording(tmp_path, container)

    with Bag(path) as bag:
        described = {topic.name: (topic.msgtype, topic.message_count) for topic in bag.topics}
        messages = list(bag.messages())
        span_ns = bag.start_ns, bag.end_ns

    assert described == {CAMERA: (bags.IMAGE, NUM_IMAGES), "/odd": (bags.ODD_TYPE, NUM_IMAGES)}
    assert [message.topic.name for message in messages] == [CAMERA, "/odd"] * NUM_IMAGES
    times_ns = [message.log_time_ns for message in messages]
    assert times_ns == sorted(times_ns)
    assert span_ns == (times_ns[0], times_ns[-1])
    for index, ((header, image), pixels) in enumerate(
        zip(read_all(path), bags.noise_images(NUM_IMAGES, (12, 16)), strict=True)
    ):
        assert header.stamp_ns == bags.START_NS + index * bags.PERIOD_NS
        assert header.frame_id == "camera"
        np.testing.assert_array_equal(image.to_bgr(), pixels)


def test_topics_keep_their_qos_where_the_metadata_say_something_else(tmp_path):
    path = recording(tmp_path)
    metadata = yaml.safe_load((path / "metadata.yaml").read_text())
    for topic in metadata["rosbag2_bagfile_information"]["topics_with_message_count"]:
        topic["topic_metadata"]["offered_qos_profiles"] = ""
    (path / "metadata.yaml").write_text(yaml.safe_dump(metadata))
    with Bag(path) as bag:
        assert len(list(bag.messages())) == 2 * NUM_IMAGES


@pytest.mark.parametrize(
    ("sec", "nanosec", "stamp_ns"),
    [(1, 2, 1_000_000_002), (0, 0, None), (-5, 0, None), (3, 4_000_000_000, None), (0, 7, 7)],
)
def test_absurd_stamps_are_none(sec, nanosec, stamp_ns):
    assert ImageHeader(sec, nanosec, "").stamp_ns == stamp_ns


def cut(path, part=0.6):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])


def described_as(path, **changes):
    metadata = yaml.safe_load((path / "metadata.yaml").read_text())
    metadata["rosbag2_bagfile_information"].update(changes)
    (path / "metadata.yaml").write_text(yaml.safe_dump(metadata))


def set_log_time(path, time_ns):
    connection = sqlite3.connect(path)
    connection.execute("UPDATE messages SET timestamp = ? WHERE id = 1", (time_ns,))
    connection.commit()
    connection.close()


def as_pipe(path):
    path.unlink()
    os.mkfifo(path)


def rewrite(path, old, new):
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


#: What is done to a recording of a container, and what the line says.
DAMAGES = {
    "nothing there": ("mcap alone", lambda path: path.unlink(), "no such recording"),
    "empty mcap": ("mcap alone", lambda path: path.write_bytes(b""), "the file is empty"),
    "empty db3": ("sqlite3 alone", lambda path: path.write_bytes(b""), "the file is empty"),
    "empty bag of ROS 1": ("ros1", lambda path: path.write_bytes(b""), "the file is empty"),
    "cut mcap": ("mcap alone", cut, "File end magic is invalid"),
    "cut db3": ("sqlite3 alone", cut, "malformed"),
    "cut bag of ROS 1": ("ros1", cut, "damaged"),
    "cut file of a folder": ("mcap", lambda path: cut(path / "drive.mcap"), "File end magic is invalid"),
    "cut zstd": ("sqlite3 file zstd", lambda path: cut(path / "drive.db3.zstd"), "EOFError"),
    "text as mcap": ("mcap alone", lambda path: path.write_text("hello " * 99), "File magic is invalid"),
    "text as db3": ("sqlite3 alone", lambda path: path.write_text("hello " * 99), "not a database"),
    "text as bag": ("ros1", lambda path: path.write_text("hello " * 99), "File magic is invalid"),
    "a pipe": ("mcap alone", as_pipe, "not a regular file"),
    "other compression": ("mcap zstd", lambda path: rewrite(path / "drive.mcap", b"zstd", b"abcd"), "'abcd'"),
    "unknown compression": (
        "sqlite3 message zstd", lambda path: described_as(path, compression_format="brotli"), "'brotli'"
    ),
    "no metadata": ("mcap", lambda path: (path / "metadata.yaml").unlink(), "ros2 bag reindex .*drive.mcap"),
    "an empty folder": ("mcap", lambda path: [file.unlink() for file in path.iterdir()], "no recording is in this"),
    "empty metadata": ("mcap", lambda path: (path / "metadata.yaml").write_text(""), "Invalid bag metadata"),
    "metadata of nothing": ("mcap", lambda path: (path / "metadata.yaml").write_text("a: 1"), "key is missing"),
    "metadata that are no YAML": ("mcap", lambda path: (path / "metadata.yaml").write_text("{"), "Could not load YAML"),
    "metadata of a newer version": ("mcap", lambda path: described_as(path, version=99), "version 99"),
    "deep metadata": ("mcap", lambda path: (path / "metadata.yaml").write_text("[" * 10**6), "nested too deeply"),
    "deep lists": ("mcap", lambda path: (path / "metadata.yaml").write_text("- " * 10**5), "nested too deeply"),
    "huge metadata": ("mcap", lambda path: (path / "metadata.yaml").write_text("a" * 10**7), "has more than"),
    "metadata of another storage": ("mcap", lambda path: described_as(path, storage_identifier="x"), "plugin 'x'"),
    "a file is missing": ("mcap split", lambda path: (path / "1.mcap").unlink(), "files are missing"),
    "times are texts": ("mcap", lambda path: described_as(path, duration="long"), "Invalid bag metadata"),
    "messages beside the file": (
        "sqlite3", lambda path: (path / "drive.db3-wal").write_bytes(b"log"), "still in drive.db3-wal"
    ),
    "a negative log time": ("sqlite3 alone", lambda path: set_log_time(path, -5), "logged at -5 ns"),
}  # fmt: skip


@pytest.mark.parametrize(("container", "damage", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_recording_is_told_in_one_line(container, damage, message, tmp_path):
    path = recording(tmp_path, container, hw=(48, 64))
    damage(path)
    with pytest.raises((MediaError, OSError), match=message) as raised:
        read_all(path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("container", ["mcap", "sqlite3", "mcap zstd", "ros1"])
def test_random_damage_is_told_or_harmless(container, tmp_path):
    path = recording(tmp_path, container)
    files = [path] if path.is_file() else sorted(path.iterdir())
    rng = random.Random(20240901)
    for _ in range(30):
        file = rng.choice(files)
        whole = file.read_bytes()
        damaged = bytearray(whole)
        for _ in range(rng.choice([1, 4, 16])):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        file.write_bytes(damaged[: rng.choice([len(damaged), rng.randrange(len(damaged))])])
        # Anything else that is raised fails the test.
        with suppress(MediaError):
            read_all(path)
        file.write_bytes(whole)
