"""Read what places the objects of a recording in space: depth images, CameraInfo and transforms."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.transform_tree import StampedPose, TransformTree
from yolov8_seg_ros.errors import CalibrationError, MediaError
from yolov8_seg_ros.media.bag import NANOSECONDS, TRANSFORM_TYPES, Bag, BagMessage, ImageHeader, image_header
from yolov8_seg_ros.media.bag_files import Topic
from yolov8_seg_ros.tools.bag.cameras import Camera, DepthTopics, count_reason
from yolov8_seg_ros.tools.bag.depth_camera import CameraInfos, DepthCamera
from yolov8_seg_ros.tools.bag.messages import RESULT_TYPES, result_types
from yolov8_seg_ros.tools.bag.writer import BagWriter

_TF, _TF_STATIC = "tf", "tf_static"
#: So long before the first image that is wanted the other messages are read: tf2 keeps transforms as long.
_LEAD_NS = 10 * NANOSECONDS


class BagObjects:
    """Place the objects of the cameras that have a depth camera.

    Results of an image are written when its depth image and transforms have been read, with the image's log time.

    Args:
        bag: the recording.
        writer: of the new one.
        prefix: what the names of the topics of results begin with.
        cameras: all of them.
        depth_topics: by image topic.
        settings: those of the depth node.
        class_names: a name for each class.
        kinds: which results: objects, cloud, markers.

    Attributes:
        topics: that are read.
        cameras: by image topic.
        unusable_transforms: by the reason.
    """

    def __init__(
        self,
        bag: Bag,
        writer: BagWriter,
        prefix: str,
        cameras: Iterable[Camera],
        depth_topics: Mapping[str, DepthTopics],
        settings: Mapping[str, Any],
        class_names: Sequence[str],
        kinds: Collection[str],
    ) -> None:
        self._bag = bag
        self._tree = TransformTree()
        names = {name for topics in depth_topics.values() for name in (topics.color_info, topics.depth_info)}
        self._infos = CameraInfos(bag, names)
        self._wait_ns = round(max(settings["max_wait_s"], settings["max_depth_delay_s"]) * NANOSECONDS)
        self.unusable_transforms: Counter[str] = Counter()
        self.cameras = {
            camera.topic.name: DepthCamera(
                depth_topics[camera.topic.name],
                settings,
                self._infos,
                self._tree,
                class_names,
                kinds,
                _write_to(writer, object_names(prefix, camera.name, kinds)),
            )
            for camera in cameras
            if camera.topic.name in depth_topics
        }
        self._fixed = _transform_topics(bag, _TF_STATIC)
        depths = {topics.depth.name: topics.depth for topics in depth_topics.values()}
        self.topics = [*depths.values(), *self._infos.topics, *_transform_topics(bag, _TF), *self._fixed]
        self._readers = {
            **{(topic.name, topic.msgtype): self._read_depth for topic in depths.values()},
            **{(topic.name, topic.msgtype): self._infos.put for topic in self._infos.topics},
            **{(topic.name, topic.msgtype): self._read_transforms for topic in _transform_topics(bag, _TF)},
            **{(topic.name, topic.msgtype): self._read_fixed_transforms for topic in self._fixed},
        }

    @property
    def is_whole(self) -> bool:
        """Return whether each camera has objects in space, and all depth images could be used."""
        return all(camera.counts.placed and not camera.counts.unusable for camera in self.cameras.values())

    def begin(self, start_ns: int | None) -> None:
        """Read the fixed transforms, which hold for all times, and what comes shortly before the first image.

        Args:
            start_ns: log time from which images are wanted; None: from the beginning.
        """
        for message in self._bag.messages(self._fixed) if self._fixed else ():
            for pose in self._poses(message):
                # Of several, the first one is that of the images before it; others follow in their turn.
                if not self._tree.has_fixed(pose.child):
                    self._put_pose(pose, is_fixed=True)
        # They are read again, and counted then.
        self.unusable_transforms.clear()
        if start_ns is not None:
            for message in self._bag.messages(self.topics, start_ns - _LEAD_NS, start_ns):
                self.read(message)

    def read(self, message: BagMessage) -> None:
        """Read a message, if it is one of the topics'."""
        reader = self._readers.get((message.topic.name, message.topic.msgtype))
        if reader is not None:
            # What waits for too long has failed before this message could help.
            self._work(message.log_time_ns)
            reader(message)
            self._work(message.log_time_ns)

    def add(
        self, camera: Camera, header: ImageHeader, log_time_ns: int, instances: Instances, image: ColorImage
    ) -> None:
        """Place the instances of an image, if its camera has a depth camera."""
        if camera.topic.name in self.cameras:
            self.cameras[camera.topic.name].add_image(header, log_time_ns, instances, image)

    def finish(self, end_ns: int | None) -> None:
        """Place or count what still waits, after what comes shortly after the last image.

        Args:
            end_ns: log time from which images are not wanted any more; None: they were wanted to the end.
        """
        if end_ns is not None:
            for message in self._bag.messages(self.topics, end_ns, end_ns + self._wait_ns):
                self.read(message)
        for camera in self.cameras.values():
            camera.finish()

    def _work(self, log_time_ns: int) -> None:
        for camera in self.cameras.values():
            camera.work(log_time_ns)

    def _read_depth(self, message: BagMessage) -> None:
        cameras = [camera for camera in self.cameras.values() if camera.topics.depth == message.topic]
        try:
            content = self._bag.read(message)
            header = image_header(content.header)
        except MediaError as error:
            for camera in cameras:
                count_reason(camera.counts.unusable, error)
            return
        for camera in cameras:
            camera.add_depth(header, content, message.log_time_ns)

    def _read_transforms(self, message: BagMessage) -> None:
        for pose in self._poses(message):
            self._put_pose(pose, is_fixed=False)

    def _read_fixed_transforms(self, message: BagMessage) -> None:
        for pose in self._poses(message):
            self._put_pose(pose, is_fixed=True)

    def _put_pose(self, pose: StampedPose, *, is_fixed: bool) -> None:
        try:
            self._tree.put(pose, is_fixed=is_fixed)
        except CalibrationError as error:
            count_reason(self.unusable_transforms, error)

    def _poses(self, message: BagMessage) -> list[StampedPose]:
        try:
            return [_pose(transform) for transform in self._bag.read(message).transforms]
        except MediaError as error:
            count_reason(self.unusable_transforms, error)
            return []


def object_names(prefix: str, camera_name: str, kinds: Collection[str]) -> dict[str, str]:
    """Return the topic of each kind of result of a camera."""
    return {kind: "/".join(filter(None, (prefix, camera_name, kind))) for kind in kinds}


def _write_to(writer: BagWriter, names: Mapping[str, str]) -> Callable[[str, int, memoryview], None]:
    types = result_types()
    connections = {kind: writer.add_result(name, RESULT_TYPES[kind], types) for kind, name in names.items()}
    return lambda kind, log_time_ns, data: writer.write(connections[kind], log_time_ns, data)


def _transform_topics(bag: Bag, name: str) -> list[Topic]:
    # Names in ROS 1 may have no slash.
    return [topic for topic in bag.topics if topic.name.lstrip("/") == name and topic.msgtype in TRANSFORM_TYPES]


def _pose(transform: Any) -> StampedPose:
    turn, move = transform.transform.rotation, transform.transform.translation
    stamp = transform.header.stamp
    return StampedPose(
        transform.header.frame_id,
        transform.child_frame_id,
        stamp.sec * NANOSECONDS + stamp.nanosec,
        (turn.x, turn.y, turn.z, turn.w),
        (move.x, move.y, move.z),
    )
