"""Write small recordings in all containers, and read what came of them."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
from rosbags.rosbag1 import Writer as Ros1Writer
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from yolov8_seg_ros.tools.bag.messages import result_types

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
#: A type that nobody but the recording knows.
ODD_TYPE, ODD_DEFINITION = "odd_msgs/msg/Odd", "uint8[] data\nstring name"
#: Topic and number of the images of a small recording.
CAMERA, NUM_IMAGES = "/camera/image_raw", 4
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 40_000_000
#: An image is logged so long after its stamp.
LATENCY_NS = 5_000_000
QOS = Qos(
    QosHistory.KEEP_LAST, 7, QosReliability.BEST_EFFORT, QosDurability.VOLATILE, QosTime(1, 2), QosTime(3, 4),
    QosLiveliness.AUTOMATIC, QosTime(5, 6), avoid_ros_namespace_conventions=False,
)  # fmt: skip
#: How each container is written: storage, compression mode, what becomes of it.
CONTAINERS = {
    "mcap": ("MCAP", "NONE", ""),
    "mcap zstd": ("MCAP", "STORAGE", ""),
    "mcap file zstd": ("MCAP", "FILE", ""),
    "mcap alone": ("MCAP", "NONE", "alone"),
    "sqlite3": ("SQLITE3", "NONE", ""),
    "sqlite3 file zstd": ("SQLITE3", "FILE", ""),
    "sqlite3 message zstd": ("SQLITE3", "MESSAGE", ""),
    "sqlite3 alone": ("SQLITE3", "NONE", "alone"),
    "mcap split": ("MCAP", "NONE", "split"),
    "sqlite3 split": ("SQLITE3", "NONE", "split"),
    "ros1": ("", "", ""),
}


@dataclass(frozen=True)
class Entry:
    """A message to be recorded."""

    topic: str
    msgtype: str
    log_time_ns: int
    message: Any


@cache
def types_of(container: str) -> Any:
    """Return the message types of a container, with the odd one."""
    types = get_typestore(Stores.ROS1_NOETIC if container == "ros1" else Stores.ROS2_JAZZY)
    types.register(get_types_from_msg(ODD_DEFINITION, ODD_TYPE))
    return types


def raw_image(types: Any, bgr: NDArray[np.uint8], stamp_ns: int, encoding: str = "bgr8") -> Any:
    pixels = np.ascontiguousarray(bgr).reshape(-1)
    step = len(pixels) // len(bgr)
    width = step // {"32FC1": 4, "16UC1": 2}.get(encoding, 3)
    return types.types[IMAGE](header(types, stamp_ns), len(bgr), width, encoding, 0, step, pixels)


def compressed_image(types: Any, data: bytes, stamp_ns: int, form: str = "jpeg") -> Any:
    return types.types[COMPRESSED](header(types, stamp_ns), form, np.frombuffer(data, np.uint8))


def header(types: Any, stamp_ns: int) -> Any:
    stamp = types.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
    fields = {"stamp": stamp, "frame_id": "camera"}
    made = types.types["std_msgs/msg/Header"]
    return made(seq=0, **fields) if "seq" in made.__dataclass_fields__ else made(**fields)


def image_entries(
    types: Any, images: Sequence[NDArray[np.uint8]], topic: str = "/camera/image_raw", delay_ns: int = 0
) -> list[Entry]:
    """Return raw images at 25 Hz."""
    stamps = [START_NS + delay_ns + index * PERIOD_NS for index in range(len(images))]
    return [
        Entry(topic, IMAGE, stamp + LATENCY_NS, raw_image(types, image, stamp))
        for image, stamp in zip(images, stamps, strict=True)
    ]


def jpeg_entries(types: Any, files: Sequence[Path], topic: str = "/camera/image_raw/compressed") -> list[Entry]:
    """Return the files as compressed images at 25 Hz."""
    stamps = [START_NS + index * PERIOD_NS for index in range(len(files))]
    return [
        Entry(topic, COMPRESSED, stamp + LATENCY_NS, compressed_image(types, file.read_bytes(), stamp))
        for file, stamp in zip(files, stamps, strict=True)
    ]


def odd_entries(types: Any, count: int) -> list[Entry]:
    """Return messages of the type that nobody knows, each a little after an image."""
    odd = types.types[ODD_TYPE]
    return [
        Entry(
            "/odd", ODD_TYPE, START_NS + index * PERIOD_NS + 2 * LATENCY_NS, odd(np.arange(index, dtype=np.uint8), "x")
        )
        for index in range(count)
    ]


def write_bag(path: Path, container: str, entries: Iterable[Entry], types: Any = None) -> Path:
    """Write a recording; return what is to be opened.

    Args:
        path: of the folder; a file alone lies in it.
        container: a key of `CONTAINERS`.
        entries: the messages, in any order.
        types: their types; those of the container where None.
    """
    types = types or types_of(container)
    ordered = sorted(entries, key=lambda entry: entry.log_time_ns)
    if container == "ros1":
        return _write_ros1(path.with_suffix(".bag"), ordered, types)
    storage, mode, form = CONTAINERS[container]
    if form == "split":
        half = len(ordered) // 2
        return _joined(path, [_write_ros2(path / name, storage, mode, part, types)
                              for name, part in (("0", ordered[:half]), ("1", ordered[half:]))])  # fmt: skip
    _write_ros2(path, storage, mode, ordered, types)
    return next(file for file in path.iterdir() if file.suffix != ".yaml") if form == "alone" else path


def recording(
    tmp_path: Path, container: str = "mcap", count: int = NUM_IMAGES, topics: Sequence[str] = (CAMERA,)
) -> Path:
    """Write a recording of noise and of a topic whose type nobody knows."""
    types = types_of(container)
    images = noise_images(count)
    entries = [
        entry
        for place, topic in enumerate(topics)
        for entry in image_entries(types, images, topic, delay_ns=place * 1_000_000)
    ]
    return write_bag(tmp_path / "drive", container, [*entries, *odd_entries(types, count)], types)


def topics_in(path: Path) -> dict[str, tuple[str, str, tuple[Qos, ...]]]:
    """Return type, hash and QoS of the topics of a recording."""
    with Reader(path) as reader:
        return {one.topic: (one.msgtype, one.digest, tuple(one.ext.offered_qos_profiles)) for one in reader.connections}


def messages_in(path: Path, topic: str | None = None) -> list[tuple[str, int, bytes]]:
    """Return topic, log time and data of the messages of a recording."""
    with Reader(path) as reader:
        return [
            (one.topic, time_ns, bytes(data)) for one, time_ns, data in reader.messages() if topic in (None, one.topic)
        ]


def results_in(path: Path, topic: str) -> list[Any]:
    """Return the messages of a topic of results."""
    types = result_types()
    with Reader(path) as reader:
        return [types.deserialize_cdr(data, one.msgtype) for one, _, data in reader.messages() if one.topic == topic]


def content_of(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def noise_images(count: int, hw: tuple[int, int] = (48, 64)) -> list[NDArray[np.uint8]]:
    """Return images that differ."""
    rng = np.random.default_rng(5)
    return [cv2.resize(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8), hw[::-1]) for _ in range(count)]


def _write_ros2(path: Path, storage: str, mode: str, entries: Sequence[Entry], types: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage])
    writer.set_compression(CompressionMode[mode], CompressionFormat.ZSTD)
    connections: dict[str, Any] = {}
    with writer:
        for entry in entries:
            if entry.topic not in connections:
                connections[entry.topic] = writer.add_connection(
                    entry.topic, entry.msgtype, typestore=types, offered_qos_profiles=[QOS]
                )
            writer.write(connections[entry.topic], entry.log_time_ns, types.serialize_cdr(entry.message, entry.msgtype))
    return path


def _write_ros1(path: Path, entries: Sequence[Entry], types: Any) -> Path:
    connections: dict[str, Any] = {}
    with Ros1Writer(path) as writer:
        for entry in entries:
            if entry.topic not in connections:
                connections[entry.topic] = writer.add_connection(
                    entry.topic, entry.msgtype, typestore=types, latching=1
                )
            data = types.serialize_ros1(entry.message, entry.msgtype)
            writer.write(connections[entry.topic], entry.log_time_ns, data)
    return path


def _joined(path: Path, parts: Sequence[Path]) -> Path:
    """Make one recording of several, as a recorder does that begins a new file now and then."""
    described = [yaml.safe_load((part / "metadata.yaml").read_text()) for part in parts]
    infos = [one["rosbag2_bagfile_information"] for one in described]
    for part in parts:
        for file in part.iterdir():
            if file.suffix != ".yaml":
                file.rename(path / file.name)
        shutil.rmtree(part)
    start = min(info["starting_time"]["nanoseconds_since_epoch"] for info in infos)
    ends = [info["starting_time"]["nanoseconds_since_epoch"] + info["duration"]["nanoseconds"] for info in infos]
    first = infos[0]
    first["relative_file_paths"] = [name for info in infos for name in info["relative_file_paths"]]
    first["files"] = [file for info in infos for file in info["files"]]
    first["message_count"] = sum(info["message_count"] for info in infos)
    first["starting_time"]["nanoseconds_since_epoch"] = start
    first["duration"]["nanoseconds"] = max(ends) - start
    known = {one["topic_metadata"]["name"]: one for one in first["topics_with_message_count"]}
    for one in (one for info in infos[1:] for one in info["topics_with_message_count"]):
        name = one["topic_metadata"]["name"]
        if name in known:
            known[name]["message_count"] += one["message_count"]
        else:
            first["topics_with_message_count"].append(one)
    (path / "metadata.yaml").write_text(yaml.safe_dump(described[0]))
    return path


class WithoutRosbags:
    """Finder that hides rosbags from imports."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        if name.partition(".")[0] == "rosbags":
            raise ModuleNotFoundError(f"No module named '{name}'", name=name)
