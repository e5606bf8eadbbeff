"""Read a data set in YOLO's segmentation form: its images and the objects that each of them shows.

Irregularities that leave the meaning clear are tolerated here and reported by `check`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from yolov8_seg_ros.errors import DataSetError
from yolov8_seg_ros.files import read_file
from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES
from yolov8_seg_ros.text import numbered_class
from yolov8_seg_ros.tools.dataset.description import MAX_CLASSES, SPLITS, TRAIN, VAL, Description, read_description
from yolov8_seg_ros.tools.dataset.labels import LabelFile, read_labels

LABEL_SUFFIX = ".txt"
#: Where images and labels lie side by side, the one word is replaced by the other.
IMAGES, LABELS = "images", "labels"
#: What labelling and training programs leave among the labels.
_NO_LABELS = frozenset({"classes.txt", "notes.txt"})
_CACHE_SUFFIX = ".cache"


@dataclass(frozen=True)
class LabelledImage:
    """An image's file and its labels.

    Attributes:
        path: of the image.
        labels: None where there is no label file.
        expected_labels: where training looks for the label file.
    """

    path: Path
    labels: LabelFile | None
    expected_labels: Path

    @property
    def label_texts(self) -> set[str]:
        """Return the lines of its label file, in no order."""
        return {line.text for line in self.labels.lines} if self.labels else set()


@dataclass(frozen=True)
class Split:
    """The images of one split.

    Attributes:
        name: train, val or test.
        sources: the folders and list files that they come from.
        images: sorted by path.
        labels_alone: label files that no image belongs to.
        other_files: files among the images that are not images.
    """

    name: str
    sources: tuple[Path, ...]
    images: tuple[LabelledImage, ...]
    labels_alone: tuple[Path, ...] = ()
    other_files: tuple[Path, ...] = ()

    def count_objects(self) -> Counter[int]:
        """Count the objects by class id."""
        objects = chain.from_iterable(image.labels.objects for image in self.images if image.labels)
        return Counter(found.class_id for found in objects)


@dataclass(frozen=True)
class DataSet:
    """A data set.

    Attributes:
        description: what its `data.yaml` says.
        splits: by name (train, val, test), those that there are.
    """

    description: Description
    splits: Mapping[str, Split]

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names by class id, numbered names where the data set gives none."""
        seen = (line.class_id for image in self.all_images() if image.labels for line in image.labels.lines)
        return self.description.class_names or tuple(map(numbered_class, range(max(seen, default=-1) + 1)))

    @property
    def is_one_split(self) -> bool:
        """Return whether training and validation take the same files, as small examples do."""
        train, val = self.splits.get(TRAIN), self.splits.get(VAL)
        return bool(train and val and train.images == val.images and train.images)

    def split(self, name: str) -> Split:
        """Return a split by its name: train, val or test.

        Raises:
            DataSetError: if there is none, or it has no images.
        """
        split = self.splits.get(name)
        if split is None or not split.images:
            filled = [split.name for split in self.splits.values() if split.images]
            raise DataSetError(f"{self.description.path}: no images for '{name}'; there are: {', '.join(filled)}")
        return split

    def all_images(self) -> list[LabelledImage]:
        """Return the images of all splits, each file once."""
        return list({image.path: image for split in self.splits.values() for image in split.images}.values())


def read_dataset(path: Path) -> DataSet:
    """Read a data set.

    Args:
        path: its `data.yaml`, or the folder of it; where the file is missing the usual folders are taken.

    Raises:
        DataSetError: if there is no data set.
        OSError: if a file of it cannot be read.
    """
    description = read_description(path)
    images = {split: _read_images(description, split) for split in SPLITS if split in description.folders}
    used = {image.labels.path for split in images.values() for image in split if image.labels}
    return DataSet(
        description,
        {name: Split(name, description.folders[name], split, *_strays(description.folders[name], used))
         for name, split in images.items()},
    )  # fmt: skip


def is_image_name(path: Path) -> bool:
    """Return whether a file is taken for an image, by its suffix."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def expected_label_path(image: Path) -> Path:
    """Return the path where training looks for an image's labels: in `labels` in place of the last `images`."""
    return _label_folder(image.parent) / f"{image.stem}{LABEL_SUFFIX}"


def summary_table(dataset: DataSet) -> list[list[str]]:
    """Return a table of objects by class and of images, with a column for each split; the first row is its head."""
    splits = list(dataset.splits.values())
    counts, names = [split.count_objects() for split in splits], dataset.class_names
    totals = {
        "objects": [count.total() for count in counts],
        "images": [len(split.images) for split in splits],
        "  without a label file": [sum(not image.labels for image in split.images) for split in splits],
        "  with an empty one": [
            sum(bool(image.labels and not image.labels.lines) for image in split.images) for split in splits
        ],
    }
    used = sorted(set().union(*counts))
    rows = {f"{index} {names[index]}": [count[index] for count in counts] for index in used} | totals
    return [["class", *(split.name for split in splits)], *([title, *map(str, row)] for title, row in rows.items())]


def _read_images(description: Description, split: str) -> tuple[LabelledImage, ...]:
    paths = sorted({path for source in description.folders[split] for path in _image_paths(source)})
    finder, num_classes = _LabelFinder(), description.num_classes or MAX_CLASSES
    images = []
    for path in paths:
        found = finder.find(path)
        labels = read_labels(found, num_classes) if found else None
        images.append(LabelledImage(path, labels, expected_label_path(path)))
    return tuple(images)


def _image_paths(source: Path) -> Iterable[Path]:
    if source.is_dir():
        return (path for path in _files_below(source) if is_image_name(path))
    if is_image_name(source):
        return [source]
    lines = (line.strip() for line in read_file(source).decode("utf-8-sig", errors="replace").splitlines())
    # A relative path counts from the folder of the list.
    return [source.parent / line for line in lines if line]


def _files_below(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder and its subfolders, without hidden ones (a Mac leaves some in archives)."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def _label_folder(folder: Path) -> Path:
    parts = list(folder.parts)
    for place in reversed(range(len(parts))):
        if parts[place] == IMAGES:
            return Path(*parts[:place], LABELS, *parts[place + 1 :])
    return folder


class _LabelFinder:
    """Search for label files, also those beside the image or written in other capitals."""

    def __init__(self) -> None:
        self._by_folder: dict[Path, dict[str, Path]] = {}

    def find(self, image: Path) -> Path | None:
        expected = expected_label_path(image)
        if expected.is_file():
            return expected
        wanted = expected.name.lower()
        return self._names_in(expected.parent).get(wanted) or self._names_in(image.parent).get(wanted)

    def _names_in(self, folder: Path) -> dict[str, Path]:
        if folder not in self._by_folder:
            files = sorted(folder.iterdir()) if folder.is_dir() else []
            self._by_folder[folder] = {path.name.lower(): path for path in files if path.is_file()}
        return self._by_folder[folder]


def _strays(sources: Iterable[Path], used: set[Path]) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the label files without an image, and what is neither image nor label."""
    folders = {source for source in sources if source.is_dir()}
    beside = {label_folder for folder in folders if (label_folder := _label_folder(folder)).is_dir()}
    files = {path for folder in folders | beside for path in _files_below(folder)}
    labels = {path for path in files if path.suffix.lower() == LABEL_SUFFIX and path.name not in _NO_LABELS}
    among_images = {path for folder in folders for path in _files_below(folder) if not is_image_name(path)}
    others = {path for path in among_images if path.suffix.lower() not in (LABEL_SUFFIX, _CACHE_SUFFIX)}
    return tuple(sorted(labels - used)), tuple(sorted(others))
