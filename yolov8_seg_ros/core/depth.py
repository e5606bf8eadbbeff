"""Find out which depth pixels belong to which instance, and which of them are the object's.

The depth image may be registered to the colour image, pixel by pixel, or come from a camera of its own beside it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform, pixel_rays, projection_table
from yolov8_seg_ros.core.labelled_points import DepthGrid, LabelledPoints
from yolov8_seg_ros.core.options import DepthOptions as DepthOptions
from yolov8_seg_ros.errors import DepthError

#: Metres that 1 is worth, by the encoding of the image (REP 118).
_UNITS_M = {"16UC1": 1e-3, "mono16": 1e-3, "32FC1": 1.0}
DEPTH_ENCODINGS = tuple(_UNITS_M)
#: A point is hidden if another one is nearer by this part of the depth, at most so many steps of the points away.
_HIDDEN_SHARE = 0.04
_HIDING_STEPS = 2
#: So many pixels of an unregistered depth image are enough, about.
_ENOUGH_PIXELS = 320 * 240


@dataclass(frozen=True)
class DepthImage:
    """A depth image as its camera published it.

    Attributes:
        pixels: uint16 or float32 (height, width); 0, NaN and infinity are invalid.
        unit_m: metres that 1 is worth.
    """

    pixels: NDArray[Any]
    unit_m: float


def unit_of_encoding(encoding: str) -> float:
    """Return the metres that 1 is worth in a depth image: 16UC1 holds millimetres, 32FC1 metres.

    Raises:
        DepthError: for another encoding.

    Source: ROS REP 118, Depth Images.
    """
    if encoding not in _UNITS_M:
        raise DepthError(f"encoding '{encoding}' is no depth; expected one of {', '.join(DEPTH_ENCODINGS)}")
    return _UNITS_M[encoding]


def automatic_stride(depth_hw: tuple[int, int]) -> int:
    """Return the stride that leaves about 320x240 pixels of a depth image, 1 for a smaller one."""
    return max(1, round(math.sqrt(depth_hw[0] * depth_hw[1] / _ENOUGH_PIXELS)))


def erode_labels(labels: NDArray[np.uint8], erosion_px: int) -> NDArray[np.uint8]:
    """Return a label image without the pixels nearer than `erosion_px` to another label or the background.

    The border of the image is no outline. Thin instances vanish.

    Source: J. Serra, Image Analysis and Mathematical Morphology, 1982 (erosion of all labels at once).
    """
    if erosion_px == 0:
        return labels
    kernel = np.ones((2 * erosion_px + 1,) * 2, np.uint8)
    is_inner = cv2.compare(cv2.erode(labels, kernel), cv2.dilate(labels, kernel), cv2.CMP_EQ)
    eroded: NDArray[Any] = cv2.bitwise_and(labels, is_inner)
    return eroded


class Registration:
    """A table of where the pixels of a depth image are in the colour image, for one pair of cameras.

    Args:
        color_camera: of the images that were segmented.
        depth_camera: of the depth images; None if these are registered to the colour image, pixel by pixel.
        depth_to_color: from the depth camera's optical frame to the colour camera's; not used for registered images.
    """

    def __init__(
        self,
        color_camera: PinholeCamera,
        depth_camera: PinholeCamera | None = None,
        depth_to_color: RigidTransform | None = None,
    ) -> None:
        self._color = color_camera
        self._depth = depth_camera
        self._depth_to_color = depth_to_color or RigidTransform.identity()
        self._last_grid: DepthGrid | None = None

    @property
    def is_projected(self) -> bool:
        """Return whether depth pixels are projected into the colour image, as they are not registered to it."""
        return self._depth is not None

    @property
    def depth_hw(self) -> tuple[int, int]:
        """Return the height and width that a depth image must have."""
        return (self._depth or self._color).image_hw

    def label(self, labels: NDArray[np.uint8], depth: DepthImage, options: DepthOptions) -> LabelledPoints:
        """Return the points of all instances.

        Args:
            labels: uint8 (height, width), the label image; 0 is background.
            depth: of the same time.
            options: how depths are chosen.

        Raises:
            DepthError: if an image is not of the size that its camera has.
        """
        _check_size("instances", labels, self._color.image_hw)
        _check_size("depth", depth.pixels, self.depth_hw)
        inner = erode_labels(labels, options.erosion_px)
        if self._depth is None:
            return self._label_registered(labels, inner, depth, options)
        return self._label_projected(labels, inner, depth, options)

    def _label_registered(
        self, labels: NDArray[np.uint8], inner: NDArray[np.uint8], depth: DepthImage, options: DepthOptions
    ) -> LabelledPoints:
        pixel = np.flatnonzero(labels > 0)
        depth_m = _metres(depth.pixels.ravel().take(pixel), depth.unit_m)
        is_valid = _is_valid(depth_m, options)
        if not is_valid.all():
            pixel, depth_m = pixel[is_valid], depth_m[is_valid]
        key = _keys(labels, inner, pixel)
        order = np.argsort(key, kind="stable")
        pixel, depth_m = pixel.take(order), depth_m.take(order)
        return LabelledPoints(key.take(order), depth_m, depth_m, pixel, pixel, self._grid(1))

    def _label_projected(
        self, labels: NDArray[np.uint8], inner: NDArray[np.uint8], depth: DepthImage, options: DepthOptions
    ) -> LabelledPoints:
        grid = self._grid(options.stride or automatic_stride(self.depth_hw))
        measured_m = _metres(depth.pixels[:: grid.stride, :: grid.stride].ravel(), depth.unit_m)
        xyz_m = grid.rays * measured_m
        xyz_m += grid.offset_m
        depth_m, pixel = xyz_m[2], projection_table(self._color).pixels_of(xyz_m)
        is_labelled = (pixel >= 0) & (labels.ravel().take(pixel, mode="clip") > 0)
        place = np.flatnonzero(is_labelled & _is_valid(measured_m, options))
        step_px = grid.pixel_xy[0] * self._color.focal_xy_px[0]
        is_seen = _is_seen(pixel.take(place), depth_m.take(place), self._color.image_hw, step_px)
        place = np.compress(is_seen, place)
        key = _keys(labels, inner, pixel.take(place))
        order = np.argsort(key, kind="stable")
        place = place.take(order)
        return LabelledPoints(
            key.take(order), depth_m.take(place), measured_m.take(place), pixel.take(place), place, grid
        )

    def _grid(self, stride: int) -> DepthGrid:
        """Return the pixels of the depth image that are used; computed once."""
        if self._last_grid is None or self._last_grid.stride != stride:
            camera = self._depth or self._color
            rays: NDArray[Any] = pixel_rays(camera)[:, ::stride, ::stride].reshape(3, -1)
            if self._depth is not None:
                rays = self._depth_to_color.rotation.astype(np.float32) @ rays
            (fx, fy), offset_m = camera.focal_xy_px, self._depth_to_color.translation_m.astype(np.float32)
            self._last_grid = DepthGrid(camera.image_hw, stride, rays, offset_m[:, None], (stride / fx, stride / fy))
        return self._last_grid


def _keys(labels: NDArray[np.uint8], inner: NDArray[np.uint8], pixel: NDArray[Any]) -> NDArray[np.uint16]:
    """Return the keys of points at some pixels, uint16 (n,)."""
    key: NDArray[np.uint16] = labels.ravel().take(pixel).astype(np.uint16)
    key <<= 1
    key += inner.ravel().take(pixel) == 0
    return key


def _is_seen(
    pixel: NDArray[Any], depth_m: NDArray[np.float32], image_hw: tuple[int, int], step_px: float
) -> NDArray[np.bool_]:
    """Return which points are not hidden from the colour camera behind others.

    A depth camera beside it sees background past the edge of an object that the colour camera sees the object against.

    Args:
        pixel: flat index of the pixel of the colour image, (n,).
        depth_m: in the colour camera's frame, (n,).
        image_hw: of the colour image.
        step_px: distance of neighbouring points in the colour image.

    Source: E. Catmull, A subdivision algorithm for computer display of curved surfaces, 1974 (the z-buffer).
    """
    height, width = image_hw
    size_px = math.ceil(_HIDING_STEPS * step_px)
    row = pixel // width
    cells_in_row = -(-width // size_px)
    cell = row // size_px * cells_in_row + (pixel - row * width) // size_px
    nearest_m = np.full(cells_in_row * -(-height // size_px), np.inf, np.float32)
    # Of several values for a cell any one stays: those that are nearer are written again.
    cell_left, depth_left_m = cell, depth_m
    while len(cell_left):
        nearest_m[cell_left] = depth_left_m
        nearer = np.flatnonzero(depth_left_m < nearest_m.take(cell_left))
        cell_left, depth_left_m = cell_left.take(nearer), depth_left_m.take(nearer)
    is_seen: NDArray[np.bool_] = depth_m <= nearest_m.take(cell) * np.float32(1 + _HIDDEN_SHARE)
    return is_seen


def _metres(values: NDArray[Any], unit_m: float) -> NDArray[np.float32]:
    metres: NDArray[np.float32] = values.astype(np.float32)
    if unit_m != 1.0:
        metres *= np.float32(unit_m)
    return metres


def _is_valid(depth_m: NDArray[np.float32], options: DepthOptions) -> NDArray[np.bool_]:
    # NaN and infinity are in no range; comparing NaN is no error here.
    with np.errstate(invalid="ignore"):
        return (depth_m >= max(options.min_depth_m, 1e-6)) & (depth_m <= options.max_depth_m)


def _check_size(name: str, image: NDArray[Any], expected_hw: tuple[int, int]) -> None:
    if image.shape != expected_hw:
        (height, width), (expected_height, expected_width) = image.shape[:2], expected_hw
        raise DepthError(
            f"the {name} image is {width}x{height}, its CameraInfo says {expected_width}x{expected_height}"
        )
