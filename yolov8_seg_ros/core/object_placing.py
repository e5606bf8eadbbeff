"""Place the instances of an image in space: from a label image and a depth image to boxes that follow tracks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.depth import DepthImage, DepthOptions, Registration
from yolov8_seg_ros.core.object_boxes import ObjectBox, measure_boxes
from yolov8_seg_ros.core.object_points import ObjectPoints, find_objects
from yolov8_seg_ros.core.object_tracks import Motion, ObjectTracks

#: Numbers of instances without a track begin here, past those of tracks.
_FIRST_WITHOUT_TRACK = 1_000_000
#: Returns the transform of points in the source frame to the target frame, given as target and source.
Transforms = Callable[[str, str], RigidTransform]


@dataclass(frozen=True)
class PlacingOptions:
    """Options of how objects are placed.

    Attributes:
        depth: how depths of instances are chosen.
        turned: whether boxes are turned about the z axis of their frame, which then points up.
        tracking: whether ids of detections are those of tracks.
        velocity_window_s: a velocity is that of so many seconds.
        smoothing_s: time constant of the smoothing of the positions of tracks; 0: none.
        assume_registered: whether depth and colour images have the same pixels whatever their headers say.
        extrinsics: from the depth camera's optical frame to the colour camera's; None: by the transforms.
    """

    depth: DepthOptions = field(default_factory=DepthOptions)
    turned: bool = False
    tracking: bool = False
    velocity_window_s: float = 1.0
    smoothing_s: float = 0.0
    assume_registered: bool = False
    extrinsics: RigidTransform | None = None


@dataclass(frozen=True)
class DetectedObject:
    """A detection, as far as it says what an object is.

    Attributes:
        id: of the detection: the number of its track, or of the detection, or empty.
        class_name: None if the detection has no hypothesis.
        score: 0 to 1.
    """

    id: str
    class_name: str | None
    score: float


@dataclass(frozen=True)
class PlacedObjects:
    """The objects of one image.

    Attributes:
        detections: of the image; the k-th has the value k in the label image.
        numbers: of each detection: its track's, or its own.
        objects: points of the detections that have enough depths.
        boxes: of these, by label.
        motions: of each box; the velocity is None without a track.
    """

    detections: Sequence[DetectedObject]
    numbers: Sequence[int]
    objects: ObjectPoints
    boxes: Sequence[ObjectBox]
    motions: Sequence[Motion]

    @property
    def without_box(self) -> list[int]:
        """Return the places, from 0, of the detections that have too few depths."""
        labels = {box.label for box in self.boxes}
        return [rank for rank in range(len(self.detections)) if rank + 1 not in labels]


class ObjectPlacer:
    """Places the instances of the images of one camera.

    Args:
        options: how.
    """

    def __init__(self, options: PlacingOptions) -> None:
        self.options = options
        self._tracks = ObjectTracks(options.velocity_window_s, options.smoothing_s)
        self._registration: tuple[Any, Registration | None] = (None, None)

    def forget(self) -> None:
        """Forget the tracks, as the clock has jumped."""
        self._tracks.clear()

    def registration(
        self, color: PinholeCamera, depth: PinholeCamera, frames: tuple[str, str], transforms: Transforms
    ) -> Registration:
        """Return how the depth image lies to the colour image; made anew only when a camera has changed.

        Args:
            color: the colour camera.
            depth: the depth camera; that of the colour images where `assume_registered` is set.
            frames: names of the optical frames of both.
            transforms: called where neither the options nor the names say where the depth camera is.

        Raises:
            FrameError: if `transforms` does.
        """
        depth_to_color = self._depth_to_color(frames, transforms)
        is_registered = depth == color and np.array_equal(depth_to_color.matrix, np.eye(4))
        key = (color, None if is_registered else depth, depth_to_color.matrix.tobytes())
        if self._registration[0] != key:
            self._registration = key, Registration(color, key[1], depth_to_color)
        assert self._registration[1] is not None
        return self._registration[1]

    def place(
        self,
        labels: NDArray[np.uint8],
        detections: Sequence[DetectedObject],
        depth: DepthImage,
        registration: Registration,
        target: RigidTransform,
        stamp_s: float,
    ) -> PlacedObjects:
        """Return the objects of an image.

        Args:
            labels: uint8 (height, width): k where the k-th detection is visible, 0 background.
            detections: of the image.
            depth: of its time.
            registration: how the depth image lies to the image.
            target: from the colour camera's optical frame to the frame in which objects are placed.
            stamp_s: of the image.

        Raises:
            DepthError: if an image is not of the size that its camera has.
        """
        points = registration.label(labels, depth, self.options.depth)
        numbers = [self._number(detection, rank) for rank, detection in enumerate(detections, start=1)]
        objects = find_objects(points, len(detections), self.options.depth)
        boxes = measure_boxes(objects, target, self._yaw_hints(numbers))
        motions = [self._motion(box, numbers[box.label - 1], stamp_s) for box in boxes]
        self._tracks.forget_before(stamp_s)
        return PlacedObjects(detections, numbers, objects, boxes, motions)

    def _depth_to_color(self, frames: tuple[str, str], transforms: Transforms) -> RigidTransform:
        color_frame, depth_frame = frames
        if self.options.assume_registered:
            return RigidTransform.identity()
        if self.options.extrinsics is not None:
            return self.options.extrinsics
        return RigidTransform.identity() if color_frame == depth_frame else transforms(color_frame, depth_frame)

    def _number(self, detection: DetectedObject, rank: int) -> int:
        if not self.options.tracking:
            return rank
        return track_number(detection.id) or _FIRST_WITHOUT_TRACK + rank

    def _yaw_hints(self, numbers: Sequence[int]) -> dict[int, float] | None:
        if not self.options.turned:
            return None
        return {label: self._tracks.yaw_rad(number) for label, number in enumerate(numbers, start=1)}

    def _motion(self, box: ObjectBox, number: int, stamp_s: float) -> Motion:
        if not self.options.tracking or number >= _FIRST_WITHOUT_TRACK:
            return Motion(box.surface_m, None)
        return self._tracks.update(number, stamp_s, box.surface_m, box.yaw_rad)


def track_number(text: str) -> int:
    """Return the number that a detection's id is, 0 if it is none."""
    return int(text) if text.isascii() and text.isdecimal() else 0
