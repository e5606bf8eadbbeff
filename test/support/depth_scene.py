"""Render depth images of boxes, spheres and a floor by intersecting rays, so that all distances are known exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform, pixel_rays

#: Axes of an optical frame (x right, y down, z forwards) in those of a robot (x forwards, y left, z up).
OPTICAL_IN_BODY = np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])


class Shape(Protocol):
    def distances(self, origin: NDArray[np.float64], directions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how many directions (n, 3) long each ray is to the first hit, infinity where it misses."""


@dataclass(frozen=True)
class Box:
    center_m: tuple[float, float, float]
    size_m: tuple[float, float, float]
    yaw_rad: float = 0.0

    def distances(self, origin, directions):
        axes = rotation("z", self.yaw_rad)
        origin = axes.T @ (origin - np.array(self.center_m))
        directions = directions @ axes
        half = np.array(self.size_m) / 2
        enters, leaves = np.full(len(directions), -np.inf), np.full(len(directions), np.inf)
        for along, at, size in zip(np.ascontiguousarray(directions.T), origin, half, strict=True):
            with np.errstate(divide="ignore", invalid="ignore"):
                low, high = (-size - at) / along, (size - at) / along
            enters = np.maximum(enters, np.minimum(low, high))
            leaves = np.minimum(leaves, np.maximum(low, high))
        return np.where((enters <= leaves) & (enters > 0), enters, np.inf)


@dataclass(frozen=True)
class Sphere:
    center_m: tuple[float, float, float]
    radius_m: float

    def distances(self, origin, directions):
        offset = origin - np.array(self.center_m)
        a, b = (directions**2).sum(axis=1), directions @ offset
        discriminant = b**2 - a * (offset @ offset - self.radius_m**2)
        with np.errstate(invalid="ignore"):
            first = (-b - np.sqrt(discriminant)) / a
        return np.where((discriminant >= 0) & (first > 0), first, np.inf)


@dataclass(frozen=True)
class Plane:
    point_m: tuple[float, float, float] = (0.0, 0.0, 0.0)
    normal: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def distances(self, origin, directions):
        normal = np.array(self.normal)
        with np.errstate(divide="ignore"):
            along = (np.array(self.point_m) - origin) @ normal / (directions @ normal)
        return np.where(along > 0, along, np.inf)


@dataclass(frozen=True)
class View:
    """An image of a camera: depth in metres (0 where nothing is), and labels, k for the k-th object, 0 for the rest."""

    depth_m: NDArray[np.float32]
    labels: NDArray[np.uint8]
    hits_m: NDArray[np.float64]

    def visible(self, label: int, axes: NDArray[np.float64] | None = None) -> tuple[NDArray, NDArray]:
        """Return centre and size of the box around the visible points of an object, in the world or in turned axes."""
        axes = np.eye(3) if axes is None else axes
        own = self.hits_m[self.labels == label] @ axes
        return axes @ ((own.min(axis=0) + own.max(axis=0)) / 2), own.max(axis=0) - own.min(axis=0)


def render(camera: PinholeCamera, pose: RigidTransform, objects: Sequence[Shape], rest: Sequence[Shape] = ()) -> View:
    """Render what a camera sees.

    Args:
        camera: its lens.
        pose: from its optical frame to the world.
        objects: labelled from 1 on.
        rest: of the label 0, such as the floor.
    """
    rays = pixel_rays(camera).astype(np.float64).reshape(3, -1).T
    directions = rays @ pose.rotation.T
    distances = np.stack([shape.distances(pose.translation_m, directions) for shape in (*objects, *rest)])
    first = distances.argmin(axis=0)
    nearest = distances.min(axis=0)
    is_hit = np.isfinite(nearest)
    labels = np.where(is_hit & (first < len(objects)), first + 1, 0).astype(np.uint8)
    # The rays have length 1 along the optical axis, so distances along them are depths.
    depth_m = np.where(is_hit, nearest, 0.0).astype(np.float32)
    hits_m = pose.translation_m + directions * np.where(is_hit, nearest, 0.0)[:, np.newaxis]
    return View(depth_m.reshape(camera.image_hw), labels.reshape(camera.image_hw), hits_m.reshape(*camera.image_hw, 3))


def finer(camera: PinholeCamera, factor: int) -> PinholeCamera:
    """Return a camera that sees the same with more pixels."""
    (fx, fy), (cx, cy) = camera.focal_xy_px, camera.center_xy_px
    return replace(
        camera,
        image_hw=(camera.image_hw[0] * factor, camera.image_hw[1] * factor),
        focal_xy_px=(fx * factor, fy * factor),
        center_xy_px=((cx + 0.5) * factor - 0.5, (cy + 0.5) * factor - 0.5),
    )


def rotation(axis: str, angle_rad: float) -> NDArray[np.float64]:
    """Return the rotation about the x, y or z axis."""
    cos, sin = np.cos(angle_rad), np.sin(angle_rad)
    first, second = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[first, first] = matrix[second, second] = cos
    matrix[first, second], matrix[second, first] = -sin, sin
    return matrix


def camera_pose(
    position_m: Sequence[float], pitch_deg: float = 0.0, yaw_deg: float = 0.0, roll_deg: float = 0.0
) -> RigidTransform:
    """Return the pose of a camera in the world (z up): level it looks along x; a positive pitch looks down."""
    pitch_rad, yaw_rad, roll_rad = np.radians((pitch_deg, yaw_deg, roll_deg))
    body = rotation("z", yaw_rad) @ rotation("y", pitch_rad) @ rotation("x", roll_rad)
    return RigidTransform(body @ OPTICAL_IN_BODY, np.array(position_m, np.float64))
