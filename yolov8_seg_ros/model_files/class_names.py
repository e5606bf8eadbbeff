"""Read class names from a model file or from a names file, without ever evaluating what they say."""

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

from yolov8_seg_ros.errors import ModelError

#: A thousand class names take about 25 kB. Python 3.10 crashes on a literal of 256 kB that is nested on purpose.
MAX_METADATA_BYTES = 1 << 16
#: How a member of a zip archive begins; the two bytes after the signature are the version needed to read it.
_MEMBER_START = re.compile(rb"PK\x03\x04[\x0a\x14\x2d]\x00")
#: What `zipfile` raises for the many ways in which an archive can be damaged.
_ARCHIVE_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
_TEXT_ERRORS = (ValueError, SyntaxError, RecursionError, MemoryError)


def read_metadata(model_path: Path) -> dict[str, Any]:
    """Give the metadata appended to a model file as a zip archive; empty where there is none.

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
            name, num_bytes = members[0].filename, members[0].file_size
            content = b"" if num_bytes > MAX_METADATA_BYTES else archive.read(members[0])
    except _ARCHIVE_ERRORS as error:
        raise ModelError(f"{model_path}: the metadata archive at its end is damaged ({error!r})") from error
    title = f"{model_path}: metadata '{name}'"
    if num_bytes > MAX_METADATA_BYTES:
        raise ModelError(f"{title} has {num_bytes} bytes, expected {MAX_METADATA_BYTES} at most")
    return _parse(title, content, is_json=name.endswith(".json"))


def read_model_class_names(model_path: Path) -> tuple[str, ...] | None:
    """Give the class names of a model file's metadata; None where it names no classes.

    Raises:
        ModelError: if the metadata is damaged, or does not number its names 0, 1, 2 and so on.
    """
    names = read_metadata(model_path).get("names")
    return None if names is None else _names_in_order(names, str(model_path))


def _require_no_archive(model_path: Path) -> None:
    if _MEMBER_START.search(model_path.read_bytes()):
        raise ModelError(f"{model_path}: the file is cut short inside the metadata at its end; fetch it again")


def _parse(title: str, content: bytes, is_json: bool) -> dict[str, Any]:
    try:
        text = content.decode("utf-8")
        metadata = json.loads(text) if is_json else ast.literal_eval(text)
    except _TEXT_ERRORS as error:
        raise ModelError(f"{title} cannot be read ({error!r})") from error
    if not isinstance(metadata, dict):
        raise ModelError(f"{title} is no table of names and values")
    return metadata


def read_class_names(names_path: Path) -> tuple[str, ...]:
    """Give the class names of a text file (one name a line) or of a `data.yaml` (its `names`).

    Raises:
        ModelError: if there is no such file, or it holds no names.
    """
    try:
        text = names_path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"class names file '{names_path}' cannot be read: {error}") from error
    if names_path.suffix.lower() not in (".yaml", ".yml"):
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    else:
        names = _names_of_yaml(names_path, text)
    if not names:
        raise ModelError(f"class names file '{names_path}' holds no names: write one name a line")
    return names


def _names_of_yaml(names_path: Path, text: str) -> tuple[str, ...]:
    title = f"class names file '{names_path}'"
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ModelError(f"{title} is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or "names" not in content:
        raise ModelError(f"{title} has no entry 'names'")
    return _names_in_order(content["names"], title)


def _names_in_order(names: Mapping[Any, Any] | Sequence[Any] | None, title: str) -> tuple[str, ...]:
    """Give class names by index from a list, or from a map of index to name."""
    if isinstance(names, (list, tuple)):
        return tuple(str(name) for name in names)
    if not isinstance(names, Mapping):
        raise ModelError(f"{title}: class names must be a list or a numbered map, got {type(names).__name__}")
    try:
        by_index = {int(index): str(name) for index, name in names.items()}
    except (TypeError, ValueError) as error:
        raise ModelError(f"{title}: class names must be numbered, got the keys {list(names)[:5]}") from error
    if sorted(by_index) != list(range(len(names))):
        raise ModelError(f"{title}: class names must be numbered from 0 without gaps, got {sorted(by_index)[:10]}")
    return tuple(by_index[index] for index in range(len(by_index)))
