"""Read class names from a model file or from a names file, without ever evaluating their content."""

from __future__ import annotations

import ast
import json
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from yolov8_seg_ros.errors import ModelError, one_line
from yolov8_seg_ros.files import read_file
from yolov8_seg_ros.text import clean_text

#: A thousand class names take about 25 kB. Python 3.10 crashes on a literal of 256 kB that is nested on purpose.
MAX_METADATA_BYTES = 1 << 16
MAX_NAMES_FILE_BYTES = 1 << 20
MAX_NAME_CHARS = 200
#: How much of what was found instead a message shows.
_MAX_QUOTED_CHARS = 200
#: How a member of a zip archive begins; the two bytes after the signature are the version needed to read it.
_MEMBER_START = re.compile(rb"PK\x03\x04[\x0a\x14\x2d]\x00")
#: Other compressions can unpack hundreds of megabytes at a time.
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
#: What `zipfile` raises for the many ways in which an archive can be damaged.
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
_TEXT_ERRORS = (ValueError, SyntaxError, RecursionError, MemoryError)


class PlainYamlLoader(yaml.SafeLoader):
    """A loader that refuses merge keys (`<<`): a few lines of them make more entries than any memory holds."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge nothing; what is left of a merge key is an error when it is constructed."""


def clean_class_name(name: str) -> str:
    """Return a class name that can be printed, drawn and sent, without blanks at its ends."""
    return " ".join(clean_text(name, MAX_NAME_CHARS).split())


def read_metadata(model_path: Path) -> dict[str, Any]:
    """Read the metadata appended to a model file as a zip archive; empty where there is none.

    The text is a Python literal or JSON, as the exporters write it.

    Raises:
        ModelError: if the archive is damaged or cut short, or holds something else.
    """
    if not zipfile.is_zipfile(model_path):
        _require_no_archive(model_path)
        return {}
    try:
        with zipfile.ZipFile(model_path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith((".txt", ".json"))]
            if not members:
                return {}
            name, content = members[0].filename, _unpacked(archive, members[0])
    except _ARCHIVE_ERRORS as error:
        raise ModelError(f"{model_path}: the metadata archive at its end is damaged ({_quoted(error)})") from error
    title = f"{model_path}: metadata '{clean_text(name, _MAX_QUOTED_CHARS)}'"
    if len(content) > MAX_METADATA_BYTES:
        raise ModelError(f"{title} has more than {MAX_METADATA_BYTES} bytes")
    return _parse(title, content, is_json=name.endswith(".json"))


def read_model_class_names(model_path: Path) -> tuple[str, ...] | None:
    """Read the class names of a model file's metadata; None where it names no classes.

    Raises:
        ModelError: if the metadata is damaged, or does not number its names 0, 1, 2 and so on.
    """
    names = read_metadata(model_path).get("names")
    return None if names is None else _names_in_order(names, str(model_path))


def read_class_names(names_path: Path) -> tuple[str, ...]:
    """Read the class names of a text file (one name a line) or of a `data.yaml` (its `names`).

    Raises:
        ModelError: if there is no such file, or it has no names.
    """
    try:
        text = read_file(names_path, MAX_NAMES_FILE_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"class names file '{names_path}' cannot be read: {error}") from error
    if names_path.suffix.lower() not in (".yaml", ".yml"):
        names = tuple(clean_class_name(line) for line in text.splitlines() if line.strip())
    else:
        names = _names_of_yaml(names_path, text)
    if not names:
        raise ModelError(f"class names file '{names_path}' holds no names: write one name a line")
    return names


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """Return the beginning of a member, no more than one byte too many: its declared size may be wrong."""
    if member.compress_type not in _COMPRESSIONS:
        raise ValueError(f"compression {member.compress_type}, expected stored or deflated")
    with archive.open(member) as file:
        return file.read(MAX_METADATA_BYTES + 1)


def _require_no_archive(model_path: Path) -> None:
    if _MEMBER_START.search(model_path.read_bytes()):
        raise ModelError(f"{model_path}: the file is cut short inside the metadata at its end; fetch it again")


def _parse(title: str, content: bytes, is_json: bool) -> dict[str, Any]:
    try:
        text = content.decode("utf-8")
        metadata = json.loads(text) if is_json else ast.literal_eval(text)
    except _TEXT_ERRORS as error:
        raise ModelError(f"{title} cannot be read ({_quoted(error)})") from error
    if not isinstance(metadata, dict):
        raise ModelError(f"{title} is not a table of names and values")
    return metadata


def _names_of_yaml(names_path: Path, text: str) -> tuple[str, ...]:
    title = f"class names file '{names_path}'"
    try:
        content = yaml.load(text, PlainYamlLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelError(f"{title} is not YAML: {one_line(error)}") from error
    if not isinstance(content, dict) or "names" not in content:
        raise ModelError(f"{title} has no entry 'names'")
    return _names_in_order(content["names"], title)


def _names_in_order(names: Mapping[Any, Any] | Sequence[Any] | None, title: str) -> tuple[str, ...]:
    """Return class names by index from a list, or from a map of index to name."""
    if isinstance(names, (list, tuple)):
        return tuple(_name(index, name, title) for index, name in enumerate(names))
    if not isinstance(names, Mapping):
        raise ModelError(f"{title}: class names must be a list or a numbered map, got {type(names).__name__}")
    numbers = [_number(key, title) for key in names]
    if sorted(numbers) != list(range(len(names))):
        raise ModelError(f"{title}: class names must be numbered from 0 without gaps, got {sorted(numbers)[:10]}")
    by_index = dict(zip(numbers, names.values(), strict=True))
    return tuple(_name(index, by_index[index], title) for index in range(len(by_index)))


def _number(key: Any, title: str) -> int:
    if isinstance(key, int) or (isinstance(key, str) and key.isdecimal() and len(key) < 10):
        return int(key)
    found = _quoted(key) if isinstance(key, (str, float)) else type(key).__name__
    raise ModelError(f"{title}: class names must be numbered, got the key {found}")


def _name(index: int, name: Any, title: str) -> str:
    # A list that YAML's aliases nest takes gigabytes when it is written out.
    if not isinstance(name, (str, int, float)):
        raise ModelError(f"{title}: the name of class {index} must be a text, got {type(name).__name__}")
    return clean_class_name(str(name))


def _quoted(value: object) -> str:
    return clean_text(repr(value), _MAX_QUOTED_CHARS)
