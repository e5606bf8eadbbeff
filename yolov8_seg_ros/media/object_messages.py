"""Build the messages of objects in space: boxes and clouds.

Messages are made by a factory, so that they are the same in the node, where rclpy has the types, and in recordings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.object_boxes import ObjectBox
from yolov8_seg_ros.core.object_placing import DetectedObject, PlacedObjects
from yolov8_seg_ros.core.object_points import ObjectPoints
from yolov8_seg_ros.media.overlay import instance_color_bgr

#: A point of the cloud; `rgb` is what PCL and rviz take for a colour, 0x00RRGGBB in the bits of a float.
CLOUD_POINT = np.dtype(
    [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("rgb", "<f4"),
        ("instance", "<u4"),
        ("confidence", "<f4"),
        ("class", "<u2"),
        ("_", "<u2"),
    ]
)
_PADDING = "_"
#: Constants of sensor_msgs/PointField.
_FIELD_TYPES = {"uint16": 4, "uint32": 6, "float32": 7}


class MessageFactory(Protocol):
    """Makes messages."""

    def __call__(self, msgtype: str, /, **fields: Any) -> Any:
        """Return a message of a type such as geometry_msgs/msg/Point; fields that are not given have their defaults.

        A sequence of bytes is given as an array of uint8.
        """


@dataclass(frozen=True)
class LabelTable:
    """A table of what the values of a label image stand for, each array of 256 elements.

    Attributes:
        number: uint32, of the track or the detection.
        class_value: uint16, value of the class as in `~/semantic`; 0 where it is not known.
        score: float32, 0 to 1.
    """

    number: NDArray[np.uint32]
    class_value: NDArray[np.uint16]
    score: NDArray[np.float32]

    @classmethod
    def of(
        cls, detections: Sequence[DetectedObject], numbers: Sequence[int], class_values: Mapping[str, int]
    ) -> LabelTable:
        """Build the table of detections, of which the k-th has the value k in the label image."""
        table = cls(np.zeros(256, np.uint32), np.zeros(256, np.uint16), np.zeros(256, np.float32))
        for label, (detection, number) in enumerate(zip(detections, numbers, strict=True), start=1):
            table.number[label] = number
            if detection.class_name is not None:
                table.class_value[label] = class_values.get(detection.class_name, 0)
                table.score[label] = detection.score
        return table


def object_array(make: MessageFactory, placed: PlacedObjects, header: Any) -> Any:
    """Return the vision_msgs/Detection3DArray of objects; `header` names the frame in which they were placed."""
    detections = [
        _detection_3d(make, box, motion.position_m - box.surface_m, placed.detections[box.label - 1], header)
        for box, motion in zip(placed.boxes, placed.motions, strict=True)
    ]
    return make("vision_msgs/msg/Detection3DArray", header=header, detections=detections)


def object_cloud(
    make: MessageFactory,
    objects: ObjectPoints,
    table: LabelTable,
    header: Any,
    image_bgr: NDArray[np.uint8] | None = None,
) -> Any:
    """Return the sensor_msgs/PointCloud2 of all points of objects.

    Args:
        make: makes messages.
        objects: points of all of them.
        table: what the labels stand for.
        header: of the colour image.
        image_bgr: uint8 (height, width, 3), which gives the points their colours; None: one for each instance.
    """
    cloud = np.zeros(len(objects.kept), CLOUD_POINT)
    for name, values in zip("xyz", objects.xyz_m, strict=True):
        cloud[name] = values
    if image_bgr is not None:
        cloud["rgb"] = _packed_rgb(image_bgr.reshape(-1, 3).take(objects.pixel, axis=0)).view(np.float32)
    for label, span in objects.spans.items():
        of_object = cloud[span]
        of_object["instance"] = table.number[label]
        of_object["confidence"] = table.score[label]
        of_object["class"] = table.class_value[label]
        if image_bgr is None:
            color_bgr = np.array(instance_color_bgr(int(table.number[label])), np.uint8)
            of_object["rgb"] = _packed_rgb(color_bgr).view(np.float32)
    return to_cloud(make, cloud, header)


def to_cloud(make: MessageFactory, points: NDArray[Any], header: Any) -> Any:
    """Return the sensor_msgs/PointCloud2 of a structured array (n,), or (height, width) for an organised cloud.

    The names and places of the fields are those of the array's dtype.
    """
    height, width = (1, len(points)) if points.ndim == 1 else points.shape
    return make(
        "sensor_msgs/msg/PointCloud2",
        header=header,
        height=height,
        width=width,
        fields=_fields(make, points.dtype),
        is_bigendian=False,
        point_step=points.dtype.itemsize,
        row_step=points.dtype.itemsize * width,
        data=np.ascontiguousarray(points).view(np.uint8).reshape(-1),
        is_dense=points.ndim == 1,
    )


def to_point(make: MessageFactory, position_m: NDArray[np.float64]) -> Any:
    """Return the geometry_msgs/Point of a position, float64 (3,)."""
    return make("geometry_msgs/msg/Point", **_xyz(position_m))


def _detection_3d(
    make: MessageFactory, box: ObjectBox, shift_m: NDArray[np.float64], detection: DetectedObject, header: Any
) -> Any:
    """Return the message of a box; number, class and score are those of the detection.

    The pose of its result is the median of the visible points, and the covariance is theirs: (x, y, z) of the 6x6
    matrix.

    Args:
        make: makes messages.
        box: of the object.
        shift_m: float64 (3,), by how much it is moved, as its track is smoothed.
        detection: of the object.
        header: of the message.
    """
    half_rad = box.yaw_rad / 2
    orientation = make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=math.sin(half_rad), w=math.cos(half_rad))
    center = make("geometry_msgs/msg/Pose", position=to_point(make, box.center_m + shift_m), orientation=orientation)
    size = make("geometry_msgs/msg/Vector3", **_xyz(box.size_m))
    results = []
    if detection.class_name is not None:
        covariance = np.zeros((6, 6))
        covariance[:3, :3] = box.covariance_m2
        surface = make(
            "geometry_msgs/msg/Pose", position=to_point(make, box.surface_m + shift_m), orientation=orientation
        )
        pose = make("geometry_msgs/msg/PoseWithCovariance", pose=surface, covariance=covariance.ravel())
        hypothesis = make("vision_msgs/msg/ObjectHypothesis", class_id=detection.class_name, score=detection.score)
        results.append(make("vision_msgs/msg/ObjectHypothesisWithPose", hypothesis=hypothesis, pose=pose))
    return make(
        "vision_msgs/msg/Detection3D",
        header=header,
        results=results,
        bbox=make("vision_msgs/msg/BoundingBox3D", center=center, size=size),
        id=detection.id,
    )


def _xyz(values: NDArray[np.float64]) -> dict[str, float]:
    return dict(zip("xyz", values.tolist(), strict=True))


def _fields(make: MessageFactory, dtype: np.dtype[Any]) -> list[Any]:
    assert dtype.fields is not None
    return [
        make("sensor_msgs/msg/PointField", name=name, offset=offset, datatype=_FIELD_TYPES[kind.name], count=1)
        for name, (kind, offset, *_) in dtype.fields.items()
        if name != _PADDING
    ]


def _packed_rgb(colors_bgr: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return 0x00RRGGBB of colours uint8 (..., 3)."""
    blue, green, red = np.moveaxis(colors_bgr, -1, 0).astype(np.uint32)
    rgb: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return rgb
