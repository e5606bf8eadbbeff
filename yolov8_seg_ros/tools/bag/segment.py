"""Run the pipeline over the images of a recording: every frame, in order, with the same result each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Connection

from yolov8_seg_ros.core.image import ColorImage, PixelBuffer
from yolov8_seg_ros.core.instances import NO_TRACK, Instances
from yolov8_seg_ros.core.segmenter import Segmenter, StageTimes
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.errors import CommandError, ImageError, MediaError, one_line
from yolov8_seg_ros.media.bag import COMPRESSED_SUFFIX, NANOSECONDS, Bag, BagMessage, ImageHeader
from yolov8_seg_ros.media.bag_files import Topic
from yolov8_seg_ros.tools.bag.messages import (
    DETECTIONS,
    INSTANCES,
    LABEL_INFO,
    RESULT_TYPES,
    SEMANTIC,
    ResultMessages,
)
from yolov8_seg_ros.tools.bag.writer import BagWriter

#: More image topics than this are rarely all meant.
_MAX_TOPICS = 4
#: How many different reasons for leaving out an image are kept apart.
_MAX_REASONS = 10
_OTHER_REASONS = "other reasons"


@dataclass
class Camera:
    """An image topic, and what was found in its images.

    Attributes:
        topic: of the recording.
        name: under which its results are published; empty for the only camera.
        tracker: numbers its objects; None where nothing is tracked.
        images: those of the topic in the chosen time.
        frames: those that were segmented.
        unstamped: frames whose log time was used in place of a stamp.
        skipped: images that could not be used, by the reason.
        objects: by class index.
        track_classes: by number of the track, how often it had each class.
        stages_ms: (3,), the time of preprocess, inference and postprocess, summed over frames.
    """

    topic: Topic
    name: str
    tracker: Tracker | None = None
    images: int = 0
    frames: int = 0
    unstamped: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    objects: Counter[int] = field(default_factory=Counter)
    track_classes: dict[int, Counter[int]] = field(default_factory=dict)
    stages_ms: NDArray[np.float64] = field(default_factory=lambda: np.zeros(3))
    buffer: PixelBuffer = field(default_factory=PixelBuffer)

    def add(self, instances: Instances, times: StageTimes) -> None:
        """Count a frame."""
        self.frames += 1
        self.stages_ms += astuple(times)
        classes = instances.class_id.tolist()
        self.objects.update(classes)
        if instances.track_id is not None:
            for track, class_id in zip(instances.track_id.tolist(), classes, strict=True):
                if track != NO_TRACK:
                    self.track_classes.setdefault(track, Counter())[class_id] += 1

    def skip(self, error: ImageError) -> None:
        """Count an image that cannot be used."""
        reason = one_line(error)
        is_new = reason not in self.skipped and len(self.skipped) >= _MAX_REASONS
        self.skipped[_OTHER_REASONS if is_new else reason] += 1

    @property
    def tracks(self) -> Counter[int]:
        """Return the number of tracks by the class that each of them had most often."""
        return Counter(classes.most_common(1)[0][0] for classes in self.track_classes.values())

    def summary(self, class_names: Sequence[str]) -> dict[str, Any]:
        """Return what was found, for JSON."""
        return {
            "images": self.images,
            "frames": self.frames,
            "without_stamp": self.unstamped,
            "skipped": dict(self.skipped),
            "objects": {class_names[index]: count for index, count in sorted(self.objects.items())},
            "tracks": {class_names[index]: count for index, count in sorted(self.tracks.items())},
        }


def choose_topics(bag: Bag, names: Sequence[str]) -> tuple[list[Topic], dict[str, str]]:
    """Return the image topics of some names, or without names those that can be segmented; and why others are left out.

    Raises:
        CommandError: if a name is not that of an image topic, or if too many topics could be meant.
        MediaError: if there is none, or the recording is damaged.
    """
    if not names:
        chosen, left_out = bag.usable_image_topics()
        if len(chosen) > _MAX_TOPICS:
            raise CommandError(
                f"{bag.path} has {len(chosen)} image topics: {', '.join(topic.name for topic in chosen)}; "
                "name those to segment, each with --topic"
            )
        return chosen, left_out
    known = {topic.name: topic for topic in bag.image_topics}
    for name in names:
        if name not in known:
            listed = ", ".join(known) or "none"
            raise CommandError(f"--topic {name}: no image topic of {bag.path}; there are: {listed}")
        if reason := bag.unsupported_form(known[name]):
            raise CommandError(f"--topic {name}: {reason} cannot be segmented")
    return [known[name] for name in dict.fromkeys(names)], {}


def camera_names(topics: Sequence[str]) -> list[str]:
    """Return a name for each image topic: without its last part where the others differ, as front for /front/image_raw.

    The only camera has an empty name: its results are called as those of the node.
    """
    if len(topics) == 1:
        return [""]
    plain = [topic.removesuffix(COMPRESSED_SUFFIX).strip("/") for topic in topics]
    parents = [name.rpartition("/")[0] for name in plain]
    names = parents if all(parents) else plain
    return names if len(set(names)) == len(names) else [topic.strip("/") for topic in topics]


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
        on_image: Callable[[], None] = lambda: None,
        on_frame: OnFrame = lambda camera, image, instances: None,
    ) -> None:
        self.read_messages = 0
        self._bag = bag
        self._segmenter = segmenter
        self._cameras: Mapping[str, Camera] = {camera.topic.name: camera for camera in cameras}
        self._every = every
        self._on_image = on_image
        self._on_frame = on_frame
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
        topics = None if copy else [camera.topic for camera in self._cameras.values()]
        for message in self._bag.messages(topics, *span_ns):
            self.read_messages += 1
            if copy:
                copy(message)
            camera = self._cameras.get(message.topic.name)
            if camera is not None and message.topic.is_image:
                self._take(camera, message, results)
        if not any(camera.frames for camera in self._cameras.values()):
            reasons = [f"{name}: {reason}" for name, camera in self._cameras.items() for reason in camera.skipped]
            cause = "; ".join(reasons) or "no images at that time"
            raise MediaError(f"{self._bag.path}: nothing was segmented: {cause}")

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
