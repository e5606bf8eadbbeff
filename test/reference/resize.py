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
    pixels: NDArray[np.uint8], columns: Places, rows: Places, num_halvings: int, rgb: tuple[int, int, int], flip: int
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
        num_halvings: how often the image is halved first: once at most, and once or twice where it is YUV.
        rgb: which channels are red, green and blue; of a pair in YUV, which of its four bytes are the first luma, u, v.
        flip: 0 to 255.
    """
    if pixels.shape[2] == 2:
        return _rgb_of_yuv(_resize_pairs(pixels, columns, rows, num_halvings, rgb)) ^ np.uint8(flip)
    old = pixels.astype(np.int64)
    if num_halvings:
        old = (_sum_of(_sum_of(old, 2, 0), 2, 1) + 2) // 4
    sums = np.einsum("yr,rck->yck", rows.weights(old.shape[0]), old)
    sums = np.einsum("xc,yck->yxk", columns.weights(old.shape[1]), sums)
    means = (sums + 512) // 1024
    return means[..., list(rgb)].astype(np.uint8) ^ np.uint8(flip)


def resize_planes(
    planes: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]],
    columns: Places,
    rows: Places,
    num_halvings: int,
    flip: int,
) -> NDArray[np.uint8]:
    """Return an image in another size, uint8 (rows, columns, 3), which is halved, interpolated and converted.

    Args:
        planes: luma, uint8 (2 * height, 2 * width), u and v, uint8 (height, width).
        columns: where the new columns lie, after halving.
        rows: where the new rows lie, after halving.
        num_halvings: 1, or 2.
        flip: 0 to 255.
    """
    luma, u, v = (plane.astype(np.int64)[..., np.newaxis] for plane in planes)
    # Luma is halved once along a row before it is rounded, and u and v once less.
    luma = _mixed(_sum_of(luma, 2, 1), rows, 2 * num_halvings)
    u, v = (_mixed(plane if num_halvings == 2 else 4 * plane, rows, num_halvings) for plane in (u, v))
    if num_halvings == 2:
        luma, u, v = (_sum_of(mixed, 2, 1) for mixed in (luma, u, v))
    return _rgb_of_yuv(_between_columns(np.concatenate([luma, u, v], axis=-1), columns)) ^ np.uint8(flip)


def _resize_pairs(
    pixels: NDArray[np.uint8], columns: Places, rows: Places, num_halvings: int, yuv: tuple[int, int, int]
) -> NDArray[np.int64]:
    """Return luma, u and v of an image that is halved and interpolated, in 1/128, (rows, columns, 3)."""
    mixed = _mixed(pixels.reshape(len(pixels), -1, 4).astype(np.int64), rows, 2 * num_halvings)
    mixed = _sum_of(mixed, num_halvings, 1)
    luma, u, v = yuv
    mixed = np.stack([mixed[..., luma] + mixed[..., luma + 2], 2 * mixed[..., u], 2 * mixed[..., v]], axis=-1)
    return _between_columns(mixed, columns)


def _mixed(numbers: NDArray[np.int64], rows: Places, count: int) -> NDArray[np.int64]:
    """Return rows between sums of `count` rows; of four a quarter, rounded, since later sums would not fit 16 bits."""
    sums = _sum_of(numbers, count, 0)
    mixed = np.einsum("yr,rck->yck", rows.weights(len(sums)), sums)
    return (mixed + 2) // 4 if count == 4 else mixed


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


def _sum_of(numbers: NDArray[np.int64], count: int, axis: int) -> NDArray[np.int64]:
    """Return the sums of so many numbers along an axis; what is left at its end is left out."""
    indices = np.arange(numbers.shape[axis] // count)
    return sum(numbers.take(indices * count + offset, axis) for offset in range(count))  # type: ignore[return-value]
