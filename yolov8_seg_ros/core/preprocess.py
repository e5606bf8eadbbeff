"""Write an image into the network's input: resize, RGB, quantize."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import ColorImage, write_rgb
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.options import INTERPOLATIONS, PIXEL_ROUNDINGS, require_choice
from yolov8_seg_ros.core.quantization import QuantParams, Tensor

#: Grey of the border, as the network saw it in training.
BORDER_GREY = 114
#: Of an image that is resized as it is.
MAX_CHANNELS = 4
#: Up to this factor a new pixel covers little of a third pixel along an axis.
_MAX_TWO_TAP_FACTOR = 1.5


class Preprocessor:
    """Writer of images into input tensors, without new memory. Used by one thread at a time.

    Args:
        network_hw: height and width of the network's input, in pixels.
        quant: its type and quantization; real range 0 to 1.
        interpolation: `area` or `linear`.
        pixel_rounding: `nearest`, or `toward_zero` as Ultralytics does it.

    Raises:
        OptionError: for another interpolation or rounding.
    """

    def __init__(
        self,
        network_hw: tuple[int, int],
        quant: QuantParams,
        interpolation: str = "area",
        pixel_rounding: str = "nearest",
    ) -> None:
        require_choice("interpolation", interpolation, INTERPOLATIONS)
        self._network_hw = network_hw
        self._area_resizer = AreaResizer() if interpolation == "area" else None
        self._quantized_of_pixel = quantized_pixels(quant, pixel_rounding)
        # Subtracting 128 from a byte is flipping its top bit.
        self._is_bit_flip = np.array_equal(self._quantized_of_pixel, np.arange(-128, 128))
        self._rgb = np.empty((*network_hw, 3), np.uint8)
        # Of linear interpolation, before the colours are swapped: as many bytes as the widest pixels need.
        self._resized = np.empty(network_hw[0] * network_hw[1] * MAX_CHANNELS, np.uint8)

    def new_tensor(self) -> Tensor:
        """Return an input tensor, 1 x height x width x 3, of border."""
        border = self._quantized_of_pixel[BORDER_GREY]
        return np.full((1, *self._network_hw, 3), border, self._quantized_of_pixel.dtype)

    def write_border(self, tensor: Tensor) -> None:
        """Fill a tensor with the colour of the border; to be called before an image of another size is written."""
        tensor[:] = self._quantized_of_pixel[BORDER_GREY]

    def write(self, image: ColorImage, letterbox: Letterbox, tensor: Tensor) -> None:
        """Write an image, in RGB, into the interior of a tensor; the border stays as it is."""
        rgb = self._rgb[letterbox.interior]
        # Colours are swapped after the resize: there are far fewer pixels then.
        write_rgb(self._resize(image.pixels, letterbox.resized_hw[::-1]), image.order, rgb)
        self._quantize(rgb, tensor[0][letterbox.interior])

    def _resize(self, pixels: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
        if self._area_resizer is not None:
            return self._area_resizer.resize(pixels, size_wh)
        shape = (size_wh[1], size_wh[0], *pixels.shape[2:])
        resized = self._resized[: math.prod(shape)].reshape(shape)
        return cv2.resize(pixels, size_wh, dst=resized, interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]

    def _quantize(self, rgb: NDArray[np.uint8], target: Tensor) -> None:
        if self._is_bit_flip:
            np.bitwise_xor(rgb, 0x80, out=target.view(np.uint8))
        else:
            # NumPy's `take` would make an index of eight bytes of each pixel first.
            cv2.LUT(rgb, self._quantized_of_pixel, dst=target)


def quantized_pixels(quant: QuantParams, pixel_rounding: str = "nearest") -> Tensor:
    """Return the quantized number of each pixel value, 0 to 255.

    Raises:
        OptionError: for another rounding.
    """
    require_choice("pixel_rounding", pixel_rounding, PIXEL_ROUNDINGS)
    real = np.arange(256, dtype=np.float32) / np.float32(255)
    if pixel_rounding == "nearest" or quant.is_float:
        return quant.quantize(real)
    # The reference's arithmetic, in float32, whose small errors decide which way a value falls.
    return (real / np.float32(quant.scale) + np.float32(quant.zero_point)).astype(quant.dtype)


class AreaResizer:
    """Resizer by area: each new pixel is the mean of the area that it covers.

    An image is halved while it is twice too large: means of means are means. The rest is linear interpolation at
    places where it is the mean, several times faster than OpenCV's area interpolation for odd factors. The memory is
    used again for images of the same size.
    """

    def __init__(self) -> None:
        self._sizes: tuple[tuple[int, ...], tuple[int, int]] | None = None
        self._halves: list[NDArray[np.uint8]] = []
        self._resized: NDArray[np.uint8] = np.empty(0, np.uint8)
        self._places: tuple[NDArray[np.int16], NDArray[np.uint16]] | None = None

    def resize(self, pixels: NDArray[np.uint8], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
        """Return the image in another size; overwritten by the next call. An image of that size is returned as it is.

        Args:
            pixels: uint8 (height, width) or (height, width, channels).
            size_wh: width and height in pixels that are wanted.
        """
        if self._sizes != (pixels.shape, size_wh):
            self._plan(pixels.shape, size_wh)
            self._sizes = (pixels.shape, size_wh)
        for half in self._halves:
            height, width = half.shape[:2]
            pixels = pixels[: 2 * height, : 2 * width]
            pixels = cv2.resize(pixels, (width, height), dst=half, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        if pixels.shape == self._resized.shape:
            return pixels
        if self._places is None:
            return cv2.resize(pixels, size_wh, dst=self._resized, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
        return cv2.remap(pixels, *self._places, cv2.INTER_LINEAR, dst=self._resized)  # type: ignore[return-value]

    def _plan(self, shape: tuple[int, ...], size_wh: tuple[int, int]) -> None:
        (width, height), channels = size_wh, shape[2:]
        rows, columns = shape[:2]
        self._halves = []
        while columns >= 2 * width and rows >= 2 * height:
            # An odd last row or column is left out.
            rows, columns = rows // 2, columns // 2
            self._halves.append(np.empty((rows, columns, *channels), np.uint8))
        self._resized = np.empty((height, width, *channels), np.uint8)
        self._places = None
        if width <= columns <= _MAX_TWO_TAP_FACTOR * width and height <= rows <= _MAX_TWO_TAP_FACTOR * height:
            x, y = np.meshgrid(_places_of_means(columns, width), _places_of_means(rows, height))
            self._places = cv2.convertMaps(x, y, cv2.CV_16SC2)  # type: ignore[assignment]


def _places_of_means(size: int, wanted: int) -> NDArray[np.float32]:
    """Return for each of `wanted` pixels where among `size` larger ones linear interpolation is the mean of its area.

    Where it covers parts of three pixels, the smallest part is left out.
    """
    start = np.arange(wanted) * (size / wanted)
    # Not less by float64's rounding than the whole number that it is.
    first = np.floor(start + 1e-6)
    pixels = first + np.arange(3)[:, np.newaxis]
    covered = np.clip(np.minimum(pixels + 1, start + size / wanted) - np.maximum(pixels, start), 0, 1)
    is_first_left_out = covered[0] < covered[2]
    first += is_first_left_out
    former, latter = np.where(is_first_left_out, covered[1:], covered[:2])
    return np.minimum(first + latter / (former + latter), size - 1).astype(np.float32)
