"""Keep what a configured depth node holds: its topics, and the way of a frame from messages to objects in space."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.subscription import Subscription
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, Detection3DArray, LabelInfo
from visualization_msgs.msg import MarkerArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera
from yolov8_seg_ros.core.depth import Registration
from yolov8_seg_ros.core.object_placing import ObjectPlacer, PlacedObjects
from yolov8_seg_ros.core.stamp_pairing import DEPTH, DETECTIONS, INSTANCES, PairedFrame, StampPairing, WaitingFrames
from yolov8_seg_ros.errors import (
    CalibrationError,
    DepthError,
    ImageError,
    MissingCalibrationError,
    OptionError,
    UserError,
    one_line,
)
from yolov8_seg_ros.media.depth_message import (
    COMPRESSED_DEPTH_SUFFIX,
    camera_from_msg,
    depth_from_msg,
    info_topic,
    labels_from_msg,
)
from yolov8_seg_ros.media.object_markers import ObjectMarkers
from yolov8_seg_ros.media.object_messages import LabelTable, object_array, object_cloud
from yolov8_seg_ros.node.complaints import Complaints
from yolov8_seg_ros.node.conversions import image_from_msg, stamp_ns
from yolov8_seg_ros.node.depth.depth_health import DepthCounts
from yolov8_seg_ros.node.depth.depth_messages import detected_object, make_message
from yolov8_seg_ros.node.depth.frame_lookup import FrameLookup
from yolov8_seg_ros.node.depth.nav2_layer import Nav2Layer
from yolov8_seg_ros.node.following_subscription import FollowingSubscription
from yolov8_seg_ros.node.steady_timer import create_steady_timer
from yolov8_seg_ros.settings.placing import is_rectified, placing_options
from yolov8_seg_ros.settings.setting import listed_names

IMAGE_TOPIC, DEPTH_TOPIC = "image", "depth/image"
_RESULT_QOS = QoSProfile(depth=10)
#: Messages that wait at most.
_QUEUE_DEPTH = 10
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: How often a frame that waits for a transform is tried again.
_RETRY_S = 0.02
#: Colour images that are kept for the colours of clouds.
_MAX_IMAGES = 30


class DepthSession:
    """From detections, masks and depth images to objects, for as long as the node stays configured.

    Args:
        node: on whose topics.
        settings: values of the parameters by name.

    Attributes:
        topics: full names of those that are read, by what they carry.

    Raises:
        CalibrationError: for extrinsics that are no transform.
    """

    def __init__(self, node: LifecycleNode, settings: Mapping[str, Any]) -> None:
        self._node, self._settings = node, settings
        self.topics = self._names()
        self._complaints = Complaints(node.get_logger())
        self._placer = ObjectPlacer(placing_options(settings))
        self._pairing = StampPairing(round(settings["max_depth_delay_s"] * 1e9))
        self.counts = DepthCounts(self._pairing.counts)
        self._frames = FrameLookup(node)
        self._markers = ObjectMarkers(make_message, settings["marker_lifetime_s"])
        self._nav2 = Nav2Layer(listed_names(settings["nav2_classes"]), settings["nav2_decimation"])
        self._nav2_labels: LabelInfo | None = None
        self._class_values: dict[str, int] = {}
        self._infos: dict[str, CameraInfo] = {}
        self._images: dict[int, Image] = {}
        self._waiting = WaitingFrames(self._process, self._fail, settings["max_wait_s"])
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

    def _names(self) -> dict[str, str]:
        image, depth = (self._node.resolve_topic_name(name) for name in (IMAGE_TOPIC, DEPTH_TOPIC))
        segmentation = self._settings["segmentation"]
        try:
            results = {
                name: self._node.resolve_topic_name(f"{segmentation}/{name}") for name in (DETECTIONS, INSTANCES)
            }
        except RCLError as error:
            raise OptionError(f"segmentation: '{segmentation}' cannot be the name of a node") from error
        return {
            **results,
            DEPTH: depth,
            "image": image,
            "camera_info": self._node.resolve_topic_name(info_topic(image)),
            "depth_camera_info": self._node.resolve_topic_name(info_topic(depth)),
        }

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

    def _subscribe(self) -> None:
        is_compressed = self.topics[DEPTH].endswith(COMPRESSED_DEPTH_SUFFIX)
        kinds: list[tuple[str, type, Callable[[Any], None]]] = [
            (DETECTIONS, Detection2DArray, lambda message: self._take(DETECTIONS, message)),
            (INSTANCES, Image, lambda message: self._take(INSTANCES, message)),
            (DEPTH, CompressedImage if is_compressed else Image, lambda message: self._take(DEPTH, message)),
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
        self._waiting.add(frames, time.monotonic())
        if frames:
            self._work()

    def _forget(self) -> None:
        self._node.get_logger().warning("the clock has jumped back: everything that was kept is forgotten")
        self._placer.forget()
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
        self._waiting.work(time.monotonic())
        if self._waiting:
            self._retry.reset()
        else:
            self._retry.cancel()

    def _fail(self, error: Exception) -> None:
        self.counts.fail(error)
        text = one_line(error) if isinstance(error, UserError) else "".join(traceback.format_exception(error))
        # Numbers in a text change from image to image.
        self._complaints.add(type(error).__name__, f"no objects: {text}")

    def _process(self, frame: PairedFrame) -> None:
        began_s = time.perf_counter()
        header: Header = frame.instances.header
        registration = self._registered(frame)
        target_frame = self._settings["target_frame"] or header.frame_id
        target = self._frames.transform(target_frame, header.frame_id, header.stamp)
        depth = depth_from_msg(frame.depth, self._settings["depth_unit_m"])
        detections = [detected_object(detection) for detection in frame.detections.detections]
        labels = labels_from_msg(frame.instances, [detection.id for detection in detections])
        placed = self._placer.place(labels, detections, depth, registration, target, frame.stamp_ns / 1e9)
        self._publish_objects(placed, Header(stamp=header.stamp, frame_id=target_frame))
        self._publish_points(placed, header, frame.stamp_ns)
        names = [f"{detections[rank].class_name or '?'} {placed.numbers[rank]}" for rank in placed.without_box]
        self.counts.process(len(detections), names, (time.perf_counter() - began_s) * 1e3)

    def _registered(self, frame: PairedFrame) -> Registration:
        header, depth_frame = frame.instances.header, frame.depth.header.frame_id
        color = self._camera("color", "camera_info", "image")
        is_registered = self._settings["assume_registered"]
        depth = color if is_registered else self._camera("depth", "depth_camera_info", DEPTH)
        registration = self._placer.registration(
            color,
            depth,
            (header.frame_id, depth_frame),
            lambda target, source: self._frames.transform(target, source, header.stamp),
        )
        self.counts.registration = "projected into the colour image" if registration.is_projected else "registered"
        return registration

    def _camera(self, camera: str, key: str, images: str) -> PinholeCamera:
        info, topics = self._infos.get(key), self.topics
        if info is None:
            raise MissingCalibrationError(f"no CameraInfo on {topics[key]}")
        try:
            return camera_from_msg(info, is_rectified(self._settings, camera, topics[images]))
        except CalibrationError as error:
            raise CalibrationError(f"{topics[key]}: {error}") from error

    def _publish_objects(self, placed: PlacedObjects, header: Header) -> None:
        message = object_array(make_message, placed, header)
        self._objects.publish(message)
        if self._marker_arrays.get_subscription_count():
            self._marker_arrays.publish(self._markers.message(placed, message.detections, header))

    def _publish_points(self, placed: PlacedObjects, header: Header, taken_ns: int) -> None:
        wants_cloud = bool(self._cloud.get_subscription_count())
        wants_nav2 = self._settings["nav2"] and any(one.get_subscription_count() for one in self._nav2_images)
        if not wants_cloud and not wants_nav2:
            return
        table = LabelTable.of(placed.detections, placed.numbers, self._class_values)
        if wants_cloud:
            image = self._image_bgr(taken_ns)
            self._cloud.publish(object_cloud(make_message, placed.objects, table, header, image))
        if wants_nav2 and self._nav2_labels is not None:
            messages = self._nav2.messages(placed.objects, table, self._nav2_labels, header)
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
