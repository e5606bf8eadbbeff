"""Define ground truth in COCO's terms, read it from a data set in YOLO's form, and match its classes with a model's."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle_codec

from yolov8_seg_ros.core.network_spec import NetworkSpec
from yolov8_seg_ros.errors import EvaluationError
from yolov8_seg_ros.media.coco import compress, image_ids
from yolov8_seg_ros.text import numbered_class
from yolov8_seg_ros.tools.dataset.labels import LabelledObject
from yolov8_seg_ros.tools.dataset.reader import LabelledImage, read_dataset

#: An entry of COCO's list of annotations without `id` and `image_id`; without `segmentation` only the box is known.
Annotation = dict[str, Any]
#: How many classes a message lists.
_MANY = 10


@dataclass(frozen=True)
class AnnotatedImage(ABC):
    """An image and its ground truth.

    Attributes:
        path: of the file.
        file_name: its name in lists.
        image_id: its number, unlike that of any other.
    """

    path: Path
    file_name: str
    image_id: int

    @abstractmethod
    def annotations(self, image_hw: tuple[int, int]) -> list[Annotation]:
        """Return the annotations of an image of this height and width in pixels.

        Raises:
            EvaluationError: if they are of another size.
        """


@dataclass(frozen=True)
class GroundTruth:
    """Images with their ground truth.

    Attributes:
        source: the file that it comes from.
        class_names: by category id.
        used: ids of the categories that have objects.
        images: in a fixed order.
        notes: what a person should know about them.
    """

    source: Path
    class_names: Mapping[int, str]
    used: frozenset[int]
    images: Sequence[AnnotatedImage]
    notes: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """Return whether the classes have names rather than numbers."""
        return any(name != numbered_class(class_id) for class_id, name in self.class_names.items())


def read_yolo(path: Path, split: str) -> GroundTruth:
    """Read a split of a data set in YOLO's form.

    Args:
        path: its `data.yaml`, or its folder.
        split: train, val or test.

    Raises:
        DataSetError: if there is no such data set, or the split has no images.
        OSError: if a file of it cannot be read.
    """
    dataset = read_dataset(path)
    labelled = dataset.split(split).images
    names = _names_below_common_folder([image.path for image in labelled])
    ids = image_ids([image.path.name for image in labelled])
    images = [
        _YoloImage(image.path, name, image_id, image.labels.objects if image.labels else ())
        for image, name, image_id in zip(labelled, names, ids, strict=True)
    ]
    used = frozenset(labelled.class_id for image in images for labelled in image.objects)
    return GroundTruth(dataset.description.path, dict(enumerate(dataset.class_names)), used, images, _notes(labelled))


def match_classes(truth: GroundTruth, spec: NetworkSpec, chosen: Collection[int] | None = None) -> dict[int, int]:
    """Return the category id by class index of the model, for the classes that both have.

    Classes are matched by name, whatever their capitals; by number where one side has no names.

    Args:
        truth: the ground truth.
        spec: of the model.
        chosen: class indices of the model to keep; None keeps all, and then none of the data set's may be missing.

    Raises:
        EvaluationError: if classes that have objects are none of the model's.
    """
    matched = _by_name(truth, spec) if truth.is_named and spec.names_given else _by_number(truth, spec)
    if chosen is not None:
        matched = {index: category for index, category in matched.items() if index in chosen}
    missing = [truth.class_names[category] for category in sorted(truth.used - set(matched.values()))]
    if not matched or (missing and chosen is None):
        strangers = _listed(missing or list(truth.class_names.values()))
        raise EvaluationError(
            f"{truth.source}: its classes {strangers} are none of the model's ({_listed(spec.class_names)}); "
            "name the model's as the data set does with --class-names-file, or choose some of them with --classes"
        )
    return matched


def polygon_annotation(category_id: int, parts: list[list[float]], image_hw: tuple[int, int]) -> Annotation:
    """Return an object whose outline is known.

    Args:
        category_id: of its class.
        parts: one or more polygons x, y, x, y ..., in image pixels.
        image_hw: height and width of the image, in pixels.
    """
    points = np.concatenate([np.reshape(part, (-1, 2)) for part in parts])
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return {
        "category_id": category_id,
        "bbox": [left, top, right - left, bottom - top],
        "area": float(rle_codec.area(compress(parts, image_hw))),
        "iscrowd": 0,
        "segmentation": parts,
    }


def box_annotation(category_id: int, xywh: list[float], is_crowd: bool = False) -> Annotation:
    """Return an object of which only left, top, width and height are known, in image pixels."""
    return {"category_id": category_id, "bbox": xywh, "area": xywh[2] * xywh[3], "iscrowd": int(is_crowd)}


@dataclass(frozen=True)
class _YoloImage(AnnotatedImage):
    objects: tuple[LabelledObject, ...]

    def annotations(self, image_hw: tuple[int, int]) -> list[Annotation]:
        return [_annotation(labelled, image_hw) for labelled in self.objects]


def _annotation(labelled: LabelledObject, image_hw: tuple[int, int]) -> Annotation:
    points = labelled.points * (image_hw[1], image_hw[0])
    if not labelled.is_box:
        return polygon_annotation(labelled.class_id, [points.ravel().tolist()], image_hw)
    (left, top), (right, bottom) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
    return box_annotation(labelled.class_id, [left, top, right - left, bottom - top])


def _names_below_common_folder(paths: Sequence[Path]) -> list[str]:
    folder = paths[0].parent
    while not all(path.is_relative_to(folder) for path in paths):
        folder = folder.parent
    return [str(path.relative_to(folder)) for path in paths]


def _notes(images: Iterable[LabelledImage]) -> tuple[str, ...]:
    lines = [line for image in images if image.labels for line in image.labels.lines]
    lost = sum(line.to_object() is None for line in lines)
    if not lost:
        return ()
    return (f"{lost} of {len(lines)} label lines cannot be used: 'yolov8_seg dataset check' reports which",)


def _by_name(truth: GroundTruth, spec: NetworkSpec) -> dict[int, int]:
    ids = sorted(truth.class_names)
    names = [_plain(truth.class_names[category]) for category in ids]
    known = [_plain(name) for name in spec.class_names]
    if names == known:
        return dict(enumerate(ids))
    twice = sorted({name for name in names if names.count(name) > 1 and name in known})
    if twice:
        raise EvaluationError(f"{truth.source}: more than one class is called {_listed(twice)}; give each its own name")
    return {known.index(name): category for category, name in zip(ids, names, strict=True) if name in known}


def _by_number(truth: GroundTruth, spec: NetworkSpec) -> dict[int, int]:
    if len(truth.class_names) != len(spec.class_names):
        nameless = "the data set" if spec.names_given else "the model"
        raise EvaluationError(
            f"{truth.source}: {len(truth.class_names)} classes, the model has {len(spec.class_names)}, and {nameless} "
            "does not name its own, so that they cannot be matched; "
            + ("write 'names' into data.yaml" if spec.names_given else "give --class-names-file")
        )
    return dict(enumerate(sorted(truth.class_names)))


def _plain(name: str) -> str:
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in list(names)[:_MANY])
    return shown + (f" and {len(names) - _MANY} more" if len(names) > _MANY else "")
