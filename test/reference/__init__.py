"""The C library in plain NumPy: the specification of `yolov8_seg_ros/native`.

It is written to be read, and is slow. `test/core/test_native.py` and `test_resize.py` compare the C library with it.
Numbers are computed in the types and in the order of the C, so that boxes, scores, mask logits and resized images are
equal to the last bit; only exponentials may differ by a rounding of float64.

Coordinates are continuous: pixel 0 spans 0.0 to 1.0. A box is left, top, right, bottom (xyxy).
"""

from reference.decoder import Detections, decode
from reference.masks import Placement, interpolated_logits, logit, mask_logits, place, window_of_box
from reference.resize import Places, resize, resize_planes

__all__ = [
    "Detections",
    "Placement",
    "Places",
    "decode",
    "interpolated_logits",
    "logit",
    "mask_logits",
    "place",
    "resize",
    "resize_planes",
    "window_of_box",
]
