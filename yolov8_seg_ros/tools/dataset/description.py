"""Read `data.yaml` as Roboflow, Ultralytics and people write it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from yolov8_seg_ros.errors import DataSetError
from yolov8_seg_ros.tools.dataset.finding import Finding, Kind
from yolov8_seg_ros.tools.dataset.text import read_text

DESCRIPTION_NAME = "data.yaml"
TRAIN, VAL, TEST = SPLITS = ("train", "val", "test")
#: The names that splits go by, in `data.yaml` and as folders; the first is the one that training knows.
ALIASES = {TRAIN: ("train",), VAL: ("val", "valid", "validation"), TEST: ("test",)}
#: More classes than any data set has; a class count or id beyond it is a slip.
MAX_CLASSES = 10_000
#: How many of many a message lists.
_MANY = 5


@dataclass(frozen=True)
class Description:
    """Hold what `data.yaml` says.

    Attributes:
        path: where the file is, or should be.
        root: the folder that its paths count from.
        class_names: by class id, completed with numbered names; empty where nothing tells how many classes there are.
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
        """The number of classes; None where nothing says it."""
        return len(self.class_names) or None


def read_description(path: Path) -> Description:
    """Read a `data.yaml`, or the one in a folder, or do without it where the usual folders are there.

    Raises:
        DataSetError: if there is neither.
        OSError: if the file cannot be read.
    """
    file = _description_file(path)
    if not file.is_file():
        return _describe_folders(file, Finding(Kind.NO_DESCRIPTION, file))
    text = read_text(file)
    # A byte order mark does no harm here.
    findings = tuple(finding for finding in text.findings if finding.kind is not Kind.BYTE_ORDER_MARK)
    try:
        content, lines, twice = _parse(text.text)
    except _YamlError as error:
        damage = Finding(Kind.DESCRIPTION_DAMAGED, file, error.line, str(error))
        return _describe_folders(file, damage, *findings)
    twice_findings = (Finding(Kind.KEY_TWICE, file, line, f"'{key}'") for key, line in twice)
    return _Reading(file, content, lines).description((*findings, *twice_findings))


def usual_folders(root: Path, split: str) -> tuple[Path, ...]:
    """Give the folder of a split's pictures where none is named: train/images, images/train or train."""
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


def _parse(text: str) -> tuple[dict[str, Any], dict[str, int], list[tuple[str, int]]]:
    """Give the content, the line of each key, and the keys given twice with the line of the second."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or str(error)
        raise _YamlError(" ".join(message.split()), mark.line + 1 if mark else 0) from error
    except (ValueError, RecursionError) as error:
        raise _YamlError(" ".join(str(error).split()), 0) from error
    if not isinstance(node, yaml.MappingNode) or not isinstance(content, dict):
        raise _YamlError("expected entries such as 'names: [fish]'", 1)
    keys = [(str(key.value), key.start_mark.line + 1) for key, _ in node.value]
    # The first of two lines would be lost in a dict.
    twice = [(key, line) for place, (key, line) in enumerate(keys) if key in dict(keys[:place])]
    return {str(key): value for key, value in content.items()}, dict(keys), twice


class _Reading:
    """Make a description of a parsed `data.yaml`, collecting what is irregular."""

    def __init__(self, file: Path, content: Mapping[str, Any], lines: Mapping[str, int]) -> None:
        self._file = file
        self._content = content
        self._lines = lines
        self._findings: list[Finding] = []
        self._root = self._find_root()

    def description(self, before: tuple[Finding, ...]) -> Description:
        """Read names and folders."""
        names = self._class_names()
        folders = {split: folders for split in SPLITS if (folders := self._folders(split))}
        if not self._lines.keys() & set().union(*ALIASES.values()):
            folders = _folders_beside(self._file, "no entry 'train' or 'val'")
            self._find(Kind.FOLDER_MISSING, TRAIN, "no entry 'train' or 'val'; the usual folders were read instead")
        return Description(self._file, self._root, names, folders, self._lines, (*before, *self._findings))

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
        count = self._class_count()
        given = self._content.get("names")
        if given is None:
            if count is None:
                self._find(Kind.NO_NAMES, "names", "neither 'names' nor 'nc'")
            else:
                self._find(Kind.NAMES_NUMBERED, "nc", f"{count} classes")
            return _completed({}, count or 0)
        numbered = _numbered(given)
        length = max((class_id for class_id, _ in numbered), default=-1) + 1
        if count is not None and numbered and count != len(numbered):
            self._find(Kind.CLASS_COUNT, "nc", f"nc is {count}, there are {len(numbered)} names")
        self._check_numbering(numbered, length)
        return _completed(self._names_by_id(numbered), max(length, count or 0))

    def _class_count(self) -> int | None:
        count = self._content.get("nc")
        if count is None:
            return None
        if isinstance(count, bool) or not isinstance(count, int) or not 0 < count <= MAX_CLASSES:
            self._find(Kind.CLASS_COUNT, "nc", f"nc is {count!r}, expected a number of classes")
            return None
        return count

    def _check_numbering(self, numbered: list[tuple[int, Any]], length: int) -> None:
        if not numbered:
            self._find(Kind.NO_NAMES, "names", "expected a list of names, or a map of class ids to names")
        missing = sorted(set(range(length)) - {class_id for class_id, _ in numbered})
        if missing:
            more = " ..." if len(missing) > _MANY else ""
            self._find(Kind.NO_NAMES, "names", f"no name for class {', '.join(map(str, missing[:_MANY]))}{more}")

    def _names_by_id(self, numbered: list[tuple[int, Any]]) -> dict[int, str]:
        names: dict[int, str] = {}
        for class_id, name in numbered:
            if name is None or not str(name).strip():
                self._find(Kind.NO_NAMES, "names", f"class {class_id} has no name")
                continue
            if isinstance(name, (bool, float, list, dict)):
                self._find(Kind.NAME_MISREAD, "names", f"class {class_id} is read as {name!r}")
            if str(name) in names.values():
                self._find(Kind.NAME_TWICE, "names", f"'{name}'")
            names[class_id] = str(name)
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
            places = self._places(str(value))
            there = [place for place in places if place.exists()]
            beside = usual_folders(self._file.parent, split)
            if places[0].exists() or (places[1].exists() and str(value).startswith("../")):
                self._warn_of_other_folder(key, str(value))
                yield Path(os.path.normpath(there[0]))
                continue
            found = (*there[:1], *beside)[:1]
            instead = f"; {_shown(found[0], self._file.parent)} was read instead" if found else ""
            kind = Kind.TEST_MISSING if split == TEST else Kind.FOLDER_MISSING
            self._find(kind, key, f"'{value}'{instead}")
            yield from found

    def _places(self, value: str) -> list[Path]:
        """Give the places where a path of the file may lead, those that training looks at first."""
        base, slashed = self._file.parent, value.replace("\\", "/")
        stripped = slashed
        while stripped.startswith("../"):
            stripped = stripped[3:]
        return [self._root / value, self._root / value.removeprefix("../"), base / slashed, base / stripped]

    def _warn_of_other_folder(self, key: str, value: str) -> None:
        outside, beside = self._places(value)[:2]
        if outside != beside and outside.exists() and beside.exists():
            self._find(Kind.PATH_AMBIGUOUS, key, f"'{value}' is {outside.resolve()}")


def _numbered(given: Any) -> list[tuple[int, Any]]:
    if isinstance(given, list):
        return list(enumerate(given))
    if isinstance(given, Mapping) and all(_is_class_id(key) for key in given):
        return sorted(((int(key), name) for key, name in given.items()), key=lambda item: item[0])
    return []


def _completed(names: Mapping[int, str], count: int) -> tuple[str, ...]:
    return tuple(names.get(class_id, f"class_{class_id}") for class_id in range(min(count, MAX_CLASSES)))


def _is_class_id(key: Any) -> bool:
    is_number = isinstance(key, int) or (isinstance(key, str) and key.isdecimal())
    return is_number and not isinstance(key, bool) and 0 <= int(key) <= MAX_CLASSES


def _shown(path: Path, base: Path) -> str:
    return str(path.relative_to(base)) if path.is_relative_to(base) else str(path)
