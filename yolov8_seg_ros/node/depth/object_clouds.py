"""Make the clouds of objects: a dense one with colours and classes, and the images that costmap layers read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import Detection2D, LabelInfo, VisionClass

from yolov8_seg_ros.core.object_points import ObjectPoints
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
    objects: ObjectPoints,
    table: LabelTable,
    header: Header,
    image_bgr: NDArray[np.uint8] | None = None,
) -> PointCloud2:
    """Return the cloud of all points of objects.

    Args:
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
    message = to_cloud(cloud, header)
    message.fields = [field for field in message.fields if field.name != _PADDING]
    return message


def _packed_rgb(colors_bgr: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """Return 0x00RRGGBB of colours uint8 (..., 3)."""
    blue, green, red = np.moveaxis(colors_bgr, -1, 0).astype(np.uint32)
    rgb: NDArray[np.uint32] = red << 16 | green << 8 | blue
    return rgb


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
        self, objects: ObjectPoints, table: LabelTable, labels: LabelInfo, header: Header
    ) -> tuple[Image, Image, PointCloud2]:
        """Return the mask, the confidence and the organised cloud, of the same size and stamp.

        Args:
            objects: points of all of them.
            table: what the labels stand for.
            labels: what `label_info` returned.
            header: of the colour image.
        """
        wanted = np.zeros(65536, np.bool_)
        wanted[[entry.class_id for entry in labels.class_map]] = True
        class_value = np.where(wanted.take(table.class_value), table.class_value, 0).astype(np.uint8)
        confidence = np.rint(table.score * 255).astype(np.uint8)
        grid = semantic_grid(objects, class_value, confidence, self._decimation)
        return (
            to_gray_image(grid.class_value, header),
            to_gray_image(grid.confidence, header),
            to_cloud(grid.points, header),
        )
