"""From an image to one of another size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Places:
    """Places of new pixels along an axis.

    Attributes:
        first: int32 (n,), the old pixel before each new one.
        next_weight: uint16 (n,), the weight of the old pixel after it, 0 to 31; that of the first is the rest of 32.
    """

    first: NDArray[np.int32]
    next_weight: NDArray[np.uint16]

    def weights(self, size: int) -> NDArray[np.int64]:
        """Return the weight of each of `size` old pixels in each new one, (n, size)."""
        weights = np.zeros((len(self.first), size + 1), np.int64)
        rows = np.arange(len(self.first))
        weights[rows, self.first] += 32 - self.next_weight.astype(np.int64)
        weights[rows, self.first + 1] += self.next_weight
        # What lies behind the last pixel has no weight.
        assert not weights[:, size].any()
        return weights[:, :size]


def resize(
    pixels: NDArray[np.uint8], columns: Places, rows: Places, is_halved: bool, rgb: tuple[int, int, int], flip: int
) -> NDArray[np.uint8]:
    """Return an image in another size, uint8 (rows, columns, 3).

    Pixels of two channels are YUV, and two side by side have one u and one v: see below. Of others,

    1. Halved, each pixel is the mean of two by two, a half rounded up. An odd last row or column is left out.
    2. A new pixel is the weighted mean of two by two, a half rounded up.
    3. The channels `rgb` are taken, and each byte is combined with `flip` by exclusive or.

    Args:
        pixels: uint8 (height, width, channels).
        columns: where the new columns lie, after halving.
        rows: where the new rows lie, after halving.
        is_halved: whether the image is halved first.
        rgb: which channels are red, green and blue; of a pair in YUV, which of its four bytes are the first luma, u, v.
        flip: 0 to 255.
    """
    if pixels.shape[2] == 2:
        return _rgb_of_yuv(_resize_pairs(pixels, columns, rows, rgb)) ^ np.uint8(flip)
    old = pixels.astype(np.int64)
    if is_halved:
        height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
        old = (_sum_of_pairs(_sum_of_pairs(old, height, 0), width, 1) + 2) // 4
    sums = np.einsum("yr,rck->yck", rows.weights(old.shape[0]), old)
    sums = np.einsum("xc,yck->yxk", columns.weights(old.shape[1]), sums)
    means = (sums + 512) // 1024
    return means[..., list(rgb)].astype(np.uint8) ^ np.uint8(flip)


def resize_planes(
    luma: NDArray[np.uint8], u: NDArray[np.uint8], v: NDArray[np.uint8], columns: Places, rows: Places, flip: int
) -> NDArray[np.uint8]:
    """Return an image in another size, uint8 (rows, columns, 3), which is halved, interpolated and converted.

    Args:
        luma: uint8 (2 * height, 2 * width).
        u: uint8 (height, width).
        v: uint8 (height, width).
        columns: where the new columns lie among `width`.
        rows: where the new rows lie among `height`.
        flip: 0 to 255.
    """
    height, width = u.shape
    sums = _sum_of_pairs(_sum_of_pairs(luma.astype(np.int64), height, 0), width, 1)
    yuv = np.stack([sums, 4 * u.astype(np.int64), 4 * v.astype(np.int64)], axis=-1)
    mixed = np.einsum("yr,rck->yck", rows.weights(height), yuv)
    return _rgb_of_yuv(_between_columns(mixed, columns)) ^ np.uint8(flip)


def _resize_pairs(
    pixels: NDArray[np.uint8], columns: Places, rows: Places, yuv: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Return luma, u and v of an image that is halved and interpolated, in 1/128, (rows, columns, 3)."""
    height, width = pixels.shape[0] // 2, pixels.shape[1] // 2
    sums = _sum_of_pairs(pixels.reshape(-1, width, 4).astype(np.int64), height, 0)
    mixed = np.einsum("yr,rck->yck", rows.weights(height), sums)
    luma, u, v = yuv
    mixed = np.stack([mixed[..., luma] + mixed[..., luma + 2], 2 * mixed[..., u], 2 * mixed[..., v]], axis=-1)
    return _between_columns(mixed, columns)


def _between_columns(mixed: NDArray[np.int64], columns: Places) -> NDArray[np.int64]:
    """Return new columns of luma, u and v: each of two products is rounded down."""
    has_next = columns.next_weight > 0
    weight = np.where(has_next, columns.next_weight, 16).astype(np.int64)[:, np.newaxis]
    left, right = mixed[:, columns.first], mixed[:, columns.first + has_next]
    return left * (32 - weight) // 32 + right * weight // 32


def _rgb_of_yuv(yuv: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return uint8 red, green and blue of luma, u and v in 1/128, (height, width, 3).

    Source: ITU-R BT.601, with black at 16 and white at 235. Products are rounded down to 1/32, as are those of grey,
    which u and v are relative to.
    """
    luma, u, v = np.moveaxis(yuv, -1, 0)
    gray = np.maximum(luma - 16 * 128, 0) * 19077 // 65536
    red = gray + v * 2 * 13075 // 65536 - 13075 * 128 // 256
    green = gray - u * 2 * 3203 // 65536 - v * 2 * 6660 // 65536 + (3203 + 6660) * 128 // 256
    blue = gray + u * 2 * 16531 // 65536 - 16531 * 128 // 256
    return np.clip((np.stack([red, green, blue], axis=-1) + 16) // 32, 0, 255).astype(np.uint8)


def _sum_of_pairs(numbers: NDArray[np.int64], count: int, axis: int) -> NDArray[np.int64]:
    former, latter = (numbers.take(np.arange(count) * 2 + offset, axis) for offset in (0, 1))
    return former + latter
