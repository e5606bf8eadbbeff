"""Run the pipeline over the images of a recording: every frame, in order, with the same result each time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import ImageError, MediaError
from yolov8_seg_ros.media.bag import NANOSECONDS, Bag, BagMessage, ImageHeader
from yolov8_seg_ros.media.bag_files import Topic
from yolov8_seg_ros.tools.bag.cameras import Camera
from yolov8_seg_ros.tools.bag.messages import (
    DETECTIONS,
    INSTANCES,
    LABEL_INFO,
    RESULT_TYPES,
    SEMANTIC,
    ResultMessages,
)
from yolov8_seg_ros.tools.bag.objects import BagObjects
from yolov8_seg_ros.tools.bag.writer import BagWriter


def result_names(prefix: str, camera_name: str, kinds: Iterable[str]) -> dict[str, str]:
    """Return the topic of each kind of result of a camera; there is a `label_info` in any case."""
    return {kind: "/".join(filter(None, (prefix, camera_name, kind))) for kind in (*kinds, LABEL_INFO)}


class ResultTopics:
    """Write the results of each camera to topics of its own.

    Args:
        writer: of the recording.
        messages: serialize the results.
        prefix: what the names of all topics begin with.
        cameras: whose results are written.
        kinds: which results: detections, instances, semantic.
    """

    def __init__(
        self,
        writer: BagWriter,
        messages: ResultMessages,
        prefix: str,
        cameras: Iterable[Camera],
        kinds: Collection[str],
    ) -> None:
        self._writer = writer
        self._messages = messages
        self._connections: dict[tuple[str, str], Connection] = {}
        self._begun: set[str] = set()
        self._pixels = np.empty((0, 0), np.uint8)
        for camera in cameras:
            for kind, name in result_names(prefix, camera.name, kinds).items():
                connection = writer.add_result(name, RESULT_TYPES[kind], messages.types, is_latched=kind == LABEL_INFO)
                self._connections[camera.name, kind] = connection

    def write(self, camera: Camera, header: ImageHeader, log_time_ns: int, instances: Instances) -> None:
        """Write the results of an image, at the time at which it was logged."""
        if camera.name not in self._begun:
            self._begun.add(camera.name)
            self._put(camera, LABEL_INFO, log_time_ns, self._messages.label_info(header))
        if (camera.name, DETECTIONS) in self._connections:
            self._put(camera, DETECTIONS, log_time_ns, self._messages.detections(instances, header))
        for kind, paint in ((INSTANCES, Instances.label_image), (SEMANTIC, Instances.semantic_image)):
            if (camera.name, kind) in self._connections:
                pixels = paint(instances, self._canvas(instances.image_hw))
                self._put(camera, kind, log_time_ns, self._messages.label_image(pixels, header))

    def _put(self, camera: Camera, kind: str, log_time_ns: int, data: memoryview) -> None:
        self._writer.write(self._connections[camera.name, kind], log_time_ns, data)

    def _canvas(self, hw: tuple[int, int]) -> NDArray[np.uint8]:
        if self._pixels.shape != hw:
            self._pixels = np.empty(hw, np.uint8)
        return self._pixels


#: Log times from and before which messages are wanted, in nanoseconds; None: no limit.
Span = tuple[int | None, int | None]
#: Called with each segmented image of a camera.
OnFrame = Callable[[Camera, ColorImage, Instances], None]


class BagSegmenter:
    """Segment the images of a recording, topic by topic in the order of their log times.

    Args:
        bag: the recording.
        segmenter: finds the instances.
        cameras: the topics.
        every: of each topic, every N-th image is segmented.
        on_image: called for each image, whether or not it is segmented.
        on_frame: called with each segmented image.
        objects: places the instances in space; None where there is no depth camera.

    Attributes:
        read_messages: messages of the recording that were read.
    """

    def __init__(
        self,
        bag: Bag,
        segmenter: Segmenter,
        cameras: Sequence[Camera],
        *,
        every: int = 1,
        on_image: Callable[[], object] = lambda: None,
        on_frame: OnFrame = lambda camera, image, instances: None,
        objects: BagObjects | None = None,
    ) -> None:
        self.read_messages = 0
        self._bag = bag
        self._segmenter = segmenter
        self._cameras: Mapping[str, Camera] = {camera.topic.name: camera for camera in cameras}
        self._every = every
        self._on_image = on_image
        self._on_frame = on_frame
        self._objects = objects
        self._first_ns: int | None = None

    def run(self, results: ResultTopics, copy: Callable[[BagMessage], None] | None, span_ns: Span) -> None:
        """Segment and write all images of a span of time.

        Args:
            results: where results are written.
            copy: writes each message of the recording; None where only images are read and nothing is copied.
            span_ns: log times of the first message, and of the first one that is not wanted any more; None: no limit.

        Raises:
            MediaError: if the recording is damaged, or none of its images can be used.
            OSError: if the results cannot be written.
        """
        topics = None if copy else self._topics
        if self._objects:
            self._objects.begin(span_ns[0])
        for message in self._bag.messages(topics, *span_ns):
            self.read_messages += 1
            if copy:
                copy(message)
            camera = self._cameras.get(message.topic.name)
            if camera is not None and message.topic.is_image:
                self._take(camera, message, results)
            elif self._objects:
                self._objects.read(message)
        if self._objects:
            self._objects.finish(span_ns[1])
        if not any(camera.frames for camera in self._cameras.values()):
            reasons = [f"{name}: {reason}" for name, camera in self._cameras.items() for reason in camera.skipped]
            cause = "; ".join(reasons) or "no images at that time"
            raise MediaError(f"{self._bag.path}: nothing was segmented: {cause}")

    @property
    def _topics(self) -> list[Topic]:
        """Return the topics that are read where nothing is copied."""
        images = [camera.topic for camera in self._cameras.values()]
        return [*images, *self._objects.topics] if self._objects else images

    def _take(self, camera: Camera, message: BagMessage, results: ResultTopics) -> None:
        camera.images += 1
        self._on_image()
        if (camera.images - 1) % self._every:
            return
        try:
            header, image = self._bag.read_image(message, camera.buffer)
        except ImageError as error:
            camera.skip(error)
            return
        instances = self._segmenter.segment(image)
        stamp_s = self._stamp_s(camera, header, message.log_time_ns)
        if camera.tracker is not None:
            instances = camera.tracker.update(instances, stamp_s, image)
        camera.add(instances, self._segmenter.times)
        results.write(camera, header, message.log_time_ns, instances)
        if self._objects:
            self._objects.add(camera, header, message.log_time_ns, instances, image)
        self._on_frame(camera, image, instances)

    def _stamp_s(self, camera: Camera, header: ImageHeader, log_time_ns: int) -> float:
        """Return the image's stamp in seconds since the first one: numbers since 1970 would lose digits."""
        stamp_ns = header.stamp_ns
        if stamp_ns is None:
            camera.unstamped += 1
            stamp_ns = log_time_ns
        if self._first_ns is None:
            self._first_ns = stamp_ns
        return (stamp_ns - self._first_ns) / NANOSECONDS
