"""Estimate where boxes are and how they move: a Kalman filter for many boxes at once."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

#: Standard deviation of a measured edge, as a fraction of the box's size (the root of its area).
MEASUREMENT_NOISE = 0.05
#: Intensity of the white noise that accelerates the centre, and width and height: box sizes per second^1.5.
CENTRE_ACCELERATION = 1.5
SIZE_ACCELERATION = 0.3
#: Standard deviation of the velocity of a box that was seen once, in box sizes per second.
FIRST_VELOCITY = 1.0
_ACCELERATION = np.array([CENTRE_ACCELERATION] * 2 + [SIZE_ACCELERATION] * 2)
_SMALLEST_SIDE_PX = 1.0

Array = NDArray[np.float64]


@dataclass
class BoxFilter:
    """The state of n boxes; each of the four numbers of a box is filtered on its own, with a constant velocity.

    The noise grows with the box, so that an image of twice the size gives twice the numbers. Gains and variances are
    those of the two-state filter written out, which needs no matrices.

    Source: Kalman, A New Approach to Linear Filtering and Prediction Problems, 1960; for boxes: Bewley et al., Simple
    Online and Realtime Tracking (SORT), ICIP 2016; width and height as states: Aharon et al., BoT-SORT, 2022.

    Attributes:
        value: (n, 4), x and y of the centre, width and height, in image pixels.
        velocity: (n, 4), pixels per second.
        value_variance: (n, 4), of `value`, in square pixels.
        covariance: (n, 4), of `value` with `velocity`.
        velocity_variance: (n, 4), of `velocity`.
    """

    value: Array
    velocity: Array
    value_variance: Array
    covariance: Array
    velocity_variance: Array

    @classmethod
    def of_boxes(cls, xyxy: NDArray[np.float32]) -> BoxFilter:
        """Return the state of boxes (n, 4) that were measured once."""
        value = _centre_and_size(xyxy)
        size = _box_size(value)
        return cls(
            value=value,
            velocity=np.zeros_like(value),
            value_variance=np.broadcast_to((MEASUREMENT_NOISE * size) ** 2, value.shape).copy(),
            covariance=np.zeros_like(value),
            velocity_variance=np.broadcast_to((FIRST_VELOCITY * size) ** 2, value.shape).copy(),
        )

    def __len__(self) -> int:
        return len(self.value)

    def xyxy(self) -> NDArray[np.float32]:
        """Return the boxes, float32 (n, 4)."""
        centre, half = self.value[:, :2], self.value[:, 2:] / 2
        return np.concatenate((centre - half, centre + half), axis=1, dtype=np.float32)

    def predict(self, step_s: float) -> None:
        """Move all boxes on by some seconds, 0 or more; no side gets shorter than a pixel."""
        noise = (_ACCELERATION * _box_size(self.value)) ** 2
        self.value += self.velocity * step_s
        np.maximum(self.value[:, 2:], _SMALLEST_SIDE_PX, out=self.value[:, 2:])
        self.value_variance += step_s * (2 * self.covariance + step_s * (self.velocity_variance + noise * (step_s / 3)))
        self.covariance += step_s * (self.velocity_variance + noise * (step_s / 2))
        self.velocity_variance += noise * step_s

    def correct(self, rows: NDArray[np.intp], xyxy: NDArray[np.float32]) -> None:
        """Correct the states by measurements: boxes (m, 4) of the states of these rows, each in them once."""
        measured = _centre_and_size(xyxy)
        variance, covariance = self.value_variance[rows], self.covariance[rows]
        total = variance + (MEASUREMENT_NOISE * _box_size(measured)) ** 2
        gain, velocity_gain = variance / total, covariance / total
        surprise = measured - self.value[rows]
        self.value[rows] += gain * surprise
        self.velocity[rows] += velocity_gain * surprise
        self.value_variance[rows] = (1 - gain) * variance
        self.covariance[rows] = (1 - gain) * covariance
        self.velocity_variance[rows] -= velocity_gain * covariance

    def transform(self, affine: Array) -> None:
        """Move all boxes as the image moved: a similarity transform (2, 3) from old to new pixels."""
        linear = affine[:, :2]
        scale = float(np.sqrt(abs(np.linalg.det(linear))))
        self.value[:, :2] = self.value[:, :2] @ linear.T + affine[:, 2]
        self.velocity[:, :2] = self.velocity[:, :2] @ linear.T
        for sizes in (self.value, self.velocity):
            sizes[:, 2:] *= scale
        for variances in (self.value_variance, self.covariance, self.velocity_variance):
            variances *= scale**2

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Remove the states that are not True in `rows`, (n,)."""
        for field in fields(self):
            setattr(self, field.name, getattr(self, field.name)[rows])

    def append(self, other: BoxFilter) -> None:
        """Add the states of another filter at the end."""
        for field in fields(self):
            setattr(self, field.name, np.concatenate((getattr(self, field.name), getattr(other, field.name))))


def _centre_and_size(xyxy: NDArray[np.float32]) -> Array:
    boxes = xyxy.astype(np.float64)
    size = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate((boxes[:, :2] + size / 2, size), axis=1)


def _box_size(value: Array) -> Array:
    """Return (n, 1): the root of each box's area, in pixels, at least 1."""
    area = value[:, 2:3] * value[:, 3:4]
    return np.sqrt(np.maximum(area, _SMALLEST_SIDE_PX**2))
