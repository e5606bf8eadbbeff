"""Open the files of recordings, and describe their topics.

Nothing in a recording is trusted: it may be cut short, damaged, or made to do harm.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, TypeAlias

import apsw
import rosbags.rosbag1
import rosbags.rosbag2
from rosbags.interfaces import (
    Connection,
    ConnectionExtRosbag1,
    ConnectionExtRosbag2,
    MessageDefinition,
    MessageDefinitionFormat,
    Qos,
    QosDurability,
    QosHistory,
    QosLiveliness,
    QosReliability,
    QosTime,
)
from rosbags.serde import SerdeError
from rosbags.typesys import Stores, TypesysError, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from yolov8_seg_ros.errors import MediaError, one_line
from yolov8_seg_ros.files import read_file
from yolov8_seg_ros.media.bag_paths import BAG_SUFFIXES, METADATA_NAME, storage_files
from yolov8_seg_ros.text import clean_text

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

MCAP, SQLITE, ROS1 = "mcap", "sqlite3", "ros1"
#: The serialization of ROS 2.
CDR = "cdr"
RAW_IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
_EXPECTED = "a folder of rosbag2, or a .mcap, .db3 or .bag file"
_ROS1_SUFFIX = ".bag"
#: A folder of ten thousand files and five hundred topics stays below.
_MAX_METADATA_BYTES = 4 << 20
_MAX_METADATA_DEPTH = 50
_READER_ERRORS = (rosbags.rosbag1.ReaderError, rosbags.rosbag2.ReaderError)
#: What rosbags and the libraries below it raise for damaged files; nothing else happens inside the places where they
#: are caught.
DAMAGES = (
    *_READER_ERRORS,
    SerdeError,
    TypesysError,
    apsw.Error,
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
    zstd.ZstdError,
)
#: A reader of rosbags: of a recording, or of one of its files.
Reader: TypeAlias = Any


@dataclass(frozen=True)
class Topic:
    """A topic of a recording.

    Attributes:
        name: with its leading slash, where it has one.
        msgtype: such as sensor_msgs/msg/Image.
        message_count: number of messages.
        definition: of the type, as the recording has it; without text where it has none.
        type_hash: of the type; empty where it is not recorded.
        serialization_format: cdr in all but exotic recordings.
        qos: offered by its publishers.
    """

    name: str
    msgtype: str
    message_count: int
    definition: MessageDefinition
    type_hash: str
    serialization_format: str
    qos: tuple[Qos, ...]

    @property
    def is_image(self) -> bool:
        """Return whether it carries images, raw or compressed."""
        return self.msgtype in (RAW_IMAGE, COMPRESSED_IMAGE)


def open_recording(path: Path) -> Reader:
    """Open a recording.

    Raises:
        MediaError: if it is none, or damaged.
    """
    _check_path(path)
    with reading(path):
        is_ros1 = path.suffix.lower() == _ROS1_SUFFIX and path.is_file()
        reader = rosbags.rosbag1.Reader(path) if is_ros1 else rosbags.rosbag2.Reader(path)
        reader.open()
    return reader


def storage_of(reader: Reader, files: Sequence[Reader]) -> str:
    """Return how a recording is stored: mcap, sqlite3 or ros1."""
    if isinstance(reader, rosbags.rosbag1.Reader):
        return ROS1
    return MCAP if any(hasattr(file, "channels") for file in files) else SQLITE


def decompressor(reader: Reader) -> Callable[[bytes], bytes]:
    """Return what decompresses each message of a recording."""
    is_compressed = not isinstance(reader, rosbags.rosbag1.Reader) and reader.compression_mode == "message"
    return zstd.decompress if is_compressed else bytes


def topics_of(reader: Reader, files: Sequence[Reader]) -> tuple[Topic, ...]:
    """Return the topics of a recording, by name, each with what its files, publishers and metadata.yaml say."""
    described = {_key(connection): connection for connection in reader.connections}
    stored = sorted((connection for file in files for connection in file.connections), key=_key)
    hashes = {(channel.topic, channel.schema): channel for file in files for channel in _channels(file)}
    topics = []
    for key, group in groupby(stored, _key):
        channel = hashes.get(key)
        # MCAP files of rosbag2 keep the hash beside a channel, where rosbags does not read it.
        recorded_hash = _string_map(channel.metadata).get("topic_type_hash", "") if channel is not None else ""
        topics.append(_topic(list(group), described.get(key), recorded_hash))
    return tuple(topics)


def reliable_qos(depth: int, *, is_latched: bool) -> Qos:
    """Return the QoS of a reliable publisher; one that is latched keeps its last messages for late subscribers."""
    unspecified = QosTime(0, 0)
    return Qos(
        QosHistory.KEEP_LAST,
        depth,
        QosReliability.RELIABLE,
        QosDurability.TRANSIENT_LOCAL if is_latched else QosDurability.VOLATILE,
        unspecified,
        unspecified,
        QosLiveliness.AUTOMATIC,
        unspecified,
        avoid_ros_namespace_conventions=False,
    )


def type_definition(topic: Topic) -> tuple[str, str]:
    """Return the definition and the hash of a topic's type, as far as the recording has them or ROS 2 defines them.

    Recordings without definitions were made by ROS 2 Humble or before, those without hashes too.
    """
    text, type_hash = topic.definition.data, topic.type_hash
    if text and type_hash:
        return text, type_hash
    types = _humble_types()
    if topic.msgtype in types.fielddefs:
        return text or types.generate_msgdef(topic.msgtype, ros_version=2)[0], types.hash_rihs01(topic.msgtype)
    return text, type_hash or _hash_of(topic)


@cache
def _humble_types() -> Typestore:
    return get_typestore(Stores.ROS2_HUMBLE)


def _hash_of(topic: Topic) -> str:
    """Return the hash of a type by its definition; empty where that is missing or cannot be understood."""
    if topic.definition.format == MessageDefinitionFormat.NONE:
        return ""
    types = get_typestore(Stores.EMPTY)
    try:
        types.register(get_types_from_msg(topic.definition.data, topic.msgtype))
        return types.hash_rihs01(topic.msgtype)
    except DAMAGES:
        return ""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what damaged recordings raise into one line.

    Raises:
        MediaError: in place of any of `DAMAGES`.
    """
    try:
        yield
    except DAMAGES as error:
        raise MediaError(f"{path}: cannot be read: {_reason(error)}") from error
    except OSError as error:
        # That of a file which cannot be opened names it; those of decompressors, and of seeking to nowhere, do not.
        if error.filename is not None:
            raise
        raise MediaError(f"{path}: cannot be read: {_reason(error)}") from error


def _reason(error: BaseException) -> str:
    text = one_line(error).rstrip(".")
    return text if isinstance(error, _READER_ERRORS) else f"damaged ({type(error).__name__}: {text})"


def _check_path(path: Path) -> None:
    shown = clean_text(str(path))
    if not path.exists():
        raise MediaError(f"'{shown}': no such recording; expected {_EXPECTED}")
    if path.is_dir():
        _check_folder(path)
    elif path.suffix.lower() not in BAG_SUFFIXES:
        raise MediaError(f"'{shown}': expected {_EXPECTED}")
    elif not path.is_file():
        raise MediaError(f"'{shown}': not a regular file; expected {_EXPECTED}")
    elif not path.stat().st_size:
        raise MediaError(f"{shown}: the file is empty")
    for file in storage_files(path) if path.is_dir() else (path,):
        _check_is_complete(file)


def _check_folder(folder: Path) -> None:
    metadata = folder / METADATA_NAME
    files = " ".join(file.name for file in sorted(storage_files(folder)))
    if not metadata.is_file():
        if not files:
            raise MediaError(f"{folder}: no recording is in this folder; expected {_EXPECTED}")
        raise MediaError(
            f"{folder}: no {METADATA_NAME}, as of a recorder that was not ended properly; run "
            f"'ros2 bag reindex {folder}', or give one of its files ({files})"
        )
    with reading(folder):
        _check_metadata(read_file(metadata, _MAX_METADATA_BYTES).decode("utf-8"))


def _check_is_complete(file: Path) -> None:
    """Check that no messages wait beside an SQLite file: rosbags opens it read-only, and would leave them out."""
    log = file.with_name(f"{file.name}-wal")
    if log.is_file() and log.stat().st_size:
        raise MediaError(
            f"{file}: messages are still in {log.name}, as of a recorder that was not ended properly; "
            f"run 'ros2 bag reindex {file.parent}'"
        )


def _check_metadata(text: str) -> None:
    """Refuse what would keep a YAML parser busy for minutes, or exhaust its stack."""
    depth = deepest = 0
    for character in text:
        if character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    indentation = max((len(line) - len(line.lstrip(" -?:")) for line in text.splitlines()), default=0)
    if deepest > _MAX_METADATA_DEPTH or indentation > 4 * _MAX_METADATA_DEPTH:
        raise ValueError(f"{METADATA_NAME} is nested too deeply")


def _key(connection: Connection) -> tuple[str, str]:
    return connection.topic, connection.msgtype


def _channels(file: Reader) -> Iterable[Any]:
    return getattr(file, "channels", {}).values()


def _topic(stored: Sequence[Connection], described: Connection | None, recorded_hash: str) -> Topic:
    every = [*stored, described] if described is not None else [*stored]
    definitions = [one.msgdef for one in every if one.msgdef.format != MessageDefinitionFormat.NONE]
    ext = every[-1].ext
    if isinstance(ext, ConnectionExtRosbag2):
        qos, serialization_format = tuple(ext.offered_qos_profiles), ext.serialization_format
    else:
        is_latched = any(isinstance(one.ext, ConnectionExtRosbag1) and one.ext.latching for one in stored)
        qos, serialization_format = ((reliable_qos(1, is_latched=True),) if is_latched else ()), CDR
    return Topic(
        stored[0].topic,
        stored[0].msgtype,
        sum(one.msgcount for one in stored),
        definitions[0] if definitions else MessageDefinition(MessageDefinitionFormat.NONE, ""),
        next((one.digest for one in every if one.digest.startswith("RIHS")), recorded_hash),
        serialization_format,
        qos,
    )


def _string_map(data: bytes) -> dict[str, str]:
    """Return the entries of a map of texts as MCAP writes them."""
    texts, place = [], 0
    while place < len(data):
        (length,) = struct.unpack_from("<I", data, place)
        texts.append(data[place + 4 : place + 4 + length].decode("utf-8", "replace"))
        place += 4 + length
    return dict(zip(texts[::2], texts[1::2], strict=False))
