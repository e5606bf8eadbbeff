"""Read ground truth from a COCO annotations file, as COCO itself and labelling programs write it."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pycocotools import mask as rle_codec

from yolov8_seg_ros.errors import EvaluationError, one_line
from yolov8_seg_ros.files import read_file
from yolov8_seg_ros.media.coco import compress
from yolov8_seg_ros.model_files.class_names import clean_class_name
from yolov8_seg_ros.tools.evaluation.ground_truth import AnnotatedImage, Annotation, GroundTruth, box_annotation

#: COCO's own annotation files are called so, each after the folder of its images: instances_val2017.json.
_PREFIX = "instances_"
#: x and y of three points.
_MIN_POLYGON = 6


def read_coco(path: Path, images: Path | None = None) -> GroundTruth:
    """Read an annotations file.

    Args:
        path: the JSON file.
        images: the folder that the names of its images count from; looked for near the file where None.

    Raises:
        EvaluationError: if it is not such a file, or its images are not there.
        OSError: if it cannot be read.
    """
    content = _load(path)
    names = {
        entry["id"]: clean_class_name(entry["name"])
        for entry in _entries(path, content, "categories", id=int, name=str)
    }
    entries = list(_entries(path, content, "images", id=int, file_name=str))
    if not entries or len({entry["id"] for entry in entries}) < len(entries):
        raise EvaluationError(f"{path}: {len(entries)} images; expected one at least, each with an id of its own")
    by_image, used, lost = _annotations_by_image(path, content, names, {entry["id"] for entry in entries})
    folder = images or _find_folder(path, entries[0]["file_name"])
    annotated = [
        _CocoImage(folder / entry["file_name"], entry["file_name"], entry["id"], by_image[entry["id"]])
        for entry in sorted(entries, key=lambda entry: str(entry["file_name"]))
    ]
    if not any(image.path.is_file() for image in annotated):
        raise EvaluationError(f"{folder}: none of the images of {path} is there; give their folder with --images")
    notes = (f"{lost} annotations of {path.name} cannot be used: they name no image, or have no box",) if lost else ()
    return GroundTruth(path, names, used, annotated, notes)


@dataclass(frozen=True)
class _CocoImage(AnnotatedImage):
    entries: Sequence[Mapping[str, Any]]

    def annotations(self, image_hw: tuple[int, int]) -> list[Annotation]:
        return [_annotation(entry, image_hw) for entry in self.entries]


def _load(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(read_file(path).decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise EvaluationError(f"{path}: is not JSON ({one_line(error)})") from error
    if not isinstance(content, dict) or not {"images", "annotations", "categories"} <= content.keys():
        raise EvaluationError(
            f"{path}: expected COCO annotations, with 'images', 'annotations' and 'categories' (instances_*.json); "
            "or give the data.yaml of a data set in YOLO's form"
        )
    return content


def _entries(path: Path, content: Mapping[str, Any], key: str, **needed: type) -> Iterator[Mapping[str, Any]]:
    """Yield the entries of a list, each of which has what is needed."""
    if not isinstance(content[key], list):
        raise EvaluationError(f"{path}: '{key}' is not a list")
    for place, entry in enumerate(content[key]):
        for name, kind in needed.items():
            if not isinstance(entry, dict) or not isinstance(entry.get(name), kind):
                raise EvaluationError(f"{path}: '{key}', entry {place}: expected '{name}', of type {kind.__name__}")
        yield entry


def _annotations_by_image(
    path: Path, content: Mapping[str, Any], names: Mapping[int, str], image_ids: set[int]
) -> tuple[dict[int, list[Mapping[str, Any]]], frozenset[int], int]:
    """Return the usable annotations by image, the ids of their categories, and how many are not usable."""
    by_image: dict[int, list[Mapping[str, Any]]] = defaultdict(list)
    used, lost = set(), 0
    for entry in _entries(path, content, "annotations", image_id=int, category_id=int):
        if entry["category_id"] not in names:
            raise EvaluationError(f"{path}: an annotation is of category {entry['category_id']}, which is not listed")
        if entry["image_id"] not in image_ids or not (_is_box(entry.get("bbox")) or _outline(entry)):
            lost += 1
            continue
        by_image[entry["image_id"]].append(entry)
        used.add(entry["category_id"])
    return by_image, frozenset(used), lost


def _find_folder(path: Path, file_name: str) -> Path:
    """Return the folder of the images: that of the file, `images` near it, or the one in the file's name."""
    named = path.stem.removeprefix(_PREFIX)
    near = [path.parent, path.parent.parent]
    for folder in [below for base in near for below in (base, base / "images", base / named, base / "images" / named)]:
        if (folder / file_name).is_file():
            return folder
    raise EvaluationError(f"{path}: its image '{file_name}' is not near it; give the folder with --images")


def _annotation(entry: Mapping[str, Any], image_hw: tuple[int, int]) -> Annotation:
    outline, box = _outline(entry), entry.get("bbox")
    code = compress(outline, image_hw) if outline else None
    if code is not None and tuple(code["size"]) != image_hw:
        (height, width), (image_height, image_width) = code["size"], image_hw
        raise EvaluationError(
            f"annotation {entry.get('id')} is of an image of {width}x{height} pixels, "
            f"the file has {image_width}x{image_height}"
        )
    xywh = [float(number) for number in (box if box and _is_box(box) else rle_codec.toBbox(code))]
    annotation = box_annotation(entry["category_id"], xywh, bool(entry.get("iscrowd")))
    if code is None:
        return annotation
    area = entry.get("area")
    annotation["area"] = float(area) if isinstance(area, (int, float)) else float(rle_codec.area(code))
    annotation["segmentation"] = outline if isinstance(outline, list) else code
    return annotation


def _is_box(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 4 and all(isinstance(number, (int, float)) for number in value)


def _outline(entry: Mapping[str, Any]) -> Any:
    """Return polygons or run-length code; None where there is neither."""
    outline = entry.get("segmentation")
    if isinstance(outline, dict):
        return outline if {"counts", "size"} <= outline.keys() else None
    if not isinstance(outline, list):
        return None
    parts = [part for part in outline if isinstance(part, list) and len(part) >= _MIN_POLYGON and len(part) % 2 == 0]
    return parts or None
