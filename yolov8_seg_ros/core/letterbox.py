"""Fit an image into the network's input: the map between their pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.options import FITS, require_choice
from yolov8_seg_ros.errors import OptionError


@dataclass(frozen=True)
class Letterbox:
    """The map between image pixels and network pixels.

    network = image * scale + pad, for continuous coordinates in which pixel 0 spans 0.0 to 1.0.

    Attributes:
        image_hw: height and width of the image, in pixels.
        network_hw: height and width of the network's input, in pixels.
        resized_hw: height and width of the image inside the network's input.
        pad_xy: columns left of it and rows above it.
    """

    image_hw: tuple[int, int]
    network_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    pad_xy: tuple[int, int]

    @classmethod
    def fit(cls, image_hw: tuple[int, int], network_hw: tuple[int, int], mode: str = "letterbox") -> Letterbox:
        """Return the letterbox of an image.

        `letterbox` keeps the aspect and centres the image on grey; `stretch` fills the network's input.

        Example: a 640x480 image in a 256x256 network is scaled to 256x192, with 32 rows above and below.

        Raises:
            OptionError: for another mode, or an image without pixels.
        """
        require_choice("fit", mode, FITS)
        if min(image_hw) < 1:
            raise OptionError(f"the image is empty: {image_hw[1]}x{image_hw[0]} pixels")
        if mode == "stretch":
            return cls(image_hw, network_hw, network_hw, (0, 0))
        scale = min(network_hw[0] / image_hw[0], network_hw[1] / image_hw[1])
        height, width = (max(1, round(size * scale)) for size in image_hw)
        # An odd row or column of border goes below or right, as in the reference.
        pad_xy = ((network_hw[1] - width) // 2, (network_hw[0] - height) // 2)
        return cls(image_hw, network_hw, (height, width), pad_xy)

    @cached_property
    def scale_xy(self) -> tuple[float, float]:
        """Return network pixels per image pixel."""
        return self.resized_hw[1] / self.image_hw[1], self.resized_hw[0] / self.image_hw[0]

    @cached_property
    def interior(self) -> tuple[slice, slice]:
        """Return the rows and columns of the network's input that the image covers."""
        (left, top), (height, width) = self.pad_xy, self.resized_hw
        return slice(top, top + height), slice(left, left + width)

    def boxes_to_network(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return boxes (n, 4) of image pixels in network pixels."""
        boxes = xyxy * np.array(self.scale_xy * 2, np.float32) + np.array(self.pad_xy * 2, np.float32)
        return boxes.astype(np.float32, copy=False)
