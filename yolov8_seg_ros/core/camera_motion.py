"""Estimate how the whole image moved since the one before, because the camera moved."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import ColorImage, ColorOrder

#: Images are compared at this width.
WIDTH_PX = 160
MAX_CORNERS = 100
#: With fewer corners than this that move alike, the motion is unknown.
MIN_CORNERS = 12
_CORNER_QUALITY = 0.01
_CORNER_DISTANCE_PX = 4
_WINDOW_PX = (11, 11)
_LEVELS = 3
#: A corner that ends further than this from where the common motion takes it moved on its own.
_INLIER_PX = 1.0
#: Stop after 10 steps, or below a step of 0.03 pixels.
_CRITERIA = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 10, 0.03)
_TO_GRAY = {
    ColorOrder.BGR: cv2.COLOR_BGR2GRAY,
    ColorOrder.RGB: cv2.COLOR_RGB2GRAY,
    ColorOrder.BGRA: cv2.COLOR_BGRA2GRAY,
    ColorOrder.RGBA: cv2.COLOR_RGBA2GRAY,
}
_STILL = np.eye(2, 3)

Affine = NDArray[np.float64]


class CameraMotion:
    """Estimator of the camera's motion, by corners of the background that are followed from image to image.

    Source: Lucas and Kanade, An Iterative Image Registration Technique, 1981, in Bouguet's pyramidal form; corners of
    Shi and Tomasi, Good Features to Track, 1994; used for tracking as in Aharon et al., BoT-SORT, 2022.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Discard the last image."""
        self._gray: NDArray[np.uint8] | None = None
        self._corners: NDArray[np.float32] = np.empty((0, 1, 2), np.float32)
        self._scale = 1.0

    def estimate(self, image: ColorImage) -> Affine:
        """Return the similarity transform (2, 3) from pixels of the image before to pixels of this one.

        It is the identity where there was no image before, or the images have too little in common.
        """
        gray, scale = _small_gray(image)
        before, corners = self._gray, self._corners
        self._gray, self._scale = gray, scale
        self._corners = self._corners[:0]
        if before is None or before.shape != gray.shape or len(corners) < MIN_CORNERS:
            return _STILL
        moved, found, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
            before, gray, corners, None, winSize=_WINDOW_PX, maxLevel=_LEVELS, criteria=_CRITERIA
        )
        good = found.ravel() == 1
        if np.count_nonzero(good) < MIN_CORNERS:
            return _STILL
        affine, inliers = cv2.estimateAffinePartial2D(corners[good], moved[good], ransacReprojThreshold=_INLIER_PX)
        if affine is None or np.count_nonzero(inliers) < max(MIN_CORNERS, np.count_nonzero(good) // 2):
            return _STILL
        affine[:, 2] /= scale
        return np.asarray(affine, np.float64)

    def watch(self, foreground_xyxy: NDArray[np.float32]) -> None:
        """Choose the corners of the last image that are followed into the next one.

        Args:
            foreground_xyxy: (n, 4), boxes of objects, in image pixels, in which no corners are taken.
        """
        if self._gray is None:
            return
        background = np.full(self._gray.shape, 255, np.uint8)
        for left, top, right, bottom in np.rint(foreground_xyxy * self._scale).astype(int).clip(0).tolist():
            background[top:bottom, left:right] = 0
        corners = cv2.goodFeaturesToTrack(
            self._gray, MAX_CORNERS, _CORNER_QUALITY, _CORNER_DISTANCE_PX, mask=background
        )
        self._corners = np.empty((0, 1, 2), np.float32) if corners is None else np.asarray(corners, np.float32)


def _small_gray(image: ColorImage) -> tuple[NDArray[np.uint8], float]:
    """Return the image in gray, at most `WIDTH_PX` wide, and its scale."""
    height, width = image.hw
    scale = min(1.0, WIDTH_PX / width)
    size_wh = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Averaging all pixels takes four times as long, and finds the motion no better.
    # Without the colours below, where luma is a plane of its own.
    small = cv2.resize(image.pixels[:height], size_wh, interpolation=cv2.INTER_LINEAR)
    if image.order.channels == 1:
        return np.asarray(small, np.uint8), scale
    if image.order.is_yuv:
        return np.ascontiguousarray(small[..., image.order.value.index("y")], np.uint8), scale
    return np.asarray(cv2.cvtColor(small, _TO_GRAY[image.order]), np.uint8), scale
