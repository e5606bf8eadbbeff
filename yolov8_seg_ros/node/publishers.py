"""Publish what was found in the images of one camera, each topic only while somebody subscribes to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import MAX_LABELS, Instances
from yolov8_seg_ros.media.image_annotations import image_annotations
from yolov8_seg_ros.media.overlay import draw_instance_colors, draw_overlay
from yolov8_seg_ros.node import conversions
from yolov8_seg_ros.node.cdr import detections_to_cdr, installed_messages_agree
from yolov8_seg_ros.node.conversions import AnyHeader
from yolov8_seg_ros.node.subscribers import SubscriberWatch

#: Topics of one camera, after `~/` or `~/NAME/`, in the order in which they are published.
RESULT_TOPICS = (
    "detections",
    "label_info",
    "instances",
    "instances_color",
    "semantic",
    "overlay",
    "overlay/compressed",
    "image_annotations",
)
#: That one is there only where the package foxglove_msgs is.
ANNOTATIONS_TOPIC = RESULT_TOPICS[-1]
_RESULT_QOS = QoSProfile(depth=10)
#: Reliable, so that subscribers of either kind see it; a slow one is not waited for.
_VIEW_QOS = QoSProfile(depth=2)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)


@dataclass(frozen=True)
class _Result:
    """The result of one image, for those who write messages of it."""

    header: Header
    image: ColorImage
    instances: Instances
    class_names: Sequence[str]

    @cached_property
    def overlay_bgr(self) -> NDArray[np.uint8]:
        """Return the annotated image, which two topics show."""
        return draw_overlay(self.image.to_bgr(), self.instances, self.class_names)


class Publishers:
    """The topics of one camera's results.

    Args:
        node: on whose topics.
        prefix: of the topics: `~/`, or `~/front/` for one of several cameras.
        class_names: a name for each class.
        has_track_ids: whether pixels of `instances` are track ids in 16 bits rather than numbers of detections.
    """

    def __init__(self, node: LifecycleNode, prefix: str, class_names: Sequence[str], has_track_ids: bool) -> None:
        self._node = node
        self._class_names = class_names
        self._has_track_ids = has_track_ids
        # A publisher that is destroyed must not be used any more by the engine's worker.
        self._in_use = threading.Lock()
        self._is_closed = False
        self._detections_message = self._choose_detections_message()
        self._labels, self._classes = conversions.LabelCanvas("mono8"), conversions.LabelCanvas("mono8")
        self._tracks = conversions.LabelCanvas("16UC1")
        # Type and maker of what needs masks, by topic.
        self._writers: dict[str, tuple[Any, Callable[[_Result], Any]]] = {
            "instances": (Image, self._instances),
            "instances_color": (Image, self._instances_color),
            "semantic": (Image, self._semantic),
            "overlay": (Image, self._overlay),
            "overlay/compressed": (CompressedImage, self._compressed_overlay),
        }
        if len(class_names) > MAX_LABELS:
            node.get_logger().warning(
                f"the model has {len(class_names)} classes, and ~/semantic has room for {MAX_LABELS}: not published"
            )
            del self._writers["semantic"]
        foxglove = foxglove_messages()
        if foxglove is None:
            node.get_logger().debug(f"the package foxglove_msgs is not installed: no ~/{ANNOTATIONS_TOPIC}")
        else:
            self._writers[ANNOTATIONS_TOPIC] = (foxglove.ImageAnnotations, _annotations_writer(foxglove))
        create = node.create_lifecycle_publisher
        self._detections = create(Detection2DArray, f"{prefix}detections", _RESULT_QOS)
        self._label_info = create(LabelInfo, f"{prefix}label_info", _LATCHED_QOS)
        self._of_masks = {
            name: create(message_type, prefix + name, _qos_of(name))
            for name, (message_type, _) in self._writers.items()
        }
        self._subscribers = SubscriberWatch((self._detections, *self._of_masks.values()))

    def want_masks(self) -> bool:
        """Return whether anybody subscribes to what is made of masks."""
        return not self._subscribers.subscribed().isdisjoint(self._of_masks.values())

    def publish(self, header: AnyHeader, image: ColorImage, instances: Instances) -> None:
        """Publish the results of one image; nothing once the publishers are closed."""
        with self._in_use:
            if self._is_closed:
                return
            subscribed = self._subscribers.subscribed()
            if self._detections in subscribed:
                self._detections.publish(self._detections_message(instances, self._class_names, header))
            # Someone may have subscribed only after the masks were left out: then the next image will do.
            if instances.masks is not None:
                result = _Result(conversions.header_to_msg(header), image, instances, self._class_names)
                for name, publisher in self._of_masks.items():
                    if publisher in subscribed:
                        _, write = self._writers[name]
                        publisher.publish(write(result))

    def publish_label_info(self, score_threshold: float) -> None:
        """Publish what the pixel values of the semantic image mean."""
        header = Header(stamp=self._node.get_clock().now().to_msg())
        self._label_info.publish(conversions.label_info(self._class_names, score_threshold, header))

    def close(self) -> None:
        """Destroy the publishers, after what is being published."""
        with self._in_use:
            self._is_closed = True
        for publisher in (self._detections, self._label_info, *self._of_masks.values()):
            self._node.destroy_lifecycle_publisher(publisher)

    def _choose_detections_message(self) -> Callable[[Instances, Sequence[str], AnyHeader], Detection2DArray | bytes]:
        if installed_messages_agree():
            return detections_to_cdr
        self._node.get_logger().warning(
            "the installed vision_msgs are not those this package was written for: detections take longer to publish"
        )
        return conversions.detections_to_msg

    def _instances(self, result: _Result) -> Image:
        instances, header = result.instances, result.header
        labels = instances.label_image(self._labels.pixels(instances.image_hw))
        if not self._has_track_ids:
            return self._labels.message(header)
        # The labels are in range; `raise`, the default, would need another image's memory to make sure.
        np.take(instances.track_values(), labels, out=self._tracks.pixels(instances.image_hw), mode="clip")
        return self._tracks.message(header)

    def _semantic(self, result: _Result) -> Image:
        result.instances.semantic_image(self._classes.pixels(result.instances.image_hw))
        return self._classes.message(result.header)

    def _instances_color(self, result: _Result) -> Image:
        return conversions.bgr_to_msg(draw_instance_colors(result.instances), result.header)

    def _overlay(self, result: _Result) -> Image:
        return conversions.bgr_to_msg(result.overlay_bgr, result.header)

    def _compressed_overlay(self, result: _Result) -> CompressedImage:
        return conversions.bgr_to_jpeg_msg(result.overlay_bgr, result.header)


def foxglove_messages() -> Any | None:
    """Return the module with the messages of the package foxglove_msgs; None where it is not installed."""
    try:
        import foxglove_msgs.msg
    except ImportError:
        return None
    return foxglove_msgs.msg


def _annotations_writer(foxglove: Any) -> Callable[[_Result], Any]:
    def make(msgtype: str, /, **fields: Any) -> Any:
        return getattr(foxglove, msgtype.rpartition("/")[2])(**fields)

    return lambda result: image_annotations(make, result.instances, result.class_names, result.header.stamp)


def _qos_of(name: str) -> QoSProfile:
    return _VIEW_QOS if "overlay" in name else _RESULT_QOS
