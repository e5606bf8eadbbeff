"""Track instances from image to image: one number for one object."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.association import assign, buffered_iou, covered_fraction, moved_mask_iou
from yolov8_seg_ros.core.box_filter import BoxFilter
from yolov8_seg_ros.core.camera_motion import CameraMotion
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import NO_TRACK, BoxMask, Instances
from yolov8_seg_ros.core.iou import box_iou
from yolov8_seg_ros.core.options import TrackerOptions

#: Boxes of two classes that overlap by this much are one object that was taken for something else.
OTHER_CLASS_IOU = 0.6
#: What is taken off the similarity for a class that the track has not had.
OTHER_CLASS_COST = np.float32(0.2)
#: A class that has this part of a track's votes is as good as its first one.
CLASS_SHARE = 0.1
#: The least similarity of a pair that may be assigned, however much was taken off.
_SMALLEST = 1e-6
_FREE = -1


class _Track:
    """Facts about an object besides its box.

    Attributes:
        track_id: its number.
        first_seen_s: stamp of the image in which it began.
        last_seen_s: stamp of the last image in which it was detected.
        votes: the sum of the scores with which it was detected, by class.
        classes: those with a good part of the votes.
        xyxy: (4,), its last detected box.
        mask: its last mask.
    """

    __slots__ = ("classes", "first_seen_s", "last_seen_s", "mask", "track_id", "votes", "xyxy")

    def __init__(self, track_id: int, stamp_s: float) -> None:
        self.track_id = track_id
        self.first_seen_s = self.last_seen_s = stamp_s
        self.votes: dict[int, float] = {}
        self.classes: list[int] = []
        self.xyxy: NDArray[np.float32] = np.zeros(4, np.float32)
        self.mask: BoxMask | None = None

    def see(self, instances: Instances, row: int, stamp_s: float) -> None:
        """Update with a detection."""
        class_id = int(instances.class_id[row])
        self.votes[class_id] = self.votes.get(class_id, 0.0) + float(instances.score[row])
        lowest = CLASS_SHARE * sum(self.votes.values())
        self.classes = [voted for voted, votes in self.votes.items() if votes >= lowest]
        self.last_seen_s = stamp_s
        self.xyxy = instances.xyxy[row]
        self.mask = None if instances.masks is None else instances.masks[row]


class Tracker:
    """Tracker of the objects of one stream of images: one object has one number for as long as it is seen.

    Boxes are predicted by a Kalman filter (`BoxFilter`) to the time of the image, and assigned to the detected ones by
    the greatest total of similarities: the IoU of grown boxes as in C-BIoU, less for boxes of other height, more for
    masks that overlap where boxes leave a choice. A detection of another class continues a track where boxes agree
    closely. What is left and strong enough begins a track, unless it mostly covers a detection that has one.

    A clock that runs backwards, a break longer than `lost_s` or an image of another size end all tracks. A number is
    never used again.

    Source: Bewley et al., Simple Online and Realtime Tracking (SORT), ICIP 2016; Yang et al., Hard To Track Objects
    with Irregular Motions and Similar Appearances? (C-BIoU), WACV 2023.

    Args:
        options: how.
        track_ids: numbers for the tracks, from 1 upwards; several trackers may draw from the same. None for own ones.
    """

    def __init__(self, options: TrackerOptions | None = None, track_ids: Iterator[int] | None = None) -> None:
        self.options = options or TrackerOptions()
        self._track_ids = itertools.count(1) if track_ids is None else track_ids
        self._camera = CameraMotion()
        self.reset()

    def reset(self) -> None:
        """End all tracks."""
        self._tracks: list[_Track] = []
        self._boxes = BoxFilter.of_boxes(np.empty((0, 4), np.float32))
        self._stamp_s = -math.inf
        self._image_hw: tuple[int, int] | None = None
        self._camera.forget()

    def update(self, instances: Instances, stamp_s: float, image: ColorImage | None = None) -> Instances:
        """Return the same instances, in the same order, with their `track_id`.

        Args:
            instances: those of the next image, best score first.
            stamp_s: when the image was taken, in seconds.
            image: the image, from which the camera's motion is estimated where the options ask for it.

        Raises:
            ValueError: for a stamp that is no finite number.
        """
        if not math.isfinite(stamp_s):
            raise ValueError(f"stamp_s: expected a finite number of seconds, got {stamp_s}")
        self._begin_image(instances.image_hw, stamp_s, image)
        row_of = self._associate(instances)
        self._correct(instances, row_of)
        self._begin_tracks(instances, row_of)
        track_id = self._confirmed_ids(row_of)
        self._end_unconfirmed()
        if self.options.camera_motion:
            self._watch_background()
        return replace(instances, track_id=track_id)

    def _begin_image(self, image_hw: tuple[int, int], stamp_s: float, image: ColorImage | None) -> None:
        """Predict all boxes to the time of the image."""
        if stamp_s < self._stamp_s or (self._image_hw is not None and image_hw != self._image_hw):
            self.reset()
        self._keep([stamp_s - track.last_seen_s <= self.options.lost_s for track in self._tracks])
        if self.options.camera_motion and image is not None:
            affine = self._camera.estimate(image)
            if self._tracks:
                self._boxes.transform(affine)
        else:
            self._camera.forget()
        if self._tracks:
            self._boxes.predict(stamp_s - self._stamp_s)
        self._stamp_s, self._image_hw = stamp_s, image_hw

    def _watch_background(self) -> None:
        if self._tracks:
            self._camera.watch(self._boxes.xyxy())
        else:
            self._camera.forget()

    def _associate(self, instances: Instances) -> NDArray[np.intp]:
        """Return the row of each instance's track, `_FREE` for none; intp (n,)."""
        row_of = np.full(len(instances), _FREE, np.intp)
        if not self._tracks or not len(instances):
            return row_of
        predicted = self._boxes.xyxy()
        classes = instances.class_id.tolist()
        known = np.array([[class_id in track.classes for class_id in classes] for track in self._tracks])
        for row, column in assign(self._similarity(predicted, instances, known), _SMALLEST):
            row_of[column] = row
        return row_of

    def _similarity(
        self, predicted: NDArray[np.float32], instances: Instances, known: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return float32 (tracks, instances), 0 for pairs that cannot be one object."""
        options, detected = self.options, instances.xyxy
        similarity = buffered_iou(predicted, detected, options.buffer)
        allowed = similarity >= options.min_similarity
        if not known.all():
            allowed &= known | (box_iou(predicted, detected) >= OTHER_CLASS_IOU)
            similarity -= OTHER_CLASS_COST * ~known
        if options.size_weight:
            heights = np.log2(np.maximum(predicted[:, 3] - predicted[:, 1], 1))
            detected_heights = np.log2(np.maximum(detected[:, 3] - detected[:, 1], 1))
            similarity -= np.float32(options.size_weight) * np.abs(heights[:, None] - detected_heights)
        if options.mask_weight and instances.masks is not None:
            self._add_mask_overlap(similarity, allowed, instances.masks)
        return np.where(allowed, np.maximum(similarity, _SMALLEST), 0)

    def _add_mask_overlap(
        self, similarity: NDArray[np.float32], allowed: NDArray[np.bool_], masks: Sequence[BoxMask]
    ) -> None:
        # Masks decide only between pairs that are so near each other that they can.
        possible = np.where(allowed, similarity, -np.inf)
        close = possible >= np.minimum(possible.max(axis=1)[:, None], possible.max(axis=0)) - self.options.mask_weight
        has_choice = close & allowed & ((close.sum(axis=1) > 1)[:, None] | (close.sum(axis=0) > 1))
        for row, column in np.argwhere(has_choice).tolist():
            track = self._tracks[row]
            if track.mask is not None:
                shift = self._boxes.value[row, :2] - (track.xyxy[:2] + track.xyxy[2:]) / 2
                shift_xy = round(float(shift[0])), round(float(shift[1]))
                overlap = moved_mask_iou(track.mask, shift_xy, masks[column])
                similarity[row, column] += self.options.mask_weight * overlap

    def _correct(self, instances: Instances, row_of: NDArray[np.intp]) -> None:
        columns = np.flatnonzero(row_of != _FREE)
        if len(columns):
            self._boxes.correct(row_of[columns], instances.xyxy[columns])
        for column in columns.tolist():
            self._tracks[row_of[column]].see(instances, column, self._stamp_s)

    def _begin_tracks(self, instances: Instances, row_of: NDArray[np.intp]) -> None:
        """Begin a track with each strong instance that has none and is not a double; write its row."""
        begun: list[int] = []
        candidates = np.flatnonzero((row_of == _FREE) & (instances.score >= self.options.birth_score))
        for column in candidates.tolist():
            if self._is_double(instances, column, np.flatnonzero(row_of != _FREE)):
                continue
            row_of[column] = len(self._tracks)
            self._tracks.append(_Track(next(self._track_ids), self._stamp_s))
            self._tracks[-1].see(instances, column, self._stamp_s)
            begun.append(column)
        if begun:
            self._boxes.append(BoxFilter.of_boxes(instances.xyxy[begun]))

    def _is_double(self, instances: Instances, column: int, tracked: NDArray[np.intp]) -> bool:
        """Return whether an instance is one more box of an object that has a track."""
        if not len(tracked):
            return False
        box, others = instances.xyxy[column : column + 1], instances.xyxy[tracked]
        same_class = instances.class_id[tracked] == instances.class_id[column]
        is_covered = covered_fraction(box, others)[0] >= self.options.double_cover
        return bool((is_covered & same_class | (box_iou(box, others)[0] >= OTHER_CLASS_IOU)).any())

    def _confirmed_ids(self, row_of: NDArray[np.intp]) -> NDArray[np.int64]:
        ids = [self._tracks[row].track_id if self._is_confirmed(row) else NO_TRACK for row in row_of.tolist()]
        return np.array(ids, np.int64)

    def _is_confirmed(self, row: int) -> bool:
        if row == _FREE:
            return False
        track = self._tracks[row]
        return track.last_seen_s - track.first_seen_s >= self.options.confirm_s

    def _end_unconfirmed(self) -> None:
        """End the tracks that were not seen in this image and have no id yet."""
        self._keep(
            [self._is_confirmed(row) or track.last_seen_s == self._stamp_s for row, track in enumerate(self._tracks)]
        )

    def _keep(self, rows: list[bool]) -> None:
        if not all(rows):
            self._boxes.keep(np.array(rows, np.bool_))
            self._tracks = [track for track, is_kept in zip(self._tracks, rows, strict=True) if is_kept]
