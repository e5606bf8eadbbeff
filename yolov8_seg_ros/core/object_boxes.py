"""Measure the boxes of objects in space from the points that a depth camera sees of them.

A camera sees the front of an object only. A box encloses what is visible; its centre is that of the visible part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import RigidTransform
from yolov8_seg_ros.core.object_points import ObjectPoints

#: Angles that are tried for a box about the vertical axis, first over a quarter turn, then about the best one.
_COARSE_RAD = np.radians(np.arange(-45.0, 45.0, 3.0))
_FINE_RAD = np.radians(np.arange(-3.0, 3.01, 0.5))
_MAX_YAW_POINTS = 256
#: Median and covariance are those of so many points of each object.
_NUM_SAMPLES = 1000
#: Rectangles of at most this times the smallest area are compared by how close the points are to their sides.
_SIMILAR_AREA = 1.05
#: Where in its part of the points a sample is taken: irregular, so that samples do not line up in columns.
_JITTER = np.random.default_rng(0).random(_MAX_YAW_POINTS)


@dataclass(frozen=True)
class ObjectBox:
    """A box around the visible part of an object.

    Attributes:
        label: the value of the instance in the label image.
        center_m: float64 (3,), centre of the box.
        size_m: float64 (3,), full lengths along the box's own axes.
        surface_m: float64 (3,), median of the visible points: what a mask covers of the background moves it little.
        yaw_rad: by how much the box is turned about the z axis of its frame; 0 if it is aligned with the axes.
        covariance_m2: float64 (3, 3), of the points that were measured: how far the visible surface spreads.
        num_points: number of depths inside the mask that are the object's.
    """

    label: int
    center_m: NDArray[np.float64]
    size_m: NDArray[np.float64]
    surface_m: NDArray[np.float64]
    yaw_rad: float
    covariance_m2: NDArray[np.float64]
    num_points: int


def measure_boxes(
    objects: ObjectPoints, target: RigidTransform | None = None, yaw_hints_rad: Mapping[int, float] | None = None
) -> list[ObjectBox]:
    """Return the boxes of objects, by label.

    Lengths are those of the points in the target frame, not those of a turned box.

    Args:
        objects: points of all of them.
        target: from the colour camera's optical frame to the frame of the boxes; None for the optical frame itself.
        yaw_hints_rad: boxes are turned about the z axis of the target frame, each as near as possible to the angle
            given for its label, or else to 0; None for boxes along the axes of the frame.
    """
    target = target or RigidTransform.identity()
    seen_m = _samples(objects)
    sampled_m = target.rotation.astype(np.float32) @ seen_m
    yaws_rad = [0.0] * len(objects.spans)
    if yaw_hints_rad is not None:
        yaws_rad = [
            _nearest_quarter(fit_yaw(xyz_m[:2]), yaw_hints_rad.get(label, 0.0))
            for label, xyz_m in zip(objects.spans, sampled_m, strict=True)
        ]
    axes = _about_z(np.array(yaws_rad))
    # From the optical frame to the axes of each box.
    rotations = axes.transpose(0, 2, 1) @ target.rotation
    lowest_m, highest_m = _extremes_m(objects, rotations)
    # The outermost pixels reach beyond their centres.
    pixels_m = seen_m[:, 2].mean(axis=1, dtype=np.float64)[:, np.newaxis] * np.array(objects.grid.pixel_xy)
    margins_m = (np.abs(rotations[:, :, :2]) @ pixels_m[:, :, np.newaxis])[:, :, 0] / 2
    centers_m = (axes @ ((lowest_m + highest_m) / 2)[:, :, np.newaxis])[:, :, 0] + target.translation_m
    sizes_m = highest_m - lowest_m + 2 * margins_m
    surfaces_m = np.median(sampled_m, axis=2) + target.translation_m
    spread_m = sampled_m - sampled_m.mean(axis=2, keepdims=True)
    covariances_m2 = (spread_m @ spread_m.transpose(0, 2, 1)).astype(np.float64) / _NUM_SAMPLES
    rows = zip(centers_m, sizes_m, surfaces_m, yaws_rad, covariances_m2, strict=True)
    return [
        ObjectBox(label, *row, span.stop - span.start)
        for (label, span), row in zip(objects.spans.items(), rows, strict=True)
    ]


def fit_yaw(xy_m: NDArray[np.float32]) -> float:
    """Return the angle of the rectangle that fits points on the ground best, from -45 to 45 degrees, in radians.

    The rectangle of the smallest area fits best. Two sides of a box without its top have many such rectangles: of
    those, the points are on average closest to the sides of the best one.

    Args:
        xy_m: float32 (2, n), at least one point.

    Source: H. Freeman, R. Shapira, Determining the minimum-area encasing rectangle, Comm. ACM 18(7), 1975; X. Zhang et
    al., Efficient L-shape fitting for vehicle detection using laser scanners, IEEE IV 2017 (the closeness criterion).
    """
    count = xy_m.shape[1]
    if count > _MAX_YAW_POINTS:
        xy_m = xy_m[:, ((np.arange(_MAX_YAW_POINTS) + _JITTER) * (count / _MAX_YAW_POINTS)).astype(np.intp)]
    coarse_rad = _best_angle(xy_m, _COARSE_RAD)
    return _nearest_quarter(_best_angle(xy_m, coarse_rad + _FINE_RAD), 0.0)


def _samples(objects: ObjectPoints) -> NDArray[np.float32]:
    """Return as many points of each object, (objects, 3, `_NUM_SAMPLES`), in the colour camera's optical frame."""
    bounds = [(span.start, span.stop - span.start) for span in objects.spans.values()]
    start, count = np.array(bounds, np.float64).reshape(-1, 2, 1).transpose(1, 0, 2)
    index = start + (np.arange(_NUM_SAMPLES) + 0.5) * (count / _NUM_SAMPLES)
    sampled_m = objects.xyz_m.take(index.astype(np.intp).ravel(), axis=1)
    return sampled_m.reshape(3, -1, _NUM_SAMPLES).transpose(1, 0, 2)


def _extremes_m(
    objects: ObjectPoints, rotations: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the lowest and the highest coordinates of each object, float64 (objects, 3), in axes of its own.

    Args:
        objects: points of all of them.
        rotations: (objects, 3, 3), from the optical frame to these axes.
    """
    lowest_m, highest_m = np.empty((2, len(rotations), 3))
    for index, span in enumerate(objects.spans.values()):
        own_m = rotations[index].astype(np.float32) @ objects.xyz_m[:, span]
        lowest_m[index], highest_m[index] = own_m.min(axis=1), own_m.max(axis=1)
    return lowest_m, highest_m


def _best_angle(xy_m: NDArray[np.float32], angles_rad: NDArray[np.float64]) -> float:
    cos, sin = np.cos(angles_rad).astype(np.float32), np.sin(angles_rad).astype(np.float32)
    along = np.stack((cos, sin), axis=1) @ xy_m
    across = np.stack((-sin, cos), axis=1) @ xy_m
    along -= along.min(axis=1, keepdims=True)
    across -= across.min(axis=1, keepdims=True)
    length, width = along.max(axis=1), across.max(axis=1)
    area = length * width
    similar = np.flatnonzero(area <= _SIMILAR_AREA * area.min())
    along, across = along[similar], across[similar]
    to_side = np.minimum(
        np.minimum(along, length[similar, np.newaxis] - along), np.minimum(across, width[similar, np.newaxis] - across)
    )
    return float(angles_rad[similar[int(to_side.mean(axis=1).argmin())]])


def _nearest_quarter(yaw_rad: float, hint_rad: float) -> float:
    """Return the angle that is nearest to a hint, of those that differ by quarter turns: a box looks the same."""
    quarter = math.pi / 2
    return yaw_rad + quarter * round((hint_rad - yaw_rad) / quarter)


def _about_z(yaws_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the axes, (n, 3, 3), that are turned about z by angles (n,)."""
    axes = np.zeros((len(yaws_rad), 3, 3))
    axes[:, 0, 0] = axes[:, 1, 1] = np.cos(yaws_rad)
    axes[:, 1, 0] = np.sin(yaws_rad)
    axes[:, 0, 1] = -axes[:, 1, 0]
    axes[:, 2, 2] = 1.0
    return axes
