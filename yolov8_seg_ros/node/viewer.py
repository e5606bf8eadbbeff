"""Join the node's results by image, as a person sees them in rviz, but without a screen."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from builtin_interfaces.msg import Time
from cv_bridge import CvBridge
from numpy.typing import NDArray
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, TimeReference
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

#: Results of so many images may be incomplete at a time; older ones have lost a part and are given up. At 10 images a
#: second the references may come 6 s late.
_MAX_PENDING = 60
_REFERENCE_DEPTH = 1000
_RESULTS = frozenset({"overlay", "instances", "detections"})


@dataclass(frozen=True)
class View:
    """All results of one image.

    Attributes:
        stamp: of the image.
        overlay: uint8 (height, width, 3) in BGR order.
        instances: uint8 (height, width), k where the k-th detection is visible, from 1.
        detections: class name and score of each detection, best first.
        reference: which frame of its source the image shows, where the source publishes it.
        class_names: of the model, by class index; empty where the node has not published them yet.
    """

    stamp: Time
    overlay: NDArray[np.uint8]
    instances: NDArray[np.uint8]
    detections: list[tuple[str, float]]
    reference: TimeReference | None
    class_names: tuple[str, ...]


class Viewer(Node):
    """Join the results that belong to one image.

    Args:
        segmentation: name of the segmentation node, in the viewer's own namespace.
        show: called with each complete view.
        has_references: whether the source publishes which frame an image shows; a view is complete with that only.
        node_options: as `rclpy.node.Node` takes them.
    """

    def __init__(
        self, segmentation: str, show: Callable[[View], None], has_references: bool, **node_options: Any
    ) -> None:
        super().__init__("viewer", **node_options)
        self._show = show
        self._segmentation = segmentation
        self._bridge = CvBridge()
        self._parts = _RESULTS | {"reference"} if has_references else _RESULTS
        self._pending: dict[tuple[int, int], dict[str, Any]] = defaultdict(dict)
        self._class_names: tuple[str, ...] = ()
        kept = QoSProfile(depth=_REFERENCE_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self.create_subscription(TimeReference, "image/time_reference", self._taker("reference"), kept)
        self.create_subscription(LabelInfo, f"{segmentation}/label_info", self._take_labels, kept)
        self.create_subscription(Image, f"{segmentation}/overlay", self._taker("overlay"), 10)
        self.create_subscription(Image, f"{segmentation}/instances", self._taker("instances"), 10)
        self.create_subscription(Detection2DArray, f"{segmentation}/detections", self._taker("detections"), 10)

    @property
    def is_connected(self) -> bool:
        """Return whether all results have a publisher."""
        return all(self.count_publishers(f"{self._segmentation}/{part}") for part in _RESULTS)

    def _taker(self, part: str) -> Callable[[Any], None]:
        return lambda message: self._take(part, message)

    def _take_labels(self, message: LabelInfo) -> None:
        # Value 0 is the background.
        self._class_names = tuple(entry.class_name for entry in message.class_map[1:])

    def _take(self, part: str, message: Any) -> None:
        key = _key(message.header)
        self._pending[key][part] = message
        if self._pending[key].keys() >= self._parts:
            self._show(self._view(self._pending.pop(key)))
        while len(self._pending) > _MAX_PENDING:
            self._pending.pop(next(iter(self._pending)))

    def _view(self, parts: dict[str, Any]) -> View:
        results = [detection.results[0].hypothesis for detection in parts["detections"].detections]
        return View(
            stamp=parts["detections"].header.stamp,
            overlay=self._bridge.imgmsg_to_cv2(parts["overlay"], "bgr8"),
            instances=self._bridge.imgmsg_to_cv2(parts["instances"], "mono8"),
            detections=[(result.class_id, result.score) for result in results],
            reference=parts.get("reference"),
            class_names=self._class_names,
        )


def _key(header: Header) -> tuple[int, int]:
    return header.stamp.sec, header.stamp.nanosec
