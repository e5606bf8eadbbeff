"""Segment files one after the other into annotated files and one COCO results file."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.segmenter import Segmenter, StageTimes
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.media.coco import CocoResult, image_ids, to_coco_results
from yolov8_seg_ros.media.frames import Media, MediaFrame
from yolov8_seg_ros.media.image_file import IMAGE_SUFFIXES
from yolov8_seg_ros.media.overlay import draw_overlay
from yolov8_seg_ros.media.writers import VIDEO_SUFFIX, VideoFile, video_file, write_image, write_json

RESULTS_NAME = "results.json"
IMAGES_NAME = "images.json"
#: For a video whose header has no rate.
FALLBACK_FPS = 25.0
#: Longest name of a file, in bytes, on Linux's file systems.
_MAX_NAME_BYTES = 255


@dataclass
class Totals:
    """Sums over a run.

    Attributes:
        images: images and video frames segmented.
        instances: found in them.
        stages_ms: (3,), the time of preprocess, inference and postprocess.
    """

    images: int = 0
    instances: int = 0
    stages_ms: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))

    def add(self, instances: Instances, times: StageTimes) -> None:
        """Count one image."""
        self.images += 1
        self.instances += len(instances)
        self.stages_ms += astuple(times)


@dataclass
class CocoRecorder:
    """The instances of many images, which are numbered when all are known.

    An image's id is the number in its file's name, as in COCO, where every file has a number of its own; else its
    place in the run, from 0.
    """

    images: list[dict[str, Any]] = field(default_factory=list)
    _results: list[list[CocoResult]] = field(default_factory=list)

    def add(self, image: dict[str, Any], instances: Instances) -> None:
        """Add an image, as its entry in COCO's list of images without its id, and its instances."""
        height, width = instances.image_hw
        self.images.append({**image, "width": width, "height": height})
        self._results.append(to_coco_results(instances, image_id=len(self._results)))

    def number(self) -> tuple[list[dict[str, Any]], list[CocoResult]]:
        """Return the list of images and the list of results, with ids."""
        ids = self._image_ids()
        images = [{"id": image_id, **image} for image_id, image in zip(ids, self.images, strict=True)]
        results = [{**result, "image_id": ids[result["image_id"]]} for found in self._results for result in found]
        return images, results

    def _image_ids(self) -> list[int]:
        if any("frame" in image for image in self.images):
            return list(range(len(self.images)))
        return image_ids([image["file_name"] for image in self.images])


class BatchSegmenter:
    """Segmentation of sources of frames into a folder.

    Args:
        segmenter: finds the instances.
        folder: made where it does not exist; files of the same names are replaced.
        annotate: whether to write annotated images and videos, or results only.
        tracker: numbers the objects of videos and of folders with a rate; no number is used for two sources.
    """

    def __init__(
        self, segmenter: Segmenter, folder: Path, annotate: bool = True, tracker: Tracker | None = None
    ) -> None:
        self._segmenter = segmenter
        self._folder = folder
        self._annotate = annotate
        self._tracker = tracker
        self._names: set[str] = set()
        self._recorder = CocoRecorder()
        self.totals = Totals()
        folder.mkdir(parents=True, exist_ok=True)

    def add(
        self, source: Path, media: Media, on_frame: Callable[[], None] = lambda: None, fps: float | None = None
    ) -> None:
        """Segment all frames of a source.

        Args:
            source: the file or folder that `media` was opened from.
            media: its frames.
            on_frame: called after each frame.
            fps: images a second of a folder whose objects are tracked; a video has a rate of its own.

        Raises:
            MediaError: if the source fails on the way; what was segmented so far is kept.
            OSError: if a file cannot be written.
        """
        if self._tracker is not None:
            self._tracker.reset()
        if media.is_video:
            self._add_video(source, media, on_frame)
            return
        for frame in media:
            instances = self._segment(frame, fps)
            name = self._unused_name(_image_name(frame.name))
            path = source / frame.name if source.is_dir() else source
            self._recorder.add({"file_name": name, "source": str(path)}, instances)
            if self._annotate:
                write_image(self._folder / name, self._drawn(frame, instances))
            on_frame()

    def write_results(self) -> None:
        """Write the instances as COCO results, and which image and category each number stands for.

        Raises:
            OSError: if a file cannot be written.
        """
        images, results = self._recorder.number()
        names = self._segmenter.spec.class_names
        categories = [{"id": index, "name": name} for index, name in enumerate(names)]
        write_json(self._folder / RESULTS_NAME, results)
        write_json(self._folder / IMAGES_NAME, {"images": images, "categories": categories})

    def _add_video(self, source: Path, media: Media, on_frame: Callable[[], None]) -> None:
        name = self._unused_name(source.stem + VIDEO_SUFFIX)
        fps = media.fps or FALLBACK_FPS
        with ExitStack() as stack:
            video: VideoFile | None = None
            if self._annotate:
                video = stack.enter_context(video_file(self._folder / name, fps))
            for frame in media:
                instances = self._segment(frame, fps)
                self._recorder.add({"file_name": name, "source": str(source), "frame": frame.index}, instances)
                if video is not None:
                    video.write(self._drawn(frame, instances))
                on_frame()

    def _segment(self, frame: MediaFrame, fps: float | None) -> Instances:
        image = ColorImage(frame.image)
        instances = self._segmenter.segment(image)
        if self._tracker is not None and fps is not None:
            instances = self._tracker.update(instances, frame.index / fps, image)
        self.totals.add(instances, self._segmenter.times)
        return instances

    def _drawn(self, frame: MediaFrame, instances: Instances) -> NDArray[np.uint8]:
        return draw_overlay(frame.image, instances, self._segmenter.spec.class_names)

    def _unused_name(self, name: str) -> str:
        """Return the name, or one like it where an earlier input had it too or it is too long."""
        path, unused, count = Path(name), _fitting(Path(name).stem, Path(name).suffix), 1
        while unused in self._names:
            count += 1
            unused = _fitting(path.stem, f"_{count}{path.suffix}")
        self._names.add(unused)
        return unused


def _image_name(name: str) -> str:
    # OpenCV chooses the format by the suffix.
    return name if Path(name).suffix.lower() in IMAGE_SUFFIXES else f"{name}.png"


def _fitting(stem: str, ending: str) -> str:
    kept = os.fsencode(stem)[: _MAX_NAME_BYTES - len(os.fsencode(ending))]
    # Without the part of a character that was cut through.
    return (os.fsdecode(kept) if kept == os.fsencode(stem) else kept.decode("utf-8", "ignore")) + ending
