"""Show objects in rviz and Foxglove: a box, a name, and an arrow for the velocity of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rclpy.duration import Duration
from std_msgs.msg import ColorRGBA, Header
from vision_msgs.msg import Detection3D
from visualization_msgs.msg import Marker, MarkerArray

from yolov8_seg_ros.media.overlay import instance_color_bgr
from yolov8_seg_ros.node.depth.depth_messages import to_point

_BOX_OPACITY = 0.4
_TEXT_HEIGHT_M = 0.12
#: Slower objects stand still.
_MIN_SPEED_M_S = 0.05
#: Diameters of shaft and head of an arrow; its length is the way of a second.
_ARROW_M = (0.03, 0.07)
_WHITE = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)


@dataclass(frozen=True)
class MarkedObject:
    """An object to be shown.

    Attributes:
        number: of its track, or of the detection; its markers have this id.
        detection: its box.
        velocity_m_s: float64 (3,); None if it is not known.
    """

    number: int
    detection: Detection3D
    velocity_m_s: NDArray[np.float64] | None


class ObjectMarkers:
    """Make marker arrays, of which each also deletes what the last one showed and it does not.

    Args:
        lifetime_s: after which markers vanish where none follow; 0: never.
    """

    def __init__(self, lifetime_s: float) -> None:
        self._lifetime = Duration(seconds=lifetime_s).to_msg()
        self._shown: set[tuple[str, int]] = set()

    def message(self, objects: Iterable[MarkedObject], header: Header) -> MarkerArray:
        """Return the markers of the objects of one image."""
        markers = [marker for one in objects for marker in self._markers(one, header)]
        shown = {(marker.ns, marker.id) for marker in markers}
        gone = [Marker(header=header, ns=ns, id=number, action=Marker.DELETE) for ns, number in self._shown - shown]
        self._shown = shown
        return MarkerArray(markers=gone + markers)

    def _markers(self, one: MarkedObject, header: Header) -> Iterator[Marker]:
        box = one.detection.bbox
        color = _color(one.number)
        cube = self._marker("objects", Marker.CUBE, one.number, header)
        cube.pose, cube.scale, cube.color = box.center, box.size, color
        yield cube
        name = self._marker("names", Marker.TEXT_VIEW_FACING, one.number, header)
        name.pose.position = box.center.position
        name.scale.z, name.color = _TEXT_HEIGHT_M, _WHITE
        name.text = f"{one.detection.results[0].hypothesis.class_id if one.detection.results else ''} {one.number}"
        yield name
        if one.velocity_m_s is not None and np.linalg.norm(one.velocity_m_s) >= _MIN_SPEED_M_S:
            arrow = self._marker("velocities", Marker.ARROW, one.number, header)
            start = box.center.position
            end = np.array((start.x, start.y, start.z)) + one.velocity_m_s
            arrow.points = [start, to_point(end)]
            arrow.scale.x, arrow.scale.y = _ARROW_M
            arrow.color = ColorRGBA(r=color.r, g=color.g, b=color.b, a=1.0)
            yield arrow

    def _marker(self, namespace: str, kind: int, number: int, header: Header) -> Marker:
        marker = Marker(header=header, ns=namespace, id=number, type=kind, action=Marker.ADD, lifetime=self._lifetime)
        marker.pose.orientation.w = 1.0
        return marker


def _color(number: int) -> ColorRGBA:
    blue, green, red = (value / 255 for value in instance_color_bgr(number))
    return ColorRGBA(r=red, g=green, b=blue, a=_BOX_OPACITY)
