"""Make the images and the cloud that costmap layers of Nav2 read."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from vision_msgs.msg import LabelInfo, VisionClass

from yolov8_seg_ros.core.object_points import ObjectPoints
from yolov8_seg_ros.core.semantic_grid import semantic_grid
from yolov8_seg_ros.media.object_messages import LabelTable, to_cloud
from yolov8_seg_ros.node.depth.depth_messages import make_message, to_gray_image

_MAX_VALUE = 255


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
            to_cloud(make_message, grid.points, header),
        )
