"""Compute what Nav2's semantic segmentation layer makes of its topics, by the rules of its source.

The rules were read in kiwicampus/semantic_segmentation_layer at commit a70cf6ec8a44d0903209b6f433d9f8c40dbca0db
(branch rolling), src/segmentation_buffer.cpp and src/semantic_segmentation_layer.cpp. Nothing of it is copied.
"""

from __future__ import annotations

import numpy as np
import tf2_ros
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rclpy.time import Time
from sensor_msgs.msg import Image, PointCloud2, PointField
from vision_msgs.msg import LabelInfo

from yolov8_seg_ros.core.camera_geometry import RigidTransform

_DEPTH = 50
_KINDS = {"mask": Image, "confidence": Image, "points": PointCloud2}


class CostmapLayer(Node):
    """Subscribe as the layer does and keep what it would mark.

    Args:
        classes: names of the costmap's parameters.
        global_frame: of the costmap.
        topics: what stands before /mask, /confidence, /points and /label_info.

    Attributes:
        critical_errors: the classes that the layer would report as missing in its parameters.
        marks: for each processed image the class names, confidences and (n, 3) positions of its observations.
        faults: what the layer would read past, misread or throw away.
    """

    def __init__(self, classes: tuple[str, ...], global_frame: str, topics: str) -> None:
        super().__init__("costmap")
        self.critical_errors: list[str] = []
        self.marks: list[list[tuple[str, int, NDArray[np.float32]]]] = []
        self.faults: list[str] = []
        self._classes, self._global_frame = classes, global_frame
        self._names: dict[int, str] | None = None
        self._waiting: dict[str, dict[tuple[int, int], Image | PointCloud2]] = {
            "mask": {},
            "confidence": {},
            "points": {},
        }
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, self)
        sensor = QoSProfile(depth=_DEPTH, reliability=qos_profile_sensor_data.reliability)
        latched = QoSProfile(depth=5, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(LabelInfo, f"{topics}/label_info", self._take_labels, latched)
        for kind, message_type in _KINDS.items():
            self.create_subscription(
                message_type, f"{topics}/{kind}", lambda message, kind=kind: self._take(kind, message), sensor
            )

    @property
    def has_class_names(self) -> bool:
        """Return whether the names of the classes have come."""
        return self._names is not None

    def _take_labels(self, message: LabelInfo) -> None:
        self.critical_errors += [e.class_name for e in message.class_map if e.class_name not in self._classes]
        # Ids are eight bits wide there.
        self._names = {e.class_id % 256: e.class_name for e in message.class_map if e.class_name in self._classes}

    def _take(self, kind: str, message: Image | PointCloud2) -> None:
        stamp = message.header.stamp.sec, message.header.stamp.nanosec
        self._waiting[kind][stamp] = message
        if all(stamp in waiting for waiting in self._waiting.values()):
            self._process(*(self._waiting[name].pop(stamp) for name in _KINDS))

    def _process(self, mask: Image, confidence: Image, cloud: PointCloud2) -> None:
        if self._names is None:
            self.faults.append("an image came before the class names: the layer would end the process")
            return
        if (cloud.height, cloud.width) != (mask.height, mask.width):
            self.faults.append(f"the cloud is {cloud.width}x{cloud.height}, the mask {mask.width}x{mask.height}")
            return
        for name, image in (("mask", mask), ("confidence", confidence)):
            if image.encoding != "mono8" or image.step != image.width:
                self.faults.append(f"{name}: {image.encoding} with step {image.step} for width {image.width}")
        try:
            found = self._buffer.lookup_transform(
                self._global_frame, cloud.header.frame_id, Time.from_msg(cloud.header.stamp)
            ).transform
        except tf2_ros.TransformException as error:
            self.faults.append(str(error))
            return
        turn, move = found.rotation, found.translation
        pose = RigidTransform.from_quaternion((turn.x, turn.y, turn.z, turn.w), (move.x, move.y, move.z))
        points = pose.apply(_xyz(cloud).T).T
        marks = []
        for v in range(mask.height):
            for u in range(mask.width):
                index = v * mask.width + u
                if not np.isfinite(points[index, 2]):
                    continue
                class_id = mask.data[index]
                if class_id in self._names:
                    marks.append((self._names[class_id], confidence.data[index], points[index]))
        self.marks.append(marks)


def _xyz(cloud: PointCloud2) -> NDArray[np.float32]:
    fields = {field.name: field for field in cloud.fields}
    assert all(fields[name].datatype == PointField.FLOAT32 for name in "xyz")
    dtype = np.dtype(
        {
            "names": list("xyz"),
            "formats": ["<f4"] * 3,
            "offsets": [fields[name].offset for name in "xyz"],
            "itemsize": cloud.point_step,
        }
    )
    points = np.frombuffer(cloud.data, dtype)
    return np.stack([points[name] for name in "xyz"], axis=1)
