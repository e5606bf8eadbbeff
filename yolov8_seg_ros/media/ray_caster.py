"""Cast the rays of a pinhole camera at flat surfaces: which of them each pixel shows, and how far away.

On a plane 1 / depth is an affine function of the pixel, as are both coordinates on the plane divided by the depth. So a
surface costs a few additions and two divisions a pixel, and only pixels within its outline are looked at.

Source: R. Hartley, A. Zisserman, Multiple View Geometry in Computer Vision, 2nd ed. 2004, section 8.1 (the homography
of a plane).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.media.scene import Region, edge_distance, fill_shade, outline

FloatImage = NDArray[np.float32]
Matrix = NDArray[np.float64]

#: The side that shapes stand on is below: y on their surface points up.
SIDE_DOWN_RAD = -np.pi / 2
#: A camera this near to a surface's plane, in metres, sees it edge-on.
_EDGE_ON_M = 1e-6
#: A surface that comes nearer than this is not drawn.
_NEAR_M = 0.05


@dataclass(frozen=True)
class Surface:
    """A plane with coordinates on it.

    Attributes:
        origin_m: float64 (3,), a point of the plane in the world.
        axes: float64 (3, 3); its columns are two directions on the plane, x and y, and their cross product.
    """

    origin_m: Matrix
    axes: Matrix

    @classmethod
    def upright(cls, origin_m: Sequence[float], yaw_rad: float) -> Surface:
        """Return a vertical plane that faces the direction `yaw_rad`; x on it to its viewer's right, y up."""
        sin, cos = np.sin(yaw_rad), np.cos(yaw_rad)
        return cls(np.array(origin_m, np.float64), np.array([[-sin, 0, cos], [cos, 0, sin], [0, 1, 0]]))

    def homography(self, camera: PinholeCamera, world_from_optical: RigidTransform) -> Matrix | None:
        """Return the matrix (3, 3) that maps pixels (u, v, 1) to (x w, y w, w).

        (x, y) is the point of the plane that the pixel's ray meets, in metres. w is 1 / depth, where depth is the
        point's z in the optical frame; it is 0 or below where the ray does not meet the plane.

        Args:
            camera: that looks; without distortion.
            world_from_optical: pose of its optical frame in the world.

        Returns:
            None if the plane is seen edge-on.
        """
        eye = self.axes.T @ (world_from_optical.translation_m - self.origin_m)
        if abs(eye[2]) < _EDGE_ON_M:
            return None
        rays = self.axes.T @ world_from_optical.rotation @ np.linalg.inv(camera.matrix)
        inverse_depth = -rays[2] / eye[2]
        return np.stack([rays[0] + eye[0] * inverse_depth, rays[1] + eye[1] * inverse_depth, inverse_depth])

    def points(self, xy_m: Matrix) -> Matrix:
        """Return the points (n, 3) in the world that have coordinates (n, 2) on the plane."""
        return np.asarray(self.origin_m + xy_m @ self.axes[:, :2].T)


@dataclass(frozen=True)
class Wall:
    """One side of the box that is the room, seen from inside.

    Attributes:
        surface: its origin is the corner of the texture's first texel.
        texture: bgr8 (rows along y, columns along x, 3).
        texels_per_m: resolution of the texture.
    """

    surface: Surface
    texture: NDArray[np.uint8]
    texels_per_m: float


@dataclass(frozen=True)
class Sign:
    """A flat shape.

    Attributes:
        class_id: index into `SCENE_CLASSES`.
        radius_m: of the circle of its area.
        surface: its origin is the centre of the shape.
        colours: float32 (2, 3), BGR.
        fill: one of `FILLS`.
    """

    class_id: int
    radius_m: float
    surface: Surface
    colours: FloatImage
    fill: str

    @property
    def outline(self) -> Matrix:
        """Return its corners (n, 2) on the surface, in metres."""
        return outline(self.class_id, self.radius_m, SIDE_DOWN_RAD)


class View:
    """The view of a camera on a room and the signs in it.

    Args:
        camera: without distortion.
        world_from_optical: pose of its optical frame in the world, inside the room.
        walls: all sides of the room.
        signs: at most 255.
        with_image: whether to draw colours too.

    Attributes:
        depth_m: float32 (height, width), z in the optical frame.
        labels: uint8 (height, width), 1 for the first sign and so on, 0 for walls.
        image: bgr8 (height, width, 3); black without colours.
    """

    def __init__(
        self,
        camera: PinholeCamera,
        world_from_optical: RigidTransform,
        walls: Sequence[Wall],
        signs: Sequence[Sign],
        *,
        with_image: bool = True,
    ) -> None:
        self._camera, self._pose, self._signs, self._with_image = camera, world_from_optical, signs, with_image
        self._corners = [self._project(sign) for sign in signs]
        self._inverse_depth = np.zeros(camera.image_hw, np.float32)
        self.labels = np.zeros(camera.image_hw, np.uint8)
        self.image = np.zeros((*camera.image_hw, 3), np.uint8)
        self._draw_walls(walls)
        # The farthest first, so that edges blend with what is behind them.
        for index in reversed(self.nearest_first()):
            self._draw_sign(index)
        self.depth_m: FloatImage = np.reciprocal(self._inverse_depth)

    def nearest_first(self) -> list[int]:
        """Return the indices of the signs by their distance from the camera."""
        eye = self._pose.translation_m
        distances = [np.linalg.norm(sign.surface.origin_m - eye) for sign in self._signs]
        return np.argsort(distances).tolist()

    def visible_fractions(self) -> NDArray[np.float32]:
        """Return float32 (signs,): the visible part of each sign's projected area, in or out of the image."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self._signs) + 1)[1:]
        areas = np.array([_area(corners) for corners in self._corners])
        return np.clip(counts / np.maximum(areas, 1.0), 0, 1).astype(np.float32)

    def _project(self, sign: Sign) -> Matrix:
        """Return the pixels (n, 2) of a sign's corners; none if a part of it is behind the camera or too near."""
        optical_from_world = self._pose.inverse()
        points = sign.surface.points(sign.outline) @ optical_from_world.rotation.T + optical_from_world.translation_m
        return project(self._camera, points if points[:, 2].min() > _NEAR_M else points[:0])

    def _draw_walls(self, walls: Sequence[Wall]) -> None:
        """Draw the inside of the room: of its sides, a ray meets the one with the smallest positive depth."""
        height, width = self._camera.image_hw
        seen = []
        for wall in walls:
            homography = wall.surface.homography(self._camera, self._pose)
            if homography is None:
                continue
            inverse_depth = _affine(homography[2], (slice(0, height), slice(0, width)))
            # An affine function is largest in a corner.
            if inverse_depth[:: height - 1, :: width - 1].max() > 0:
                np.maximum(self._inverse_depth, inverse_depth, out=self._inverse_depth)
                seen.append((wall, homography, inverse_depth))
        if self._with_image:
            for wall, homography, inverse_depth in seen:
                _paste(self.image, inverse_depth == self._inverse_depth, homography, wall)

    def _draw_sign(self, index: int) -> None:
        sign, corners = self._signs[index], self._corners[index]
        homography = sign.surface.homography(self._camera, self._pose)
        if homography is None or not len(corners):
            return
        region = _region(corners, self._camera.image_hw)
        inverse_depth = _affine(homography[2], region)
        xs, ys = _affine(homography[0], region) / inverse_depth, _affine(homography[1], region) / inverse_depth
        distance_m = edge_distance(sign.class_id, sign.radius_m, xs, ys, SIDE_DOWN_RAD)
        in_front = inverse_depth > self._inverse_depth[region]
        if self._with_image:
            px_per_m = inverse_depth * np.float32(self._camera.focal_xy_px[0])
            coverage = np.clip(0.5 - distance_m * px_per_m, 0, 1) * in_front
            second = coverage * fill_shade(sign.fill, sign.radius_m, xs, ys, SIDE_DOWN_RAD, distance_m)
            # Plane by plane: NumPy is several times slower over a last axis of 3.
            for channel, (base, end) in enumerate(sign.colours.T):
                plane = self.image[region][..., channel]
                plane[...] = plane * (1 - coverage) + base * (coverage - second) + end * second
        inside = in_front & (distance_m < 0)
        np.copyto(self._inverse_depth[region], inverse_depth, where=inside)
        np.copyto(self.labels[region], np.uint8(index + 1), where=inside)


def project(camera: PinholeCamera, points_m: Matrix) -> Matrix:
    """Return the pixels (n, 2) at which points (n, 3) of the optical frame appear; z must not be 0."""
    scaled = points_m @ camera.matrix.T
    return np.asarray(scaled[:, :2] / scaled[:, 2:])


def _affine(row: Matrix, region: Region) -> FloatImage:
    """Return float32 (rows, columns): row · (u, v, 1) at each pixel of a region."""
    vs, us = (np.arange(part.start, part.stop, dtype=np.float64) for part in region)
    return (row[0] * us + row[2]).astype(np.float32)[None] + (row[1] * vs).astype(np.float32)[:, None]


def _paste(image: NDArray[np.uint8], mask: NDArray[np.bool_], homography: Matrix, wall: Wall) -> None:
    """Draw a wall's texture where a mask of the image says."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return
    top, bottom, left, right = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
    scale = wall.texels_per_m
    # OpenCV counts texels, as pixels, from their centres.
    texel_from_m = np.array([[scale, 0, -0.5], [0, scale, -0.5], [0, 0, 1]])
    pixel_from_region = np.array([[1.0, 0, left], [0, 1, top], [0, 0, 1]])
    drawn = cv2.warpPerspective(
        wall.texture,
        texel_from_m @ homography @ pixel_from_region,
        (right - left, bottom - top),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    cv2.copyTo(drawn, mask[top:bottom, left:right].view(np.uint8), image[top:bottom, left:right])


def _region(corners: Matrix, image_hw: tuple[int, int]) -> Region:
    """Return the rows and columns of the image within a pixel of a polygon (n, 2)."""
    (left, top), (right, bottom) = np.floor(corners.min(axis=0)).astype(int), np.ceil(corners.max(axis=0)).astype(int)
    (rows, columns) = image_hw
    return slice(max(0, top - 1), max(0, min(rows, bottom + 2))), slice(
        max(0, left - 1), max(0, min(columns, right + 2))
    )


def _area(corners: Matrix) -> float:
    """Return the area of a polygon (n, 2); infinite for one without corners."""
    if not len(corners):
        return np.inf
    (xs, ys), (next_xs, next_ys) = corners.T, np.roll(corners, -1, axis=0).T
    return float(abs(np.sum(xs * next_ys - next_xs * ys)) / 2)
