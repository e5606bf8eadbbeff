"""Write a repaired copy of a data set, whose paths work wherever training is started."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from yolov8_seg_ros.errors import DataSetError
from yolov8_seg_ros.files import replacing
from yolov8_seg_ros.tools.dataset.check import ImageFacts
from yolov8_seg_ros.tools.dataset.description import DESCRIPTION_NAME, SPLITS, TEST, TRAIN, VAL
from yolov8_seg_ros.tools.dataset.finding import Kind, Severity
from yolov8_seg_ros.tools.dataset.labels import BeyondRepairError, LabelFile, repair_line
from yolov8_seg_ros.tools.dataset.reader import IMAGES, LABEL_SUFFIX, LABELS, DataSet, LabelledImage

#: Images that lie in several splits stay in the first of these, so that figures taken before stay comparable.
_PRECEDENCE = (TEST, VAL, TRAIN)
#: The folder of each split in the copy, as Roboflow calls them.
_FOLDERS = {TRAIN: "train", VAL: "valid", TEST: "test"}
#: What a new `data.yaml` does not mend.
_NOT_MENDED = frozenset({Kind.NAME_TWICE, Kind.NAMES_NUMBERED})
#: One image in so many goes into the validation split, where there was none.
_VALIDATION_SHARE = 5


@dataclass(frozen=True)
class Change:
    """A difference between a file or a line and the repaired copy.

    Attributes:
        path: the original file.
        line: its line, from 1; 0 where it is about the whole.
        what: what was done.
        is_left_out: whether something is missing in the copy.
    """

    path: Path
    line: int
    what: str
    is_left_out: bool = False


@dataclass(frozen=True)
class _Entry:
    """An image of the copy, with the lines of its label file; None where it has none."""

    path: Path
    suffix: str
    lines: list[str] | None


def fix_dataset(
    dataset: DataSet, facts: Mapping[Path, ImageFacts], folder: Path, *, drop_unlabelled: bool = False
) -> list[Change]:
    """Write a repaired copy of a data set; return what is different.

    Args:
        dataset: the data set, which stays as it is.
        facts: what `inspect_images` found out about its images, by path.
        folder: where to write; it must not exist, or be empty.
        drop_unlabelled: leave out images without a label.

    Raises:
        DataSetError: if the folder holds something or lies among the images, or if nothing can be kept.
        OSError: if a file cannot be read or written.
    """
    _check_folder(dataset, folder)
    selection = _Selection(dataset, facts, drop_unlabelled)
    splits = selection.splits()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replacing(folder.resolve()) as temporary:
        temporary.mkdir()
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
                raise DataSetError(f"'{folder}' lies among the images of '{source}'; give a folder outside")


class _Selection:
    """Contents of a repaired copy, and the differences from the original."""

    def __init__(self, dataset: DataSet, facts: Mapping[Path, ImageFacts], drop_unlabelled: bool) -> None:
        self.changes = [
            Change(finding.path, finding.line, finding.kind.title + (f": {finding.detail}" if finding.detail else ""))
            for finding in dataset.description.findings
            if finding.kind not in _NOT_MENDED and finding.kind.severity is not Severity.NOTE
        ]
        self._dataset = dataset
        self._facts = facts
        self._drop_unlabelled = drop_unlabelled
        self._shared: set[Path] = set()

    def splits(self) -> dict[str, list[_Entry]]:
        """Return the images of each split of the copy.

        Raises:
            DataSetError: if nothing is left.
        """
        images = self._without_twins()
        users = Counter(image.labels.path for split in images.values() for image in split if image.labels)
        self._shared = {path for path, count in users.items() if count > 1}
        kept = {split: [*filter(None, map(self._entry, images[split]))] for split in SPLITS if split in images}
        for split in self._dataset.splits.values():
            for path in split.labels_alone:
                self._leave_out(path, "label file without an image")
        useful = {split: entries for split, entries in kept.items() if self._is_useful(split, entries)}
        if not useful.keys() - {TEST}:
            raise DataSetError(f"{self._dataset.description.path}: no image with a usable label is left to copy")
        if VAL not in useful and not self._dataset.is_one_split:
            self._set_validation_apart(useful)
        return useful

    def _is_useful(self, split: str, entries: list[_Entry]) -> bool:
        """Return whether a split is worth copying: without a label it can neither train nor validate."""
        useful = any(entry.lines for entry in entries) or (split == TEST and bool(entries))
        if entries and not useful:
            self._leave_out(self._dataset.splits[split].sources[0], "no image has labels")
        return useful

    def _leave_out(self, path: Path, why: str, line: int = 0) -> None:
        self.changes.append(Change(path, line, why, is_left_out=True))

    def _without_twins(self) -> dict[str, list[LabelledImage]]:
        """Return the images of each split, of those with the same bytes only the one with most labels."""
        given = {name: split.images for name, split in self._dataset.splits.items()}
        if self._dataset.is_one_split:
            del given[VAL]
        seen: dict[str, Path] = {}
        kept: dict[str, list[LabelledImage]] = {}
        for split in (split for split in _PRECEDENCE if split in given):
            kept[split] = []
            for image in sorted(given[split], key=lambda image: (-len(image.label_texts), image.path)):
                digest = self._facts[image.path].digest
                if digest and digest in seen:
                    self._leave_out(image.path, f"same image as {seen[digest]}")
                    continue
                seen[digest] = image.path
                kept[split].append(image)
            kept[split].sort(key=lambda image: image.path)
        return kept

    def _entry(self, image: LabelledImage) -> _Entry | None:
        facts, labels = self._facts[image.path], image.labels
        reason = self._reason_to_leave_out(image, facts)
        if reason or facts.size_wh is None:
            self._leave_out(image.path, reason)
            return None
        if labels is None:
            return _Entry(image.path, self._suffix(facts), None)
        try:
            lines, changes = _repair_labels(labels, facts.size_wh)
        except BeyondRepairError as error:
            self._leave_out(labels.path, f"the image with all its labels: {error}", error.line.number)
            return None
        self.changes += changes
        if labels.path != image.expected_labels:
            self.changes.append(Change(labels.path, 0, "put where training finds it"))
        return _Entry(image.path, self._suffix(facts), lines)

    def _reason_to_leave_out(self, image: LabelledImage, facts: ImageFacts) -> str:
        if facts.fault:
            return f"cannot be read: {facts.fault}"
        if image.labels and image.labels.path in self._shared:
            return f"shares {image.labels.path.name} with another image: whose labels are they?"
        if self._drop_unlabelled and not image.label_texts:
            return "has no labels"
        return ""

    def _suffix(self, facts: ImageFacts) -> str:
        suffix = facts.path.suffix.lower()
        if facts.format and suffix not in facts.format.suffixes:
            suffix = facts.format.suffixes[0]
        if suffix != facts.path.suffix:
            self.changes.append(Change(facts.path, 0, f"suffix changed to {suffix}"))
        return suffix

    def _set_validation_apart(self, splits: dict[str, list[_Entry]]) -> None:
        """Return the last images by name: those of a video resemble their neighbours, so a random choice would leak."""
        entries = splits[TRAIN]
        labelled = [place for place, entry in enumerate(entries) if entry.lines]
        if len(labelled) < 2:
            return
        first = labelled[-max(1, len(labelled) // _VALIDATION_SHARE)]
        splits[TRAIN], splits[VAL] = entries[:first], entries[first:]
        what = f"the last {len(splits[VAL])} of {len(entries)} training images by name became the validation split"
        self.changes.append(Change(self._dataset.description.path, 0, what))


def _repair_labels(labels: LabelFile, size_wh: tuple[int, int]) -> tuple[list[str], list[Change]]:
    """Return the lines of the repaired file, each once, and what was changed."""
    texts: dict[str, None] = {}
    changes = []
    if {finding.kind for finding in labels.text_findings} & {Kind.ENCODING, Kind.BYTE_ORDER_MARK}:
        changes.append(Change(labels.path, 0, "written as UTF-8 without a byte order mark"))
    for line in labels.lines:
        text, what = repair_line(line, size_wh)
        if text in texts:
            what, text = "line that was there twice", ""
        if text:
            texts[text] = None
        if what:
            changes.append(Change(labels.path, line.number, what, is_left_out=not text))
    return list(texts), changes


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
    """Return a name that no other has, whatever its capitals: images of several folders go into one."""
    candidate, number = stem, 2
    while candidate.lower() in taken:
        candidate, number = f"{stem}_{number}", number + 1
    taken.add(candidate.lower())
    return candidate


def _write_description(folder: Path, dataset: DataSet, splits: list[str]) -> None:
    # Without 'path' the paths count from the folder of the file, for Ultralytics as for us.
    content: dict[str, object] = {split: f"{_FOLDERS[split]}/{IMAGES}" for split in splits}
    if dataset.is_one_split:
        content[VAL] = content[TRAIN]
    names = list(dataset.class_names)
    content |= {"nc": len(names), "names": names}
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    (folder / DESCRIPTION_NAME).write_text(text, encoding="utf-8")
