"""Check a data set: find everything that training would trip over, or silently make less of."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TypeVar

from yolov8_seg_ros.tools.dataset.description import TEST, TRAIN, VAL, Description
from yolov8_seg_ros.tools.dataset.finding import Finding, Kind
from yolov8_seg_ros.tools.dataset.labels import LabelFile
from yolov8_seg_ros.tools.dataset.pictures import PictureFacts
from yolov8_seg_ros.tools.dataset.reader import DataSet, LabelledPicture, Split

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
#: The side in pixels below which a network of stride 32 sees next to nothing.
_SMALL_SIDE_PX = 32
#: How Roboflow names a rendering of a picture: the source's name, its suffix, and a number of the rendering.
_RENDERING = re.compile(r"(.+)\.rf\.\w+")
#: How many of many a message lists.
_MANY = 8


def check_dataset(dataset: DataSet, facts: Mapping[Path, PictureFacts]) -> list[Finding]:
    """Give all findings, those about `data.yaml` first, then by file and line.

    Args:
        dataset: the data set.
        facts: what `inspect_pictures` found out about its pictures, by path.
    """
    label_files = {labels.path: labels for picture in dataset.all_pictures() if (labels := picture.labels)}
    by_file = chain(
        *(_check_label_file(labels) for labels in label_files.values()),
        _check_boxes(list(label_files.values())),
        *(_check_place(picture) for picture in dataset.all_pictures()),
        *(_check_picture(facts[picture.path]) for picture in dataset.all_pictures()),
        *(_check_strays(split) for split in dataset.splits.values()),
        _check_twins(dataset, facts),
        _check_sources(dataset),
    )
    about_the_set = chain(dataset.description.findings, _check_splits(dataset), _check_classes(dataset))
    return [*about_the_set, *sorted(dict.fromkeys(by_file), key=lambda finding: (finding.path, finding.line))]


def _check_label_file(labels: LabelFile) -> Iterator[Finding]:
    yield from labels.text_findings
    if not labels.lines:
        yield Finding(Kind.EMPTY_LABEL_FILE, labels.path)
    first: dict[str, int] = {}
    for line in labels.lines:
        if line.fault is not None:
            yield Finding(line.fault, labels.path, line.number, line.detail)
        if line.text in first:
            yield Finding(Kind.LINE_TWICE, labels.path, line.number, f"as line {first[line.text]}")
        first.setdefault(line.text, line.number)


def _check_boxes(label_files: list[LabelFile]) -> Iterator[Finding]:
    lines = [(labels.path, line) for labels in label_files for line in labels.lines]
    boxes = [(path, line) for path, line in lines if line.is_box]
    if boxes and len(boxes) == len(lines):
        path, line = boxes[0]
        yield Finding(Kind.ONLY_BOXES, path, line.number, f"the first of {len(boxes)} boxes")
        return
    for path, line in boxes:
        if line.fault is None:
            yield Finding(Kind.BOX_LINE, path, line.number)


def _check_place(picture: LabelledPicture) -> Iterator[Finding]:
    if picture.labels is None:
        yield Finding(Kind.NO_LABEL_FILE, picture.path)
    elif picture.labels.path != picture.expected_labels:
        yield Finding(Kind.LABEL_PLACE, picture.labels.path, 0, f"expected {picture.expected_labels}")


def _check_picture(facts: PictureFacts) -> Iterator[Finding]:
    if facts.fault:
        yield Finding(Kind.UNREADABLE, facts.path, 0, facts.fault)
    if facts.suffixes and facts.path.suffix.lower() not in facts.suffixes:
        yield Finding(Kind.WRONG_SUFFIX, facts.path, 0, f"it is {facts.format}")
    if facts.path.suffix != facts.path.suffix.lower():
        yield Finding(Kind.SUFFIX_CAPITALS, facts.path)
    if facts.size_wh and min(facts.size_wh) < _SMALL_SIDE_PX:
        yield Finding(Kind.TINY, facts.path, 0, "{}x{} px".format(*facts.size_wh))
    if facts.is_turned:
        yield Finding(Kind.TURNED, facts.path)


def _check_strays(split: Split) -> Iterator[Finding]:
    yield from (Finding(Kind.LABELS_ALONE, path) for path in split.labels_alone)
    yield from (Finding(Kind.OTHER_FILE, path) for path in split.other_files)


def _check_twins(dataset: DataSet, facts: Mapping[Path, PictureFacts]) -> Iterator[Finding]:
    """Find pictures of the same bytes, and different ones that share labels."""
    of_labels = _grouped((picture.labels.path, picture) for picture in dataset.all_pictures() if picture.labels)
    for path, pictures in of_labels.items():
        if len(pictures) > 1:
            yield Finding(Kind.LABELS_SHARED, path, 0, ", ".join(picture.path.name for picture in pictures))
    if is_one_split(dataset):
        dataset = DataSet(dataset.description, {VAL: dataset.splits[VAL]})
    places = [(split.name, picture) for split in dataset.splits.values() for picture in split.pictures]
    for twins in _grouped((facts[place[1].path].digest or place[1].path, place) for place in places).values():
        yield from _compare_twins(twins)


def _compare_twins(twins: list[tuple[str, LabelledPicture]]) -> Iterator[Finding]:
    first_split, first = twins[0]
    for split, twin in twins[1:]:
        if split != first_split:
            yield Finding(Kind.LEAK, twin.path, 0, f"in {split}, and in {first_split} as {first.path.name}")
        elif label_texts(twin) != label_texts(first):
            yield Finding(Kind.LABELS_DIFFER, twin.path, 0, f"as {first.path.name}")
        else:
            yield Finding(Kind.PICTURE_TWICE, twin.path, 0, f"as {first.path.name}")


def label_texts(picture: LabelledPicture) -> set[str]:
    """Give the lines of a picture's label file, in no order."""
    return {line.text for line in picture.labels.lines} if picture.labels else set()


def _check_sources(dataset: DataSet) -> Iterator[Finding]:
    if is_one_split(dataset):
        return
    splits: dict[str, dict[str, LabelledPicture]] = defaultdict(dict)
    for split in dataset.splits.values():
        for picture in split.pictures:
            if rendering := _RENDERING.fullmatch(picture.path.stem):
                splits[rendering[1]].setdefault(split.name, picture)
    for source, pictures in splits.items():
        if len(pictures) > 1:
            last = list(pictures.values())[-1]
            yield Finding(Kind.SOURCE_LEAK, last.path, 0, f"'{source}' is in {' and '.join(pictures)}")


def is_one_split(dataset: DataSet) -> bool:
    """Tell whether training and validation take the same files, as small examples do."""
    train, val = dataset.splits.get(TRAIN), dataset.splits.get(VAL)
    return bool(train and val and train.pictures == val.pictures and train.pictures)


def _check_splits(dataset: DataSet) -> Iterator[Finding]:
    description = dataset.description
    for name, kind in ((TRAIN, Kind.NO_TRAINING), (VAL, Kind.NO_VALIDATION)):
        if name not in dataset.splits and not _is_known_missing(description, name):
            yield Finding(kind, description.path)
    for split in dataset.splits.values():
        if not split.pictures:
            yield Finding(Kind.TEST_MISSING if split.name == TEST else Kind.NO_PICTURES, split.sources[0])
        elif split.name != TEST and not any(picture.labels for picture in split.pictures):
            yield Finding(Kind.NO_LABELS, split.sources[0], 0, f"expected {split.pictures[0].expected_labels.parent}")
    if is_one_split(dataset):
        yield Finding(Kind.SAME_SPLIT, description.path, description.lines.get(VAL, 0))


def _is_known_missing(description: Description, split: str) -> bool:
    missing = [finding for finding in description.findings if finding.kind is Kind.FOLDER_MISSING]
    return any(finding.line == description.lines.get(split, -1) for finding in missing)


def count_objects(split: Split) -> Counter[int]:
    """Count a split's objects by class id."""
    objects = chain.from_iterable(picture.labels.objects for picture in split.pictures if picture.labels)
    return Counter(found.class_id for found in objects)


def _check_classes(dataset: DataSet) -> Iterator[Finding]:
    description = dataset.description
    path, line = description.path, description.lines.get("names", 0)
    counts = {name: count_objects(split) for name, split in dataset.splits.items() if split.pictures}
    used = set().union(*counts.values())
    names = dataset.class_names
    unused = [name for class_id, name in enumerate(names) if class_id not in used]
    if unused and used:
        yield Finding(Kind.CLASS_UNUSED, path, line, f"{len(unused)} of {len(names)}: {_listed(unused)}")
    for split in (TRAIN, VAL):
        absent = [names[class_id] for class_id in sorted(used - set(counts.get(split, ())))]
        if absent and counts.get(split):
            yield Finding(Kind.CLASS_NOT_IN_SPLIT, path, line, f"{split}: {_listed(absent)}")


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_MANY]) + (" ..." if len(names) > _MANY else "")


def _grouped(pairs: Iterable[tuple[_Key, _Value]]) -> dict[_Key, list[_Value]]:
    groups: dict[_Key, list[_Value]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return groups
