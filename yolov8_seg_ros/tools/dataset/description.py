"""Read `data.yaml` as Roboflow, Ultralytics and people write it."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from yolov8_seg_ros.errors import DataSetError, one_line
from yolov8_seg_ros.model_files.class_names import PlainYamlLoader, clean_class_name
from yolov8_seg_ros.text import clean_text, numbered_class
from yolov8_seg_ros.tools.dataset.finding import Finding, Kind
from yolov8_seg_ros.tools.dataset.text_file import read_text

DESCRIPTION_NAME = "data.yaml"
TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
#: The names that splits have in `data.yaml` and as folders; the first is the one that training uses.
ALIASES = {TRAIN: ("train",), VAL: ("val", "valid", "validation"), TEST: ("test",)}
#: More classes than any data set has; a class count or id beyond it is a slip.
MAX_CLASSES = 10_000
#: Room for the names of so many classes; more takes the parser minutes.
MAX_BYTES = 1 << 19
_MAX_QUOTED_CHARS = 200
#: How many missing names a message lists.
_MANY = 5


@dataclass(frozen=True)
class Description:
    """Content of a `data.yaml`.

    Attributes:
        path: where the file is, or should be.
        root: the folder that its paths count from.
        class_names: by class id, completed with numbered names; empty where the number of classes is not known.
        folders: by split (train, val, test), what its paths name, made absolute: those that the file has.
        lines: by top-level key, its line.
        findings: what is irregular.
    """

    path: Path
    root: Path
    class_names: tuple[str, ...] = ()
    folders: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    lines: Mapping[str, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    @property
    def num_classes(self) -> int | None:
        """Return the number of classes; None where it is not known."""
        return len(self.class_names) or None


def read_description(path: Path) -> Description:
    """Read a `data.yaml`, or the one in a folder, or do without it where the usual folders are there.

    Raises:
        DataSetError: if there is neither.
        OSError: if the file cannot be read, or is too large.
    """
    file = _description_file(path)
    if not file.is_file():
        return _describe_folders(file, Finding(Kind.NO_DESCRIPTION, file))
    text, text_findings = read_text(file, MAX_BYTES)
    # A byte order mark does no harm here.
    findings = [finding for finding in text_findings if finding.kind is not Kind.BYTE_ORDER_MARK]
    try:
        content, keys = _parse(text)
    except _YamlError as error:
        return _describe_folders(file, Finding(Kind.DESCRIPTION_DAMAGED, file, error.line, str(error)), *findings)
    lines: dict[str, int] = {}
    for key, line in keys:
        if key in lines:
            findings.append(Finding(Kind.KEY_TWICE, file, line, f"'{key}'"))
        lines[key] = line
    return _Reading(file, content, lines, findings).description()


def usual_folders(root: Path, split: str) -> tuple[Path, ...]:
    """Return the folder of a split's images where none is named: train/images, images/train or train."""
    for alias in ALIASES[split]:
        for folder in (root / alias / "images", root / "images" / alias, root / alias):
            if folder.is_dir():
                return (folder,)
    return ()


def _description_file(path: Path) -> Path:
    if not path.is_dir():
        return path
    others = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
    return others[0] if len(others) == 1 else path / DESCRIPTION_NAME


def _describe_folders(file: Path, *findings: Finding) -> Description:
    reason = f"cannot be used (line {findings[0].line}: {findings[0].detail})" if file.is_file() else "not there"
    return Description(file, file.parent, folders=_folders_beside(file, reason), findings=findings)


def _folders_beside(file: Path, reason: str) -> dict[str, tuple[Path, ...]]:
    folders = {split: folders for split in SPLITS if (folders := usual_folders(file.parent, split))}
    if not folders:
        raise DataSetError(
            f"{file}: {reason}, and no folders train/images, valid/images, images/train ... beside it; "
            f"give the {DESCRIPTION_NAME} of a data set"
        )
    return folders


class _YamlError(Exception):
    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


def _parse(text: str) -> tuple[dict[str, Any], list[tuple[str, int]]]:
    """Return the entries whose keys are texts, and all such keys in order, each with its line."""
    try:
        loader = PlainYamlLoader(text)
        node = loader.get_single_node()
        content = loader.construct_document(node) if node else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        raise _YamlError(one_line(getattr(error, "problem", None) or error), mark.line + 1 if mark else 0) from error
    except (ValueError, RecursionError) as error:
        raise _YamlError(one_line(error), 0) from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(content, dict):
        raise _YamlError("expected entries such as 'names: [fish]'", 1)
    keys = [(key.value, key.start_mark.line + 1) for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
    return {key: value for key, value in content.items() if isinstance(key, str)}, keys


class _Reading:
    """Reading of a parsed `data.yaml`, with what is irregular in it."""

    def __init__(
        self, file: Path, content: Mapping[str, Any], lines: Mapping[str, int], findings: list[Finding]
    ) -> None:
        self._file = file
        self._content = content
        self._lines = lines
        self._findings = findings
        self._root = self._find_root()

    def description(self) -> Description:
        """Read names and folders."""
        names = self._class_names()
        folders = {split: folders for split in SPLITS if (folders := self._folders(split))}
        if not self._lines.keys() & set().union(*ALIASES.values()):
            folders = _folders_beside(self._file, "no entry 'train' or 'val'")
            self._find(Kind.FOLDER_MISSING, TRAIN, "no entry 'train' or 'val'; the usual folders were read instead")
        return Description(self._file, self._root, names, folders, self._lines, tuple(self._findings))

    def _find(self, kind: Kind, key: str, detail: str = "") -> None:
        self._findings.append(Finding(kind, self._file, self._lines.get(key, 0), detail))

    def _find_root(self) -> Path:
        base = self._file.parent
        given = self._content.get("path")
        if not isinstance(given, str) or not given:
            return base
        if not Path(given).is_absolute():
            self._find(Kind.PATH_RELATIVE, "path", f"'{given}'")
        return base / given if (base / given).is_dir() else base

    def _class_names(self) -> tuple[str, ...]:
        count, given = self._class_count(), self._content.get("names")
        if given is None:
            if count is None:
                self._find(Kind.NO_NAMES, "names", "neither 'names' nor 'nc'")
            else:
                self._find(Kind.NAMES_NUMBERED, "nc", f"{count} classes")
            return tuple(map(numbered_class, range(count or 0)))
        numbered = _numbered(given)
        if count is not None and numbered and count != len(numbered):
            self._find(Kind.CLASS_COUNT, "nc", f"nc is {count}, there are {len(numbered)} names")
        if not numbered:
            self._find(Kind.NO_NAMES, "names", f"expected a list of names, or a map of ids from 0 to {MAX_CLASSES - 1}")
        length = max(numbered, default=-1) + 1
        if missing := sorted(set(range(length)) - numbered.keys()):
            more = " ..." if len(missing) > _MANY else ""
            self._find(Kind.NO_NAMES, "names", f"no name for class {', '.join(map(str, missing[:_MANY]))}{more}")
        names = self._checked_names(numbered)
        return tuple(names.get(class_id, numbered_class(class_id)) for class_id in range(max(length, count or 0)))

    def _class_count(self) -> int | None:
        count = self._content.get("nc")
        if count is None:
            return None
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= MAX_CLASSES:
            self._find(Kind.CLASS_COUNT, "nc", f"nc is {_quoted(count)}, expected a number of classes")
            return None
        return count

    def _checked_names(self, numbered: Mapping[int, Any]) -> dict[int, str]:
        names: dict[int, str] = {}
        seen: set[str] = set()
        for class_id, value in numbered.items():
            if value is None or (isinstance(value, str) and not value.strip()):
                self._find(Kind.NO_NAMES, "names", f"class {class_id} has no name")
                continue
            if isinstance(value, bool) or not isinstance(value, (str, int)):
                self._find(Kind.NAME_MISREAD, "names", f"class {class_id} is read as {_quoted(value)}")
            if not isinstance(value, (str, int, float, datetime.date)):
                continue
            name = clean_class_name(str(value))
            if name in seen:
                self._find(Kind.NAME_TWICE, "names", f"'{name}'")
            seen.add(name)
            names[class_id] = name
        return names

    def _folders(self, split: str) -> tuple[Path, ...]:
        key = next((alias for alias in ALIASES[split] if self._content.get(alias)), None)
        if key is None:
            return ()
        # Training reads 'validation' as well, but not 'valid'.
        if key == "valid":
            self._find(Kind.SPLIT_KEY, key, f"'{key}'")
        value = self._content[key]
        return tuple(dict.fromkeys(self._located(split, key, value if isinstance(value, list) else [value])))

    def _located(self, split: str, key: str, values: list[Any]) -> Iterator[Path]:
        for value in values:
            places = self._places(value) if isinstance(value, str) else []
            there = [place for place in places if _is_there(place)]
            if there and (there[0] == places[0] or (there[0] == places[1] and value.startswith("../"))):
                if places[0] != places[1] and places[1] in there and there[0] == places[0]:
                    self._find(Kind.PATH_AMBIGUOUS, key, f"'{value}' is {places[0].resolve()}")
                yield Path(os.path.normpath(there[0]))
                continue
            found = (*there[:1], *usual_folders(self._file.parent, split))[:1]
            instead = f"; {_relative(found[0], self._file.parent)} was read instead" if found else ""
            kind = Kind.TEST_MISSING if split == TEST else Kind.FOLDER_MISSING
            shown = f"'{clean_text(value, _MAX_QUOTED_CHARS)}'" if isinstance(value, str) else _quoted(value)
            self._find(kind, key, f"{shown}{instead}")
            yield from found

    def _places(self, value: str) -> list[Path]:
        """Return the places where a path of the file may lead, those that training looks at first."""
        base, stripped = self._file.parent, value.replace("\\", "/")
        while stripped.startswith("../"):
            stripped = stripped[3:]
        relative = value.removeprefix("../")
        return [self._root / value, self._root / relative, base / value.replace("\\", "/"), base / stripped]


def _numbered(given: Any) -> dict[int, Any]:
    """Return names by class id, in the order of the ids; none where their number or an id is not plausible."""
    if isinstance(given, list):
        given = dict(enumerate(given))
    if not isinstance(given, Mapping) or not all(_is_class_id(key) for key in given):
        return {}
    return dict(sorted(((int(key), name) for key, name in given.items()), key=lambda item: item[0]))


def _is_class_id(key: Any) -> bool:
    is_number = isinstance(key, int) or (isinstance(key, str) and key.isdecimal() and len(key) < 10)
    return is_number and not isinstance(key, bool) and 0 <= int(key) < MAX_CLASSES


def _is_there(path: Path) -> bool:
    # A device or pipe would be read for ever; what is no path at all is not there either.
    try:
        return path.is_dir() or path.is_file()
    except OSError:
        return False


def _quoted(value: Any) -> str:
    """Return a value as a message shows it: lists by their type, since YAML's aliases make some that fill any disk."""
    if not isinstance(value, (str, int, float, datetime.date)):
        return f"a {type(value).__name__}"
    return clean_text(repr(value), _MAX_QUOTED_CHARS)


def _relative(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
