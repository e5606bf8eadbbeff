"""Read class names from a model file or from a names file, without ever evaluating what they say."""

from __future__ import annotations

import ast
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from yolov8_seg_ros.core.model_spec import ModelError

#: Real metadata takes about 2 kB; more than this is not metadata.
MAX_METADATA_BYTES = 1 << 20


def read_metadata(model_path: Path) -> dict[str, Any]:
    """Give the metadata appended to a model file as a zip archive; empty where there is none.

    The text is a Python literal or JSON, as the exporters write it.

    Raises:
        ModelError: if the archive is damaged or holds something else.
    """
    if not zipfile.is_zipfile(model_path):
        return {}
    try:
        with zipfile.ZipFile(model_path) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith((".txt", ".json"))]
            return _parse(model_path, archive, members[0]) if members else {}
    except zipfile.BadZipFile as error:
        raise ModelError(f"{model_path}: the metadata archive at its end is damaged ({error})") from error


def _parse(model_path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> dict[str, Any]:
    if member.file_size > MAX_METADATA_BYTES:
        raise ModelError(f"{model_path}: metadata '{member.filename}' has {member.file_size} bytes, too many to be so")
    try:
        text = archive.read(member).decode("utf-8")
        metadata = json.loads(text) if member.filename.endswith(".json") else ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError, RuntimeError, NotImplementedError) as error:
        raise ModelError(f"{model_path}: metadata '{member.filename}' cannot be read ({error})") from error
    if not isinstance(metadata, dict):
        raise ModelError(f"{model_path}: metadata '{member.filename}' is no table of names and values")
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
    if names_path.suffix not in (".yaml", ".yml"):
        names = tuple(line.strip() for line in text.splitlines() if line.strip())
    else:
        names = _names_of_yaml(names_path, text)
    if not names:
        raise ModelError(f"class names file '{names_path}' holds no names: write one name a line")
    return names


def _names_of_yaml(names_path: Path, text: str) -> tuple[str, ...]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ModelError(f"class names file '{names_path}' is no YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or "names" not in content:
        raise ModelError(f"class names file '{names_path}' has no entry 'names'")
    return names_in_order(content["names"])


def names_in_order(names: Mapping[Any, Any] | Sequence[Any] | None) -> tuple[str, ...]:
    """Give class names by index from a list, or from a map of index to name.

    Raises:
        ModelError: if a map does not number its names 0, 1, 2 and so on.
    """
    if isinstance(names, Mapping):
        try:
            by_index = {int(index): str(name) for index, name in names.items()}
        except (TypeError, ValueError) as error:
            raise ModelError(f"class names must be numbered, got the keys {list(names)[:5]}") from error
        if sorted(by_index) != list(range(len(by_index))):
            raise ModelError(f"class names must be numbered from 0 without gaps, got {sorted(by_index)[:10]}")
        return tuple(by_index[index] for index in range(len(by_index)))
    if isinstance(names, (list, tuple)):
        return tuple(str(name) for name in names)
    raise ModelError(f"class names must be a list or a numbered map, got {type(names).__name__}")
