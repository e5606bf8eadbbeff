"""Describe where cameras are and how they see: rigid transforms, pinhole cameras, the rays of their pixels.

Optical frames are those of ROS (REP 103): x to the right, y down, z forwards, in metres. Pixel (u, v) is the centre of
column u and row v, as in OpenCV's camera matrix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.errors import CalibrationError

#: Models of sensor_msgs/CameraInfo, and how many coefficients each may have.
_COEFFICIENTS = {"": (0,), "plumb_bob": (0, 4, 5), "rational_polynomial": (0, 8, 12, 14), "equidistant": (0, 4)}
#: Columns and rows that the table of a distorted camera has for one of its image.
_CELLS_PER_PIXEL = 2
#: No camera has a longer focal length, nor its principal point farther away.
_MAX_PX = 1_000_000


@dataclass(frozen=True)
class RigidTransform:
    """A rotation followed by a translation: from a point in one frame to the same point in another.

    Attributes:
        rotation: float64 (3, 3).
        translation_m: float64 (3,).
    """

    rotation: NDArray[np.float64]
    translation_m: NDArray[np.float64]

    @classmethod
    def identity(cls) -> RigidTransform:
        """Return the transform that changes nothing."""
        return cls(np.eye(3), np.zeros(3))

    @classmethod
    def from_quaternion(cls, xyzw: Sequence[float], translation_m: Sequence[float]) -> RigidTransform:
        """Build a transform of a quaternion, which need not be of length 1, and a translation.

        Raises:
            CalibrationError: for a quaternion of length 0, or numbers that are not finite.
        """
        quaternion, translation = np.asarray(xyzw, np.float64), np.asarray(translation_m, np.float64)
        length = float(np.linalg.norm(quaternion))
        if not (np.isfinite(length) and length > 0 and np.isfinite(translation).all()):
            raise CalibrationError(
                f"transform: expected a quaternion and a translation, got {list(xyzw)} and {list(translation_m)}"
            )
        x, y, z, w = quaternion / length
        rotation = np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
        )
        return cls(rotation, translation)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Return the homogeneous matrix, float64 (4, 4)."""
        matrix = np.eye(4)
        matrix[:3, :3], matrix[:3, 3] = self.rotation, self.translation_m
        return matrix

    def __matmul__(self, first: RigidTransform) -> RigidTransform:
        """Return the transform that does `first`, and then this one."""
        return RigidTransform(self.rotation @ first.rotation, self.rotation @ first.translation_m + self.translation_m)

    def inverse(self) -> RigidTransform:
        """Return the transform back."""
        return RigidTransform(self.rotation.T, -self.rotation.T @ self.translation_m)

    def apply(self, xyz_m: NDArray[Any]) -> NDArray[np.float32]:
        """Return points float32 (3, n) of points (3, n)."""
        return self.rotation.astype(np.float32) @ xyz_m + self.translation_m.astype(np.float32)[:, np.newaxis]


@dataclass(frozen=True)
class PinholeCamera:
    """Intrinsic parameters of a camera, with its lens.

    Attributes:
        image_hw: height and width of its images in pixels.
        focal_xy_px: focal lengths in pixels.
        center_xy_px: the principal point in pixels.
        distortion_model: a name of sensor_msgs/CameraInfo; empty: none.
        distortion: coefficients of that model, in OpenCV's order; empty: none.

    Source: R. Hartley, A. Zisserman, Multiple View Geometry in Computer Vision, 2nd ed. 2004, chapter 6.
    """

    image_hw: tuple[int, int]
    focal_xy_px: tuple[float, float]
    center_xy_px: tuple[float, float]
    distortion_model: str = ""
    distortion: tuple[float, ...] = ()

    @classmethod
    def from_calibration(
        cls, image_hw: tuple[int, int], matrix: Sequence[float], distortion_model: str, distortion: Sequence[float]
    ) -> PinholeCamera:
        """Build a camera from the K (9 numbers, row by row) and D of a sensor_msgs/CameraInfo.

        Raises:
            CalibrationError: if K is all zeros, as an uncalibrated camera has it, or is no camera matrix; or if the
                distortion is of a model or a number of coefficients that is not known.
        """
        fx, _, cx, _, fy, cy = (float(value) for value in matrix[:6])
        if not any(matrix):
            raise CalibrationError("K is all zeros: the camera is not calibrated; calibrate it, or fix its driver")
        if not (
            all(1 <= focal <= _MAX_PX for focal in (fx, fy)) and all(abs(center) <= _MAX_PX for center in (cx, cy))
        ):
            raise CalibrationError(
                f"K: expected positive focal lengths, 1 to {_MAX_PX} pixels, got fx={fx}, fy={fy}, cx={cx}, cy={cy}"
            )
        if distortion_model not in _COEFFICIENTS:
            known = ", ".join(name for name in _COEFFICIENTS if name)
            raise CalibrationError(f"distortion model '{distortion_model}' is not known; expected one of {known}")
        if len(distortion) not in (0, *_COEFFICIENTS[distortion_model]):
            expected = " or ".join(map(str, _COEFFICIENTS[distortion_model]))
            raise CalibrationError(
                f"D: expected {expected} coefficients of '{distortion_model}', got {len(distortion)}"
            )
        if not np.isfinite(distortion).all():
            raise CalibrationError("D: expected finite numbers")
        coefficients = tuple(float(value) for value in distortion) if any(distortion) else ()
        return cls(image_hw, (fx, fy), (cx, cy), distortion_model if coefficients else "", coefficients)

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Return the camera matrix, float64 (3, 3)."""
        (fx, fy), (cx, cy) = self.focal_xy_px, self.center_xy_px
        return np.array([[fx, 0, cx], [0, fy, cy], [0, 0, 1]])

    @property
    def is_fisheye(self) -> bool:
        """Return whether the lens is one of OpenCV's fisheye model."""
        return self.distortion_model == "equidistant"


@lru_cache(maxsize=8)
def pixel_rays(camera: PinholeCamera) -> NDArray[np.float32]:
    """Return for each pixel the point of its ray at depth 1: float32 (3, height, width), x, y, and z, which is 1.

    The depth of a pixel in metres times its ray is the point in the camera's optical frame. Computed once for a camera.
    """
    height, width = camera.image_hw
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float64), np.arange(height, dtype=np.float64))
    pixels = np.stack((columns, rows), axis=-1)
    if camera.distortion:
        undistort = cv2.fisheye.undistortPoints if camera.is_fisheye else cv2.undistortPoints
        xy = undistort(pixels.reshape(-1, 1, 2), camera.matrix, np.array(camera.distortion)).reshape(pixels.shape)
    else:
        xy = (pixels - camera.center_xy_px) / camera.focal_xy_px
    rays = np.ones((3, height, width), np.float32)
    rays[:2] = np.moveaxis(xy, -1, 0)
    rays.setflags(write=False)
    return rays


@dataclass(frozen=True)
class ProjectionTable:
    """A table of where points of a camera's frame are in its distorted image, looked up, not computed each time.

    Attributes:
        table_hw: height and width of the table in cells.
        focal_xy_px: focal lengths of the table in cells.
        center_xy_px: its principal point.
        pixel: int32 (height, width), the flat index of the image's pixel in that direction; -1 where there is none.
            None where the cells are the pixels.
    """

    table_hw: tuple[int, int]
    focal_xy_px: tuple[float, float]
    center_xy_px: tuple[float, float]
    pixel: NDArray[np.int32] | None = None

    def pixels_of(self, xyz_m: NDArray[np.float32]) -> NDArray[np.int32]:
        """Return for points (3, n) of the optical frame the flat index of the pixel that shows each; -1 for none."""
        height, width = self.table_hw
        x, y, depth = xyz_m
        # What is not finite, or behind the camera, is outside, whatever whole number it becomes.
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            scale = 1 / depth
            column = x * scale * np.float32(self.focal_xy_px[0]) + np.float32(self.center_xy_px[0] + 0.5)
            row = y * scale * np.float32(self.focal_xy_px[1]) + np.float32(self.center_xy_px[1] + 0.5)
            is_outside = ~((depth > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height))
            cell = row.astype(np.int32) * np.int32(width) + column.astype(np.int32)
        pixel: NDArray[np.int32] = cell if self.pixel is None else self.pixel.ravel().take(cell, mode="clip")
        np.copyto(pixel, -1, where=is_outside)
        return pixel


@lru_cache(maxsize=4)
def projection_table(camera: PinholeCamera) -> ProjectionTable:
    """Return the table of a camera; computed once for a camera.

    Without distortion its cells are the pixels themselves. With distortion it is the undistorted image in which all
    pixels are visible, with finer cells.
    """
    height, width = camera.image_hw
    if not camera.distortion:
        return ProjectionTable(camera.image_hw, camera.focal_xy_px, camera.center_xy_px)
    distortion, size_wh, upright = np.array(camera.distortion), (width, height), np.eye(3)
    if camera.is_fisheye:
        matrix = cv2.fisheye.estimateNewCameraMatrixForUndistortRectify(
            camera.matrix, distortion, size_wh, upright, balance=1.0
        )
    else:
        matrix, _ = cv2.getOptimalNewCameraMatrix(camera.matrix, distortion, size_wh, 1.0)
    matrix = np.diag((_CELLS_PER_PIXEL, _CELLS_PER_PIXEL, 1.0)) @ matrix
    undistort = cv2.fisheye.initUndistortRectifyMap if camera.is_fisheye else cv2.initUndistortRectifyMap
    table_wh = (_CELLS_PER_PIXEL * width, _CELLS_PER_PIXEL * height)
    maps = undistort(camera.matrix, distortion, upright, matrix, table_wh, cv2.CV_32FC1)
    column, row = (np.rint(plane).astype(np.int64) for plane in maps)
    is_inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    indices = np.where(is_inside, row * width + column, -1).astype(np.int32)
    (fx, _, cx), (_, fy, cy) = matrix[:2].tolist()
    return ProjectionTable(table_wh[::-1], (fx, fy), (cx, cy), indices)
