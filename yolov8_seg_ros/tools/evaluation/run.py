"""Run a model on the pictures of a truth, and hold what it found beside what is there."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from yolov8_seg_ros.core.segmenter import Segmenter, StageTimes
from yolov8_seg_ros.errors import EvaluationError, MediaError
from yolov8_seg_ros.media.coco import CocoResult, compress, to_coco_results
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.tools.evaluation.progress import Found, Progress
from yolov8_seg_ros.tools.evaluation.truth import Annotation, TruePicture

Skip = Callable[[str], object]


@dataclass
class Evaluated:
    """Hold truth and results of the same pictures, in COCO's form.

    Attributes:
        categories: of the classes that are compared.
        images: one for each picture that could be read.
        annotations: the truth.
        results: what was found, of these categories.
        paths: file by image id.
        times: of each picture.
        skipped: the number of pictures that could not be read.
    """

    categories: list[dict[str, Any]]
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    results: list[CocoResult] = field(default_factory=list)
    paths: dict[int, Path] = field(default_factory=dict)
    times: list[StageTimes] = field(default_factory=list)
    skipped: int = 0

    @property
    def box_truth(self) -> dict[str, Any]:
        """The truth that boxes are compared with, as a COCO annotations file."""
        return {"images": self.images, "categories": self.categories, "annotations": self.annotations}

    @property
    def mask_truth(self) -> dict[str, Any]:
        """The truth that masks are compared with.

        An object of which only the box is known becomes a region that is not judged (`iscrowd`): it cannot be missed,
        and what is found inside it counts neither for nor against the model.
        """
        sizes = {image["id"]: (image["height"], image["width"]) for image in self.images}
        annotations = [_unjudged_if_box(annotation, sizes) for annotation in self.annotations]
        return {**self.box_truth, "annotations": annotations}

    @property
    def has_boxes_alone(self) -> bool:
        """Whether of some objects only the box is known."""
        return any("segmentation" not in annotation for annotation in self.annotations)

    @property
    def mean_times(self) -> StageTimes:
        """The mean of the pictures' times."""
        table = np.array([(times.prepare_ms, times.infer_ms, times.finish_ms) for times in self.times])
        return StageTimes(*table.mean(axis=0).tolist())

    def add(
        self, picture: TruePicture, found: Found, annotations: Iterable[Annotation], categories: Mapping[int, int]
    ) -> None:
        """Add a picture; classes that are not among `categories` (category id by class index) are left out."""
        image_id, (height, width) = picture.image_id, found.image_hw
        self.images.append({"id": image_id, "file_name": picture.file_name, "width": width, "height": height})
        self.paths[image_id] = picture.path
        self.times.append(found.times)
        compared = set(categories.values())
        for annotation in annotations:
            if annotation["category_id"] in compared:
                # From 1: pycocotools takes 0 for none.
                number = len(self.annotations) + 1
                self.annotations.append({"id": number, "image_id": image_id, **annotation})
        for result in found.results:
            if result["category_id"] in categories:
                category_id = categories[result["category_id"]]
                self.results.append({**result, "image_id": image_id, "category_id": category_id})


def evaluate(
    pictures: Iterable[TruePicture],
    segmenter: Segmenter,
    categories: Mapping[int, int],
    names: Mapping[int, str],
    progress: Progress,
    on_skip: Skip = lambda why: None,
    advance: Callable[[], object] = lambda: None,
) -> Evaluated:
    """Segment pictures, as far as that has not been done already.

    Args:
        pictures: with what is to be found in them.
        segmenter: what finds it.
        categories: category id by class index of the model; others are left out.
        names: by category id.
        progress: holds what was found already, and gets what is found.
        on_skip: called for each picture that cannot be read, with the reason.
        advance: called after each picture.

    Raises:
        EvaluationError: if no picture can be read.
        OSError: if the progress cannot be written.
    """
    compared = sorted(categories.values())
    evaluated = Evaluated([{"id": category_id, "name": names[category_id]} for category_id in compared])
    for picture in pictures:
        try:
            found = _found(picture, segmenter, progress)
            evaluated.add(picture, found, picture.annotate(found.image_hw), categories)
        except MediaError as error:
            evaluated.skipped += 1
            on_skip(str(error))
        except EvaluationError as error:
            evaluated.skipped += 1
            on_skip(f"{picture.path}: {error}")
        advance()
    if not evaluated.images:
        raise EvaluationError("nothing was evaluated: none of the pictures can be read")
    return evaluated


def _found(picture: TruePicture, segmenter: Segmenter, progress: Progress) -> Found:
    if picture.path.is_file() and (kept := progress.find(picture.path)):
        return kept
    instances = segmenter.segment(read_image(picture.path))
    found = Found(instances.image_hw, segmenter.times, to_coco_results(instances, image_id=0))
    progress.add(picture.path, found)
    return found


def _unjudged_if_box(annotation: Annotation, sizes: Mapping[int, tuple[int, int]]) -> Annotation:
    if "segmentation" in annotation:
        return annotation
    left, top, width, height = annotation["bbox"]
    right, bottom = left + width, top + height
    corners = [left, top, right, top, right, bottom, left, bottom]
    return {**annotation, "iscrowd": 1, "segmentation": compress([corners], sizes[annotation["image_id"]])}
