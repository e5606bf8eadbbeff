"""Write a repaired copy of a data set, whose paths work wherever training is started."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from yolov8_seg_ros.errors import DataSetError
from yolov8_seg_ros.tools.dataset.check import is_one_split, label_texts
from yolov8_seg_ros.tools.dataset.description import DESCRIPTION_NAME, SPLITS, TEST, TRAIN, VAL
from yolov8_seg_ros.tools.dataset.finding import Kind, Severity
from yolov8_seg_ros.tools.dataset.pictures import PictureFacts
from yolov8_seg_ros.tools.dataset.reader import IMAGES, LABEL_SUFFIX, LABELS, DataSet, LabelledPicture
from yolov8_seg_ros.tools.dataset.repair import BeyondRepairError, Change, repair_labels

#: Pictures that lie in several splits stay in the first of these, so that figures taken before stay comparable.
_PRECEDENCE = (TEST, VAL, TRAIN)
#: The folder of each split in the copy, as Roboflow calls them.
_FOLDERS = {TRAIN: "train", VAL: "valid", TEST: "test"}
#: What a new `data.yaml` does not mend.
_NOT_MENDED = frozenset({Kind.NAME_TWICE, Kind.NAMES_NUMBERED})
#: One picture in so many goes into the validation split, where there was none.
_VALIDATION_SHARE = 5


@dataclass(frozen=True)
class _Entry:
    """Hold a picture of the copy, with the lines of its label file; None where it has none."""

    path: Path
    suffix: str
    lines: list[str] | None


def fix_dataset(
    dataset: DataSet, facts: Mapping[Path, PictureFacts], folder: Path, *, drop_unlabelled: bool = False
) -> list[Change]:
    """Write a repaired copy of a data set; give what is different.

    Args:
        dataset: the data set, which stays as it is.
        facts: what `inspect_pictures` found out about its pictures, by path.
        folder: where to write; it must not exist, or be empty.
        drop_unlabelled: leave out pictures without a label.

    Raises:
        DataSetError: if the folder holds something or lies among the pictures, or if nothing can be kept.
        OSError: if a file cannot be read or written.
    """
    _check_folder(dataset, folder)
    selection = _Selection(dataset, facts, drop_unlabelled)
    splits = selection.splits()
    with _new_folder(folder) as temporary:
        for split, entries in splits.items():
            _write_split(temporary / _FOLDERS[split], entries)
        _write_description(temporary, dataset, list(splits))
    return selection.changes


def _check_folder(dataset: DataSet, folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataSetError(f"'{folder}' is there and not empty; give a new folder for the repaired copy")
    for split in dataset.splits.values():
        for source in split.sources:
            if source.is_dir() and folder.resolve().is_relative_to(source.resolve()):
                raise DataSetError(f"'{folder}' lies among the pictures of '{source}'; give a folder outside")


class _Selection:
    """Choose and repair what goes into the copy, noting what is different."""

    def __init__(self, dataset: DataSet, facts: Mapping[Path, PictureFacts], drop_unlabelled: bool) -> None:
        self.changes: list[Change] = []
        self._dataset = dataset
        self._facts = facts
        self._drop_unlabelled = drop_unlabelled
        self._shared: set[Path] = set()

    def splits(self) -> dict[str, list[_Entry]]:
        """Give the pictures of each split of the copy.

        Raises:
            DataSetError: if nothing is left.
        """
        self._note_description()
        pictures = self._without_twins()
        self._shared = _shared_label_files(pictures)
        kept = {split: self._entries(pictures[split]) for split in SPLITS if split in pictures}
        for split in self._dataset.splits.values():
            for path in split.labels_alone:
                self._leave_out(path, "label file without a picture")
        useful = {split: entries for split, entries in kept.items() if self._is_useful(split, entries)}
        if not useful.keys() - {TEST}:
            raise DataSetError(f"{self._dataset.description.path}: no picture with a usable label is left to copy")
        if VAL not in useful and not is_one_split(self._dataset):
            self._set_validation_apart(useful)
        return useful

    def _note_description(self) -> None:
        for finding in self._dataset.description.findings:
            if finding.kind not in _NOT_MENDED and finding.kind.severity is not Severity.NOTE:
                detail = f": {finding.detail}" if finding.detail else ""
                self.changes.append(Change(finding.path, finding.line, f"{finding.kind.title}{detail}"))

    def _is_useful(self, split: str, entries: list[_Entry]) -> bool:
        """Tell whether a split is worth copying: without a label it can neither teach nor judge."""
        useful = any(entry.lines for entry in entries) or (split == TEST and bool(entries))
        if entries and not useful:
            self._leave_out(self._dataset.splits[split].sources[0], "no picture has labels")
        return useful

    def _leave_out(self, path: Path, why: str, line: int = 0) -> None:
        self.changes.append(Change(path, line, why, is_left_out=True))

    def _without_twins(self) -> dict[str, list[LabelledPicture]]:
        """Give the pictures of each split, of those with the same bytes only the one with most labels."""
        given = {name: split.pictures for name, split in self._dataset.splits.items()}
        if is_one_split(self._dataset):
            del given[VAL]
        seen: dict[str, Path] = {}
        kept: dict[str, list[LabelledPicture]] = {}
        for split in (split for split in _PRECEDENCE if split in given):
            kept[split] = []
            for picture in sorted(given[split], key=lambda picture: (-len(label_texts(picture)), picture.path)):
                digest = self._facts[picture.path].digest
                if digest and digest in seen:
                    self._leave_out(picture.path, f"same picture as {seen[digest]}")
                    continue
                seen[digest] = picture.path
                kept[split].append(picture)
        return kept

    def _entries(self, pictures: list[LabelledPicture]) -> list[_Entry]:
        entries = (self._entry(picture) for picture in sorted(pictures, key=lambda picture: picture.path))
        return [entry for entry in entries if entry is not None]

    def _entry(self, picture: LabelledPicture) -> _Entry | None:
        facts = self._facts[picture.path]
        reason = self._reason_to_leave_out(picture, facts)
        if reason or facts.size_wh is None:
            self._leave_out(picture.path, reason)
            return None
        lines = None
        if picture.labels is not None:
            try:
                lines, changes = repair_labels(picture.labels, facts.size_wh)
            except BeyondRepairError as error:
                self._leave_out(picture.labels.path, f"the picture with all its labels: {error}", error.line.number)
                return None
            self.changes += changes
        self._note_move(picture)
        return _Entry(picture.path, self._suffix(facts), lines)

    def _reason_to_leave_out(self, picture: LabelledPicture, facts: PictureFacts) -> str:
        if facts.fault:
            return f"cannot be read: {facts.fault}"
        if picture.labels and picture.labels.path in self._shared:
            return f"shares {picture.labels.path.name} with another picture: whose labels are they?"
        if self._drop_unlabelled and not label_texts(picture):
            return "has no labels"
        return ""

    def _note_move(self, picture: LabelledPicture) -> None:
        if picture.labels and picture.labels.path != picture.expected_labels:
            self.changes.append(Change(picture.labels.path, 0, "put where training finds it"))

    def _suffix(self, facts: PictureFacts) -> str:
        suffix = facts.path.suffix.lower()
        if facts.suffixes and suffix not in facts.suffixes:
            suffix = facts.suffixes[0]
        if suffix != facts.path.suffix:
            self.changes.append(Change(facts.path, 0, f"suffix changed to {suffix}"))
        return suffix

    def _set_validation_apart(self, splits: dict[str, list[_Entry]]) -> None:
        """Take the last pictures by name: those of a video resemble their neighbours, so drawing lots would leak."""
        entries = splits[TRAIN]
        labelled = [place for place, entry in enumerate(entries) if entry.lines]
        if len(labelled) < 2:
            return
        first = labelled[-max(1, len(labelled) // _VALIDATION_SHARE)]
        splits[TRAIN], splits[VAL] = entries[:first], entries[first:]
        what = f"the last {len(splits[VAL])} of {len(entries)} training pictures by name became the validation split"
        self.changes.append(Change(self._dataset.description.path, 0, what))


def _shared_label_files(pictures: Mapping[str, list[LabelledPicture]]) -> set[Path]:
    counts = Counter(picture.labels.path for split in pictures.values() for picture in split if picture.labels)
    return {path for path, count in counts.items() if count > 1}


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which takes its name when all is written, and goes on an error."""
    folder = folder.resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    temporary.mkdir()
    try:
        yield temporary
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_split(folder: Path, entries: list[_Entry]) -> None:
    images, labels = folder / IMAGES, folder / LABELS
    images.mkdir(parents=True)
    labels.mkdir()
    taken: set[str] = set()
    for entry in entries:
        stem = _free_stem(entry.path.stem, taken)
        shutil.copyfile(entry.path, images / f"{stem}{entry.suffix}")
        if entry.lines is not None:
            text = "".join(f"{line}\n" for line in entry.lines)
            (labels / f"{stem}{LABEL_SUFFIX}").write_text(text, encoding="utf-8")


def _free_stem(stem: str, taken: set[str]) -> str:
    """Give a name that no other has, whatever its capitals: pictures of several folders go into one."""
    candidate, number = stem, 2
    while candidate.lower() in taken:
        candidate, number = f"{stem}_{number}", number + 1
    taken.add(candidate.lower())
    return candidate


def _write_description(folder: Path, dataset: DataSet, splits: list[str]) -> None:
    # Without 'path' the paths count from the folder of the file, for Ultralytics as for us.
    content: dict[str, object] = {split: f"{_FOLDERS[split]}/{IMAGES}" for split in splits}
    if is_one_split(dataset):
        content[VAL] = content[TRAIN]
    names = list(dataset.class_names)
    content |= {"nc": len(names), "names": names}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    (folder / DESCRIPTION_NAME).write_text(text, encoding="utf-8")
