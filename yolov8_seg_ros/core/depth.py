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
from yolov8_seg_ros.errors import DepthError

#: Metres that 1 is worth, by the encoding of the image (REP 118).
_UNITS_M = {"16UC1": 1e-3, "mono16": 1e-3, "32FC1": 1.0}
DEPTH_ENCODINGS = tuple(_UNITS_M)
#: A point is hidden if another one is nearer by this part of the depth, at most so many steps of the points away.
_HIDDEN_SHARE = 0.04
_HIDING_STEPS = 2


@dataclass(frozen=True)
class DepthOptions:
    """Options of how depths of instances are chosen.

    Attributes:
        min_depth_m: nearer depths are left out.
        max_depth_m: farther depths are left out.
        erosion_px: pixels of the colour image that are left out along the outline of a mask, where depths are mixed.
        stride: every so many rows and columns of an unregistered depth image are used.
        min_points: an object has at least so many depths.
        mode_share: the nearest group of depths that holds this part of all is the object, 0 to 1.
    """

    min_depth_m: float = 0.1
    max_depth_m: float = 10.0
    erosion_px: int = 2
    stride: int = 2
    min_points: int = 20
    mode_share: float = 0.25


@dataclass(frozen=True)
class DepthImage:
    """A depth image as its camera published it.

    Attributes:
        pixels: uint16 or float32 (height, width); 0, NaN and infinity are invalid.
        unit_m: metres that 1 is worth.
    """

    pixels: NDArray[Any]
    unit_m: float


@dataclass(frozen=True)
class LabelledPoints:
    """The valid depths that lie inside masks, sorted by instance.

    Attributes:
        label: uint8 (n,), ascending: the value of the instance in the label image.
        xyz_m: float32 (3, n), in the colour camera's optical frame.
        is_inner: bool (n,), False along the outline of a mask; a thin one may have no inner points.
        pixel: int32 (n,), flat index of the pixel of the colour image.
        cell: int32 (n,), flat index of the pixel of the depth image.
        grid_hw: height and width of the depth image.
        mask_points: float64 (256,), how many points each label would have if all depths were valid.
        pixel_xy: width and height, at depth 1, of what a point stands for.
    """

    label: NDArray[np.uint8]
    xyz_m: NDArray[np.float32]
    is_inner: NDArray[np.bool_]
    pixel: NDArray[np.int32]
    cell: NDArray[np.int32]
    grid_hw: tuple[int, int]
    mask_points: NDArray[np.float64]
    pixel_xy: tuple[float, float]

    def bounds(self, num_labels: int) -> NDArray[np.intp]:
        """Return where the points of the labels 1 to `num_labels` begin, and where the last ones end."""
        return np.searchsorted(self.label, np.arange(1, num_labels + 2))


def unit_of_encoding(encoding: str) -> float:
    """Return the metres that 1 is worth in a depth image: 16UC1 holds millimetres, 32FC1 metres.

    Raises:
        DepthError: for another encoding.

    Source: ROS REP 118, Depth Images.
    """
    if encoding not in _UNITS_M:
        raise DepthError(f"encoding '{encoding}' is no depth; expected one of {', '.join(DEPTH_ENCODINGS)}")
    return _UNITS_M[encoding]


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


def count_labels(labels: NDArray[Any]) -> NDArray[np.float64]:
    """Return how many pixels have each of the 256 values, float64 (256,)."""
    return cv2.calcHist([labels], [0], None, [256], [0, 256]).ravel().astype(np.float64)


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
        self._rays: tuple[int, NDArray[np.float32]] = (0, np.empty((3, 0), np.float32))

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
        cell = np.flatnonzero(labels > 0)
        depth_m = _metres(depth.pixels.ravel().take(cell), depth.unit_m)
        is_valid = _is_valid(depth_m, options)
        if not is_valid.all():
            cell, depth_m = cell[is_valid], depth_m[is_valid]
        label = labels.ravel().take(cell)
        order = np.argsort(label, kind="stable")
        cell, depth_m = cell.take(order), depth_m.take(order)
        x, y, _ = pixel_rays(self._color).reshape(3, -1)
        pixel = cell.astype(np.int32)
        return LabelledPoints(
            label=label.take(order),
            xyz_m=np.stack((x.take(cell) * depth_m, y.take(cell) * depth_m, depth_m)),
            is_inner=inner.ravel().take(cell) > 0,
            pixel=pixel,
            cell=pixel,
            grid_hw=self.depth_hw,
            mask_points=count_labels(labels),
            pixel_xy=self._pixel_xy(1.0),
        )

    def _label_projected(
        self, labels: NDArray[np.uint8], inner: NDArray[np.uint8], depth: DepthImage, options: DepthOptions
    ) -> LabelledPoints:
        assert self._depth is not None
        stride = options.stride
        depth_m = _metres(depth.pixels[::stride, ::stride].ravel(), depth.unit_m)
        is_valid = _is_valid(depth_m, options)
        xyz_m = self._rotated_rays(stride) * depth_m
        xyz_m += self._depth_to_color.translation_m.astype(np.float32)[:, np.newaxis]
        pixel = projection_table(self._color).pixels_of(xyz_m)
        label = labels.ravel().take(pixel, mode="clip")
        step_px = stride * self._color.focal_xy_px[0] / self._depth.focal_xy_px[0]
        kept = np.flatnonzero((label > 0) & is_valid & (pixel >= 0))
        kept = kept[_is_seen(pixel.take(kept), xyz_m[2].take(kept), self._color.image_hw, step_px)]
        kept = kept.take(np.argsort(label.take(kept), kind="stable"))
        height, width = self.depth_hw
        row, column = np.divmod(kept, -(-width // stride))
        return LabelledPoints(
            label=label.take(kept),
            xyz_m=xyz_m.take(kept, axis=1),
            is_inner=inner.ravel().take(pixel.take(kept)) > 0,
            pixel=pixel.take(kept),
            cell=(row * (stride * width) + column * stride).astype(np.int32),
            grid_hw=(height, width),
            mask_points=count_labels(labels) / step_px**2,
            pixel_xy=self._pixel_xy(step_px),
        )

    def _rotated_rays(self, stride: int) -> NDArray[np.float32]:
        """Return the rays of the pixels that are used, in the colour camera's axes, float32 (3, n)."""
        assert self._depth is not None
        if self._rays[0] != stride:
            rays = pixel_rays(self._depth)[:, ::stride, ::stride].reshape(3, -1)
            self._rays = stride, self._depth_to_color.rotation.astype(np.float32) @ rays
        return self._rays[1]

    def _pixel_xy(self, step_px: float) -> tuple[float, float]:
        return step_px / self._color.focal_xy_px[0], step_px / self._color.focal_xy_px[1]


def _is_seen(
    pixel: NDArray[np.int32], depth_m: NDArray[np.float32], image_hw: tuple[int, int], step_px: float
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
    size_px = math.ceil(_HIDING_STEPS * step_px)
    row, column = np.divmod(pixel, np.int32(image_hw[1]))
    cells_in_row = -(-image_hw[1] // size_px)
    cell = row // size_px * cells_in_row + column // size_px
    nearest_m = np.full(cells_in_row * -(-image_hw[0] // size_px), np.inf, np.float32)
    # Of several values for a cell the last one stays.
    far_to_near = np.argsort(-depth_m)
    nearest_m[cell.take(far_to_near)] = depth_m.take(far_to_near)
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
