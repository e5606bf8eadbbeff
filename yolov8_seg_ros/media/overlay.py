"""Draw instances on an image, for people to look at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import MAX_LABELS, NO_TRACK, BoxMask, Instances
from yolov8_seg_ros.text import clean_text

#: How much of the colour shows inside a mask, 0 to 1.
MASK_OPACITY = 0.45
#: Hues this far apart, in degrees, keep neighbouring numbers distinct (the golden angle).
HUE_STEP_DEG = 137.508
#: Blue: it stands out from skin, wood and earth.
_FIRST_HUE_DEG = 205
#: Saturation and value of OpenCV's HSV, in turn: numbers whose hues are alike differ in these.
_SHADES = ((205, 255), (110, 255), (255, 185))
#: Images of this shorter side get lines one pixel wide and text of scale 0.4; larger ones in proportion.
REFERENCE_SIDE_PX = 480
_REFERENCE_SCALE = 0.4
#: Smaller text cannot be read.
_MIN_SCALE = 0.35
#: Longest label, in characters; a longer class name is cut.
_MAX_LABEL_CHARS = 40
_FONT = cv2.FONT_HERSHEY_SIMPLEX
#: Colours with a lower luma than this, of 255, get white text.
_MIN_LUMA_OF_BLACK_TEXT = 110
_BLACK, _WHITE = (0, 0, 0), (255, 255, 255)

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Label:
    """Name and score of an instance, in a place of an image.

    Attributes:
        text: what it says.
        scale: of OpenCV's font.
        xyxy: left, top, right and bottom edge, in image pixels.
        baseline_px: height of the part below the text's baseline.
    """

    text: str
    scale: float
    xyxy: tuple[int, int, int, int]
    baseline_px: int


@lru_cache(maxsize=MAX_LABELS)
def instance_color_bgr(number: int) -> Color:
    """Return the colour of a track, or of the instance at a rank of its image; the same for the same number."""
    hue = (number * HUE_STEP_DEG + _FIRST_HUE_DEG) % 360 / 2
    pixel = cv2.cvtColor(np.array([[[hue, *_SHADES[number % len(_SHADES)]]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


def instance_colors_bgr(instances: Instances) -> list[Color]:
    """Return the colour of each instance: of its track where instances are tracked, else of its rank."""
    numbers = range(len(instances)) if instances.track_id is None else instances.track_id.tolist()
    return [instance_color_bgr(number) for number in numbers]


def text_color_bgr(background_bgr: Color) -> Color:
    """Return the colour of text that can be read on a background: black or white."""
    luma = 0.114 * background_bgr[0] + 0.587 * background_bgr[1] + 0.299 * background_bgr[2]
    return _BLACK if luma >= _MIN_LUMA_OF_BLACK_TEXT else _WHITE


def line_width_px(image_hw: tuple[int, int]) -> int:
    """Return how wide lines are in an image of a height and width."""
    return max(1, round(min(image_hw) / REFERENCE_SIDE_PX))


def mask_outlines(mask: BoxMask) -> list[NDArray[np.int32]]:
    """Return closed lines through the outermost pixels of a mask's parts, and around its holes.

    Each is int32 (points, 1, 2), the columns and rows of pixels of the image.
    """
    outlines, _ = cv2.findContours(
        mask.bitmap.view(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=mask.origin_xy
    )
    return [np.asarray(outline, np.int32) for outline in outlines]


def place_labels(instances: Instances, class_names: Sequence[str], scores: bool = True) -> list[Label]:
    """Return each instance's label at the first place that is free of the labels before it, else the least covering.

    A label says the class, the track where there is one, and the score where `scores` is set.
    """
    image_hw = instances.image_hw
    line_px = line_width_px(image_hw)
    scale = max(_MIN_SCALE, _REFERENCE_SCALE * min(image_hw) / REFERENCE_SIDE_PX)
    taken = np.zeros(image_hw, np.uint8)
    labels = []
    texts = _label_texts(instances, class_names, scores)
    for box, text in zip(np.rint(instances.xyxy).astype(int).tolist(), texts, strict=True):
        label = _sized_label(text, scale, image_hw[1], line_px)
        best, least_px = label, math.inf
        for placed in _placements(label, box, image_hw):
            left, top, right, bottom = placed.xyxy
            covered_px = cv2.countNonZero(taken[top:bottom, left:right])
            if covered_px < least_px:
                best, least_px = placed, covered_px
            if not covered_px:
                break
        left, top, right, bottom = best.xyxy
        taken[top:bottom, left:right] = 1
        labels.append(best)
    return labels


def draw_instance_colors(instances: Instances) -> NDArray[np.uint8]:
    """Return uint8 (height, width, 3) in BGR: the visible instance's colour, that of the overlay; black elsewhere."""
    colors = np.array([(0, 0, 0), *instance_colors_bgr(instances)], np.uint8)
    return colors[instances.label_image()]


def draw_overlay(
    bgr: NDArray[np.uint8], instances: Instances, class_names: Sequence[str], scores: bool = True
) -> NDArray[np.uint8]:
    """Return a copy of the image with masks below boxes below labels, of each the best score on top.

    Each instance has a colour of its own: by its track where instances are tracked, else by its rank in the image.
    Labels keep clear of each other where there is room, and stay inside the image.

    Args:
        bgr: uint8 (height, width, 3), the image that was segmented.
        instances: what was found; boxes alone are drawn where they carry no masks.
        class_names: a name for each class.
        scores: whether to write the score beside the name.

    Raises:
        ValueError: if the image has another size than the one that was segmented.
    """
    _require_size(bgr, instances)
    overlay = bgr.copy()
    line_px = line_width_px(instances.image_hw)
    colors = instance_colors_bgr(instances)
    boxes = np.rint(instances.xyxy).astype(int).tolist()
    labels = place_labels(instances, class_names, scores)
    last_to_first = range(len(instances) - 1, -1, -1)
    if instances.masks is not None:
        for index in last_to_first:
            _draw_mask(overlay, instances.masks[index], colors[index], line_px)
    for index in last_to_first:
        left, top, right, bottom = boxes[index]
        cv2.rectangle(overlay, (left, top), (right - 1, bottom - 1), colors[index], line_px)
    for index in last_to_first:
        _draw_label(overlay, labels[index], colors[index], line_px)
    return overlay


def _require_size(bgr: NDArray[np.uint8], instances: Instances) -> None:
    if bgr.shape[:2] != instances.image_hw:
        (height, width), (found_height, found_width) = bgr.shape[:2], instances.image_hw
        raise ValueError(
            f"the image has {width}x{height} pixels, the instances are of one of {found_width}x{found_height}"
        )


def _draw_mask(overlay: NDArray[np.uint8], mask: BoxMask, color: Color, line_px: int) -> None:
    if not mask.bitmap.any():
        return
    bitmap = mask.bitmap.view(np.uint8)
    region = overlay[mask.region]
    # OpenCV takes a tenth of NumPy's time to write where the mask is.
    cv2.copyTo(cv2.LUT(region, _blends_with(color)), bitmap, region)
    cv2.drawContours(overlay, mask_outlines(mask), -1, color, line_px)


@lru_cache(maxsize=MAX_LABELS)
def _blends_with(color: Color) -> NDArray[np.uint8]:
    """Return uint8 (1, 256, 3): what each value of each channel becomes under a mask of this colour."""
    values = np.arange(256)[:, np.newaxis] * (1 - MASK_OPACITY) + np.array(color) * MASK_OPACITY
    return np.rint(values).astype(np.uint8)[np.newaxis]


def _label_texts(instances: Instances, class_names: Sequence[str], scores: bool) -> list[str]:
    # OpenCV crashes on a text that is not UTF-8.
    texts = [clean_text(class_names[class_id], _MAX_LABEL_CHARS) for class_id in instances.class_id]
    if instances.track_id is not None:
        tracks = instances.track_id.tolist()
        texts = [text if track == NO_TRACK else f"{text} #{track}" for text, track in zip(texts, tracks, strict=True)]
    if scores:
        texts = [f"{text} {score:.2f}" for text, score in zip(texts, instances.score.tolist(), strict=True)]
    return texts


def _sized_label(text: str, scale: float, width_px: int, line_px: int) -> Label:
    """Return a label at 0, 0, its text made smaller where it is wider than the image."""
    (width, height), baseline_px = cv2.getTextSize(text, _FONT, scale, line_px)
    if width > width_px:
        scale *= width_px / width
        (width, height), baseline_px = cv2.getTextSize(text, _FONT, scale, line_px)
    return Label(text, scale, (0, 0, width, height + baseline_px), baseline_px)


def _placements(label: Label, box: list[int], image_hw: tuple[int, int]) -> Iterator[Label]:
    """Return the label where it may stand, inside the image, the preferred place first: on the box, in it, below it."""
    _, _, width, height = label.xyxy
    box_left, box_top, box_right, box_bottom = box
    rows = (box_top - height, box_top, box_bottom - height, box_bottom, box_top + height, box_top - 2 * height)
    for column in (box_left, box_right - width):
        left = max(0, min(column, image_hw[1] - width))
        for row in rows:
            top = max(0, min(row, image_hw[0] - height))
            yield replace(label, xyxy=(left, top, left + width, top + height))


def _draw_label(overlay: NDArray[np.uint8], label: Label, color: Color, line_px: int) -> None:
    left, top, right, bottom = label.xyxy
    cv2.rectangle(overlay, (left, top), (right - 1, bottom - 1), color, cv2.FILLED)
    origin = (left, bottom - label.baseline_px)
    cv2.putText(overlay, label.text, origin, _FONT, label.scale, text_color_bgr(color), line_px, cv2.LINE_AA)
