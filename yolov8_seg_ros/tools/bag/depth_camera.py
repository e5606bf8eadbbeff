"""Place what one camera of a recording shows in space, with the arithmetic of the depth node."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera
from yolov8_seg_ros.core.depth import Registration
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import NO_TRACK, Instances
from yolov8_seg_ros.core.object_placing import DetectedObject, ObjectPlacer, PlacedObjects
from yolov8_seg_ros.core.stamp_pairing import (
    DEPTH,
    DETECTIONS,
    INSTANCES,
    PairedFrame,
    PairingCounts,
    StampPairing,
    WaitingFrames,
)
from yolov8_seg_ros.core.transform_tree import TransformTree
from yolov8_seg_ros.errors import CalibrationError, MediaError, UserError
from yolov8_seg_ros.media.bag import NANOSECONDS, Bag, BagMessage, ImageHeader
from yolov8_seg_ros.media.depth_message import camera_from_msg, depth_from_msg
from yolov8_seg_ros.media.object_markers import ObjectMarkers
from yolov8_seg_ros.media.object_messages import LabelTable, object_array, object_cloud
from yolov8_seg_ros.settings.placing import is_rectified, placing_options
from yolov8_seg_ros.tools.bag.cameras import CAMERA_INFO, DepthTopics, count_reason
from yolov8_seg_ros.tools.bag.messages import CLOUD, MARKERS, OBJECTS, make_header, make_message, serialize

#: Depth images kept for a camera, whose colour images may be recorded so much later.
_KEPT_DEPTH_IMAGES = 16
#: Images that wait for transforms: those of two seconds at 30 Hz.
_MAX_WAITING = 60
#: Writes a result of a kind at a log time.
Write = Callable[[str, int, memoryview], None]


@dataclass(frozen=True)
class _Frame:
    """A segmented image that waits for its depth image and transforms."""

    header: ImageHeader
    log_time_ns: int
    labels: NDArray[np.uint8]
    detections: Sequence[DetectedObject]
    image_bgr: NDArray[np.uint8] | None


@dataclass(frozen=True)
class _Depth:
    """A depth image as it was recorded."""

    header: ImageHeader
    message: Any


@dataclass
class PlacingCounts:
    """Counts of what was placed, and of what was not.

    Attributes:
        images: segmented images.
        placed: those of them with results.
        registration: how the depth images lie to the colour images.
        objects: with a box, by class.
        without_depth: objects without one, by class.
        failed: images without results, by the reason.
        unusable: depth images that are damaged or have no stamp, by the reason.
        jumps: how often the stamps went back.
    """

    images: int = 0
    placed: int = 0
    registration: str = "not known"
    objects: Counter[str] = field(default_factory=Counter)
    without_depth: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    unusable: Counter[str] = field(default_factory=Counter)
    jumps: int = 0


class CameraInfos:
    """The last CameraInfo of each topic.

    Args:
        bag: the recording.
        names: of the topics.
    """

    def __init__(self, bag: Bag, names: Iterable[str]) -> None:
        self._bag = bag
        wanted = set(names)
        self.topics = [topic for topic in bag.topics if topic.name in wanted and topic.msgtype == CAMERA_INFO]
        firsts = (next(bag.messages([topic]), None) for topic in self.topics)
        # The first one is that of the images before it, too.
        self._messages = {message.topic.name: message for message in firsts if message is not None}
        self._cameras: dict[tuple[str, bool], tuple[BagMessage, PinholeCamera]] = {}

    def put(self, message: BagMessage) -> None:
        """Keep a message."""
        self._messages[message.topic.name] = message

    def camera(self, name: str, rectified: bool) -> PinholeCamera:
        """Return the camera that a topic describes.

        Args:
            name: of the topic.
            rectified: whether its images are rectified.

        Raises:
            CalibrationError: if there is none, or it cannot be used.
        """
        message = self._messages.get(name)
        if message is None:
            raise CalibrationError(f"no CameraInfo on {name}; name its topic with --camera-info")
        key = name, rectified
        if key not in self._cameras or self._cameras[key][0] is not message:
            try:
                self._cameras[key] = message, camera_from_msg(self._bag.read(message), rectified)
            except (CalibrationError, MediaError) as error:
                raise CalibrationError(f"{name}: {error}") from error
        return self._cameras[key][1]


class DepthCamera:
    """From the segmented images of a camera and its depth images to objects in space.

    Args:
        topics: that belong to it.
        settings: those of the depth node.
        infos: calibrations.
        tree: transforms.
        class_names: a name for each class.
        kinds: which results: objects, cloud, markers.
        write: writes a result.
    """

    def __init__(
        self,
        topics: DepthTopics,
        settings: Mapping[str, Any],
        infos: CameraInfos,
        tree: TransformTree,
        class_names: Sequence[str],
        kinds: Collection[str],
        write: Write,
    ) -> None:
        self.topics, self.counts = topics, PlacingCounts()
        self._settings, self._infos, self._tree = settings, infos, tree
        self._class_names, self._kinds, self._write = class_names, kinds, write
        self._class_values = {name: value for value, name in enumerate(class_names, start=1)}
        self._placer = ObjectPlacer(placing_options(settings))
        self._markers = ObjectMarkers(make_message, settings["marker_lifetime_s"])
        self._pairing = StampPairing(round(settings["max_depth_delay_s"] * NANOSECONDS), _KEPT_DEPTH_IMAGES)
        self._waiting = WaitingFrames(
            self._process, self._fail, round(settings["max_wait_s"] * NANOSECONDS), _MAX_WAITING
        )

    @property
    def pairing(self) -> PairingCounts:
        """Return the counters of the pairing by stamps."""
        return self._pairing.counts

    def summary(self) -> dict[str, Any]:
        """Return what was placed, for JSON."""
        counts, pairing, topics = self.counts, self._pairing.counts, self.topics
        return {
            "depth_topic": topics.depth.name,
            "camera_info": topics.color_info,
            "depth_camera_info": topics.depth_info,
            "depth_images": counts.registration,
            "images": counts.images,
            "placed": counts.placed,
            "same_stamp": pairing.exact,
            "other_stamp": pairing.near,
            "clock_jumps": counts.jumps,
            "objects": dict(sorted(counts.objects.items())),
            "without_depth": dict(sorted(counts.without_depth.items())),
            "not_placed": dict(counts.failed),
            "unusable_depth_images": dict(counts.unusable),
        }

    def add_image(self, header: ImageHeader, log_time_ns: int, instances: Instances, image: ColorImage) -> None:
        """Place the instances of an image as soon as its depth image and transforms are there.

        Args:
            header: of the image.
            log_time_ns: of the image.
            instances: at most 255, with masks.
            image: is copied where its colours are wanted.
        """
        self.counts.images += 1
        if header.stamp_ns is None:
            count_reason(self.counts.failed, "the image has no stamp, or an invalid one")
            return
        bgr = image.to_bgr().copy() if self._settings["cloud_color"] == "image" else None
        frame = _Frame(header, log_time_ns, instances.label_image(), self._detections(instances), bgr)
        frames = self._put(DETECTIONS, header.stamp_ns, frame) + self._put(INSTANCES, header.stamp_ns, frame)
        self._take(frames, log_time_ns)

    def add_depth(self, header: ImageHeader, message: Any, log_time_ns: int) -> None:
        """Keep a depth image."""
        if header.stamp_ns is None:
            count_reason(self.counts.unusable, "no stamp, or an invalid one")
            return
        self._take(self._put(DEPTH, header.stamp_ns, _Depth(header, message)), log_time_ns)

    def work(self, log_time_ns: float) -> None:
        """Place what waited for transforms that are there now."""
        self._waiting.work(log_time_ns)

    def finish(self) -> None:
        """Place or count all that still waits, as nothing more comes."""
        self.work(math.inf)
        for frame in self._pairing.finish():
            self._take([frame], math.inf)
        counts, pairing = self.counts, self._pairing.counts
        if pairing.unmatched:
            count_reason(counts.failed, "no depth image is near enough", pairing.unmatched)
        if replaced := counts.images - counts.placed - counts.failed.total():
            count_reason(counts.failed, "another image has the same stamp", replaced)

    def _detections(self, instances: Instances) -> list[DetectedObject]:
        numbers = range(1, len(instances) + 1) if instances.track_id is None else instances.track_id.tolist()
        rows = zip(numbers, instances.class_id.tolist(), instances.score.tolist(), strict=True)
        return [
            DetectedObject("" if number == NO_TRACK else str(number), self._class_names[class_id], score)
            for number, class_id, score in rows
        ]

    def _put(self, kind: str, stamp_ns: int, message: Any) -> list[PairedFrame]:
        frames = self._pairing.put(kind, stamp_ns, message)
        if self._pairing.counts.clock_jumps > self.counts.jumps:
            self.counts.jumps = self._pairing.counts.clock_jumps
            if self._waiting:
                count_reason(self.counts.failed, "the stamps have jumped back", len(self._waiting))
            self._waiting.clear()
            self._placer.forget()
            self._tree.clear()
        return frames

    def _take(self, frames: Sequence[PairedFrame], now_ns: float) -> None:
        self._waiting.add(frames, now_ns)
        self._waiting.work(now_ns)

    def _fail(self, error: Exception) -> None:
        if not isinstance(error, UserError):
            raise error
        count_reason(self.counts.failed, error)

    def _process(self, pair: PairedFrame) -> None:
        frame, depth = pair.detections, pair.depth
        own_frame = frame.header.frame_id
        registration = self._registered(pair)
        target_frame = self._settings["target_frame"] or own_frame
        target = self._tree.transform(target_frame, own_frame, pair.stamp_ns)
        depth_image = depth_from_msg(depth.message, self._settings["depth_unit_m"])
        placed = self._placer.place(
            frame.labels, frame.detections, depth_image, registration, target, pair.stamp_ns / NANOSECONDS
        )
        self._count(placed)
        self._write_results(placed, frame, target_frame)

    def _registered(self, pair: PairedFrame) -> Registration:
        color, depth = self._cameras()
        registration = self._placer.registration(
            color,
            depth,
            (pair.detections.header.frame_id, pair.depth.header.frame_id),
            lambda target, source: self._tree.transform(target, source, pair.stamp_ns),
        )
        self.counts.registration = "projected" if registration.is_projected else "registered"
        return registration

    def _cameras(self) -> tuple[PinholeCamera, PinholeCamera]:
        topics, settings = self.topics, self._settings
        color = self._infos.camera(topics.color_info, is_rectified(settings, "color", topics.image))
        if settings["assume_registered"]:
            return color, color
        return color, self._infos.camera(topics.depth_info, is_rectified(settings, "depth", topics.depth.name))

    def _count(self, placed: PlacedObjects) -> None:
        self.counts.placed += 1
        without_box = set(placed.without_box)
        for rank, detection in enumerate(placed.detections):
            counter = self.counts.without_depth if rank in without_box else self.counts.objects
            counter[detection.class_name or ""] += 1

    def _write_results(self, placed: PlacedObjects, frame: _Frame, target_frame: str) -> None:
        header = make_header(frame.header, target_frame)
        objects = object_array(make_message, placed, header)
        messages = {OBJECTS: objects}
        if CLOUD in self._kinds:
            own_header = make_header(frame.header)
            table = LabelTable.of(placed.detections, placed.numbers, self._class_values)
            messages[CLOUD] = object_cloud(make_message, placed.objects, table, own_header, frame.image_bgr)
        if MARKERS in self._kinds:
            messages[MARKERS] = self._markers.message(placed, objects.detections, header)
        for kind, message in messages.items():
            if kind in self._kinds:
                self._write(kind, frame.log_time_ns, serialize(kind, message))
