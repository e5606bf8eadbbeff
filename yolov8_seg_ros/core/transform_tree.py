"""Keep the poses of frames over time, and find the transform between two frames at a time, as tf2 does."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import RigidTransform
from yolov8_seg_ros.errors import CalibrationError, FrameError

#: Older poses than this are forgotten, as in tf2.
_CACHE_NS = 10_000_000_000
#: No robot has more frames, or publishes a pose more often.
_MAX_FRAMES, _MAX_POSES = 10_000, 20_000
#: Rotations that differ by less than this, in radians, are interpolated in a straight line.
_MIN_ANGLE_RAD = 1e-6


@dataclass(frozen=True)
class StampedPose:
    """The pose of a frame in its parent at a time.

    Attributes:
        parent: name of the parent.
        child: name of the frame.
        stamp_ns: in nanoseconds since 1970; of no meaning for a fixed pose.
        xyzw: rotation as a quaternion, which need not be of length 1.
        translation_m: of the frame's origin.
    """

    parent: str
    child: str
    stamp_ns: int
    xyzw: Sequence[float]
    translation_m: Sequence[float]


@dataclass
class _Frame:
    """A frame's poses in its parent: quaternion and translation, float64 (7,), by ascending stamps."""

    parent: str
    is_fixed: bool
    stamps_ns: list[int] = field(default_factory=list)
    poses: list[NDArray[np.float64]] = field(default_factory=list)

    def put(self, stamp_ns: int, pose: NDArray[np.float64]) -> None:
        place = bisect.bisect_left(self.stamps_ns, stamp_ns)
        if self.stamps_ns[place : place + 1] == [stamp_ns]:
            self.poses[place] = pose
            return
        self.stamps_ns.insert(place, stamp_ns)
        self.poses.insert(place, pose)
        too_old = bisect.bisect_left(self.stamps_ns, self.stamps_ns[-1] - _CACHE_NS)
        too_old = max(too_old, len(self.stamps_ns) - _MAX_POSES)
        del self.stamps_ns[:too_old], self.poses[:too_old]


class TransformTree:
    """The poses of frames in their parents, the fixed ones for all times and others of the last 10 seconds."""

    def __init__(self) -> None:
        self._frames: dict[str, _Frame] = {}

    def clear(self) -> None:
        """Forget all poses but the fixed ones, as the clock has jumped."""
        self._frames = {name: frame for name, frame in self._frames.items() if frame.is_fixed}

    def has_fixed(self, name: str) -> bool:
        """Return whether a frame has a fixed pose."""
        frame = self._frames.get(name.lstrip("/"))
        return frame is not None and frame.is_fixed

    def put(self, pose: StampedPose, *, is_fixed: bool = False) -> None:
        """Add a pose; a fixed one takes the place of the one before.

        Raises:
            CalibrationError: for numbers that are no transform, a frame that has no name or is its own parent, or more
                frames than any robot has.
        """
        parent, child = pose.parent.lstrip("/"), pose.child.lstrip("/")
        if not parent or not child or parent == child:
            raise CalibrationError(f"transform: expected two frames, got '{child}' in '{parent}'")
        if not all(map(math.isfinite, (*pose.xyzw, *pose.translation_m))) or not any(pose.xyzw):
            raise CalibrationError(f"transform: expected a quaternion and a translation for '{child}' in '{parent}'")
        frame = self._frames.get(child)
        if frame is None and len(self._frames) >= _MAX_FRAMES:
            raise CalibrationError(f"transform: more than {_MAX_FRAMES} frames")
        if frame is None or frame.parent != parent or is_fixed or frame.is_fixed:
            frame = self._frames[child] = _Frame(parent, is_fixed)
        length = math.hypot(*pose.xyzw)
        frame.put(pose.stamp_ns, np.array([*(value / length for value in pose.xyzw), *pose.translation_m]))

    def transform(self, target: str, source: str, stamp_ns: int) -> RigidTransform:
        """Return the transform of points in the source frame to the target frame, at a time.

        Raises:
            FrameError: if it is not known at that time; the latest one is never taken instead.
        """
        target, source = target.lstrip("/"), source.lstrip("/")
        if target == source:
            return RigidTransform.identity()
        ways = [self._way_to_root(name) for name in (target, source)]
        common = next((name for name in ways[1] if name in ways[0]), None)
        if common is None:
            raise FrameError(f"no transform from '{source}' to '{target}'")
        to_common = [self._along(way[: way.index(common)], stamp_ns, (target, source)) for way in ways]
        return to_common[0].inverse() @ to_common[1]

    def _way_to_root(self, name: str) -> list[str]:
        way = [name]
        while (frame := self._frames.get(way[-1])) is not None:
            if frame.parent in way:
                raise FrameError(f"the frames above '{name}' form a loop", may_come=False)
            way.append(frame.parent)
        return way

    def _along(self, way: Sequence[str], stamp_ns: int, ends: tuple[str, str]) -> RigidTransform:
        """Return the transform from the first frame of a way to the parent of the last one."""
        transform = RigidTransform.identity()
        for name in way:
            pose = _pose_at(self._frames[name], stamp_ns, ends)
            transform = RigidTransform.from_quaternion(pose[:4].tolist(), pose[4:].tolist()) @ transform
        return transform


def _pose_at(frame: _Frame, stamp_ns: int, ends: tuple[str, str]) -> NDArray[np.float64]:
    stamps_ns = frame.stamps_ns
    if frame.is_fixed:
        return frame.poses[-1]
    target, source = ends
    if stamp_ns > stamps_ns[-1]:
        raise FrameError(f"the transform from '{source}' to '{target}' is older than the image")
    if stamp_ns < stamps_ns[0]:
        raise FrameError(f"the image is older than the transform from '{source}' to '{target}'", may_come=False)
    after = bisect.bisect_left(stamps_ns, stamp_ns)
    if stamps_ns[after] == stamp_ns:
        return frame.poses[after]
    part = (stamp_ns - stamps_ns[after - 1]) / (stamps_ns[after] - stamps_ns[after - 1])
    first, second = frame.poses[after - 1 : after + 1]
    return np.concatenate((_between(first[:4], second[:4], part), first[4:] + part * (second[4:] - first[4:])))


def _between(first: NDArray[np.float64], second: NDArray[np.float64], part: float) -> NDArray[np.float64]:
    """Return the rotation a part of the way from one to another, at constant speed.

    Source: K. Shoemake, Animating rotation with quaternion curves, SIGGRAPH 1985.
    """
    cosine = float(first @ second)
    if cosine < 0:
        second, cosine = -second, -cosine
    angle_rad = np.arccos(min(cosine, 1.0))
    if angle_rad < _MIN_ANGLE_RAD:
        return first + part * (second - first)
    mixed: NDArray[np.float64] = np.sin((1 - part) * angle_rad) * first + np.sin(part * angle_rad) * second
    return mixed
