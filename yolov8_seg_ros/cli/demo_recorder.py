"""Keep what the demo's viewer sees: a line, a picture and a video frame for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
import rclpy
from numpy.typing import NDArray
from rclpy.executors import SingleThreadedExecutor

from yolov8_seg_ros.core.iou import best_iou
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.media.scene import SCENE_CLASSES, SyntheticScene, touching
from yolov8_seg_ros.media.writers import VideoFile, video_file, write_image
from yolov8_seg_ros.node.image_source import frame_index
from yolov8_seg_ros.node.viewer import View, Viewer

VIDEO_NAME = "demo.mp4"


class Recorder:
    """Write views into a folder; a context manager.

    Args:
        folder: made where it does not exist.
        rate_hz: of the video.
        is_scene: whether the built-in scene is looked at, so that the truth is known.

    Attributes:
        count: views so far.
    """

    def __init__(self, folder: Path, rate_hz: float, is_scene: bool) -> None:
        self._folder = folder
        self._rate_hz = rate_hz
        self._scene = SyntheticScene() if is_scene else None
        self._stack = ExitStack()
        self._video: VideoFile | None = None
        self._video_hw = (0, 0)
        self._ious: list[float] = []
        self.count = 0

    def __enter__(self) -> Recorder:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def show(self, view: View) -> None:
        """Keep one view, and print a line about it."""
        number = self.count if view.reference is None else frame_index(view.reference, self._rate_hz)
        name = f"{number:04d}" if view.reference is None else Path(view.reference.source).stem
        write_image(self._folder / f"{name}.jpg", view.overlay)
        self._append_to_video(view.overlay)
        ious = self._judge(view, number)
        self._ious += ious
        found = ", ".join(f"{class_name} {score:.2f}" for class_name, score in view.detections) or "nothing"
        quality = f"  [mean mask IoU {np.mean(ious):.3f}]" if ious else ""
        print(f"{number:5d}  {found}{quality}", flush=True)
        self.count += 1

    def summary(self) -> str:
        """Say what was kept, and where."""
        lines = [f"{self.count} annotated pictures and {VIDEO_NAME} are in {self._folder.resolve()}"]
        if self._ious:
            mean = float(np.mean(self._ious))
            lines.append(f"mean mask IoU with the scene's truth, objects not touching another: {mean:.3f}")
        return "\n".join(lines)

    def _append_to_video(self, picture: NDArray[np.uint8]) -> None:
        if self._video is None:
            self._video_hw = (picture.shape[0], picture.shape[1])
            self._video = self._stack.enter_context(video_file(self._folder / VIDEO_NAME, self._rate_hz))
        self._video.write(fitted(picture, self._video_hw))

    def _judge(self, view: View, number: int) -> list[float]:
        """Give the IoU of each true object that touches no other, where the truth is known and the model of it."""
        if self._scene is None or view.reference is None or view.class_names != SCENE_CLASSES:
            return []
        truth = self._scene.truth(number)
        names = [name for name, _ in view.detections]
        return [
            best_iou(
                truth.full_mask(index),
                view.instances,
                np.array([name == SCENE_CLASSES[truth.class_id[index]] for name in names], np.bool_),
            )
            for index in np.flatnonzero(~touching(truth)).tolist()
        ]


def fitted(picture: NDArray[np.uint8], hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Fit uint8 (height, width, 3) into another size, its aspect kept, on black."""
    letterbox = Letterbox.fit((picture.shape[0], picture.shape[1]), hw)
    canvas = np.zeros((*hw, 3), np.uint8)
    height, width = letterbox.resized_hw
    canvas[letterbox.interior] = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return canvas


@contextmanager
def watching(segmentation: str, show: Callable[[View], None]) -> Iterator[tuple[Viewer, Callable[[float], None]]]:
    """Give a viewer, which hands each complete view to `show`, and a function that lets it look for some seconds."""
    rclpy.init(args=[])
    try:
        namespace, name = segmentation.rsplit("/", 1)
        viewer = Viewer(name, show, namespace=namespace)
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
