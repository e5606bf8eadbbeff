"""Show pictures of an evaluation with the truth beside what was found."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.media.coco import from_coco_results
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.media.overlay import draw_overlay
from yolov8_seg_ros.tools.evaluation.matches import PictureQuality
from yolov8_seg_ros.tools.evaluation.run import Evaluated

#: Of the longer side of a picture, as it is shown.
_SHOWN_PX = 560
_GAP_PX = 8
_WHITE = 255
_JPEG_QUALITY = 82
#: A mask of no pixel at all, in run-length code: for an object of which only the box is known.
_NO_OUTLINE: list[list[float]] = [[0.0] * 6]


@dataclass(frozen=True)
class Shown:
    """Hold a picture of the gallery.

    Attributes:
        file_name: of the picture.
        quality: how well it was segmented.
        jpeg: truth and what was found, side by side.
    """

    file_name: str
    quality: PictureQuality
    jpeg: bytes

    @property
    def data_url(self) -> str:
        """The picture as the address of itself."""
        return f"data:image/jpeg;base64,{base64.b64encode(self.jpeg).decode('ascii')}"


def show_pictures(evaluated: Evaluated, qualities: Sequence[PictureQuality], threshold: float) -> list[Shown]:
    """Draw pictures.

    Args:
        evaluated: truth and results.
        qualities: of the pictures to draw.
        threshold: the lowest score drawn.

    Raises:
        MediaError: if a picture cannot be read any more.
    """
    names = [category["name"] for category in evaluated.categories]
    images = {image["id"]: image for image in evaluated.images}
    drawer = _Drawer(evaluated, {quality.image_id for quality in qualities}, threshold)
    return [
        Shown(images[quality.image_id]["file_name"], quality, drawer.draw(images[quality.image_id], names))
        for quality in qualities
    ]


class _Drawer:
    """Draw the wanted pictures of an evaluation."""

    def __init__(self, evaluated: Evaluated, wanted: set[int], threshold: float) -> None:
        self._paths = evaluated.paths
        self._classes = {category["id"]: index for index, category in enumerate(evaluated.categories)}
        self._truth = _by_image(({"score": 1.0, **true} for true in evaluated.annotations), wanted)
        self._results = _by_image((found for found in evaluated.results if found["score"] >= threshold), wanted)

    def draw(self, image: dict[str, Any], names: Sequence[str]) -> bytes:
        image_id = image["id"]
        picture = read_image(self._paths[image_id])
        truth = draw_overlay(picture, self._instances(self._truth[image_id], picture), names, scores=False)
        found = draw_overlay(picture, self._instances(self._results[image_id], picture), names)
        gap = np.full((picture.shape[0], _gap_px(picture), 3), _WHITE, np.uint8)
        return _jpeg(np.hstack([truth, gap, found]), _shown_scale(picture))

    def _instances(self, entries: list[dict[str, Any]], picture: NDArray[np.uint8]) -> Instances:
        drawn = [
            {"segmentation": _NO_OUTLINE, **entry, "category_id": self._classes[entry["category_id"]]}
            for entry in entries
        ]
        return from_coco_results(drawn, (picture.shape[0], picture.shape[1]))


def _by_image(entries: Iterable[dict[str, Any]], wanted: set[int]) -> dict[int, list[dict[str, Any]]]:
    by_image: dict[int, list[dict[str, Any]]] = {image_id: [] for image_id in wanted}
    for entry in entries:
        if entry["image_id"] in wanted:
            by_image[entry["image_id"]].append(entry)
    return by_image


def _shown_scale(picture: NDArray[np.uint8]) -> float:
    return min(1.0, _SHOWN_PX / max(picture.shape[:2]))


def _gap_px(picture: NDArray[np.uint8]) -> int:
    return max(1, round(_GAP_PX / _shown_scale(picture)))


def _jpeg(bgr: NDArray[np.uint8], scale: float) -> bytes:
    shown = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else bgr
    encoded, data = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert encoded
    return data.tobytes()
