"""Show objects in rviz and Foxglove: a box, a name, and an arrow for the velocity of each."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from yolov8_seg_ros.core.object_boxes import ObjectBox
from yolov8_seg_ros.core.object_placing import PlacedObjects
from yolov8_seg_ros.core.object_tracks import Motion
from yolov8_seg_ros.media.object_messages import MessageFactory, to_point
from yolov8_seg_ros.media.overlay import instance_color_bgr

_BOX_OPACITY = 0.4
_TEXT_HEIGHT_M = 0.12
#: Slower objects stand still.
_MIN_SPEED_M_S = 0.05
#: Diameters of shaft and head of an arrow; its length is the way of a second.
_ARROW_M = (0.03, 0.07)
_NANOSECONDS = 1_000_000_000
#: Constants of visualization_msgs/Marker.
_ARROW, _CUBE, _TEXT = 0, 1, 9
_ADD, _DELETE = 0, 2


class ObjectMarkers:
    """Make visualization_msgs/MarkerArray, of which each also deletes what the last one showed and it does not.

    Args:
        make: makes messages.
        lifetime_s: after which markers vanish where none follow; 0: never.
    """

    def __init__(self, make: MessageFactory, lifetime_s: float) -> None:
        self._make = make
        sec, nanosec = divmod(round(lifetime_s * _NANOSECONDS), _NANOSECONDS)
        self._lifetime = make("builtin_interfaces/msg/Duration", sec=sec, nanosec=nanosec)
        self._shown: dict[tuple[str, int], None] = {}

    def message(self, placed: PlacedObjects, detections: Any, header: Any) -> Any:
        """Return the markers of the objects of one image.

        Args:
            placed: the objects.
            detections: the vision_msgs/Detection3D of each box.
            header: names the frame in which they were placed.
        """
        markers = [
            marker
            for box, motion, detection in zip(placed.boxes, placed.motions, detections, strict=True)
            for marker in self._markers(placed, box, motion, detection, header)
        ]
        shown = {(marker.ns, marker.id): None for marker in markers}
        gone = [
            self._marker(namespace, _CUBE, header=header, id=number, action=_DELETE, pose=self._pose())
            for namespace, number in self._shown
            if (namespace, number) not in shown
        ]
        self._shown = shown
        return self._make("visualization_msgs/msg/MarkerArray", markers=gone + markers)

    def _markers(
        self, placed: PlacedObjects, box: ObjectBox, motion: Motion, detection: Any, header: Any
    ) -> Iterator[Any]:
        number, class_name = placed.numbers[box.label - 1], placed.detections[box.label - 1].class_name
        center, size = detection.bbox.center, detection.bbox.size
        common = {"header": header, "id": number, "action": _ADD, "lifetime": self._lifetime}
        color = self._color(number, _BOX_OPACITY)
        yield self._marker("objects", _CUBE, pose=center, scale=size, color=color, **common)
        yield self._marker(
            "names",
            _TEXT,
            pose=self._pose(center.position),
            scale=self._scale(0.0, 0.0, _TEXT_HEIGHT_M),
            color=self._make("std_msgs/msg/ColorRGBA", r=1.0, g=1.0, b=1.0, a=1.0),
            text=f"{class_name or ''} {number}",
            **common,
        )
        if motion.velocity_m_s is not None and np.linalg.norm(motion.velocity_m_s) >= _MIN_SPEED_M_S:
            start = center.position
            end = to_point(self._make, np.array((start.x, start.y, start.z)) + motion.velocity_m_s)
            yield self._marker(
                "velocities",
                _ARROW,
                pose=self._pose(),
                scale=self._scale(*_ARROW_M, 0.0),
                color=self._color(number, 1.0),
                points=[start, end],
                **common,
            )

    def _marker(self, namespace: str, kind: int, **fields: Any) -> Any:
        return self._make("visualization_msgs/msg/Marker", ns=namespace, type=kind, **fields)

    def _pose(self, position: Any = None) -> Any:
        upright = self._make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
        position = self._make("geometry_msgs/msg/Point") if position is None else position
        return self._make("geometry_msgs/msg/Pose", position=position, orientation=upright)

    def _scale(self, x: float, y: float, z: float) -> Any:
        return self._make("geometry_msgs/msg/Vector3", x=x, y=y, z=z)

    def _color(self, number: int, opacity: float) -> Any:
        blue, green, red = (value / 255 for value in instance_color_bgr(number))
        return self._make("std_msgs/msg/ColorRGBA", r=red, g=green, b=blue, a=opacity)
