"""The instances of one image: the one result type of the package."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.native import paint, paint_masks, require_inside

#: A mono8 label image numbers instances from 1 to 255; 0 is background.
MAX_LABELS = 255
#: The `track_id` of an instance that belongs to no confirmed track.
NO_TRACK = -1
#: Highest pixel value for a track.
MAX_TRACK_VALUE = 65535


@dataclass(frozen=True)
class BoxMask:
    """The pixels of one instance: a bitmap cropped to its box.

    Attributes:
        origin_xy: column and row, in image pixels, of the bitmap's top left pixel.
        bitmap: bool (height, width), True where the instance is.
    """

    origin_xy: tuple[int, int]
    bitmap: NDArray[np.bool_]

    @property
    def region(self) -> tuple[slice, slice]:
        """Return the rows and columns of the image that the bitmap covers."""
        x, y = self.origin_xy
        height, width = self.bitmap.shape
        return slice(y, y + height), slice(x, x + width)


class DrawnMasks(Sequence[BoxMask]):
    """Masks as the C library drew them, which paints them without an object for each.

    Args:
        placements: where they are, as seg.h declares it; contiguous, and inside the image.
        bitmaps: bool, of all of them, one after the other.
    """

    def __init__(self, placements: NDArray[Any], bitmaps: NDArray[np.bool_]) -> None:
        self._placements = placements
        self._bitmaps = bitmaps

    def __len__(self) -> int:
        return len(self._placements)

    @overload
    def __getitem__(self, index: int) -> BoxMask: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[BoxMask, ...]: ...

    def __getitem__(self, index: int | slice) -> BoxMask | tuple[BoxMask, ...]:
        return self._box_masks[index]

    def paint(self, image: NDArray[np.uint8], values: NDArray[np.uint8]) -> None:
        """Paint a value (n,) for each over an image of their size; the first mask ends on top."""
        paint_masks(image, self._placements, self._bitmaps, values)

    @cached_property
    def _box_masks(self) -> tuple[BoxMask, ...]:
        masks: list[BoxMask] = []
        start = 0
        names = ("left_px", "top_px", "width_px", "height_px")
        for left, top, width, height in zip(*(self._placements[name].tolist() for name in names), strict=True):
            masks.append(BoxMask((left, top), np.ndarray((height, width), np.bool_, self._bitmaps, start)))
            start += width * height
        return tuple(masks)


@dataclass(frozen=True)
class Instances:
    """The instances of one image, best score first; empty is a valid value.

    Attributes:
        image_hw: height and width of the image, in pixels.
        xyxy: float32 (n, 4), left, top, right and bottom edge in image pixels; pixel 0 spans 0.0 to 1.0.
        score: float32 (n,), 0 to 1, descending.
        class_id: int64 (n,), index into the class names.
        masks: n bitmaps, or None where masks were not asked for.
        track_id: int64 (n,), one number for one object in all images, `NO_TRACK` for an instance without a confirmed
            track; None where nothing is tracked.

    Raises:
        ValueError: if a column has another length than `score`, or masks leave the image.
    """

    image_hw: tuple[int, int]
    xyxy: NDArray[np.float32]
    score: NDArray[np.float32]
    class_id: NDArray[np.int64]
    masks: Sequence[BoxMask] | None = None
    track_id: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        count = len(self.score)
        _require_shape("score", self.score, (count,))
        _require_shape("xyxy", self.xyxy, (count, 4))
        _require_shape("class_id", self.class_id, (count,))
        if self.track_id is not None:
            _require_shape("track_id", self.track_id, (count,))
        if self.masks is not None:
            self._require_masks(count)

    def _require_masks(self, count: int) -> None:
        assert self.masks is not None
        if len(self.masks) != count:
            raise ValueError(f"masks: expected {count}, one for each score, got {len(self.masks)}")
        if isinstance(self.masks, DrawnMasks):
            return
        for mask in self.masks:
            require_inside(self.image_hw, mask.origin_xy, mask.bitmap.shape)

    @classmethod
    def empty(cls, image_hw: tuple[int, int], masks: bool = True) -> Instances:
        """Return the result of an image without instances; `masks` says whether masks were asked for."""
        return cls(
            image_hw=image_hw,
            xyxy=np.empty((0, 4), np.float32),
            score=np.empty(0, np.float32),
            class_id=np.empty(0, np.int64),
            masks=() if masks else None,
        )

    @classmethod
    def from_full_masks(
        cls, full_masks: Iterable[NDArray[np.bool_]], class_id: Iterable[int], image_hw: tuple[int, int]
    ) -> Instances:
        """Build instances of score 1 from bool (height, width) masks, such as ground truth, without empty ones."""
        kept = [(mask, index) for mask, index in zip(full_masks, class_id, strict=True) if mask.any()]
        boxes = [_extent_xyxy(mask) for mask, _ in kept]
        masks = tuple(
            BoxMask((x0, y0), mask[y0:y1, x0:x1]) for (mask, _), (x0, y0, x1, y1) in zip(kept, boxes, strict=True)
        )
        return cls(
            image_hw=image_hw,
            xyxy=np.array(boxes, np.float32).reshape(-1, 4),
            score=np.ones(len(kept), np.float32),
            class_id=np.array([index for _, index in kept], np.int64),
            masks=masks,
        )

    def __len__(self) -> int:
        return len(self.score)

    def __getitem__(self, keep: NDArray[np.bool_] | NDArray[np.intp]) -> Instances:
        """Return the rows that a boolean mask (n,) or an index array selects."""
        rows = np.arange(len(self))[keep]
        return replace(
            self,
            xyxy=self.xyxy[rows],
            score=self.score[rows],
            class_id=self.class_id[rows],
            masks=None if self.masks is None else tuple(self.masks[row] for row in rows),
            track_id=None if self.track_id is None else self.track_id[rows],
        )

    def iter_masks(self) -> Iterator[BoxMask]:
        """Return the masks in order.

        Raises:
            ValueError: if masks were not asked for when these instances were made.
        """
        if self.masks is None:
            raise ValueError("these instances carry no masks: ask for them where the image is segmented")
        return iter(self.masks)

    def full_mask(self, index: int) -> NDArray[np.bool_]:
        """Return instance `index` as a bool mask (height, width) of the whole image."""
        mask = list(self.iter_masks())[index]
        full = np.zeros(self.image_hw, np.bool_)
        full[mask.region] = mask.bitmap
        return full

    def label_image(self, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return uint8 (height, width): k + 1 where instance k is visible, 0 background; painted over `out` if given.

        Where masks overlap, the instance of the better score is the visible one.

        Raises:
            ValueError: with more than 255 instances, which 8 bits cannot number.
        """
        if len(self) > MAX_LABELS:
            raise ValueError(f"label_image: {len(self)} instances, 8 bits number at most {MAX_LABELS}; keep fewer")
        return self._paint(np.arange(1, len(self) + 1, dtype=np.uint8), out)

    def track_values(self) -> NDArray[np.uint16]:
        """Return uint16 (n + 1,): for each value of the label image the track id, from 1; 0 for none.

        Ids above 65535 begin again at 1.
        """
        values = np.zeros(len(self) + 1, np.uint16)
        if self.track_id is not None:
            values[1:] = np.where(self.track_id == NO_TRACK, 0, (self.track_id - 1) % MAX_TRACK_VALUE + 1)
        return values

    def semantic_image(self, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """Return uint8 (height, width): class index + 1 where an instance of that class is visible, 0 background.

        It is painted over `out` where that is given.

        Raises:
            ValueError: with a class index above 254, which 8 bits cannot hold.
        """
        if len(self) and int(self.class_id.max()) >= MAX_LABELS:
            raise ValueError(f"semantic_image: class index {int(self.class_id.max())}, 8 bits hold at most 254")
        return self._paint((self.class_id + 1).astype(np.uint8), out)

    def _paint(self, values: NDArray[np.uint8], out: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        image = np.empty(self.image_hw, np.uint8) if out is None else out
        image[:] = 0
        if isinstance(self.masks, DrawnMasks) and image.shape == self.image_hw:
            self.masks.paint(image, values)
            return image
        # Worst first, so that the better score ends on top.
        masks = reversed(tuple(self.iter_masks()))
        paint(image, [(mask.bitmap, mask.origin_xy) for mask in masks], values[::-1].tolist())
        return image


def _require_shape(name: str, array: NDArray[np.generic], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name}: expected shape {shape}, got {array.shape}")


def _extent_xyxy(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    columns = np.flatnonzero(mask.any(axis=0))
    rows = np.flatnonzero(mask.any(axis=1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
