"""Write what the demo's viewer receives: a line, an annotated image and a video frame for each, and a page of all."""

from __future__ import annotations

import itertools
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from types import TracebackType
from urllib.parse import quote

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor

from yolov8_seg_ros.cli.output import counted
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.iou import best_iou
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.files import replacing
from yolov8_seg_ros.media.scene import SCENE_CLASSES, touching
from yolov8_seg_ros.media.writers import VideoFile, video_file, write_image
from yolov8_seg_ros.node.image_source import frame_index
from yolov8_seg_ros.node.viewer import View, Viewer
from yolov8_seg_ros.text import clean_text

VIDEO_NAME = "demo.mp4"


PAGE_NAME = "index.html"
IMAGE_SUFFIX = ".jpg"


@dataclass(frozen=True)
class _Shown:
    file_name: str
    text: str
    detections: list[tuple[str, float]]


class Recorder:
    """Recorder of views into a folder; a context manager.

    Args:
        folder: of the files.
        rate_hz: of the video, and of the source.
        truth: returns the ground truth of a frame by its index, with `SCENE_CLASSES`; None where it is not known.
    """

    def __init__(self, folder: Path, rate_hz: float, truth: Callable[[int], Instances] | None) -> None:
        self._folder = folder
        self._rate_hz = rate_hz
        self._truth = truth
        self._stack = ExitStack()
        self._video: VideoFile | None = None
        self._video_hw = (0, 0)
        self._ious: list[float] = []
        self._shown: dict[str, _Shown] = {}
        #: Of the frame that was shown last, -1 before the first.
        self.last_index = -1

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    @property
    def count(self) -> int:
        """Return how many annotated images were written."""
        return len(self._shown)

    def show(self, view: View) -> None:
        """Write one view, and print a line about it."""
        number = self.count if view.reference is None else frame_index(view.reference, self._rate_hz)
        file_name = self._unused_name(f"camera_{number:06d}" if view.reference is None else view.reference.source)
        write_image(self._folder / file_name, view.overlay)
        self._append_to_video(view.overlay)
        ious = self._compare(view, number)
        self._ious += ious
        found = ", ".join(f"{class_name} {score:.2f}" for class_name, score in view.detections) or "nothing"
        quality = f"  [mean mask IoU {np.mean(ious):.3f}]" if ious else ""
        print(f"{number:5d}  {found}{quality}", flush=True)
        self.last_index = number
        self._shown[file_name] = _Shown(file_name, f"{found}{quality}", view.detections)

    def summary(self) -> str:
        """Return what was written, and where."""
        written = f"{counted(self.count, 'annotated image')}, {VIDEO_NAME} and {PAGE_NAME}"
        return "\n".join([f"{written} are in {self._folder.resolve()}", *self._quality()])

    def write_page(self, facts: Mapping[str, str]) -> None:
        """Write the page that shows the images, and their figures.

        Raises:
            OSError: if the file cannot be written.
        """
        shown = list(self._shown.values())
        lines = [*([f"{name}: {value}" for name, value in facts.items()]), f"images: {self.count}", *self._quality()]
        template = files(__package__).joinpath("demo.html").read_text(encoding="utf-8")
        page = Template(template).substitute(
            facts="\n".join(f"<p>{escape(clean_text(line))}</p>" for line in lines),
            classes=_class_rows(shown),
            first=_address(shown[0]),
            last=len(shown) - 1,
            # "<" could end the script.
            names=json.dumps([_address(one) for one in shown]).replace("<", "\\u003c"),
            texts=json.dumps([clean_text(one.text) for one in shown]).replace("<", "\\u003c"),
            period_ms=round(1000 / self._rate_hz),
            video=VIDEO_NAME,
            images="\n".join(map(_figure, shown)),
        )
        with replacing(self._folder / PAGE_NAME) as temporary:
            temporary.write_text(page, encoding="utf-8")

    def _quality(self) -> list[str]:
        if not self._ious:
            return []
        mean = float(np.mean(self._ious))
        return [f"mean mask IoU with the ground truth, objects that touch no other: {mean:.3f}"]

    def _unused_name(self, source_name: str) -> str:
        """Return the name of a frame's image; images of a folder may differ in their suffix only."""
        stem = Path(source_name).stem
        endings = itertools.chain([""], (f"_{number}" for number in itertools.count(2)))
        names = (f"{stem}{ending}{IMAGE_SUFFIX}" for ending in endings)
        return next(name for name in names if name not in self._shown)

    def _append_to_video(self, image: NDArray[np.uint8]) -> None:
        if self._video is None:
            self._video_hw = (image.shape[0], image.shape[1])
            self._video = self._stack.enter_context(video_file(self._folder / VIDEO_NAME, self._rate_hz))
        self._video.write(fitted(image, self._video_hw))

    def _compare(self, view: View, number: int) -> list[float]:
        """Return the IoU of each true object that touches no other; none where there is no ground truth to compare."""
        if self._truth is None or view.reference is None or view.class_names != SCENE_CLASSES:
            return []
        truth = self._truth(number)
        names = [name for name, _ in view.detections]
        return [
            best_iou(
                truth.full_mask(index),
                view.instances,
                np.array([name == SCENE_CLASSES[truth.class_id[index]] for name in names], np.bool_),
            )
            for index in np.flatnonzero(~touching(truth)).tolist()
        ]


def _class_rows(shown: Sequence[_Shown]) -> str:
    scores = defaultdict(list)
    for one in shown:
        for name, score in one.detections:
            scores[name].append(score)
    by_count = sorted(scores.items(), key=lambda item: -len(item[1]))
    return "\n".join(
        f"<tr><td>{escape(clean_text(name))}</td><td>{len(values)}</td><td>{np.mean(values):.2f}</td></tr>"
        for name, values in by_count
    )


def _figure(shown: _Shown) -> str:
    name, text = escape(clean_text(shown.file_name)), escape(clean_text(shown.text))
    image = f'<img src="{_address(shown)}" alt="{name}" loading="lazy"/>'
    return f"<figure>{image}<figcaption>{name}: {text}</figcaption></figure>"


def _address(shown: _Shown) -> str:
    return quote(os.fsencode(shown.file_name))


def fitted(image: NDArray[np.uint8], hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image, uint8 (height, width, 3), fitted into another size on black, its aspect kept."""
    letterbox = Letterbox.fit((image.shape[0], image.shape[1]), hw)
    canvas = np.zeros((*hw, 3), np.uint8)
    height, width = letterbox.resized_hw
    canvas[letterbox.interior] = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


@contextmanager
def watching(
    segmentation: str, show: Callable[[View], None], has_references: bool
) -> Iterator[tuple[Viewer, Callable[[float], None]]]:
    """Yield a viewer, which passes each complete view to `show`, and a function that runs it for some seconds."""
    rclpy.init(args=[])
    try:
        namespace, name = segmentation.rsplit("/", 1)
        viewer = Viewer(name, show, has_references, namespace=namespace)
        executor = SingleThreadedExecutor()
        executor.add_node(viewer)
        clock = viewer.get_clock()

        def watch(seconds: float) -> None:
            until = clock.now().nanoseconds + seconds * 1e9
            while (left := until - clock.now().nanoseconds) > 0:
                executor.spin_once(timeout_sec=left / 1e9)

        yield viewer, watch
        executor.shutdown()
        viewer.destroy_node()
    finally:
        rclpy.try_shutdown()
