"""Check a data set: find everything that training would trip over, or silently make less of."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TypeVar

from yolov8_seg_ros.errors import DecodeError
from yolov8_seg_ros.files import read_file
from yolov8_seg_ros.media.image_file import ImageFormat, decode_image, image_format, is_turned
from yolov8_seg_ros.tools.dataset.description import TEST, TRAIN, VAL
from yolov8_seg_ros.tools.dataset.finding import Finding, Kind
from yolov8_seg_ros.tools.dataset.labels import LabelFile
from yolov8_seg_ros.tools.dataset.reader import DataSet, LabelledImage

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")
#: The side in pixels below which a network of stride 32 sees next to nothing.
_SMALL_SIDE_PX = 32
#: How Roboflow names a rendering of an image: the source's name, its suffix, and a number of the rendering.
_RENDERING = re.compile(r"(.+)\.rf\.\w+")
#: How many classes a message lists.
_MANY = 8


@dataclass(frozen=True)
class ImageFacts:
    """Facts about an image's file.

    Attributes:
        path: of the file.
        digest: equal for files of the same bytes; empty where the file cannot be opened.
        format: None where it is not known.
        size_wh: width and height in pixels, upright; None where it cannot be read.
        fault: why it cannot be read; empty where it can.
        is_turned: whether its EXIF data turn it.
    """

    path: Path
    digest: str = ""
    format: ImageFormat | None = None
    size_wh: tuple[int, int] | None = None
    fault: str = ""
    is_turned: bool = False


def inspect_images(paths: Iterable[Path], advance: Callable[[], object] = lambda: None) -> dict[Path, ImageFacts]:
    """Read and decode images, several at a time.

    Args:
        paths: the files.
        advance: called after each.
    """
    facts = {}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(_inspect, paths):
            facts[found.path] = found
            advance()
    return facts


def check_dataset(dataset: DataSet, facts: Mapping[Path, ImageFacts]) -> list[Finding]:
    """Return all findings, those about `data.yaml` first, then by file and line.

    Args:
        dataset: the data set.
        facts: what `inspect_images` found out about its images, by path.
    """
    images = dataset.all_images()
    label_files = {image.labels.path: image.labels for image in images if image.labels}
    by_file = chain(
        *map(_check_label_file, label_files.values()),
        _check_boxes(label_files.values()),
        *map(_check_place, images),
        *(_check_image(facts[image.path]) for image in images),
        *((Finding(Kind.LABELS_ALONE, path) for path in split.labels_alone) for split in dataset.splits.values()),
        *((Finding(Kind.OTHER_FILE, path) for path in split.other_files) for split in dataset.splits.values()),
        _check_twins(dataset, facts),
        _check_renderings(dataset),
    )
    about_the_set = chain(dataset.description.findings, _check_splits(dataset), _check_classes(dataset))
    return [*about_the_set, *sorted(dict.fromkeys(by_file), key=lambda finding: (finding.path, finding.line))]


def _inspect(path: Path) -> ImageFacts:
    try:
        data = read_file(path)
    except OSError as error:
        return ImageFacts(path, fault=error.strerror or str(error))
    digest, found = hashlib.sha256(data).hexdigest(), image_format(data)
    try:
        image = decode_image(data)
        height, width = image.shape[:2]
        return ImageFacts(path, digest, found, (width, height), is_turned=is_turned(data, image))
    except DecodeError as error:
        return ImageFacts(path, digest, found, fault=str(error))


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


def _check_boxes(label_files: Iterable[LabelFile]) -> Iterator[Finding]:
    lines = [(labels.path, line) for labels in label_files for line in labels.lines]
    boxes = [(path, line) for path, line in lines if line.is_box]
    if boxes and len(boxes) == len(lines):
        path, line = boxes[0]
        yield Finding(Kind.ONLY_BOXES, path, line.number, f"the first of {len(boxes)} boxes")
        return
    yield from (Finding(Kind.BOX_LINE, path, line.number) for path, line in boxes if line.fault is None)


def _check_place(image: LabelledImage) -> Iterator[Finding]:
    if image.labels is None:
        yield Finding(Kind.NO_LABEL_FILE, image.path)
    elif image.labels.path != image.expected_labels:
        yield Finding(Kind.LABEL_PLACE, image.labels.path, 0, f"expected {image.expected_labels}")


def _check_image(facts: ImageFacts) -> Iterator[Finding]:
    suffix = facts.path.suffix
    if facts.fault:
        yield Finding(Kind.UNREADABLE, facts.path, 0, facts.fault)
    if facts.format and suffix.lower() not in facts.format.suffixes:
        yield Finding(Kind.WRONG_SUFFIX, facts.path, 0, f"it is {facts.format.name}")
    if suffix != suffix.lower():
        yield Finding(Kind.SUFFIX_CAPITALS, facts.path)
    if facts.size_wh and min(facts.size_wh) < _SMALL_SIDE_PX:
        yield Finding(Kind.TINY, facts.path, 0, "{}x{} px".format(*facts.size_wh))
    if facts.is_turned:
        yield Finding(Kind.TURNED, facts.path)


def _check_twins(dataset: DataSet, facts: Mapping[Path, ImageFacts]) -> Iterator[Finding]:
    """Find images of the same bytes, and different ones that share labels."""
    of_labels = _grouped((image.labels.path, image.path.name) for image in dataset.all_images() if image.labels)
    for path, names in of_labels.items():
        if len(names) > 1:
            yield Finding(Kind.LABELS_SHARED, path, 0, ", ".join(names))
    splits = [dataset.splits[VAL]] if dataset.is_one_split else dataset.splits.values()
    places = [(split.name, image) for split in splits for image in split.images]
    for twins in _grouped((facts[place[1].path].digest or place[1].path, place) for place in places).values():
        yield from _compare_twins(twins)


def _compare_twins(twins: list[tuple[str, LabelledImage]]) -> Iterator[Finding]:
    first_split, first = twins[0]
    for split, twin in twins[1:]:
        if split != first_split:
            yield Finding(Kind.LEAK, twin.path, 0, f"in {split}, and in {first_split} as {first.path.name}")
        else:
            kind = Kind.IMAGE_TWICE if twin.label_texts == first.label_texts else Kind.LABELS_DIFFER
            yield Finding(kind, twin.path, 0, f"as {first.path.name}")


def _check_renderings(dataset: DataSet) -> Iterator[Finding]:
    if dataset.is_one_split:
        return
    images_by_source: dict[str, dict[str, LabelledImage]] = defaultdict(dict)
    for split in dataset.splits.values():
        for image in split.images:
            if rendering := _RENDERING.fullmatch(image.path.stem):
                images_by_source[rendering[1]].setdefault(split.name, image)
    for source, images in images_by_source.items():
        if len(images) > 1:
            last = list(images.values())[-1]
            yield Finding(Kind.SOURCE_LEAK, last.path, 0, f"'{source}' is in {' and '.join(images)}")


def _check_splits(dataset: DataSet) -> Iterator[Finding]:
    description = dataset.description
    missing = {finding.line for finding in description.findings if finding.kind is Kind.FOLDER_MISSING}
    for name, kind in ((TRAIN, Kind.NO_TRAINING), (VAL, Kind.NO_VALIDATION)):
        if name not in dataset.splits and description.lines.get(name, -1) not in missing:
            yield Finding(kind, description.path)
    for split in dataset.splits.values():
        if not split.images:
            yield Finding(Kind.TEST_MISSING if split.name == TEST else Kind.NO_IMAGES, split.sources[0])
        elif split.name != TEST and not any(image.labels for image in split.images):
            yield Finding(Kind.NO_LABELS, split.sources[0], 0, f"expected {split.images[0].expected_labels.parent}")
    if dataset.is_one_split:
        yield Finding(Kind.SAME_SPLIT, description.path, description.lines.get(VAL, 0))


def _check_classes(dataset: DataSet) -> Iterator[Finding]:
    path, line = dataset.description.path, dataset.description.lines.get("names", 0)
    counts = {name: split.count_objects() for name, split in dataset.splits.items() if split.images}
    used, names = set().union(*counts.values()), dataset.class_names
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
