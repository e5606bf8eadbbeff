"""Write recordings that are whole or not there at all, and copy messages into them as they are."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from rosbags.interfaces import Connection
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys.store import Typestore

from yolov8_seg_ros.errors import CommandError
from yolov8_seg_ros.files import scratch_folder
from yolov8_seg_ros.media.bag_files import SQLITE, Topic, reliable_qos, type_definition
from yolov8_seg_ros.media.bag_paths import METADATA_NAME, storage_files

#: Of a type whose hash is not known: rosbags requires one.
UNKNOWN_HASH = "RIHS01_" + 64 * "0"
#: All releases of ROS 2 read it; the next one writes QoS as Humble and Iron cannot read it.
_METADATA_VERSION: Literal[8] = 8
#: That of the node's publishers.
_QUEUE_DEPTH = 10


class BagWriter:
    """A recording being written."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._copies: dict[tuple[str, str], Connection] = {}

    def add_copy(self, topic: Topic) -> None:
        """Announce a topic whose messages are copied, with its QoS and the hash of its type."""
        definition, type_hash = type_definition(topic)
        self._copies[topic.name, topic.msgtype] = self._writer.add_connection(
            topic.name,
            topic.msgtype,
            msgdef=definition,
            rihs01=type_hash or UNKNOWN_HASH,
            serialization_format=topic.serialization_format,
            offered_qos_profiles=topic.qos,
        )

    def add_result(self, name: str, msgtype: str, types: Typestore, *, is_latched: bool = False) -> Connection:
        """Announce a topic of results."""
        qos = [reliable_qos(1 if is_latched else _QUEUE_DEPTH, is_latched=is_latched)]
        return self._writer.add_connection(name, msgtype, typestore=types, offered_qos_profiles=qos)

    def copy(self, topic: Topic, log_time_ns: int, data: bytes | memoryview) -> None:
        """Write a message of a topic that is copied."""
        self._writer.write(self._copies[topic.name, topic.msgtype], log_time_ns, data)

    def write(self, connection: Connection, log_time_ns: int, data: bytes | memoryview) -> None:
        """Write a result."""
        self._writer.write(connection, log_time_ns, data)


@contextmanager
def new_bag(
    path: Path, storage: str, *, compress: bool = False, replace: bool = False, custom_data: Mapping[str, str] = {}
) -> Iterator[BagWriter]:
    """Yield a recording to write to; the folder appears at the end, and does not where an error ends the work.

    Args:
        path: of the folder.
        storage: mcap or sqlite3.
        compress: whether to compress with zstd: MCAP by chunks, SQLite by messages.
        replace: whether a recording that is there already is removed at the end.
        custom_data: written into metadata.yaml.

    Raises:
        CommandError: if the folder is there, and is no recording or not to be replaced.
        OSError: if it cannot be written.
    """
    check_is_free(path, replace)
    with scratch_folder(path) as scratch:
        # rosbags names the file inside after the folder, so the folder has its final name from the beginning.
        writer = _writer(scratch / path.name, storage, compress)
        for key, value in custom_data.items():
            writer.set_custom_data(key, value)
        try:
            with writer:
                yield BagWriter(writer)
        except sqlite3.Error as error:
            raise OSError(errno.EIO, str(error), str(path)) from error
        check_is_free(path, replace)
        if path.exists():
            os.replace(path, scratch / "replaced")
        os.replace(scratch / path.name, path)


def check_is_free(path: Path, replace: bool) -> None:
    """Check that a recording can be written to a folder.

    Raises:
        CommandError: if something is there that must stay.
    """
    if path.is_dir() and not any(path.iterdir()):
        return
    if path.exists() and not replace:
        raise CommandError(f"'{path}' is there already; give another --output, or --force to replace it")
    if path.exists() and not _is_nothing_but_a_bag(path):
        raise CommandError(f"'{path}' is not a recording and nothing else, and is not replaced; give another --output")


def _is_nothing_but_a_bag(path: Path) -> bool:
    return path.is_dir() and {*path.iterdir()} == {*storage_files(path), path / METADATA_NAME}


def _writer(path: Path, storage: str, compress: bool) -> Writer:
    is_sqlite = storage == SQLITE
    plugin = StoragePlugin.SQLITE3 if is_sqlite else StoragePlugin.MCAP
    writer = Writer(path, version=_METADATA_VERSION, storage_plugin=plugin)
    if compress:
        mode = CompressionMode.MESSAGE if is_sqlite else CompressionMode.STORAGE
        writer.set_compression(mode, CompressionFormat.ZSTD)
    return writer
