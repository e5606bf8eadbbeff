"""Read a data set in YOLO's segmentation form: which pictures, and which objects each of them shows.

Irregularities that do not hide what is meant are read over; `check` tells of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from yolov8_seg_ros.errors import DataSetError
from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES as PICTURE_SUFFIXES
from yolov8_seg_ros.tools.dataset.description import MAX_CLASSES, SPLITS, Description, read_description
from yolov8_seg_ros.tools.dataset.labels import LabelFile, LabelLine, read_labels

LABEL_SUFFIX = ".txt"
#: Where pictures and labels lie side by side, the one word is replaced by the other.
IMAGES, LABELS = "images", "labels"
#: What labelling and training programs leave among the labels.
_NO_LABELS = frozenset({"classes.txt", "notes.txt"})


@dataclass(frozen=True)
class LabelledPicture:
    """Hold a picture's file and its labels.

    Attributes:
        path: of the picture.
        labels: None where there is no label file.
        expected_labels: where training looks for the label file.
    """

    path: Path
    labels: LabelFile | None
    expected_labels: Path


@dataclass(frozen=True)
class Split:
    """Hold the pictures of one split.

    Attributes:
        name: train, val or test.
        sources: the folders and list files that they come from.
        pictures: sorted by path.
        labels_alone: label files that no picture belongs to.
        other_files: what lies among the pictures and is none.
    """

    name: str
    sources: tuple[Path, ...]
    pictures: tuple[LabelledPicture, ...]
    labels_alone: tuple[Path, ...] = ()
    other_files: tuple[Path, ...] = ()


@dataclass(frozen=True)
class DataSet:
    """Hold a data set.

    Attributes:
        description: what its `data.yaml` says.
        splits: by name (train, val, test), those that there are.
    """

    description: Description
    splits: Mapping[str, Split]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names by class id, numbered names where the data set gives none."""
        seen = (line.class_id for split in self.splits.values() for line in _lines(split))
        return self.description.class_names or tuple(f"class_{index}" for index in range(max(seen, default=-1) + 1))

    def split(self, name: str) -> Split:
        """Give a split by its name: train, val or test.

        Raises:
            DataSetError: if there is none, or it has no pictures.
        """
        split = self.splits.get(name)
        if split is None or not split.pictures:
            filled = [split.name for split in self.splits.values() if split.pictures]
            raise DataSetError(f"{self.description.path}: no pictures for '{name}'; there are: {', '.join(filled)}")
        return split

    def all_pictures(self) -> list[LabelledPicture]:
        """Give the pictures of all splits, each file once."""
        return list({picture.path: picture for split in self.splits.values() for picture in split.pictures}.values())


def read_dataset(path: Path) -> DataSet:
    """Read a data set.

    Args:
        path: its `data.yaml`, or the folder of it; where the file is missing the usual folders are taken.

    Raises:
        DataSetError: if there is no data set.
        OSError: if a file of it cannot be read.
    """
    description = read_description(path)
    splits = {name: _read_split(name, description) for name in SPLITS if name in description.folders}
    used = {picture.labels.path for split in splits.values() for picture in split.pictures if picture.labels}
    splits = {name: _with_strays(split, used) for name, split in splits.items()}
    return DataSet(description, splits)


def _lines(split: Split) -> Iterable[LabelLine]:
    return (line for picture in split.pictures if picture.labels for line in picture.labels.lines)


def _read_split(name: str, description: Description) -> Split:
    sources = description.folders[name]
    paths = sorted({path for source in sources for path in _picture_paths(source)})
    finder = _LabelFinder()
    pictures = []
    for path in paths:
        found = finder.find(path)
        labels = read_labels(found, description.num_classes or MAX_CLASSES) if found else None
        pictures.append(LabelledPicture(path, labels, expected_label_path(path)))
    return Split(name, sources, tuple(pictures))


def _picture_paths(source: Path) -> Iterable[Path]:
    if source.is_dir():
        return (path for path in _files_below(source) if is_picture_name(path))
    if is_picture_name(source):
        return [source]
    return _listed_pictures(source)


def _listed_pictures(list_file: Path) -> list[Path]:
    lines = (line.strip() for line in list_file.read_text(encoding="utf-8-sig", errors="replace").splitlines())
    # A relative path counts from the folder of the list.
    return [list_file.parent / line for line in lines if line]


def is_picture_name(path: Path) -> bool:
    """Tell whether a file is taken for a picture, by its suffix."""
    return path.suffix.lower() in PICTURE_SUFFIXES


def _files_below(folder: Path) -> list[Path]:
    """Give the files in a folder and its subfolders, without hidden ones (a Mac leaves some in archives)."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [path for path in files if not any(part.startswith(".") for part in path.relative_to(folder).parts)]


def expected_label_path(picture: Path) -> Path:
    """Give the path where training looks for a picture's labels: in `labels` in place of the last `images`."""
    return _label_folder(picture.parent) / f"{picture.stem}{LABEL_SUFFIX}"


def _label_folder(folder: Path) -> Path:
    parts = list(folder.parts)
    for place in reversed(range(len(parts))):
        if parts[place] == IMAGES:
            return Path(*parts[:place], LABELS, *parts[place + 1 :])
    return folder


class _LabelFinder:
    """Find label files, also those beside the picture or written in other capitals."""

    def __init__(self) -> None:
        self._by_folder: dict[Path, dict[str, Path]] = {}

    def find(self, picture: Path) -> Path | None:
        expected = expected_label_path(picture)
        if expected.is_file():
            return expected
        wanted = expected.name.lower()
        return self._names_in(expected.parent).get(wanted) or self._names_in(picture.parent).get(wanted)

    def _names_in(self, folder: Path) -> dict[str, Path]:
        if folder not in self._by_folder:
            files = sorted(folder.iterdir()) if folder.is_dir() else []
            self._by_folder[folder] = {path.name.lower(): path for path in files if path.is_file()}
        return self._by_folder[folder]


def _with_strays(split: Split, used: set[Path]) -> Split:
    folders = [source for source in split.sources if source.is_dir()]
    label_folders = {_label_folder(folder) for folder in folders} | set(folders)
    labels = {path for folder in label_folders if folder.is_dir() for path in _files_below(folder) if _is_label(path)}
    others = {path for folder in folders for path in _files_below(folder) if _is_other(path)}
    return Split(split.name, split.sources, split.pictures, tuple(sorted(labels - used)), tuple(sorted(others)))


def _is_label(path: Path) -> bool:
    return path.suffix.lower() == LABEL_SUFFIX and path.name not in _NO_LABELS


def _is_other(path: Path) -> bool:
    return not is_picture_name(path) and path.suffix.lower() not in (LABEL_SUFFIX, ".cache")
