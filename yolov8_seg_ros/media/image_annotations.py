"""Build what Foxglove draws over an image: the box, the outlines and the label of each instance.

The messages are those of foxglove_msgs. Its pixel coordinates begin at the top left corner of the top left pixel, as
those of boxes do: the centre of that pixel is at 0.5, 0.5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.media.object_messages import MessageFactory
from yolov8_seg_ros.media.overlay import (
    Color,
    Label,
    instance_colors_bgr,
    line_width_px,
    mask_outlines,
    place_labels,
    text_color_bgr,
)

#: An outline loses points as long as it stays this near, in pixels: few points are quick to send and to draw.
_OUTLINE_TOLERANCE_PX = 1.0
#: Constant of foxglove_msgs/PointsAnnotation.
_LINE_LOOP = 2


def image_annotations(make: MessageFactory, instances: Instances, class_names: Sequence[str], stamp: Any) -> Any:
    """Return the foxglove_msgs/ImageAnnotations of the instances of one image.

    Outlines are below boxes and those below labels, of each the best score last. Colours and labels are those of the
    overlay. Nothing is filled, so that the image stays visible.

    Args:
        make: makes messages of foxglove_msgs, of any release.
        instances: what was found; without masks they have no outlines.
        class_names: a name for each class.
        stamp: builtin_interfaces/Time of the image.
    """
    colors = instance_colors_bgr(instances)
    line_px = float(line_width_px(instances.image_hw))
    labels = place_labels(instances, class_names)
    last_to_first = range(len(instances) - 1, -1, -1)

    def loop(points_xy: NDArray[np.float64], color: Color) -> Any:
        return make(
            "foxglove_msgs/msg/PointsAnnotation",
            timestamp=stamp,
            type=_LINE_LOOP,
            points=[make("foxglove_msgs/msg/Point2", x=x, y=y) for x, y in points_xy.tolist()],
            outline_color=_color(make, color),
            thickness=line_px,
        )

    points = [loop(outline, colors[index]) for index in last_to_first for outline in _outlines_xy(instances, index)]
    points += [loop(_corners_xy(instances.xyxy[index]), colors[index]) for index in last_to_first]
    texts = [_text(make, labels[index], colors[index], stamp) for index in last_to_first]
    message = make("foxglove_msgs/msg/ImageAnnotations", points=points, texts=texts)
    # New in foxglove_msgs 3.2.5: it also says which image has no instance.
    if hasattr(message, "timestamp"):
        message.timestamp = stamp
    return message


def _outlines_xy(instances: Instances, index: int) -> Iterable[NDArray[np.float64]]:
    """Return the outlines of a mask, each float64 (points, 2), through the centres of its outermost pixels."""
    if instances.masks is None:
        return
    for outline in mask_outlines(instances.masks[index]):
        yield cv2.approxPolyDP(outline, _OUTLINE_TOLERANCE_PX, True).reshape(-1, 2).astype(np.float64) + 0.5


def _corners_xy(xyxy: NDArray[np.float32]) -> NDArray[np.float64]:
    left, top, right, bottom = xyxy
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)


def _text(make: MessageFactory, label: Label, color: Color, stamp: Any) -> Any:
    left, top, _, bottom = label.xyxy
    return make(
        "foxglove_msgs/msg/TextAnnotation",
        timestamp=stamp,
        # The bottom left corner of the text.
        position=make("foxglove_msgs/msg/Point2", x=float(left), y=float(bottom)),
        text=label.text,
        font_size=float(bottom - top),
        text_color=_color(make, text_color_bgr(color)),
        background_color=_color(make, color),
    )


def _color(make: MessageFactory, color_bgr: Color) -> Any:
    blue, green, red = (value / 255 for value in color_bgr)
    return make("foxglove_msgs/msg/Color", r=red, g=green, b=blue, a=1.0)
