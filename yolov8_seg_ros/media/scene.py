"""Render a moving scene of simple shapes with ground truth: for the demo, for tests and for training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.media.backdrop import (
    NOISE_MARGIN_PX,
    NOISE_SHEET_SIGMA,
    Backdrop,
    colour_bgr,
    noise_sheet,
)

SCENE_CLASSES = ("circle", "square", "triangle")
#: Number of straight sides of each class; 0 is round.
_SIDES = (0, 4, 3)
#: Of the polygon that stands for a circle; a multiple of 4, so that it is as wide as high.
_CIRCLE_CORNERS = 92

#: A shape of which less than this is to be seen, of its whole area, is left out of the ground truth.
MIN_VISIBLE_FRACTION = 0.3
#: Radius of the circle of a shape's area, as a fraction of the shorter side: at 192 px still 20 px across.
RADIUS_RANGE = (0.07, 0.18)
#: Speed a frame, as a fraction of the shorter side, and turn a frame in radians.
SPEED_RANGE = (0.002, 0.010)
MAX_SPIN_RAD = 0.03
#: The centre turns back this many radii before the border, so shapes pass over it in part.
BORDER_RADII = 0.3
#: Shapes in a scene whose number was not given.
NUM_SHAPES_RANGE = (2, 7)
#: Smallest distance, in BGR levels, of a shape's colour from its backdrop's.
MIN_CONTRAST = 70.0
#: Two shapes with a gap narrower than this touch each other.
TOUCH_GAP_PX = 3
#: How a shape is painted.
FILLS = ("plain", "gradient", "radial", "stripes")
#: Hues this fraction of the circle apart stay distinct, however many there are.
_GOLDEN_RATIO = 0.618

Region = tuple[slice, slice]
FloatImage = NDArray[np.float32]


@dataclass(frozen=True)
class SceneFrame:
    """One image of the scene and its ground truth.

    Attributes:
        image: bgr8 (height, width, 3).
        truth: visible part of each shape, nearest first; `track_id` is the shape's number in all frames.
    """

    image: NDArray[np.uint8]
    truth: Instances


@dataclass(frozen=True)
class _Pose:
    x_px: float
    y_px: float
    angle_rad: float


@dataclass(frozen=True)
class _Shape:
    class_id: int
    radius_px: float
    start: _Pose
    step: _Pose
    colours: FloatImage  # (2, 3) BGR
    fill: str

    @property
    def area_px(self) -> float:
        return np.pi * self.radius_px**2

    @property
    def circumradius_px(self) -> float:
        return circumradius(self.class_id, self.radius_px)

    def pose(self, index: int, image_hw: tuple[int, int]) -> _Pose:
        border = BORDER_RADII * self.radius_px
        return _Pose(
            _bounce(self.start.x_px + index * self.step.x_px, border, image_hw[1] - border),
            _bounce(self.start.y_px + index * self.step.y_px, border, image_hw[0] - border),
            (self.start.angle_rad + index * self.step.angle_rad) % (2 * np.pi),
        )

    def distance(self, pose: _Pose, region: Region) -> FloatImage:
        """Return float32 (rows, columns): pixels from a pixel's centre to the edge, negative inside."""
        return edge_distance(self.class_id, self.radius_px, *_offsets(pose, region), pose.angle_rad)

    def shade(self, pose: _Pose, region: Region, distance: FloatImage) -> FloatImage:
        """Return float32, 0 to 1: which part of the second colour a pixel has."""
        return fill_shade(self.fill, self.radius_px, *_offsets(pose, region), pose.angle_rad, distance)


class SyntheticScene:
    """Circles, squares and triangles that move in front of a background.

    A frame depends on `image_hw`, `seed`, `num_shapes` and its index alone, so another process can compute
    the ground truth of a frame from its index. Different seeds give independent scenes.

    Args:
        image_hw: height and width of the images, in pixels; each at least 32.
        seed: 0 or above.
        num_shapes: how many shapes move about; None leaves it to the seed.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(self, image_hw: tuple[int, int] = (480, 640), seed: int = 0, num_shapes: int | None = None) -> None:
        _require(min(image_hw) >= 32, f"image_hw: expected at least 32x32 pixels, got {image_hw}")
        _require(seed >= 0, f"seed: expected 0 or above, got {seed}")
        _require(num_shapes is None or num_shapes >= 0, f"num_shapes: expected 0 or above, got {num_shapes}")
        self.image_hw = (int(image_hw[0]), int(image_hw[1]))
        self.seed = seed
        rng = np.random.default_rng(seed)
        self._backdrop = Backdrop(rng, self.image_hw)
        self._blur_sigma_px = rng.uniform(0.0, 1.0) * min(image_hw) / 480
        self._noise_levels = rng.uniform(0.0, 6.0)
        self._light_swing, self._light_period = rng.uniform(0.0, 0.15), rng.uniform(60, 300)
        self._shadow_xy, self._shadow_strength = rng.uniform(-0.2, 0.2, 2), rng.uniform(0.0, 0.5)
        count = int(rng.integers(*NUM_SHAPES_RANGE, endpoint=True)) if num_shapes is None else num_shapes
        first_hue = rng.random()
        self._shapes = [self._make_shape(rng, first_hue + k * _GOLDEN_RATIO) for k in range(count)]

    def frame(self, index: int) -> SceneFrame:
        """Render frame `index`, 0 or above."""
        placed = self._place(index)
        image = self._backdrop.image.copy()
        for shape, pose in placed:
            self._draw(image, shape, pose)
        return SceneFrame(self._expose(image, index), self._truth(placed))

    def truth(self, index: int) -> Instances:
        """Return the ground truth of frame `index` without rendering it."""
        return self._truth(self._place(index))

    def _place(self, index: int) -> list[tuple[_Shape, _Pose]]:
        _require(index >= 0, f"index: expected 0 or above, got {index}")
        return [(shape, shape.pose(index, self.image_hw)) for shape in self._shapes]

    def _truth(self, placed: list[tuple[_Shape, _Pose]]) -> Instances:
        covered = np.zeros(self.image_hw, np.bool_)
        visible: list[tuple[NDArray[np.bool_], int, int]] = []
        for number, (shape, pose) in reversed(list(enumerate(placed))):
            region = self._region(pose, shape.circumradius_px)
            inside = shape.distance(pose, region) < 0
            mask = np.zeros(self.image_hw, np.bool_)
            mask[region] = inside & ~covered[region]
            covered[region] |= inside
            if np.count_nonzero(mask) >= MIN_VISIBLE_FRACTION * shape.area_px:
                visible.append((mask, shape.class_id, number))
        truth = Instances.from_full_masks([v[0] for v in visible], [v[1] for v in visible], self.image_hw)
        return replace(truth, track_id=np.array([v[2] for v in visible], np.int64))

    def _draw(self, image: NDArray[np.uint8], shape: _Shape, pose: _Pose) -> None:
        shift = self._shadow_xy * shape.radius_px
        softness = 0.2 * shape.radius_px
        region = self._region(pose, shape.circumradius_px + softness + float(np.abs(shift).max()))
        shadow_pose = _Pose(pose.x_px + shift[0], pose.y_px + shift[1], pose.angle_rad)
        shadow = np.clip(0.5 - shape.distance(shadow_pose, region) / np.float32(softness), 0, 1)
        distance = shape.distance(pose, region)
        coverage = np.clip(0.5 - distance, 0, 1)
        second = coverage * shape.shade(pose, region, distance)
        kept = (1 - coverage) * (1 - np.float32(self._shadow_strength) * shadow)
        # Plane by plane: NumPy is several times slower over a last axis of 3.
        for channel, (base, end) in enumerate(shape.colours.T):
            plane = image[region][..., channel]
            plane[...] = plane * kept + base * (coverage - second) + end * second

    def _expose(self, image: NDArray[np.uint8], index: int) -> NDArray[np.uint8]:
        """Add blur, changing light and noise as a camera does."""
        if self._blur_sigma_px > 0.3:
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), self._blur_sigma_px), np.uint8)
        gain = 1 + self._light_swing * np.sin(2 * np.pi * index / self._light_period)
        top, left = np.random.default_rng((self.seed, index)).integers(0, NOISE_MARGIN_PX, 2)
        noise = noise_sheet(self.image_hw)[top : top + self.image_hw[0], left : left + self.image_hw[1]]
        weight = self._noise_levels / NOISE_SHEET_SIGMA
        return np.asarray(cv2.addWeighted(image, gain, noise, weight, -128 * weight), np.uint8)

    def _region(self, pose: _Pose, reach_px: float) -> Region:
        """Return the rows and columns of the image within `reach_px` of a centre."""
        height, width = self.image_hw
        top, bottom = int(pose.y_px - reach_px) - 1, int(pose.y_px + reach_px) + 2
        left, right = int(pose.x_px - reach_px) - 1, int(pose.x_px + reach_px) + 2
        return slice(max(0, top), min(height, bottom)), slice(max(0, left), min(width, right))

    def _make_shape(self, rng: np.random.Generator, hue: float) -> _Shape:
        height, width = self.image_hw
        short = min(height, width)
        heading, speed = rng.uniform(0, 2 * np.pi), rng.uniform(*SPEED_RANGE) * short
        return _Shape(
            class_id=int(rng.integers(len(SCENE_CLASSES))),
            radius_px=rng.uniform(*RADIUS_RANGE) * short,
            start=_Pose(rng.uniform(0, width), rng.uniform(0, height), rng.uniform(0, 2 * np.pi)),
            step=_Pose(speed * np.cos(heading), speed * np.sin(heading), rng.uniform(-MAX_SPIN_RAD, MAX_SPIN_RAD)),
            colours=shape_colours(rng, hue, self._backdrop.palette),
            fill=str(rng.choice(FILLS)),
        )


def touching(truth: Instances, gap_px: int = TOUCH_GAP_PX) -> NDArray[np.bool_]:
    """Return for each instance whether another one overlaps it or is nearer than `gap_px`; bool (n,)."""
    if not len(truth):
        return np.zeros(0, np.bool_)
    masks = np.stack([truth.full_mask(i) for i in range(len(truth))])
    occupied = masks.sum(axis=0, dtype=np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * gap_px + 1, 2 * gap_px + 1))
    grown = [cv2.dilate(mask.view(np.uint8), kernel).astype(np.bool_) for mask in masks]
    return np.array([bool((occupied[near] > mask[near]).any()) for near, mask in zip(grown, masks, strict=True)])


def circumradius(class_id: int, radius: float) -> float:
    """Return the distance of a shape's corners from its centre; `radius` is that of the circle of the same area."""
    sides = _SIDES[class_id]
    return radius * float(np.sqrt(2 * np.pi / (sides * np.sin(2 * np.pi / sides)))) if sides else radius


def inradius(class_id: int, radius: float) -> float:
    """Return the distance of a shape's sides from its centre; `radius` is that of the circle of the same area."""
    sides = _SIDES[class_id]
    return circumradius(class_id, radius) * float(np.cos(np.pi / sides)) if sides else radius


def outline(class_id: int, radius: float, angle_rad: float) -> NDArray[np.float64]:
    """Return the corners (n, 2) of a shape about (0, 0), of a circle those of a polygon.

    Args:
        class_id: index into `SCENE_CLASSES`.
        radius: of the circle of the shape's area.
        angle_rad: direction of the normal of one side, from x towards y.
    """
    sides, first = (_SIDES[class_id], 0.5) if _SIDES[class_id] else (_CIRCLE_CORNERS, 0.0)
    angles = angle_rad + 2 * np.pi * (np.arange(sides) + first) / sides
    return circumradius(class_id, radius) * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def edge_distance(class_id: int, radius: float, xs: FloatImage, ys: FloatImage, angle_rad: float) -> FloatImage:
    """Return float32: how far points are from the edge of a shape about (0, 0), negative inside.

    Args:
        class_id: index into `SCENE_CLASSES`.
        radius: of the circle of the shape's area, in the unit of the points.
        xs: of the points; broadcast with `ys`.
        ys: of the points.
        angle_rad: direction of the normal of one side, from x towards y.
    """
    sides = _SIDES[class_id]
    if not sides:
        return np.hypot(xs, ys) - np.float32(radius)
    normals = angle_rad + 2 * np.pi * np.arange(sides) / sides
    planes = [np.float32(np.cos(a)) * xs + np.float32(np.sin(a)) * ys for a in normals]
    return np.maximum.reduce(planes) - np.float32(inradius(class_id, radius))


def fill_shade(
    fill: str, radius: float, xs: FloatImage, ys: FloatImage, angle_rad: float, distance: FloatImage
) -> FloatImage:
    """Return float32, 0 to 1: which part of a shape's second colour its points have.

    Args:
        fill: one of `FILLS`.
        radius: of the circle of the shape's area, in the unit of the points.
        xs: of the points; broadcast with `ys`.
        ys: of the points.
        angle_rad: direction in which stripes and gradients change, from x towards y.
        distance: of the points from the edge, negative inside.
    """
    if fill == "plain":
        return np.zeros_like(distance)
    if fill == "radial":
        return np.clip(1 + distance / np.float32(radius), 0, 1)
    along = np.float32(np.cos(angle_rad)) * xs + np.float32(np.sin(angle_rad)) * ys
    along /= np.float32(radius)
    if fill == "gradient":
        return np.clip(0.5 + 0.5 * along, 0, 1)
    return np.clip(0.5 + 2 * np.sin(np.float32(2.5 * np.pi) * along), 0, 1)


def shape_colours(rng: np.random.Generator, hue: float, palette: FloatImage) -> FloatImage:
    """Choose two related colours (2, 3) that stand out from a backdrop's palette."""
    candidates = [colour_bgr(hue, rng.uniform(0.4, 1.0), rng.uniform(0.45, 1.0)) for _ in range(8)]
    contrast = [float(np.linalg.norm(palette - c, axis=1).min()) for c in candidates]
    chosen = next((k for k, value in enumerate(contrast) if value >= MIN_CONTRAST), int(np.argmax(contrast)))
    shade = np.float32(rng.uniform(0.5, 0.85))
    return np.stack([candidates[chosen], candidates[chosen] * shade])


def _offsets(pose: _Pose, region: Region) -> tuple[FloatImage, FloatImage]:
    """Return the pixel centres' offsets from the pose: float32 (1, columns) to the right and (rows, 1) down."""
    rows, columns = region
    ys = np.arange(rows.start, rows.stop, dtype=np.float32) + np.float32(0.5 - pose.y_px)
    xs = np.arange(columns.start, columns.stop, dtype=np.float32) + np.float32(0.5 - pose.x_px)
    return xs[None], ys[:, None]


def _bounce(position: float, low: float, high: float) -> float:
    """Fold a position that runs on for ever into low..high, as if it bounced."""
    phase = (position - low) % (2 * (high - low))
    return low + min(phase, 2 * (high - low) - phase)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
