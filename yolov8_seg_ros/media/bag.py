"""Read the messages of recordings, without ROS: ROS 2 (MCAP or SQLite, a folder or a single file) and ROS 1."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from yolov8_seg_ros.core.image import ColorImage, PixelBuffer
from yolov8_seg_ros.errors import ImageError, MediaError, one_line
from yolov8_seg_ros.media.bag_files import (
    COMPRESSED_IMAGE,
    DAMAGES,
    RAW_IMAGE,
    ROS1,
    Reader,
    Topic,
    decompressor,
    open_recording,
    reading,
    storage_of,
    topics_of,
)
from yolov8_seg_ros.media.image_message import ENCODINGS, decode_compressed, unpack_image
from yolov8_seg_ros.text import clean_text

NANOSECONDS = 1_000_000_000
#: How the topic ends on which image_transport sends compressed images of the topic without it.
COMPRESSED_SUFFIX = "/compressed"
#: The usual one of depth images, beside 32FC1 (REP 118).
_DEPTH_ENCODING = "16uc1"
#: Of transforms: that of ROS 2 and of ROS 1, and the older one of ROS 1.
TRANSFORM_TYPES = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
#: ROS 2 keeps times in signed 64 bit.
_MAX_LOG_TIME_NS = 2**63 - 1


@dataclass(frozen=True)
class BagMessage:
    """A message as it was recorded.

    Attributes:
        topic: where it was published.
        log_time_ns: when it was recorded, in nanoseconds since 1970.
        data: the serialized message.
    """

    topic: Topic
    log_time_ns: int
    data: bytes


@dataclass(frozen=True)
class ImageHeader:
    """The header of an image message, as it is, with numbers that may be absurd."""

    sec: int
    nanosec: int
    frame_id: str

    @property
    def stamp_ns(self) -> int | None:
        """Return the stamp in nanoseconds since 1970; None where it was not set, or is none."""
        is_stamp = self.sec >= 0 and 0 <= self.nanosec < NANOSECONDS and (self.sec or self.nanosec)
        return self.sec * NANOSECONDS + self.nanosec if is_stamp else None


class Bag:
    """A recording that is open for reading; a context manager.

    Args:
        path: a folder with `metadata.yaml`, or a file: .mcap, .db3, or .bag of ROS 1.

    Attributes:
        storage: mcap, sqlite3 or ros1.
        topics: all topics, by name.
        start_ns: time of the first message; 0 for an empty recording.
        end_ns: time of the last message.
        message_count: number of messages, as the recording says.

    Raises:
        MediaError: if it is no recording, or damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._reader = open_recording(path)
        try:
            with reading(path):
                self._read_description()
        except BaseException:
            self.close()
            raise
        self._types = _types(self.storage)

    def close(self) -> None:
        """Close the files."""
        self._reader.close()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def image_topics(self) -> list[Topic]:
        """Return the topics that carry images and have some."""
        return [topic for topic in self.topics if topic.is_image and topic.message_count]

    def usable_image_topics(self) -> tuple[list[Topic], dict[str, str]]:
        """Return the topics whose images can be segmented, and the reason for each one that is left out, by name.

        Raises:
            MediaError: if there is none that can be segmented, or the recording is damaged.
        """
        known = {topic.name: topic for topic in self.image_topics}
        if not known:
            names = ", ".join(topic.name for topic in self.topics) or "none"
            raise MediaError(f"{self.path}: no images; its topics: {names}")
        reasons = {name: reason for name, topic in known.items() if (reason := self._reason_to_leave_out(topic, known))}
        if len(reasons) == len(known):
            listed = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
            raise MediaError(f"{self.path}: no images that can be segmented: {listed}")
        return [topic for name, topic in known.items() if name not in reasons], reasons

    def choose_image_topic(self, name: str) -> Topic:
        """Return the image topic of a name, or the only one that can be segmented where the name is empty.

        Raises:
            MediaError: if there is none, or several where the name is empty, or the recording is damaged.
        """
        chosen = [topic for topic in self.image_topics if topic.name == name] if name else self.usable_image_topics()[0]
        if len(chosen) != 1:
            names = ", ".join(topic.name for topic in self.image_topics) or "none"
            raise MediaError(f"{self.path}: topic '{clean_text(name)}': expected one of its image topics: {names}")
        return chosen[0]

    @property
    def custom_data(self) -> dict[str, str]:
        """Return the custom data in metadata.yaml."""
        metadata = getattr(getattr(self._reader, "storage", None), "metadata", None)
        custom = getattr(metadata, "custom", None)
        return {str(key): str(value) for key, value in custom.items()} if isinstance(custom, dict) else {}

    def messages(
        self, topics: Collection[Topic] | None = None, start_ns: int | None = None, end_ns: int | None = None
    ) -> Iterator[BagMessage]:
        """Read messages in the order of their log times, file by file.

        Args:
            topics: those wanted; all where None.
            start_ns: log time of the first one; from the beginning where None.
            end_ns: log time before which they are; to the end where None.

        Raises:
            MediaError: if the recording is damaged.
        """
        wanted = {(topic.name, topic.msgtype): topic for topic in (self.topics if topics is None else topics)}
        for file in self._files:
            topic_of = {
                connection.id: wanted[connection.topic, connection.msgtype]
                for connection in file.connections
                if (connection.topic, connection.msgtype) in wanted
            }
            connections = [connection for connection in file.connections if connection.id in topic_of]
            if connections:
                yield from self._messages_of(file, connections, topic_of, start_ns, end_ns)

    def rate_hz(self, topic: Topic) -> float:
        """Return the mean number of messages a second of a topic; 1 for a topic of one message."""
        seconds = (self.end_ns - self.start_ns) / NANOSECONDS
        return (topic.message_count - 1) / seconds if topic.message_count > 1 and seconds > 0 else 1.0

    def read_image(self, message: BagMessage, buffer: PixelBuffer | None = None) -> tuple[ImageHeader, ColorImage]:
        """Return header and image of an image message.

        Args:
            message: of a topic that carries images.
            buffer: where converted pixels go, until it is used for another image; new memory where None.

        Raises:
            ImageError: if the message is damaged, or the image of a form that is not supported.
        """
        header, content = self._decode(message)
        is_raw = message.topic.msgtype == RAW_IMAGE
        return header, unpack_image(content, buffer) if is_raw else decode_compressed(content)

    def read(self, message: BagMessage) -> Any:
        """Return a message of a type of ROS, with the fields of that type; in ROS 1 some have other names.

        Raises:
            MediaError: if the message is damaged, or of an unknown type.
        """
        try:
            return self._content(message)
        except DAMAGES as error:
            raise MediaError(f"the message is damaged: {one_line(error)}") from error

    def unsupported_form(self, topic: Topic, *, takes_depth: bool = True) -> str:
        """Return why the images of a topic cannot be segmented; empty if they can.

        Args:
            topic: whose first image decides.
            takes_depth: whether images are taken that are depth images in all but rare recordings (16UC1).

        Raises:
            MediaError: if the recording is damaged.
        """
        first = next(self.messages([topic]), None)
        if first is None:
            return "no images"
        try:
            _, content = self._decode(first)
        except ImageError:
            # One damaged image says nothing about the others.
            return ""
        if topic.msgtype == COMPRESSED_IMAGE:
            return "depth images" if "compressedDepth" in content.format else ""
        encoding = content.encoding.lower()
        is_taken = encoding in ENCODINGS and (takes_depth or encoding != _DEPTH_ENCODING)
        return "" if is_taken else f"images of encoding '{clean_text(content.encoding, 40)}'"

    def _reason_to_leave_out(self, topic: Topic, known: Collection[str]) -> str:
        raw = topic.name.removesuffix(COMPRESSED_SUFFIX)
        if raw != topic.name and raw in known:
            return f"the images of {raw} once more"
        return self.unsupported_form(topic, takes_depth=False)

    def _messages_of(
        self,
        file: Reader,
        connections: Sequence[Connection],
        topic_of: dict[int, Topic],
        start_ns: int | None,
        end_ns: int | None,
    ) -> Iterator[BagMessage]:
        found = file.messages(connections, start_ns, end_ns)
        while True:
            with reading(self.path):
                entry = next(found, None)
                if entry is None:
                    return
                connection, log_time_ns, data = entry
                message = BagMessage(topic_of[connection.id], log_time_ns, self._decompress(data))
            if not 0 <= log_time_ns <= _MAX_LOG_TIME_NS:
                raise MediaError(f"{self.path}: damaged: {message.topic.name} has a message logged at {log_time_ns} ns")
            yield message

    def _decode(self, message: BagMessage) -> tuple[ImageHeader, Any]:
        try:
            content = self._content(message)
            return image_header(content.header), content
        except DAMAGES as error:
            raise ImageError(f"the message is damaged: {one_line(error)}") from error

    def _content(self, message: BagMessage) -> Any:
        deserialize = self._types.deserialize_ros1 if self.storage == ROS1 else self._types.deserialize_cdr
        return deserialize(message.data, message.topic.msgtype)

    def _read_description(self) -> None:
        reader = self._reader
        # One by one, since rosbags leaves out topics whose QoS is written differently in metadata.yaml.
        storage = getattr(reader, "storage", reader)
        self._files: list[Reader] = list(getattr(storage, "storages", [storage]))
        self.storage = storage_of(reader, self._files)
        self._decompress = decompressor(reader)
        self.topics = topics_of(reader, self._files)
        self.message_count = sum(topic.message_count for topic in self.topics)
        self.start_ns = int(reader.start_time) if self.message_count else 0
        # rosbags names the nanosecond after the last message.
        self.end_ns = int(reader.end_time) - 1 if self.message_count else 0


def image_header(header: Any) -> ImageHeader:
    """Return the header of a message that was read."""
    return ImageHeader(header.stamp.sec, header.stamp.nanosec, header.frame_id)


@cache
def _types(storage: str) -> Typestore:
    if storage != ROS1:
        return get_typestore(Stores.ROS2_JAZZY)
    types = get_typestore(Stores.ROS1_NOETIC)
    # rosbags does not include them.
    for msgtype in TRANSFORM_TYPES:
        types.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", msgtype))
    return types
