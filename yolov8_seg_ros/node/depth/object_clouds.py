"""Make the clouds of objects: a dense one with colours and classes, and the images that costmap layers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, LabelInfo, VisionClass

from yolov8_seg_ros.core.depth import LabelledPoints
from yolov8_seg_ros.core.semantic_grid import semantic_grid
from yolov8_seg_ros.media.overlay import instance_color_bgr
from yolov8_seg_ros.node.depth.depth_messages import to_cloud, to_gray_image

#: A point of the dense cloud; `rgb` is what PCL and rviz take for a colour, 0x00RRGGBB in the bits of a float.
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
_MAX_VALUE = 255


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
        cls, detections: Sequence[Detection2D], numbers: Sequence[int], class_values: Mapping[str, int]
    ) -> LabelTable:
        """Build the table of detections, of which the k-th has the value k in the label image."""
        table = cls(np.zeros(256, np.uint32), np.zeros(256, np.uint16), np.zeros(256, np.float32))
        for label, (detection, number) in enumerate(zip(detections, numbers, strict=True), start=1):
            table.number[label] = number
            if detection.results:
                hypothesis = detection.results[0].hypothesis
                table.class_value[label] = class_values.get(hypothesis.class_id, 0)
                table.score[label] = hypothesis.score
        return table


def object_cloud(
    points: LabelledPoints,
    is_on: NDArray[np.bool_],
    table: LabelTable,
    header: Header,
    image_bgr: NDArray[np.uint8] | None = None,
) -> PointCloud2:
    """Return the cloud of all points of objects.

    Args:
        points: of all instances.
        is_on: bool (n,), which of them are objects'.
        table: what the labels stand for.
        header: of the colour image.
        image_bgr: uint8 (height, width, 3), which gives the points their colours; None: one for each instance.
    """
    kept = np.flatnonzero(is_on)
    label = points.label.take(kept)
    cloud = np.zeros(len(kept), CLOUD_POINT)
    for name, values in zip("xyz", points.xyz_m, strict=True):
        cloud[name] = values.take(kept)
    cloud["rgb"] = _rgb(points, kept, table, image_bgr).view(np.float32)
    cloud["instance"] = table.number.take(label)
    cloud["confidence"] = table.score.take(label)
    cloud["class"] = table.class_value.take(label)
    message = to_cloud(cloud, header)
    message.fields = [field for field in message.fields if field.name != _PADDING]
    return message


def _rgb(
    points: LabelledPoints, kept: NDArray[np.intp], table: LabelTable, image_bgr: NDArray[np.uint8] | None
) -> NDArray[np.uint32]:
    if image_bgr is not None:
        blue, green, red = image_bgr.reshape(-1, 3).take(points.pixel.take(kept), axis=0).T.astype(np.uint32)
        rgb: NDArray[np.uint32] = red << 16 | green << 8 | blue
        return rgb
    labels = np.unique(points.label)
    colors = np.zeros(256, np.uint32)
    for label in labels.tolist():
        blue, green, red = instance_color_bgr(int(table.number[label]))
        colors[label] = red << 16 | green << 8 | blue
    return colors.take(points.label.take(kept))


class Nav2Layer:
    """The topics that the costmap layer `semantic_segmentation_layer` reads of one segmentation.

    Args:
        classes: names of the classes that the costmap knows; empty: all.
        decimation: rows and columns of the depth image that are one.
    """

    def __init__(self, classes: Sequence[str], decimation: int) -> None:
        self._classes = tuple(classes)
        self._decimation = decimation

    def label_info(self, full: LabelInfo) -> LabelInfo:
        """Return the names of the classes in the mask: of those of `~/semantic` the ones that the costmap knows.

        The layer reports each further one as a critical error.
        """
        entries = [
            VisionClass(class_id=entry.class_id, class_name=entry.class_name)
            for entry in full.class_map
            if 0 < entry.class_id <= _MAX_VALUE and (not self._classes or entry.class_name in self._classes)
        ]
        return LabelInfo(header=full.header, class_map=entries, threshold=full.threshold)

    def unknown_classes(self, full: LabelInfo) -> list[str]:
        """Return the classes that the model does not have."""
        known = {entry.class_name for entry in full.class_map}
        return [name for name in self._classes if name not in known]

    def messages(
        self, points: LabelledPoints, is_on: NDArray[np.bool_], table: LabelTable, labels: LabelInfo, header: Header
    ) -> tuple[Image, Image, PointCloud2]:
        """Return the mask, the confidence and the organised cloud, of the same size and stamp.

        Args:
            points: of all instances.
            is_on: bool (n,), which of them are objects'.
            table: what the labels stand for.
            labels: what `label_info` returned.
            header: of the colour image.
        """
        wanted = np.zeros(65536, np.bool_)
        wanted[[entry.class_id for entry in labels.class_map]] = True
        class_value = np.where(wanted.take(table.class_value), table.class_value, 0).astype(np.uint8)
        confidence = np.rint(table.score * 255).astype(np.uint8)
        grid = semantic_grid(points, is_on, class_value, confidence, self._decimation)
        return (
            to_gray_image(grid.class_value, header),
            to_gray_image(grid.confidence, header),
            to_cloud(grid.points, header),
        )
