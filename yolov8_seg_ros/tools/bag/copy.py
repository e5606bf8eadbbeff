"""Copy the messages of a recording: those of ROS 2 byte for byte, those of ROS 1 converted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from rosbags.convert.converter import STATIC_MSGTYPE_RENAMES, is_same_wireformat, migrate_bytes
from rosbags.interfaces import MessageDefinition, MessageDefinitionFormat
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from yolov8_seg_ros.errors import MediaError
from yolov8_seg_ros.media.bag import Bag, BagMessage
from yolov8_seg_ros.media.bag_files import CDR, MCAP, ROS1, Topic, reading
from yolov8_seg_ros.text import clean_text
from yolov8_seg_ros.tools.bag.writer import BagWriter


def storage_for(bag: Bag) -> str:
    """Return how a copy of a recording is stored: as the recording, or as MCAP for one of ROS 1."""
    return MCAP if bag.storage == ROS1 else bag.storage


def copier(bag: Bag, writer: BagWriter) -> Callable[[BagMessage], None]:
    """Announce all topics of a recording; return what copies a message of it.

    Raises:
        MediaError: if a type of ROS 1 cannot be converted, or a topic is not serialized as CDR: copies of it could be
            written, but not read again.
    """
    if bag.storage == ROS1:
        return _ros1_copier(bag, writer)
    for topic in bag.topics:
        if topic.serialization_format != CDR:
            raise MediaError(
                f"{bag.path}: {topic.name} is serialized as '{clean_text(topic.serialization_format)}', "
                f"expected {CDR}; give --only-results to leave it out"
            )
        writer.add_copy(topic)
    return lambda message: writer.copy(message.topic, message.log_time_ns, message.data)


def _ros1_copier(bag: Bag, writer: BagWriter) -> Callable[[BagMessage], None]:
    converter = _Ros1Converter()
    copies = {}
    for topic in bag.topics:
        with reading(bag.path):
            copies[topic] = converter.add(topic)
        writer.add_copy(copies[topic])

    def copy(message: BagMessage) -> None:
        with reading(bag.path):
            data = converter.convert(message.topic, message.data)
        writer.copy(copies[message.topic], message.log_time_ns, data)

    return copy


class _Ros1Converter:
    """Turn messages of ROS 1 into those of the type of the same name in ROS 2, or of the same fields where none is."""

    def __init__(self) -> None:
        self._source = get_typestore(Stores.EMPTY)
        self._target = get_typestore(Stores.ROS2_JAZZY)
        self._convert: dict[str, Callable[[bytes], memoryview]] = {}

    def add(self, topic: Topic) -> Topic:
        """Return the topic in ROS 2."""
        msgtype = STATIC_MSGTYPE_RENAMES.get(topic.msgtype, topic.msgtype)
        if topic.msgtype not in self._convert:
            self._register(topic)
            self._convert[topic.msgtype] = self._conversion(topic.msgtype, msgtype)
        text = self._target.generate_msgdef(msgtype, ros_version=2)[0]
        definition = MessageDefinition(MessageDefinitionFormat.MSG, text)
        return replace(topic, msgtype=msgtype, definition=definition, type_hash=self._target.hash_rihs01(msgtype))

    def convert(self, topic: Topic, data: bytes) -> memoryview:
        """Return a message of a topic that was added, as CDR."""
        return self._convert[topic.msgtype](data)

    def _register(self, topic: Topic) -> None:
        types = get_types_from_msg(topic.definition.data, topic.msgtype)
        self._source.register({name: one for name, one in types.items() if name not in self._source.fielddefs})
        self._target.register({name: one for name, one in types.items() if name not in self._target.fielddefs})

    def _conversion(self, source: str, target: str) -> Callable[[bytes], memoryview]:
        if is_same_wireformat(self._source, self._target, source, target):
            return partial(self._target.ros1_to_cdr, typename=target)
        return partial(self._migrated, source, target, {})

    def _migrated(self, source: str, target: str, cache: dict[str, object], data: bytes) -> memoryview:
        return migrate_bytes(self._source, self._target, source, target, cache, data, src_is2=False, dst_is2=True)
