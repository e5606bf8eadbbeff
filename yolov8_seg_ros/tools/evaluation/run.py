"""Run a model on annotated images, and collect its results beside the ground truth in COCO's form."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from yolov8_seg_ros.core.segmenter import Segmenter, StageTimes
from yolov8_seg_ros.errors import EvaluationError, MediaError
from yolov8_seg_ros.media.coco import CocoResult, compress, to_coco_results
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.tools.evaluation.ground_truth import AnnotatedImage, Annotation
from yolov8_seg_ros.tools.evaluation.progress import ImageResult, Progress

Skip = Callable[[str], object]


@dataclass
class Evaluation:
    """Ground truth and results of the same images.

    Attributes:
        categories: of the classes that are compared.
        images: one for each image that could be read.
        annotations: the ground truth.
        results: of the model, of these categories.
        paths: file by image id.
        times: of each image.
        skipped: the number of images that could not be read.
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
        """Return the ground truth of boxes, as a COCO annotations file."""
        return {"images": self.images, "categories": self.categories, "annotations": self.annotations}

    @property
    def mask_truth(self) -> dict[str, Any]:
        """Return the ground truth of masks.

        An object of which only the box is known becomes a region to ignore (`iscrowd`): it cannot be missed, and
        results inside it count neither for nor against the model.
        """
        sizes = {image["id"]: (image["height"], image["width"]) for image in self.images}
        annotations = [_ignored_if_box(annotation, sizes) for annotation in self.annotations]
        return {**self.box_truth, "annotations": annotations}

    @property
    def has_boxes_alone(self) -> bool:
        """Return whether of some objects only the box is known."""
        return any("segmentation" not in annotation for annotation in self.annotations)

    @property
    def mean_times_ms(self) -> list[float]:
        """Return the mean times of preprocess, inference and postprocess, in milliseconds."""
        return [float(mean) for mean in np.mean([astuple(times) for times in self.times], axis=0)]

    def add(self, image: AnnotatedImage, result: ImageResult, categories: Mapping[int, int]) -> None:
        """Add an image; classes that are not among `categories` (category id by class index) are left out.

        Raises:
            EvaluationError: if its annotations are of another size.
        """
        image_id, (height, width) = image.image_id, result.image_hw
        annotations, compared = image.annotations(result.image_hw), set(categories.values())
        self.images.append({"id": image_id, "file_name": image.file_name, "width": width, "height": height})
        self.paths[image_id] = image.path
        self.times.append(result.times)
        for annotation in annotations:
            if annotation["category_id"] in compared:
                # From 1: pycocotools takes 0 for none.
                number = len(self.annotations) + 1
                self.annotations.append({"id": number, "image_id": image_id, **annotation})
        for found in result.results:
            if found["category_id"] in categories:
                category_id = categories[found["category_id"]]
                self.results.append({**found, "image_id": image_id, "category_id": category_id})


def evaluate(
    images: Iterable[AnnotatedImage],
    segmenter: Segmenter,
    categories: Mapping[int, int],
    names: Mapping[int, str],
    progress: Progress,
    on_skip: Skip = lambda why: None,
    advance: Callable[[], object] = lambda: None,
) -> Evaluation:
    """Segment images, as far as that has not been done already.

    Args:
        images: with their ground truth.
        segmenter: detects the instances.
        categories: category id by class index of the model; others are left out.
        names: by category id.
        progress: has the results of an interrupted run, and gets new ones.
        on_skip: called for each image that cannot be read, with the reason.
        advance: called after each image.

    Raises:
        EvaluationError: if no image can be read.
        OSError: if the progress cannot be written.
    """
    compared = sorted(categories.values())
    evaluation = Evaluation([{"id": category_id, "name": names[category_id]} for category_id in compared])
    for image in images:
        try:
            evaluation.add(image, _result(image.path, segmenter, progress), categories)
        except (MediaError, EvaluationError) as error:
            evaluation.skipped += 1
            on_skip(str(error) if isinstance(error, MediaError) else f"{image.path}: {error}")
        advance()
    if not evaluation.images:
        raise EvaluationError("nothing was evaluated: none of the images can be read")
    return evaluation


def _result(path: Path, segmenter: Segmenter, progress: Progress) -> ImageResult:
    if path.is_file() and (kept := progress.find(path)):
        return kept
    instances = segmenter.segment(read_image(path))
    result = ImageResult(instances.image_hw, segmenter.times, to_coco_results(instances, image_id=0))
    progress.add(path, result)
    return result


def _ignored_if_box(annotation: Annotation, sizes: Mapping[int, tuple[int, int]]) -> Annotation:
    if "segmentation" in annotation:
        return annotation
    left, top, width, height = annotation["bbox"]
    right, bottom = left + width, top + height
    corners = [left, top, right, top, right, bottom, left, bottom]
    return {**annotation, "iscrowd": 1, "segmentation": compress([corners], sizes[annotation["image_id"]])}
