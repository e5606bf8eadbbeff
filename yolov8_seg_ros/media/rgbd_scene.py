"""Simulate a robot with a colour and a depth camera that drives about a room of upright shapes, with ground truth.

Frames: the z axis of `world` points up, and the floor is at 0. `base_link` is the robot's place on the floor, x forward
and y to the left, as are those of `camera_link`. Optical frames are those of REP 103. A transform `a_from_b` maps
points of frame b to frame a, so it is the pose of b in a.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.media.backdrop import NOISE_MARGIN_PX, NOISE_SHEET_SIGMA, Backdrop, noise_sheet
from yolov8_seg_ros.media.ray_caster import FloatImage, Sign, Surface, View, Wall
from yolov8_seg_ros.media.scene import FILLS, MIN_VISIBLE_FRACTION, SCENE_CLASSES, inradius, shape_colours

#: After this time the drive begins again.
DRIVE_S = 30.0
#: Images a second, where nothing else is asked for.
RATE_HZ = 15.0
#: Depths that the camera measures, in metres; nothing returns from nearer or farther.
DEPTH_RANGE_M = (0.3, 3.5)
NUM_OBJECTS_RANGE = (4, 6)
#: Radius of the circle of an object's area, in metres.
RADIUS_RANGE_M = (0.17, 0.22)
#: The objects stand side by side, in front of the robot's middle position and turned to it, but for a little.
_OBJECT_X_RANGE_M, _OBJECT_SPACING_M, _MAX_OBJECT_TURN_RAD = (2.2, 2.9), 0.62, 0.15
_ROOM_LOW_M, _ROOM_HIGH_M = np.array([-2.0, -2.6, 0.0]), np.array([3.6, 2.6, 2.4])
_TEXELS_PER_M = 80.0
#: Focal length for each pixel of width. The colour camera sees 58 degrees, the depth camera of its own 67.
_FOCAL, _DEPTH_FOCAL = 0.9, 0.75
#: Noise of the colour images, in grey levels.
_NOISE_LEVELS = 3.0
#: Where the noise of a depth is above this many standard deviations, nothing returns.
_HOLE_SIGMAS = 2.5


def _turned(rotation_vector: tuple[float, float, float], translation_m: tuple[float, float, float]) -> RigidTransform:
    rotation = cv2.Rodrigues(np.array(rotation_vector, np.float64))[0]
    return RigidTransform(np.asarray(rotation, np.float64), np.array(translation_m, np.float64))


_LINK_FROM_OPTICAL = RigidTransform(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.zeros(3))
#: The camera stands on a mast and looks down a little.
BASE_FROM_CAMERA = _turned((0.0, 0.10, 0.0), (0.1, 0.0, 0.6))
CAMERA_FROM_OPTICAL = _LINK_FROM_OPTICAL
#: A depth camera of its own is 5 cm to the left, 1 cm lower, and not quite parallel.
CAMERA_FROM_DEPTH_OPTICAL = _turned((0.01, -0.015, 0.02), (0.005, 0.05, -0.01)) @ _LINK_FROM_OPTICAL


@dataclass(frozen=True)
class RoomObject:
    """A flat shape that stands upright on the floor.

    Attributes:
        number: from 0, the same in all frames.
        class_id: index into `SCENE_CLASSES`.
        world_from_object: its pose; x points out of its front, z up, and the origin is the middle of its box.
        size_m: depth, width and height of that box.
    """

    number: int
    class_id: int
    world_from_object: RigidTransform
    size_m: tuple[float, float, float]

    @property
    def class_name(self) -> str:
        """Return the name of the class."""
        return SCENE_CLASSES[self.class_id]


@dataclass(frozen=True)
class RgbdFrame:
    """The images of the robot's cameras at one time, and the ground truth.

    Attributes:
        time_s: since the start.
        image: bgr8 (height, width, 3).
        depth_m: float32 (height, width), z in the depth camera's optical frame; NaN where nothing returns.
        world_from_base: the robot's pose.
        truth: visible part of each object, nearest first; `track_id` is its number.
        visible: float32 (objects,), visible fraction of each object by number; what is outside of the image is hidden.
    """

    time_s: float
    image: NDArray[np.uint8]
    depth_m: FloatImage
    world_from_base: RigidTransform
    truth: Instances
    visible: NDArray[np.float32]


class RgbdScene:
    """A room of upright circles, squares and triangles, and a robot that drives about in it.

    A frame depends on the arguments and its time alone, so another process can compute what is true at a time.

    Args:
        image_hw: height and width of the colour images, in pixels; each at least 64.
        seed: 0 or above; different seeds give other rooms and objects.
        depth_registered: whether the depth camera has the place and the pixels of the colour camera. Else it stands
            beside it and sees more, and its images have half the height and width.
        depth_noise_m: standard deviation of a depth of 1 m; it grows with the square of the depth, as that of stereo
            cameras does. With noise some pixels return nothing.

    Attributes:
        seed: as given.
        depth_registered: as given.
        camera: the colour camera.
        depth_camera: the depth camera.
        camera_from_depth_optical: pose of the depth camera's optical frame in `camera_link`.
        objects: by number.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        image_hw: tuple[int, int] = (480, 640),
        seed: int = 0,
        *,
        depth_registered: bool = True,
        depth_noise_m: float = 0.0,
    ) -> None:
        _require(min(image_hw) >= 64, f"image_hw: expected at least 64x64 pixels, got {image_hw}")
        _require(seed >= 0, f"seed: expected 0 or above, got {seed}")
        _require(depth_noise_m >= 0, f"depth_noise_m: expected 0 or above, got {depth_noise_m}")
        self.seed, self.depth_registered, self._depth_noise_m = seed, depth_registered, depth_noise_m
        self.camera = self.depth_camera = _camera(image_hw, _FOCAL)
        self.camera_from_depth_optical = CAMERA_FROM_OPTICAL
        if not depth_registered:
            self.depth_camera = _camera((image_hw[0] // 2, image_hw[1] // 2), _DEPTH_FOCAL)
            self.camera_from_depth_optical = CAMERA_FROM_DEPTH_OPTICAL
        rng = np.random.default_rng(seed)
        self._walls, palette = _make_walls(rng)
        self._signs = _make_signs(rng, palette)
        self.objects = tuple(_to_object(number, sign) for number, sign in enumerate(self._signs))

    def frame(self, time_s: float, world_from_base: RigidTransform | None = None) -> RgbdFrame:
        """Render what the cameras see.

        Args:
            time_s: since the start; 0 or above.
            world_from_base: where the robot is, inside the room; None: where its drive has brought it.

        Raises:
            ValueError: for a time before the start.
        """
        _require(time_s >= 0, f"time_s: expected 0 or above, got {time_s}")
        base = drive_pose(time_s) if world_from_base is None else world_from_base
        camera = base @ BASE_FROM_CAMERA
        view = depth_view = View(self.camera, camera @ CAMERA_FROM_OPTICAL, self._walls, self._signs)
        if not self.depth_registered:
            pose = camera @ self.camera_from_depth_optical
            depth_view = View(self.depth_camera, pose, self._walls, self._signs, with_image=False)
        visible = view.visible_fractions()
        shifts = np.random.default_rng((self.seed, round(time_s * 1e6))).integers(0, NOISE_MARGIN_PX, (2, 2))
        return RgbdFrame(
            time_s=time_s,
            image=_with_noise(view.image, shifts[0]),
            depth_m=self._measure(depth_view.depth_m, shifts[1]),
            world_from_base=base,
            truth=self._truth(view, visible),
            visible=visible,
        )

    def _measure(self, depth_m: FloatImage, shift: NDArray[np.int64]) -> FloatImage:
        """Return what a camera measures of true depths, float32 (height, width)."""
        returns = (depth_m >= DEPTH_RANGE_M[0]) & (depth_m <= DEPTH_RANGE_M[1])
        if self._depth_noise_m:
            noise = _window(_depth_noise_sheet((depth_m.shape[0], depth_m.shape[1])), shift)
            returns &= noise < _HOLE_SIGMAS
            depth_m = depth_m + np.float32(self._depth_noise_m) * depth_m**2 * noise
        return np.where(returns, depth_m, np.float32(np.nan))

    def _truth(self, view: View, visible: NDArray[np.float32]) -> Instances:
        kept = [number for number in view.nearest_first() if visible[number] >= MIN_VISIBLE_FRACTION]
        masks = [view.labels == number + 1 for number in kept]
        truth = Instances.from_full_masks(masks, [self._signs[n].class_id for n in kept], self.camera.image_hw)
        return replace(truth, track_id=np.array(kept, np.int64))


def drive_pose(time_s: float) -> RigidTransform:
    """Return the robot's pose in the world: it goes round an ellipse sideways, and looks at the objects and about."""
    phase = 2 * np.pi * time_s / DRIVE_S
    yaw_rad = -0.28 * np.sin(phase) + 0.16 * np.sin(3 * phase)
    return _turned((0.0, 0.0, float(yaw_rad)), (0.3 - 0.5 * float(np.cos(phase)), 0.7 * float(np.sin(phase)), 0.0))


def _camera(image_hw: tuple[int, int], focal: float) -> PinholeCamera:
    height, width = int(image_hw[0]), int(image_hw[1])
    return PinholeCamera((height, width), (focal * width, focal * width), ((width - 1) / 2, (height - 1) / 2))


def _make_walls(rng: np.random.Generator) -> tuple[list[Wall], FloatImage]:
    """Make floor, ceiling and four walls; return them and the colours (n, 3) that are on them."""
    walls, palettes = [], []
    for axis in range(3):
        across = [(axis + 1) % 3, (axis + 2) % 3]
        width_m, height_m = (_ROOM_HIGH_M - _ROOM_LOW_M)[across]
        for end_m in (_ROOM_LOW_M[axis], _ROOM_HIGH_M[axis]):
            corner_m = _ROOM_LOW_M.copy()
            corner_m[axis] = end_m
            backdrop = Backdrop(rng, (round(_TEXELS_PER_M * height_m), round(_TEXELS_PER_M * width_m)))
            walls.append(Wall(Surface(corner_m, np.eye(3)[:, [*across, axis]]), backdrop.image, _TEXELS_PER_M))
            palettes.append(backdrop.palette)
    return walls, np.concatenate(palettes)


def _make_signs(rng: np.random.Generator, palette: FloatImage) -> tuple[Sign, ...]:
    count = int(rng.integers(*NUM_OBJECTS_RANGE, endpoint=True))
    first_hue, signs = rng.random(), []
    for k in range(count):
        class_id, radius_m = int(rng.integers(len(SCENE_CLASSES))), rng.uniform(*RADIUS_RANGE_M)
        x_m, y_m = rng.uniform(*_OBJECT_X_RANGE_M), _OBJECT_SPACING_M * (k - (count - 1) / 2)
        yaw_rad = np.arctan2(-y_m, -x_m) + rng.uniform(-_MAX_OBJECT_TURN_RAD, _MAX_OBJECT_TURN_RAD)
        surface = Surface.upright((x_m, y_m, inradius(class_id, radius_m)), yaw_rad)
        colours = shape_colours(rng, first_hue + k / count, palette)
        signs.append(Sign(class_id, radius_m, surface, colours, str(rng.choice(FILLS))))
    return tuple(signs)


def _to_object(number: int, sign: Sign) -> RoomObject:
    low, high = sign.outline.min(axis=0), sign.outline.max(axis=0)
    middle_m = sign.surface.points((low + high)[None] / 2)[0]
    # On the surface x points to its viewer's right, so to the object's own left.
    rotation = sign.surface.axes[:, [2, 0, 1]]
    width_m, height_m = (high - low).tolist()
    return RoomObject(number, sign.class_id, RigidTransform(rotation, middle_m), (0.0, width_m, height_m))


def _with_noise(image: NDArray[np.uint8], shift: NDArray[np.int64]) -> NDArray[np.uint8]:
    weight = _NOISE_LEVELS / NOISE_SHEET_SIGMA
    noise = _window(noise_sheet((image.shape[0], image.shape[1])), shift)
    return np.asarray(cv2.addWeighted(image, 1.0, noise, weight, -128 * weight), np.uint8)


@lru_cache(maxsize=4)
def _depth_noise_sheet(image_hw: tuple[int, int]) -> FloatImage:
    shape = (image_hw[0] + NOISE_MARGIN_PX, image_hw[1] + NOISE_MARGIN_PX)
    return np.random.default_rng(1).standard_normal(shape, np.float32)


def _window(sheet: NDArray[Any], shift: NDArray[np.int64]) -> NDArray[Any]:
    """Return the part of a noise sheet, of an image's size, that begins at row and column `shift`."""
    top, left = shift
    return sheet[top : sheet.shape[0] - NOISE_MARGIN_PX + top, left : sheet.shape[1] - NOISE_MARGIN_PX + left]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)
