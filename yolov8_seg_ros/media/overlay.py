"""Draw instances on an image, for people to look at."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import MAX_LABELS, BoxMask, Instances
from yolov8_seg_ros.text import clean_text

#: How much of the colour shows inside a mask, 0 to 1.
MASK_OPACITY = 0.45
#: Hues this far apart, in degrees, keep neighbouring classes distinct (the golden angle).
HUE_STEP_DEG = 137.508
#: Images of this height get lines one pixel wide and text of scale 0.4; larger ones in proportion.
REFERENCE_HEIGHT_PX = 480


def class_color_bgr(class_id: int) -> tuple[int, int, int]:
    """Return the colour of a class, the same in every image."""
    hue = (class_id * HUE_STEP_DEG + 20) % 360 / 2
    pixel = cv2.cvtColor(np.array([[[hue, 200, 255]]], np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


def draw_overlay(
    bgr: NDArray[np.uint8], instances: Instances, class_names: Sequence[str], scores: bool = True
) -> NDArray[np.uint8]:
    """Return a copy of the image with masks below boxes below labels, of each the best score on top.

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
    line_px = max(1, round(bgr.shape[0] / REFERENCE_HEIGHT_PX))
    colors = [class_color_bgr(int(class_id)) for class_id in instances.class_id]
    boxes = np.rint(instances.xyxy).astype(int).tolist()
    last_to_first = range(len(instances) - 1, -1, -1)
    if instances.masks is not None:
        for index in last_to_first:
            _draw_mask(overlay, instances.masks[index], colors[index], line_px)
    for index in last_to_first:
        left, top, right, bottom = boxes[index]
        cv2.rectangle(overlay, (left, top), (right - 1, bottom - 1), colors[index], line_px)
    for index in last_to_first:
        name = class_names[instances.class_id[index]]
        label = f"{name} {instances.score[index]:.2f}" if scores else name
        _draw_label(overlay, boxes[index][:2], label, colors[index], line_px)
    return overlay


def _require_size(bgr: NDArray[np.uint8], instances: Instances) -> None:
    if bgr.shape[:2] != instances.image_hw:
        (height, width), (found_height, found_width) = bgr.shape[:2], instances.image_hw
        raise ValueError(
            f"the image has {width}x{height} pixels, the instances are of one of {found_width}x{found_height}"
        )


def _draw_mask(overlay: NDArray[np.uint8], mask: BoxMask, color: tuple[int, int, int], line_px: int) -> None:
    if not mask.bitmap.any():
        return
    bitmap = mask.bitmap.view(np.uint8)
    region = overlay[mask.region]
    # OpenCV takes a tenth of NumPy's time to write where the mask is.
    cv2.copyTo(cv2.LUT(region, _blends_with(color)), bitmap, region)
    outlines, _ = cv2.findContours(bitmap, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(overlay, outlines, -1, color, line_px, offset=mask.origin_xy)


@lru_cache(maxsize=MAX_LABELS)
def _blends_with(color: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Return uint8 (1, 256, 3): what each value of each channel becomes under a mask of this colour."""
    values = np.arange(256)[:, np.newaxis] * (1 - MASK_OPACITY) + np.array(color) * MASK_OPACITY
    return np.rint(values).astype(np.uint8)[np.newaxis]


def _draw_label(
    overlay: NDArray[np.uint8], left_top: list[int], label: str, color: tuple[int, int, int], line_px: int
) -> None:
    left, top = left_top
    scale = 0.4 * line_px
    # OpenCV crashes on a text that is not UTF-8.
    label = clean_text(label)
    (width, height), base = cv2.getTextSize(label, cv2.FONT_HERSHEY_SIMPLEX, scale, line_px)
    # The label sits on the box, or inside it at the upper edge of the image.
    text_top = max(0, top - height - base)
    text_left = max(0, min(left, overlay.shape[1] - width))
    cv2.rectangle(overlay, (text_left, text_top), (text_left + width, text_top + height + base), color, -1)
    cv2.putText(
        overlay,
        label,
        (text_left, text_top + height),
        cv2.FONT_HERSHEY_SIMPLEX,
        scale,
        (0, 0, 0),
        line_px,
        cv2.LINE_AA,
    )
