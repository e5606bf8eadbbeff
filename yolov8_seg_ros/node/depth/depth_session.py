"""Keep what a configured depth node holds: its topics, and the way of a frame from messages to objects in space."""

from __future__ import annotations

import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, Detection2DArray, Detection3DArray, LabelInfo
from visualization_msgs.msg import MarkerArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.depth import DepthOptions, Registration
from yolov8_seg_ros.core.object_boxes import ObjectBox, measure_boxes
from yolov8_seg_ros.core.object_points import ObjectPoints, find_objects
from yolov8_seg_ros.errors import CalibrationError, DepthError, ImageError, UserError, one_line
from yolov8_seg_ros.node.complaints import Complaints
from yolov8_seg_ros.node.conversions import image_from_msg, stamp_ns
from yolov8_seg_ros.node.depth.depth_health import DepthCounts
from yolov8_seg_ros.node.depth.depth_messages import (
    camera_from_msg,
    depth_from_msg,
    info_topic,
    labels_from_msg,
    parse_extrinsics,
    to_detection_3d,
    track_number,
)
from yolov8_seg_ros.node.depth.frame_lookup import FrameError, FrameLookup
from yolov8_seg_ros.node.depth.object_clouds import LabelTable, Nav2Layer, object_cloud
from yolov8_seg_ros.node.depth.object_markers import MarkedObject, ObjectMarkers
from yolov8_seg_ros.node.depth.object_tracks import ObjectTracks
from yolov8_seg_ros.node.depth.stamp_pairing import DEPTH, DETECTIONS, INSTANCES, PairedFrame, StampPairing
from yolov8_seg_ros.node.following_subscription import FollowingSubscription
from yolov8_seg_ros.node.steady_timer import create_steady_timer
from yolov8_seg_ros.settings.setting import listed_names

IMAGE_TOPIC, DEPTH_TOPIC = "image", "depth/image"
_RESULT_QOS = QoSProfile(depth=10)
#: Messages that wait at most.
_QUEUE_DEPTH = 10
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: How often a frame that waits for a transform is tried again, and how many wait at most.
_RETRY_S = 0.02
_MAX_WAITING = 10
#: Colour images that are kept for the colours of clouds.
_MAX_IMAGES = 30
#: Numbers of instances without a track begin here, past those of tracks.
_FIRST_WITHOUT_TRACK = 1_000_000


@dataclass(frozen=True)
class _Measured:
    """The objects of one frame."""

    header: Header
    detections: Sequence[Detection2D]
    numbers: Sequence[int]
    objects: ObjectPoints
    boxes: Sequence[ObjectBox]


class _NoCameraInfoError(CalibrationError):
    """A calibration that has not come yet."""


class DepthSession:
    """From detections, masks and depth images to objects, for as long as the node stays configured.

    Args:
        node: on whose topics.
        settings: values of the parameters by name.

    Raises:
        CalibrationError: for extrinsics that are no transform.
    """

    def __init__(self, node: LifecycleNode, settings: Mapping[str, Any]) -> None:
        self._node, self._settings = node, settings
        self._complaints = Complaints(node.get_logger())
        extrinsics = settings["depth_extrinsics"]
        self._extrinsics = parse_extrinsics(extrinsics) if extrinsics else None
        self._options = DepthOptions(**{field.name: settings[field.name] for field in fields(DepthOptions)})
        self._pairing = StampPairing(round(settings["max_depth_delay_s"] * 1e9))
        self.counts = DepthCounts(self._pairing.counts)
        self._frames = FrameLookup(node)
        self._tracks = ObjectTracks(settings["velocity_window_s"], settings["smoothing_s"])
        self._markers = ObjectMarkers(settings["marker_lifetime_s"])
        self._nav2 = Nav2Layer(listed_names(settings["nav2_classes"]), settings["nav2_decimation"])
        self._nav2_labels: LabelInfo | None = None
        self._class_values: dict[str, int] = {}
        self._infos: dict[str, CameraInfo] = {}
        self._images: dict[int, Image] = {}
        self._waiting: deque[tuple[PairedFrame, float]] = deque()
        self._registration: tuple[Any, Registration | None] = (None, None)
        self._clock_jumps = 0
        self._advertise()
        self._subscriptions: list[FollowingSubscription] = []
        self._labels = node.create_subscription(
            LabelInfo, f"{settings['segmentation']}/label_info", self._take_labels, _LATCHED_QOS
        )
        self._retry = create_steady_timer(node, _RETRY_S, self._work)
        self._retry.cancel()

    def _advertise(self) -> None:
        make = self._node.create_lifecycle_publisher
        self._objects = make(Detection3DArray, "~/objects", _RESULT_QOS)
        self._marker_arrays = make(MarkerArray, "~/markers", _RESULT_QOS)
        self._cloud = make(PointCloud2, "~/cloud", _RESULT_QOS)
        self._publishers = [self._objects, self._marker_arrays, self._cloud]
        if self._settings["nav2"]:
            self._nav2_images = (
                make(Image, "~/nav2/mask", _RESULT_QOS),
                make(Image, "~/nav2/confidence", _RESULT_QOS),
                make(PointCloud2, "~/nav2/points", _RESULT_QOS),
            )
            self._nav2_info = make(LabelInfo, "~/nav2/label_info", _LATCHED_QOS)
            self._publishers += [*self._nav2_images, self._nav2_info]

    def listen(self, enabled: bool) -> None:
        """Subscribe to the messages, or unsubscribe."""
        for subscription in self._subscriptions:
            subscription.close()
        self._subscriptions = []
        self._pairing.clear()
        self._waiting.clear()
        self.counts.listening = enabled
        if enabled:
            self._subscribe()
            self._publish_nav2_labels()

    def close(self) -> None:
        """Release all that the session holds."""
        self.listen(False)
        self._frames.close()
        self._node.destroy_timer(self._retry)
        self._node.destroy_subscription(self._labels)
        for publisher in self._publishers:
            self._node.destroy_lifecycle_publisher(publisher)

    @property
    def topics(self) -> dict[str, str]:
        """Return the full names of the topics that are read, by what they carry."""
        image, depth = (self._node.resolve_topic_name(name) for name in (IMAGE_TOPIC, DEPTH_TOPIC))
        segmentation = self._settings["segmentation"]
        return {
            DETECTIONS: self._node.resolve_topic_name(f"{segmentation}/detections"),
            INSTANCES: self._node.resolve_topic_name(f"{segmentation}/instances"),
            DEPTH: depth,
            "image": image,
            "camera_info": self._node.resolve_topic_name(info_topic(image)),
            "depth_camera_info": self._node.resolve_topic_name(info_topic(depth)),
        }

    def _subscribe(self) -> None:
        kinds: list[tuple[str, type, Callable[[Any], None]]] = [
            (DETECTIONS, Detection2DArray, lambda message: self._take(DETECTIONS, message)),
            (INSTANCES, Image, lambda message: self._take(INSTANCES, message)),
            (DEPTH, Image, lambda message: self._take(DEPTH, message)),
            ("camera_info", CameraInfo, lambda message: self._infos.__setitem__("camera_info", message)),
        ]
        if not self._settings["assume_registered"]:
            kinds.append(
                ("depth_camera_info", CameraInfo, lambda message: self._infos.__setitem__("depth_camera_info", message))
            )
        if self._settings["cloud_color"] == "image":
            kinds.append(("image", Image, self._take_image))
        topics = self.topics
        self._subscriptions = [self._following(kind, topics[key], take) for key, kind, take in kinds]

    def _following(self, kind: type, topic: str, take: Callable[[Any], None]) -> FollowingSubscription:
        def create(policy: ReliabilityPolicy) -> Subscription[Any]:
            qos = QoSProfile(depth=_QUEUE_DEPTH, reliability=policy)
            return self._node.create_subscription(kind, topic, take, qos)

        return FollowingSubscription(self._node, topic, create)

    def _take(self, kind: str, message: Any) -> None:
        self.counts.seen(kind)
        frames = self._pairing.put(kind, stamp_ns(message.header), message)
        if self._pairing.counts.clock_jumps > self._clock_jumps:
            self._clock_jumps = self._pairing.counts.clock_jumps
            self._forget()
        deadline_s = time.monotonic() + self._settings["max_wait_s"]
        self._waiting.extend((frame, deadline_s) for frame in frames)
        while len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft()
            self._fail(FrameError("more frames wait for their transforms than are kept"))
        if frames:
            self._work()

    def _forget(self) -> None:
        self._node.get_logger().warning("the clock has jumped back: everything that was kept is forgotten")
        self._tracks.clear()
        self._frames.clear()
        self._waiting.clear()
        self._images.clear()

    def _take_image(self, message: Image) -> None:
        self._images[stamp_ns(message.header)] = message
        while len(self._images) > _MAX_IMAGES:
            del self._images[min(self._images)]

    def _take_labels(self, message: LabelInfo) -> None:
        self._class_values = {entry.class_name: entry.class_id for entry in message.class_map}
        self._nav2_labels = self._nav2.label_info(message)
        unknown = self._nav2.unknown_classes(message)
        self.counts.unknown_classes = ", ".join(unknown)
        if unknown:
            self._node.get_logger().warning(f"nav2_classes: the model has no class {', '.join(unknown)}")
        self._publish_nav2_labels()

    def _publish_nav2_labels(self) -> None:
        if self._settings["nav2"] and self._nav2_labels is not None:
            self._nav2_info.publish(self._nav2_labels)

    def _work(self) -> None:
        """Process the frames whose transforms and calibrations are there, in order; others are tried again soon."""
        while self._waiting:
            frame, deadline_s = self._waiting[0]
            try:
                self._process(frame)
            except UserError as error:
                may_come = isinstance(error, _NoCameraInfoError) or (isinstance(error, FrameError) and error.may_come)
                if may_come and time.monotonic() < deadline_s:
                    self._retry.reset()
                    return
                self._fail(error)
            except Exception as error:  # noqa: BLE001 - the frames behind it are not to wait for it
                self.counts.fail(error)
                self._complaints.add(type(error).__name__, f"no objects: {traceback.format_exc()}")
            self._waiting.popleft()
        self._retry.cancel()

    def _fail(self, error: UserError) -> None:
        self.counts.fail(error)
        # Numbers in a text change from image to image.
        self._complaints.add(type(error).__name__, f"no objects: {one_line(error)}")

    def _process(self, frame: PairedFrame) -> None:
        began_s = time.perf_counter()
        header: Header = frame.instances.header
        registration = self._registered(frame)
        target_frame = self._settings["target_frame"] or header.frame_id
        target = self._frames.transform(target_frame, header.frame_id, header.stamp)
        depth = depth_from_msg(frame.depth, self._settings["depth_unit_m"])
        detections = frame.detections.detections
        labels = labels_from_msg(frame.instances, [detection.id for detection in detections])
        points = registration.label(labels, depth, self._options)
        numbers = [self._number(detection, rank) for rank, detection in enumerate(detections, start=1)]
        objects = find_objects(points, len(detections), self._options)
        boxes = measure_boxes(objects, target, self._yaw_hints(numbers))
        found = _Measured(header, detections, numbers, objects, boxes)
        self._publish_objects(found, Header(stamp=header.stamp, frame_id=target_frame))
        self._publish_points(found, frame.stamp_ns)
        self._count(found, (time.perf_counter() - began_s) * 1e3)

    def _count(self, found: _Measured, elapsed_ms: float) -> None:
        with_depth = {box.label for box in found.boxes}
        names = [
            f"{detection.results[0].hypothesis.class_id if detection.results else '?'} {number}"
            for label, (detection, number) in enumerate(zip(found.detections, found.numbers, strict=True), start=1)
            if label not in with_depth
        ]
        self.counts.process(len(found.detections), names, elapsed_ms)

    def _number(self, detection: Detection2D, rank: int) -> int:
        if not self._settings["tracking.enabled"]:
            return rank
        return track_number(detection.id) or _FIRST_WITHOUT_TRACK + rank

    def _yaw_hints(self, numbers: Sequence[int]) -> dict[int, float] | None:
        if self._settings["boxes"] != "yaw":
            return None
        return {label: self._tracks.yaw_rad(number) for label, number in enumerate(numbers, start=1)}

    def _registered(self, frame: PairedFrame) -> Registration:
        """Return how the depth image lies to the colour image; made anew only when a camera has changed."""
        header, depth_frame = frame.instances.header, frame.depth.header.frame_id
        color = self._camera("camera_info")
        depth = color if self._settings["assume_registered"] else self._camera("depth_camera_info")
        if self._settings["assume_registered"] or (self._extrinsics is None and depth_frame == header.frame_id):
            depth_to_color = RigidTransform.identity()
        elif self._extrinsics is not None:
            depth_to_color = self._extrinsics
        else:
            depth_to_color = self._frames.transform(header.frame_id, depth_frame, header.stamp)
        is_registered = depth == color and np.array_equal(depth_to_color.matrix, np.eye(4))
        key = (color, None if is_registered else depth, depth_to_color.matrix.tobytes())
        if self._registration[0] != key:
            self._registration = key, Registration(color, key[1], depth_to_color)
            self.counts.registration = "registered" if is_registered else "projected into the colour image"
        assert self._registration[1] is not None
        return self._registration[1]

    def _camera(self, key: str) -> PinholeCamera:
        info = self._infos.get(key)
        if info is None:
            raise _NoCameraInfoError(f"no CameraInfo on {self.topics[key]}")
        try:
            return camera_from_msg(info)
        except CalibrationError as error:
            raise CalibrationError(f"{self.topics[key]}: {error}") from error

    def _publish_objects(self, found: _Measured, header: Header) -> None:
        stamp_s = stamp_ns(header) / 1e9
        message, marked = Detection3DArray(header=header), []
        for box in found.boxes:
            detection, number = found.detections[box.label - 1], found.numbers[box.label - 1]
            shift_m, velocity_m_s = self._motion(box, number, stamp_s)
            message.detections.append(to_detection_3d(box, shift_m, detection, header))
            marked.append(MarkedObject(number, message.detections[-1], velocity_m_s))
        self._tracks.forget_before(stamp_s)
        self._objects.publish(message)
        if self._marker_arrays.get_subscription_count():
            self._marker_arrays.publish(self._markers.message(marked, header))

    def _motion(
        self, box: ObjectBox, number: int, stamp_s: float
    ) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
        """Return by how much smoothing moves an object, and its velocity."""
        if not self._settings["tracking.enabled"] or number >= _FIRST_WITHOUT_TRACK:
            return np.zeros(3), None
        motion = self._tracks.update(number, stamp_s, box.surface_m, box.yaw_rad)
        return motion.position_m - box.surface_m, motion.velocity_m_s

    def _publish_points(self, found: _Measured, taken_ns: int) -> None:
        wants_cloud = bool(self._cloud.get_subscription_count())
        wants_nav2 = self._settings["nav2"] and any(one.get_subscription_count() for one in self._nav2_images)
        if not wants_cloud and not wants_nav2:
            return
        table = LabelTable.of(found.detections, found.numbers, self._class_values)
        if wants_cloud:
            image = self._image_bgr(taken_ns)
            self._cloud.publish(object_cloud(found.objects, table, found.header, image))
        if wants_nav2 and self._nav2_labels is not None:
            messages = self._nav2.messages(found.objects, table, self._nav2_labels, found.header)
            for publisher, message in zip(self._nav2_images, messages, strict=True):
                publisher.publish(message)

    def _image_bgr(self, taken_ns: int) -> NDArray[np.uint8] | None:
        if self._settings["cloud_color"] != "image":
            return None
        message = self._images.get(taken_ns)
        if message is None:
            self.counts.clouds_without_image += 1
            return None
        try:
            return image_from_msg(message).to_bgr()
        except ImageError as error:
            raise DepthError(f"image: {error}") from error
