"""Hold what is to be found in pictures, in COCO's terms, and read it from a data set in YOLO's form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as rle_codec

from yolov8_seg_ros.media.coco import compress, image_ids
from yolov8_seg_ros.tools.dataset.labels import LabelledObject
from yolov8_seg_ros.tools.dataset.reader import LabelledImage, read_dataset

#: An entry of COCO's list of annotations without `id` and `image_id`; without `segmentation` only the box is known.
Annotation = dict[str, Any]


@dataclass(frozen=True)
class TruePicture:
    """Hold a picture and what is to be found in it.

    Attributes:
        path: of the file.
        file_name: what it is called in lists.
        image_id: its number, unlike that of any other.
        annotate: gives its annotations, for the height and width in pixels that it turns out to have; raises
            EvaluationError where they are of another size.
    """

    path: Path
    file_name: str
    image_id: int
    annotate: Callable[[tuple[int, int]], list[Annotation]]


@dataclass(frozen=True)
class Truth:
    """Hold pictures and what is to be found in them.

    Attributes:
        source: the file that it comes from.
        class_names: by category id.
        used: ids of the categories that have objects.
        pictures: in a fixed order.
        notes: what a person should know about them.
    """

    source: Path
    class_names: Mapping[int, str]
    used: frozenset[int]
    pictures: tuple[TruePicture, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_named(self) -> bool:
        """Whether the classes have names rather than numbers."""
        return any(name != f"class_{class_id}" for class_id, name in self.class_names.items())


def read_yolo_truth(path: Path, split: str) -> Truth:
    """Read a split of a data set in YOLO's form.

    Args:
        path: its `data.yaml`, or its folder.
        split: train, val or test.

    Raises:
        DataSetError: if there is no such data set, or the split has no pictures.
        OSError: if a file of it cannot be read.
    """
    dataset = read_dataset(path)
    labelled = dataset.split(split).images
    names = _names_below_common_folder([picture.path for picture in labelled])
    ids = image_ids([picture.path.name for picture in labelled])
    pictures = tuple(
        TruePicture(picture.path, name, image_id, _annotator(_objects(picture)))
        for picture, name, image_id in zip(labelled, names, ids, strict=True)
    )
    used = frozenset(labelled.class_id for picture in labelled for labelled in _objects(picture))
    return Truth(dataset.description.path, dict(enumerate(dataset.class_names)), used, pictures, _notes(labelled))


def polygon_annotation(category_id: int, parts: list[list[float]], image_hw: tuple[int, int]) -> Annotation:
    """Give an object whose outline is known.

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
    """Give an object of which only left, top, width and height are known, in image pixels."""
    return {"category_id": category_id, "bbox": xywh, "area": xywh[2] * xywh[3], "iscrowd": int(is_crowd)}


def _objects(picture: LabelledImage) -> tuple[LabelledObject, ...]:
    return picture.labels.objects if picture.labels else ()


def _annotator(objects: Iterable[LabelledObject]) -> Callable[[tuple[int, int]], list[Annotation]]:
    def annotate(image_hw: tuple[int, int]) -> list[Annotation]:
        return [_annotation(labelled, image_hw) for labelled in objects]

    return annotate


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


def _notes(pictures: Iterable[LabelledImage]) -> tuple[str, ...]:
    lines = [line for picture in pictures if picture.labels for line in picture.labels.lines]
    lost = sum(line.to_object() is None for line in lines)
    if not lost:
        return ()
    return (f"{lost} of {len(lines)} label lines cannot be used: 'yolov8_seg dataset check' tells which",)
