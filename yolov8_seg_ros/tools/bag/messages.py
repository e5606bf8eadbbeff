"""Serialize results as the node publishes them, without ROS."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.interfaces import Nodetype
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from yolov8_seg_ros.core.instances import NO_TRACK, Instances
from yolov8_seg_ros.media.bag import ImageHeader
from yolov8_seg_ros.media.bag_files import RAW_IMAGE
from yolov8_seg_ros.text import BACKGROUND

DETECTIONS, INSTANCES, SEMANTIC, LABEL_INFO = "detections", "instances", "semantic", "label_info"
OBJECTS, CLOUD, MARKERS = "objects", "cloud", "markers"
#: Results of images, and those that need a depth camera.
IMAGE_KINDS, OBJECT_KINDS = (DETECTIONS, INSTANCES, SEMANTIC), (OBJECTS, CLOUD, MARKERS)
#: The type of each result; its name is the last part of its topic.
RESULT_TYPES = {
    DETECTIONS: "vision_msgs/msg/Detection2DArray",
    INSTANCES: RAW_IMAGE,
    SEMANTIC: RAW_IMAGE,
    LABEL_INFO: "vision_msgs/msg/LabelInfo",
    OBJECTS: "vision_msgs/msg/Detection3DArray",
    CLOUD: "sensor_msgs/msg/PointCloud2",
    MARKERS: "visualization_msgs/msg/MarkerArray",
}
#: rosbags knows no vision_msgs. The fields are those of release 4; comments of the originals are left out.
VISION_MSGS = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Detection2D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox2D bbox\nstring id"
    ),
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
    "BoundingBox3D": "geometry_msgs/Pose center\ngeometry_msgs/Vector3 size",
    "Detection3D": (
        "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
        "vision_msgs/BoundingBox3D bbox\nstring id"
    ),
    "Detection3DArray": "std_msgs/Header header\nvision_msgs/Detection3D[] detections",
    "VisionClass": "uint16 class_id\nstring class_name",
    "LabelInfo": "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold",
}
_COVARIANCE_SIZE = 36
#: Defaults of fields that are no whole numbers.
_DEFAULTS = {"string": "", "bool": False, "float32": 0.0, "float64": 0.0}


@cache
def result_types() -> Typestore:
    """Return the message types of ROS 2 Jazzy and those of vision_msgs that results need."""
    types = get_typestore(Stores.ROS2_JAZZY)
    for name, definition in VISION_MSGS.items():
        types.register(get_types_from_msg(definition, f"vision_msgs/msg/{name}"))
    return types


def make_message(msgtype: str, /, **fields: Any) -> Any:
    """Return a message of a type that is known; fields that are not given have their defaults."""
    types = result_types()
    described = types.fielddefs[msgtype][1]
    return types.types[msgtype](
        **{name: fields[name] if name in fields else _default(kind) for name, kind in described}
    )


def make_header(header: ImageHeader, frame_id: str | None = None) -> Any:
    """Return a std_msgs/Header with the stamp of an image, and its frame where no other one is given."""
    stamp = make_message("builtin_interfaces/msg/Time", sec=header.sec, nanosec=header.nanosec)
    return make_message("std_msgs/msg/Header", stamp=stamp, frame_id=header.frame_id if frame_id is None else frame_id)


def serialize(kind: str, message: Any) -> memoryview:
    """Return a message of a kind of results as CDR."""
    return result_types().serialize_cdr(message, RESULT_TYPES[kind])


def _default(kind: Any) -> Any:
    """Return the default of a field of a message: empty, or zeros."""
    node, details = kind
    if node == Nodetype.NAME:
        return make_message(details)
    if node == Nodetype.BASE:
        return _DEFAULTS.get(details[0], 0)
    (element_node, element), length = details
    if element_node == Nodetype.BASE and element[0] != "string":
        return np.zeros(length, element[0])
    return []


class ResultMessages:
    """Serialize the results of images as CDR.

    Args:
        class_names: a name for each class.
        score_threshold: lowest score of an instance, for LabelInfo.
    """

    def __init__(self, class_names: Sequence[str], score_threshold: float) -> None:
        self.types = result_types()
        self._class_names = tuple(class_names)
        self._score_threshold = score_threshold
        # Equal in all messages.
        point, quaternion = self._make("geometry_msgs/msg/Point", 0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)
        pose = self._make("geometry_msgs/msg/Pose", point, self._make("geometry_msgs/msg/Quaternion", *quaternion))
        covariance = np.zeros(_COVARIANCE_SIZE)
        self._no_pose = self._make("geometry_msgs/msg/PoseWithCovariance", pose, covariance)

    def detections(self, instances: Instances, header: ImageHeader) -> memoryview:
        """Return a vision_msgs/Detection2DArray, best score first, with the image's header.

        `id` is the number of the object's track, empty for an instance without one; where nothing is tracked it is the
        pixel value of the instance in `label_image`.
        """
        made = self._header(header)
        detections = [self._detection(made, *row) for row in self._rows(instances)]
        return self._serialize(DETECTIONS, made, detections)

    def label_image(self, pixels: NDArray[np.uint8], header: ImageHeader) -> memoryview:
        """Return a sensor_msgs/Image mono8 of uint8 (height, width), with the image's header."""
        height, width = pixels.shape
        return self._serialize(INSTANCES, self._header(header), height, width, "mono8", 0, width, pixels.reshape(-1))

    def label_info(self, header: ImageHeader) -> memoryview:
        """Return a vision_msgs/LabelInfo: what the pixel values of the semantic image mean."""
        names = (BACKGROUND, *self._class_names)
        classes = [self._make("vision_msgs/msg/VisionClass", value, name) for value, name in enumerate(names)]
        return self._serialize(LABEL_INFO, self._header(header), classes, self._score_threshold)

    def _rows(self, instances: Instances) -> Iterator[tuple[str, str, float, list[float]]]:
        numbers = range(1, len(instances) + 1) if instances.track_id is None else instances.track_id.tolist()
        columns = (instances.class_id.tolist(), instances.score.tolist(), instances.xyxy.tolist())
        for number, class_id, score, xyxy in zip(numbers, *columns, strict=True):
            yield "" if number == NO_TRACK else str(number), self._class_names[class_id], score, xyxy

    def _detection(self, header: Any, number: str, class_name: str, score: float, xyxy: list[float]) -> Any:
        left, top, right, bottom = xyxy
        center = self._make("vision_msgs/msg/Point2D", (left + right) / 2, (top + bottom) / 2)
        pose = self._make("vision_msgs/msg/Pose2D", center, 0.0)
        box = self._make("vision_msgs/msg/BoundingBox2D", pose, right - left, bottom - top)
        hypothesis = self._make("vision_msgs/msg/ObjectHypothesis", class_name, score)
        result = self._make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis, self._no_pose)
        return self._make("vision_msgs/msg/Detection2D", header, [result], box, number)

    def _header(self, header: ImageHeader) -> Any:
        stamp = self._make("builtin_interfaces/msg/Time", header.sec, header.nanosec)
        return self._make("std_msgs/msg/Header", stamp, header.frame_id)

    def _make(self, msgtype: str, *fields: Any) -> Any:
        return self.types.types[msgtype](*fields)

    def _serialize(self, result: str, *fields: Any) -> memoryview:
        msgtype = RESULT_TYPES[result]
        return self.types.serialize_cdr(self._make(msgtype, *fields), msgtype)
