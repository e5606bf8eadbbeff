"""Define an image with the order of its channels, so that nothing is converted before it must be."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import cv2
import numpy as np
from numpy.typing import NDArray


class ColorOrder(Enum):
    """The order of an image's channels.

    In `YUYV` and `UYVY` two pixels side by side have one colour (4:2:2): each has two channels, and the value names
    those of both. In `NV12`, `NV21` and `I420` two by two pixels have one colour (4:2:0): below the rows of luma there
    are half as many rows of u and v in turns, of v and u in turns, or of all u and then of all v. The range of the
    numbers is that of ITU-R BT.601, 16 for black, 235 for white.

    Attributes:
        is_yuv: whether pixels share their colour.
        is_planar: whether luma is a plane of its own.
        channels: of a pixel; of luma alone where it is a plane of its own.
    """

    BGR = "bgr"
    RGB = "rgb"
    BGRA = "bgra"
    RGBA = "rgba"
    GRAY = "gray"
    YUYV = "yuyv"
    UYVY = "uyvy"
    NV12 = "nv12"
    NV21 = "nv21"
    I420 = "i420"

    def __init__(self, names: str) -> None:
        self.is_planar = names in ("nv12", "nv21", "i420")
        self.is_yuv = self.is_planar or names in ("yuyv", "uyvy")
        self.channels = 1 if names == "gray" or self.is_planar else 2 if self.is_yuv else len(names)


_TO_RGB = {
    ColorOrder.BGR: cv2.COLOR_BGR2RGB,
    ColorOrder.BGRA: cv2.COLOR_BGRA2RGB,
    ColorOrder.RGBA: cv2.COLOR_RGBA2RGB,
    ColorOrder.GRAY: cv2.COLOR_GRAY2RGB,
    ColorOrder.YUYV: cv2.COLOR_YUV2RGB_YUYV,
    ColorOrder.UYVY: cv2.COLOR_YUV2RGB_UYVY,
    ColorOrder.NV12: cv2.COLOR_YUV2RGB_NV12,
    ColorOrder.NV21: cv2.COLOR_YUV2RGB_NV21,
    ColorOrder.I420: cv2.COLOR_YUV2RGB_I420,
}
_TO_BGR = {
    ColorOrder.RGB: cv2.COLOR_RGB2BGR,
    ColorOrder.BGRA: cv2.COLOR_BGRA2BGR,
    ColorOrder.RGBA: cv2.COLOR_RGBA2BGR,
    ColorOrder.GRAY: cv2.COLOR_GRAY2BGR,
    ColorOrder.YUYV: cv2.COLOR_YUV2BGR_YUYV,
    ColorOrder.UYVY: cv2.COLOR_YUV2BGR_UYVY,
    ColorOrder.NV12: cv2.COLOR_YUV2BGR_NV12,
    ColorOrder.NV21: cv2.COLOR_YUV2BGR_NV21,
    ColorOrder.I420: cv2.COLOR_YUV2BGR_I420,
}


@dataclass(frozen=True)
class ColorImage:
    """An image and the order of its channels.

    Attributes:
        pixels: uint8 (height, width) for gray, (height * 3 / 2, width) for planes of YUV, else (height, width,
            channels).
        order: what the channels are.

    Raises:
        ValueError: if the pixels are not of that form, or there are none.
    """

    pixels: NDArray[np.uint8]
    order: ColorOrder = ColorOrder.BGR

    def __post_init__(self) -> None:
        rank = 2 if self.order.channels == 1 else 3
        shape = self.pixels.shape
        if self.pixels.dtype != np.uint8 or len(shape) != rank or (rank == 3 and shape[2] != self.order.channels):
            raise ValueError(
                f"expected uint8 pixels in {self.order.value} order, {self.order.channels} a pixel; "
                f"got {self.pixels.dtype} {shape}"
            )
        if 0 in shape:
            raise ValueError(f"the image is empty: {shape[1]}x{shape[0]} pixels")
        if self.order.is_yuv and shape[1] % 2:
            raise ValueError(f"two pixels have one colour in {self.order.value} order; got a width of {shape[1]}")
        if self.order.is_planar and shape[0] % 3:
            raise ValueError(
                f"two rows of luma have one of colours in {self.order.value} order; got {shape[0]} rows in all"
            )

    @property
    def hw(self) -> tuple[int, int]:
        """Return height and width in pixels."""
        height, width = self.pixels.shape[:2]
        return (height * 2 // 3 if self.order.is_planar else height), width

    def to_bgr(self) -> NDArray[np.uint8]:
        """Return uint8 (height, width, 3) in BGR order; the image's own pixels where they are so already."""
        if self.order is ColorOrder.BGR:
            return self.pixels
        return cv2.cvtColor(self.pixels, _TO_BGR[self.order])  # type: ignore[return-value]

    def in_rgb(self, buffer: PixelBuffer) -> ColorImage:
        """Return the image with its pixels in RGB order, in `buffer`."""
        pixels = buffer.shaped(*self.hw, 3)
        write_rgb(self.pixels, self.order, pixels)
        return ColorImage(pixels, ColorOrder.RGB)


class PixelBuffer:
    """Memory for the pixels of one image at a time, and for a step on the way to them; renewed when sizes change.

    Attributes:
        bits: as many bits of 16-bit pixels are significant, as far as the images so far show: 8 to 16.
    """

    def __init__(self) -> None:
        self.bits = 8
        self._pixels, self._step = np.empty(0, np.uint8), np.empty(0, np.uint8)

    def shaped(self, *shape: int) -> NDArray[np.uint8]:
        """Return the memory as an array of this shape, of any content."""
        if self._pixels.size != math.prod(shape):
            self._pixels = np.empty(math.prod(shape), np.uint8)
        return self._pixels.reshape(shape)

    def step(self, *shape: int) -> NDArray[np.uint8]:
        """Return other memory than `shaped` does, for what becomes the pixels."""
        if self._step.size != math.prod(shape):
            self._step = np.empty(math.prod(shape), np.uint8)
        return self._step.reshape(shape)

    def shortened(self, pixels: NDArray[np.uint16]) -> NDArray[np.uint8]:
        """Return 16-bit pixels as 8-bit ones: a camera of 12 bits leaves the upper 4 empty."""
        self.bits = max(self.bits, int(pixels.max()).bit_length())
        return np.right_shift(pixels, self.bits - 8, out=self.step(*pixels.shape), casting="unsafe")


def write_rgb(pixels: NDArray[np.uint8], order: ColorOrder, target: NDArray[np.uint8]) -> None:
    """Write pixels in RGB order into `target`, uint8 (height, width, 3) of the image's size, which may be a view."""
    if order is ColorOrder.RGB:
        np.copyto(target, pixels)
    else:
        cv2.cvtColor(pixels, _TO_RGB[order], dst=target)
