"""Write an image into the network's input: resize, RGB, quantize."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.image import ColorImage, ColorOrder, PixelBuffer, write_rgb
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.native import Native, native
from yolov8_seg_ros.core.options import INTERPOLATIONS, PIXEL_ROUNDINGS, require_choice
from yolov8_seg_ros.core.quantization import QuantParams, Tensor

#: Grey of the border, as the network saw it in training.
BORDER_GREY = 114
#: Of an image that is resized as it is.
MAX_CHANNELS = 4
#: For each new pixel along an axis, the old one before its place, and the weight of the one after it.
Places = tuple[NDArray[np.int32], NDArray[np.uint16]]
#: Up to this factor a new pixel covers little of a third pixel along an axis.
_MAX_TWO_TAP_FACTOR = 1.5
#: As often an image in YUV is halved in one pass of the C library, others once.
_MAX_YUV_HALVINGS = 2
#: Sum of the weights of two pixels, as seg.h has it.
WEIGHT_UNIT = 32


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
        self._quantized_of_pixel = quantized_pixels(quant, pixel_rounding)
        self._flip = _flip_of(self._quantized_of_pixel)
        self._area_resizer = AreaResizer(self._flip or 0) if interpolation == "area" else None
        self._rgb = np.empty((*network_hw, 3), np.uint8)
        # Of linear interpolation, before the colours are swapped: as many bytes as the widest pixels need.
        self._resized = np.empty(network_hw[0] * network_hw[1] * MAX_CHANNELS, np.uint8)
        self._buffer = PixelBuffer()

    def new_tensor(self) -> Tensor:
        """Return an input tensor, 1 x height x width x 3, of border."""
        border = self._quantized_of_pixel[BORDER_GREY]
        return np.full((1, *self._network_hw, 3), border, self._quantized_of_pixel.dtype)

    def write_border(self, tensor: Tensor) -> None:
        """Fill a tensor with the colour of the border; to be called before an image of another size is written."""
        tensor[:] = self._quantized_of_pixel[BORDER_GREY]

    def write(self, image: ColorImage, letterbox: Letterbox, tensor: Tensor) -> None:
        """Write an image, in RGB, into the interior of a tensor; the border stays as it is."""
        rgb, target = self._rgb[letterbox.interior], tensor[0][letterbox.interior]
        if self._area_resizer is None:
            self._resize_linearly(image, rgb)
        elif self._flip is None:
            self._area_resizer.resize(image, rgb)
        else:
            self._area_resizer.resize(image, target)
            return
        self._quantize(rgb, target)

    def _resize_linearly(self, image: ColorImage, rgb: NDArray[np.uint8]) -> None:
        if image.order.is_yuv:
            image = image.in_rgb(self._buffer)
        height, width = rgb.shape[:2]
        shape = (height, width, *image.pixels.shape[2:])
        resized = self._resized[: math.prod(shape)].reshape(shape)
        cv2.resize(image.pixels, (width, height), dst=resized, interpolation=cv2.INTER_LINEAR)
        # Colours are swapped after the resize: there are far fewer pixels then.
        write_rgb(resized, image.order, rgb)

    def _quantize(self, rgb: NDArray[np.uint8], target: Tensor) -> None:
        if self._flip is None:
            # NumPy's `take` would make an index of eight bytes of each pixel first.
            cv2.LUT(rgb, self._quantized_of_pixel, dst=target)
        else:
            np.bitwise_xor(rgb, self._flip, out=target.view(np.uint8))


def _flip_of(quantized_of_pixel: Tensor) -> int | None:
    """Return what pixels are combined with by exclusive or to be quantized; None where that is no way to do it."""
    for flip in (0, 0x80):
        if np.array_equal(quantized_of_pixel.view(np.uint8), np.arange(256) ^ flip):
            return flip
    return None


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
    """Resizer by area: each new pixel is the mean of the area that it covers, in RGB.

    An image is halved while it is twice too large: means of means are means. The rest is linear interpolation at
    places where it is the mean, several times faster than OpenCV's area interpolation for odd factors. An image in YUV
    that is halved is converted after that, and after the second halving where there is one, as there are far fewer
    pixels then. The memory is used again for images of the same size.

    Args:
        flip: new bytes are combined with this by exclusive or; 0x80 makes int8 of uint8.
        library: the C library.
    """

    def __init__(self, flip: int = 0, library: Native | None = None) -> None:
        self._flip = flip
        self._native = library or native()
        self._buffer = PixelBuffer()
        self._sizes: tuple[tuple[int, ...], ColorOrder, tuple[int, ...]] | None = None

    def resize(self, image: ColorImage, target: NDArray[Any]) -> None:
        """Write an image into `target`, uint8 or int8 (height, width, 3), whose rows may lie apart."""
        sizes = (image.pixels.shape, image.order, target.shape)
        if self._sizes != sizes:
            self._plan(image.hw, image.order, target.shape[:2])
            self._sizes = sizes
        if self._is_converted_first:
            image = image.in_rgb(self._buffer)
        pixels: NDArray[Any] = image.pixels
        if self._first_pass is not None:
            pixels = self._first_pass.run(pixels, self._halves[0])
        for half in self._halves[self._first_pass is not None :]:
            height, width = half.shape[:2]
            pixels = cv2.resize(
                pixels[: 2 * height, : 2 * width], (width, height), dst=half, interpolation=cv2.INTER_AREA
            )
        if self._resized is not None:
            pixels = cv2.resize(pixels, self._resized.shape[1::-1], dst=self._resized, interpolation=cv2.INTER_AREA)
        self._last_pass.run(pixels, target)

    def _plan(self, image_hw: tuple[int, int], order: ColorOrder, target_hw: tuple[int, ...]) -> None:
        (rows, columns), (height, width) = image_hw, target_hw
        halves_hw = []
        while columns >= 2 * width and rows >= 2 * height:
            # An odd last row or column is left out.
            rows, columns = rows // 2, columns // 2
            halves_hw.append((rows, columns))
        is_near = width <= columns <= _MAX_TWO_TAP_FACTOR * width and height <= rows <= _MAX_TWO_TAP_FACTOR * height
        self._is_converted_first = order.is_yuv and not halves_hw
        self._first_pass = None
        if order.is_yuv and halves_hw and not (is_near and len(halves_hw) <= _MAX_YUV_HALVINGS):
            num_halvings = min(len(halves_hw), _MAX_YUV_HALVINGS)
            halves_hw[: num_halvings - 1] = []
            self._first_pass = _NativePass(self._native, num_halvings, halves_hw[0], halves_hw[0], order)
        if self._is_converted_first or self._first_pass is not None:
            order = ColorOrder.RGB
        num_halvings = 0
        if is_near:
            # The C library does the last halving with the rest, in one pass.
            num_halvings = min(len(halves_hw), _MAX_YUV_HALVINGS if order.is_yuv else 1)
            halves_hw[len(halves_hw) - num_halvings :] = []
        else:
            rows, columns = height, width
        channels = () if order is ColorOrder.GRAY else (order.channels,)
        self._halves = [np.empty((*half_hw, *channels), np.uint8) for half_hw in halves_hw]
        self._resized = None if is_near else np.empty((height, width, *channels), np.uint8)
        self._last_pass = _NativePass(self._native, num_halvings, (rows, columns), (height, width), order, self._flip)


class _NativePass:
    """One pass of the C library, for images of one size: halve, interpolate, convert to RGB.

    Args:
        library: the C library.
        num_halvings: how often the image is halved first.
        old_hw: height and width after that.
        new_hw: height and width that are wanted.
        order: of the image's channels.
        flip: new bytes are combined with this by exclusive or.
    """

    def __init__(
        self,
        library: Native,
        num_halvings: int,
        old_hw: tuple[int, int],
        new_hw: tuple[int, ...],
        order: ColorOrder,
        flip: int = 0,
    ) -> None:
        self._native, self._order = library, order
        rows, columns = (_places_of_means(old, new) for old, new in zip(old_hw, new_hw, strict=True))
        # They must outlive the structure.
        self._places = (columns, rows)
        axes = {
            name: (len(first), library.address(first), library.address(next_weight))
            for name, (first, next_weight) in (("columns", columns), ("rows", rows))
        }
        colors = "yuv" if order.is_yuv else "rgb"
        rgb = [0, 0, 0] if order.channels == 1 else [order.value.index(color) for color in colors]
        others = {"num_halvings": num_halvings, "num_channels": order.channels, "rgb": rgb, "flip": flip}
        self._struct = library.ffi.new("struct seg_resize *", axes | others)

    def run(self, pixels: NDArray[np.uint8], target: NDArray[Any]) -> NDArray[Any]:
        """Write an image into `target`, uint8 or int8 (height, width, 3), whose rows may lie apart; return that."""
        # The rows of u and v in I420 are half as long as those of luma, so no two may lie apart.
        is_whole = self._order is ColorOrder.I420
        if not (pixels.flags.c_contiguous if is_whole else pixels[0].flags.c_contiguous):
            pixels = np.ascontiguousarray(pixels)
        lib, address = self._native.lib, self._native.address
        to = (address(target), target.strides[0])
        if self._order.is_planar:
            lib.seg_resize_planes(self._struct, self._planes(pixels), *to)
        else:
            lib.seg_resize(self._struct, address(pixels), pixels.strides[0], *to)
        return target

    def _planes(self, pixels: NDArray[np.uint8]) -> Any:
        """Return a structure that says where luma, u and v lie."""
        (rows, width), row_step = pixels.shape, pixels.strides[0]
        luma = self._native.pointer("uint8_t *", pixels)
        chroma = luma + rows * 2 // 3 * row_step
        if self._order is ColorOrder.I420:
            planes = (luma, chroma, chroma + rows // 3 * (width // 2), row_step, width // 2, 1)
        else:
            u, v = (chroma, chroma + 1) if self._order is ColorOrder.NV12 else (chroma + 1, chroma)
            planes = (luma, u, v, row_step, row_step, 2)
        return self._native.ffi.new("struct seg_planes *", planes)


def _places_of_means(size: int, wanted: int) -> Places:
    """Return for each of `wanted` pixels where among `size` larger ones linear interpolation is the mean of its area.

    Where it covers parts of three pixels, the smallest part is left out.

    Returns:
        The pixel before that place (wanted,), and the weight of the one after it (wanted,), 0 to 31 of 32.
    """
    start = np.arange(wanted) * (size / wanted)
    # Not less by float64's rounding than the whole number that it is.
    first = np.floor(start + 1e-6)
    pixels = first + np.arange(3)[:, np.newaxis]
    covered = np.clip(np.minimum(pixels + 1, start + size / wanted) - np.maximum(pixels, start), 0, 1)
    is_first_left_out = covered[0] < covered[2]
    first += is_first_left_out
    former, latter = np.where(is_first_left_out, covered[1:], covered[:2])
    place = np.minimum(first + latter / (former + latter), size - 1)
    thirty_seconds = np.rint(place.astype(np.float32) * WEIGHT_UNIT).astype(np.int32)
    return thirty_seconds // WEIGHT_UNIT, (thirty_seconds % WEIGHT_UNIT).astype(np.uint16)
