"""A tree of frames, each with the poses in its parent that were published of late."""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass, field

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time

_CACHE_TIME = Duration(seconds=10)

#: Rotation as a quaternion (x, y, z, w), and translation.
Pose = tuple[NDArray[np.float64], NDArray[np.float64]]


class TransformException(Exception):  # noqa: N818 - the distribution's name
    """A transform that cannot be given."""


class LookupException(TransformException):
    """A frame that is not known."""


class ConnectivityException(TransformException):
    """Two frames that no transforms connect."""


class ExtrapolationException(TransformException):
    """A time at which a transform is not known: before the first one kept, or after the last one."""


class InvalidArgumentException(TransformException):
    """A frame without a name."""


@dataclass
class _Frame:
    parent: str
    is_static: bool
    stamps_ns: list[int] = field(default_factory=list)
    poses: list[Pose] = field(default_factory=list)


class Buffer:
    """Transforms of the last seconds.

    Args:
        cache_time: how long transforms are kept; None: 10 s.
        node: not used here; the distribution's offers a service on it.
    """

    def __init__(self, cache_time: Duration | None = None, node: Node | None = None) -> None:
        self._cache_ns = (cache_time or _CACHE_TIME).nanoseconds
        self._frames: dict[str, _Frame] = {}
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Forget all transforms but the static ones."""
        with self._lock:
            self._frames = {name: frame for name, frame in self._frames.items() if frame.is_static}

    def set_transform(self, transform: TransformStamped, authority: str) -> None:
        """Keep a transform for its time."""
        self._set(transform, is_static=False)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        """Keep a transform for all times."""
        self._set(transform, is_static=True)

    def lookup_transform(self, target_frame: str, source_frame: str, time: Time) -> TransformStamped:
        """Return the transform of points in the source frame to the target frame; the latest for the time 0.

        Raises:
            TransformException: if it is not known.
        """
        with self._lock:
            ways = self._ways(target_frame, source_frame)
            stamp_ns = time.nanoseconds or self._latest_common_ns(ways)
            target, source = (self._pose_along(way, stamp_ns) for way in ways)
        rotation, translation = _chained(_inverted(target), source)
        message = TransformStamped(child_frame_id=source_frame)
        message.header.frame_id = target_frame
        message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        for name, value in zip("xyzw", rotation.tolist(), strict=True):
            setattr(message.transform.rotation, name, value)
        for name, value in zip("xyz", translation.tolist(), strict=True):
            setattr(message.transform.translation, name, value)
        return message

    def get_latest_common_time(self, target_frame: str, source_frame: str) -> Time:
        """Return the latest time at which the transform is known; 0 if it is static.

        Raises:
            TransformException: if it is not known at all.
        """
        with self._lock:
            return Time(nanoseconds=self._latest_common_ns(self._ways(target_frame, source_frame)))

    def _set(self, transform: TransformStamped, is_static: bool) -> None:
        name, parent = transform.child_frame_id.lstrip("/"), transform.header.frame_id.lstrip("/")
        stamp_ns = Time.from_msg(transform.header.stamp).nanoseconds
        turn, move = transform.transform.rotation, transform.transform.translation
        pose = np.array((turn.x, turn.y, turn.z, turn.w)), np.array((move.x, move.y, move.z))
        with self._lock:
            frame = self._frames.get(name)
            if frame is None or frame.parent != parent or is_static:
                frame = self._frames[name] = _Frame(parent, is_static)
            place = bisect.bisect_right(frame.stamps_ns, stamp_ns)
            frame.stamps_ns.insert(place, stamp_ns)
            frame.poses.insert(place, pose)
            too_old = bisect.bisect_left(frame.stamps_ns, frame.stamps_ns[-1] - self._cache_ns)
            del frame.stamps_ns[:too_old], frame.poses[:too_old]

    def _ways(self, *names: str) -> list[list[str]]:
        """Return the frames from each of two frames up to, and without, the first that is above both."""
        target, source = (self._way_to_root(name) for name in names)
        common = next((name for name in source if name in target), None)
        if common is None:
            raise ConnectivityException(f"'{names[0]}' and '{names[1]}' are not connected")
        return [way[: way.index(common)] for way in (target, source)]

    def _way_to_root(self, name: str) -> list[str]:
        self._require(name)
        way = [name]
        while (frame := self._frames.get(way[-1])) is not None:
            if frame.parent in way:
                raise ConnectivityException(f"the frames above '{name}' form a loop")
            way.append(frame.parent)
        return way

    def _pose_along(self, way: list[str], stamp_ns: int) -> Pose:
        pose: Pose = np.array((0.0, 0.0, 0.0, 1.0)), np.zeros(3)
        for name in way:
            pose = _chained(_pose_at(name, self._frames[name], stamp_ns), pose)
        return pose

    def _latest_common_ns(self, ways: list[list[str]]) -> int:
        frames = [self._frames[name] for way in ways for name in way]
        return min((frame.stamps_ns[-1] for frame in frames if not frame.is_static), default=0)

    def _require(self, name: str) -> None:
        if not name:
            raise InvalidArgumentException("a frame without a name")
        if name not in self._frames and all(frame.parent != name for frame in self._frames.values()):
            raise LookupException(f"'{name}' does not exist")


def _pose_at(name: str, frame: _Frame, stamp_ns: int) -> Pose:
    if frame.is_static:
        return frame.poses[0]
    stamps_ns = frame.stamps_ns
    if not stamps_ns[0] <= stamp_ns <= stamps_ns[-1]:
        first_s, last_s = ((stamp - stamp_ns) / 1e9 for stamp in (stamps_ns[0], stamps_ns[-1]))
        raise ExtrapolationException(
            f"'{name}' in '{frame.parent}': known from {first_s:+.3f} s to {last_s:+.3f} s of the time asked for"
        )
    after = bisect.bisect_left(stamps_ns, stamp_ns)
    if stamps_ns[after] == stamp_ns:
        return frame.poses[after]
    part = (stamp_ns - stamps_ns[after - 1]) / (stamps_ns[after] - stamps_ns[after - 1])
    (turn, move), (next_turn, next_move) = frame.poses[after - 1 : after + 1]
    return _between(turn, next_turn, part), move + part * (next_move - move)


def _between(first: NDArray[np.float64], second: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Return the rotation a part of the way from one to another, at constant speed.

    Source: K. Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985.
    """
    cosine = float(first @ second)
    if cosine < 0:
        second, cosine = -second, -cosine
    angle = np.arccos(min(cosine, 1.0))
    if angle < 1e-6:
        return second
    mixed = np.sin((1 - part) * angle) * first + np.sin(part * angle) * second
    return mixed / np.linalg.norm(mixed)


def _chained(second: Pose, first: Pose) -> Pose:
    """Return the transform that does `first`, and then `second`."""
    return _multiplied(second[0], first[0]), _rotated(second[0], first[1]) + second[1]


def _inverted(pose: Pose) -> Pose:
    back = pose[0] * (-1, -1, -1, 1)
    return back, -_rotated(back, pose[1])


def _rotated(turn: NDArray[np.float64], vector: NDArray[np.float64]) -> NDArray[np.float64]:
    axis, w = turn[:3], turn[3]
    sideways = 2 * np.cross(axis, vector)
    return vector + w * sideways + np.cross(axis, sideways)


def _multiplied(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    vector = second[3] * first[:3] + first[3] * second[:3] + np.cross(second[:3], first[:3])
    return np.append(vector, second[3] * first[3] - second[:3] @ first[:3])
