"""Pick images of recordings into a data set, with what a model finds as labels to begin with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import ColorImage, PixelBuffer
from yolov8_seg_ros.core.instances import BoxMask, Instances
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import DataSetError, ImageError
from yolov8_seg_ros.files import replacing
from yolov8_seg_ros.media.bag import NANOSECONDS, Bag, BagMessage
from yolov8_seg_ros.media.bag_files import Topic
from yolov8_seg_ros.media.writers import write_image
from yolov8_seg_ros.tools.dataset.description import DESCRIPTION_NAME, TRAIN, VAL
from yolov8_seg_ros.tools.dataset.labels import Points, is_flat
from yolov8_seg_ros.tools.dataset.reader import IMAGES, LABEL_SUFFIX, LABELS

#: How images are picked.
BY_TIME, BY_NOVELTY, BY_LOW_SCORE = PICKS = ("time", "novelty", "low-score")
#: One image in so many is for validation: the last ones, since images of a recording resemble their neighbours.
_VALIDATION_SHARE = 5
_FOLDERS = {TRAIN: "train", VAL: "valid"}
_IMAGE_SUFFIX = ".jpg"
#: Images are compared at this size: fine enough for scenes to differ, coarse enough to ignore noise.
_THUMBNAIL_WH = (16, 12)
#: An outline is found at so many times the resolution: OpenCV's runs through the centres of the pixels on the edge.
_OUTLINE_SCALE = 4
#: How far an outline may be simplified, in image pixels.
_OUTLINE_TOLERANCE_PX = 0.5


@dataclass(frozen=True)
class Source:
    """An image topic of a recording that is open.

    Attributes:
        bag: the recording.
        topic: whose images are picked.
        name: what the names of its images begin with.
        buffer: for the pixels of one image at a time.
    """

    bag: Bag
    topic: Topic
    name: str
    buffer: PixelBuffer = field(default_factory=PixelBuffer)


@dataclass(frozen=True)
class Candidate:
    """An image that may be picked.

    Attributes:
        source: index of its source.
        index: of its message among those of the topic.
        feature: float32 (n,); for novelty the image at a small size, for low scores the mean score of its instances.
    """

    source: int
    index: int
    feature: NDArray[np.float32]


def find_candidates(
    sources: Sequence[Source],
    pick: str,
    interval_s: float,
    segmenter: Segmenter,
    on_image: Callable[[], None] = lambda: None,
) -> list[Candidate]:
    """Return the images that may be picked: those that can be read, each some time after the one before.

    Args:
        sources: the image topics.
        pick: one of `PICKS`.
        interval_s: least time between two images of a topic.
        segmenter: finds the instances, where their scores decide.
        on_image: called for each message.

    Raises:
        MediaError: if a recording is damaged.
    """
    candidates = []
    for number, source in enumerate(sources):
        next_ns = 0
        for index, message in enumerate(source.bag.messages([source.topic])):
            on_image()
            if message.log_time_ns < next_ns:
                continue
            image = _read(source, message)
            if image is not None:
                candidates.append(Candidate(number, index, _feature(image, pick, segmenter)))
                next_ns = message.log_time_ns + round(interval_s * NANOSECONDS)
    return candidates


def pick_images(candidates: Sequence[Candidate], pick: str, count: int) -> list[Candidate]:
    """Return some of the candidates, in their order.

    By time they are evenly spread. By novelty each is the one that is least like all others picked before (the greedy
    solution of the k-centre problem). By low scores those with the lowest mean score are picked, then those without
    any instance.

    Args:
        candidates: to pick from.
        pick: one of `PICKS`.
        count: how many, at most.

    Source: Gonzalez, Clustering to minimize the maximum intercluster distance, Theoretical Computer Science 38 (1985).
    """
    if len(candidates) <= count:
        return list(candidates)
    if pick == BY_NOVELTY:
        chosen = _farthest(np.stack([candidate.feature for candidate in candidates]), count)
    elif pick == BY_LOW_SCORE:
        scores = np.concatenate([candidate.feature for candidate in candidates])
        chosen = np.argsort(scores, kind="stable")[:count].tolist()
    else:
        chosen = np.round(np.linspace(0, len(candidates) - 1, count)).astype(int).tolist()
    return [candidates[place] for place in sorted(chosen)]


def write_dataset(
    sources: Sequence[Source],
    picked: Sequence[Candidate],
    segmenter: Segmenter,
    folder: Path,
    on_image: Callable[[], None] = lambda: None,
) -> int:
    """Write picked images with the instances that a model finds as labels; return the number of objects.

    Args:
        sources: the image topics.
        picked: which images.
        segmenter: finds the instances.
        folder: where to write; it must not exist, or be empty.
        on_image: called for each image written.

    Raises:
        DataSetError: if the folder holds something, or nothing was picked.
        MediaError: if a recording is damaged.
        OSError: if a file cannot be written.
    """
    check_new_folder(folder)
    if not picked:
        raise DataSetError("none of the images can be read: there is nothing to write")
    names = segmenter.spec.class_names
    objects = 0
    folder.parent.mkdir(parents=True, exist_ok=True)
    splits = _splits(len(picked))
    with replacing(folder.resolve()) as temporary:
        for split in set(splits):
            for kind in (IMAGES, LABELS):
                (temporary / _FOLDERS[split] / kind).mkdir(parents=True)
        for split, (name, image) in zip(splits, _images(sources, picked), strict=True):
            instances = segmenter.segment(image)
            lines = label_lines(instances)
            objects += len(lines)
            write_image(temporary / _FOLDERS[split] / IMAGES / f"{name}{_IMAGE_SUFFIX}", image.to_bgr())
            label_file = temporary / _FOLDERS[split] / LABELS / f"{name}{LABEL_SUFFIX}"
            label_file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
            on_image()
        _write_description(temporary, names, has_validation=VAL in splits)
    return objects


def check_new_folder(folder: Path) -> None:
    """Check that a data set can be written to a folder.

    Raises:
        DataSetError: if it is there and not empty.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataSetError(f"'{folder}' is there and not empty; give a new folder for the data set")


def label_lines(instances: Instances) -> list[str]:
    """Return a line of a label file for each instance: class id and outline, in fractions of width and height."""
    height, width = instances.image_hw
    lines = []
    for class_id, mask in zip(instances.class_id.tolist(), instances.iter_masks(), strict=True):
        points = mask_outline(mask) / (width, height)
        if not is_flat(points):
            lines.append(" ".join([str(class_id), *(f"{value:.6f}" for value in points.ravel().tolist())]))
    return lines


def mask_outline(mask: BoxMask) -> Points:
    """Return the outline of the largest part of a mask, float64 (n, 2), x and y in image pixels.

    A pixel spans 1 x 1. An empty mask has an outline of no points.
    """
    scale = _OUTLINE_SCALE
    enlarged = cv2.resize(mask.bitmap.astype(np.uint8), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    contours, _ = cv2.findContours(enlarged, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not contours:
        return np.zeros((0, 2))
    largest = max(contours, key=cv2.contourArea)
    simple = cv2.approxPolyDP(largest, _OUTLINE_TOLERANCE_PX * scale, closed=True).reshape(-1, 2)
    return (simple + 0.5) / scale + mask.origin_xy


def _read(source: Source, message: BagMessage) -> ColorImage | None:
    try:
        return source.bag.read_image(message, source.buffer)[1]
    except ImageError:
        return None


def _feature(image: ColorImage, pick: str, segmenter: Segmenter) -> NDArray[np.float32]:
    if pick == BY_NOVELTY:
        return cv2.resize(image.to_bgr(), _THUMBNAIL_WH, interpolation=cv2.INTER_AREA).ravel().astype(np.float32)
    if pick == BY_LOW_SCORE:
        instances = segmenter.segment(image, masks=False)
        # Nothing found is no low score: such images come last.
        return np.array([instances.score.mean() if len(instances) else 1.0], np.float32)
    return np.zeros(0, np.float32)


def _farthest(features: NDArray[np.float32], count: int) -> list[int]:
    """Return places of features (n, m), each the farthest from those before; the first one is first."""
    chosen = [0]
    distance = np.linalg.norm(features - features[0], axis=1)
    while len(chosen) < count:
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(features - features[chosen[-1]], axis=1))
    return chosen


def _images(sources: Sequence[Source], picked: Sequence[Candidate]) -> Iterator[tuple[str, ColorImage]]:
    """Yield names and images of the candidates picked, in their order."""
    for number, source in enumerate(sources):
        wanted = {candidate.index for candidate in picked if candidate.source == number}
        for index, message in enumerate(source.bag.messages([source.topic]) if wanted else ()):
            if index in wanted:
                image = _read(source, message)
                assert image is not None
                yield f"{source.name}_{index:06d}", image
                wanted.discard(index)
            if not wanted:
                break


def _splits(count: int) -> list[str]:
    num_validation = max(1, count // _VALIDATION_SHARE) if count > 1 else 0
    return [TRAIN] * (count - num_validation) + [VAL] * num_validation


def _write_description(folder: Path, class_names: Sequence[str], has_validation: bool) -> None:
    content = {
        TRAIN: f"{_FOLDERS[TRAIN]}/{IMAGES}",
        VAL: f"{_FOLDERS[VAL if has_validation else TRAIN]}/{IMAGES}",
        "nc": len(class_names),
        "names": list(class_names),
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    (folder / DESCRIPTION_NAME).write_text(text, encoding="utf-8")
