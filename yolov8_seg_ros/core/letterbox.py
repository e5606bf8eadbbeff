"""Fit an image into the network's input, and bring what was found there back to the image."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.area import AreaResizer
from yolov8_seg_ros.core.image import ColorImage, write_rgb
from yolov8_seg_ros.core.quantization import QuantParams, Tensor

#: Grey of the border, as the network saw it in training.
BORDER_GREY = 114
FITS = ("letterbox", "stretch")
INTERPOLATIONS = ("linear", "area")
PIXEL_ROUNDINGS = ("nearest", "toward_zero")
#: Left, top, right and bottom edge.
BoxXyxy = tuple[float, float, float, float]
#: Of an image that is resized as it is.
MAX_CHANNELS = 4


def require_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Raise ValueError where an option is none of those there are."""
    if value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, got '{value}'")


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
        """Choose scale and padding.

        `letterbox` keeps the aspect and centres the image on grey; `stretch` fills the network's input.

        Example: a 640x480 image in a 256x256 network is scaled to 256x192, with 32 rows above and below.

        Raises:
            ValueError: for another mode, or an image without pixels.
        """
        require_choice("fit", mode, FITS)
        if min(image_hw) < 1:
            raise ValueError(f"the image is empty: {image_hw[1]}x{image_hw[0]} pixels")
        if mode == "stretch":
            return cls(image_hw, network_hw, network_hw, (0, 0))
        scale = min(network_hw[0] / image_hw[0], network_hw[1] / image_hw[1])
        height, width = (max(1, round(size * scale)) for size in image_hw)
        # An odd row or column of border goes below or right, as in the reference.
        pad_xy = ((network_hw[1] - width) // 2, (network_hw[0] - height) // 2)
        return cls(image_hw, network_hw, (height, width), pad_xy)

    @cached_property
    def scale_xy(self) -> tuple[float, float]:
        """Give network pixels per image pixel."""
        return self.resized_hw[1] / self.image_hw[1], self.resized_hw[0] / self.image_hw[0]

    @property
    def interior(self) -> tuple[slice, slice]:
        """Give the rows and columns of the network's input that the image covers."""
        (left, top), (height, width) = self.pad_xy, self.resized_hw
        return slice(top, top + height), slice(left, left + width)

    def box_to_image(self, xyxy: Sequence[float]) -> BoxXyxy:
        """Map a box from network pixels to image pixels, clipped to the image."""
        (scale_x, scale_y), (pad_x, pad_y) = self.scale_xy, self.pad_xy
        height, width = self.image_hw
        left, top, right, bottom = xyxy
        return (
            min(max((left - pad_x) / scale_x, 0.0), width),
            min(max((top - pad_y) / scale_y, 0.0), height),
            min(max((right - pad_x) / scale_x, 0.0), width),
            min(max((bottom - pad_y) / scale_y, 0.0), height),
        )

    def boxes_to_network(self, xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map boxes (n, 4) from image pixels to network pixels."""
        boxes = xyxy * np.array(self.scale_xy * 2, np.float32) + np.array(self.pad_xy * 2, np.float32)
        return boxes.astype(np.float32, copy=False)


class NetworkInput:
    """Network input tensors that are filled anew with each image, without new memory.

    Args:
        network_hw: height and width of the network's input, in pixels.
        quant: its stored type and quantisation; real range 0 to 1.
        interpolation: `linear` or `area`.
        pixel_rounding: `nearest`, or `toward_zero` as Ultralytics does it.
        lanes: how many tensors there are, for images that are on their way at the same time.

    Raises:
        ValueError: for another interpolation or rounding.
    """

    def __init__(
        self,
        network_hw: tuple[int, int],
        quant: QuantParams,
        interpolation: str = "area",
        pixel_rounding: str = "nearest",
        lanes: int = 1,
    ) -> None:
        require_choice("interpolation", interpolation, INTERPOLATIONS)
        self._area_resizer = AreaResizer() if interpolation == "area" else None
        self._stored_of_pixel = stored_pixels(quant, pixel_rounding)
        # Subtracting 128 from a byte is flipping its top bit.
        self._is_bit_flip = np.array_equal(self._stored_of_pixel, np.arange(-128, 128))
        self._tensors = [np.empty((*network_hw, 3), quant.dtype) for _ in range(lanes)]
        self._letterboxes: list[Letterbox | None] = [None] * lanes
        self._rgb = np.empty((*network_hw, 3), np.uint8)
        # Of linear interpolation, before the colours are swapped: as many bytes as the widest pixels need.
        self._resized = np.empty(network_hw[0] * network_hw[1] * MAX_CHANNELS, np.uint8)

    def fill(self, image: ColorImage, letterbox: Letterbox, lane: int = 0) -> Tensor:
        """Give the stored input, 1 x height x width x 3 in RGB; it is overwritten by the lane's next call."""
        tensor = self._tensors[lane]
        if letterbox is not self._letterboxes[lane]:
            tensor[:] = self._stored_of_pixel[BORDER_GREY]
            self._letterboxes[lane] = letterbox
        rgb = self._rgb[letterbox.interior]
        # Colours are swapped after the resize: there are far fewer pixels then.
        write_rgb(self._resize(image.pixels, letterbox.resized_hw[::-1]), image.order, rgb)
        self._store(rgb, tensor[letterbox.interior])
        return tensor[np.newaxis]

    def _resize(self, pixels: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
        if self._area_resizer is not None:
            return self._area_resizer.resize(pixels, size_wh)
        shape = (size_wh[1], size_wh[0], *pixels.shape[2:])
        resized = self._resized[: math.prod(shape)].reshape(shape)
        return cv2.resize(pixels, size_wh, dst=resized, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]

    def _store(self, rgb: NDArray[np.uint8], target: Tensor) -> None:
        if self._is_bit_flip:
            np.bitwise_xor(rgb, 0x80, out=target.view(np.uint8))
        else:
            # NumPy's `take` would make an index of eight bytes of each pixel first.
            cv2.LUT(rgb, self._stored_of_pixel, dst=target)


def stored_pixels(quant: QuantParams, pixel_rounding: str = "nearest") -> Tensor:
    """Give what the input tensor stores for each pixel value, 0 to 255.

    Raises:
        ValueError: for another rounding.
    """
    require_choice("pixel_rounding", pixel_rounding, PIXEL_ROUNDINGS)
    real = np.arange(256, dtype=np.float32) / np.float32(255)
    if pixel_rounding == "nearest" or quant.is_float:
        return quant.quantize(real)
    # The reference's arithmetic, in float32, whose small errors decide which way a value falls.
    return (real / np.float32(quant.scale) + np.float32(quant.zero_point)).astype(quant.dtype)
