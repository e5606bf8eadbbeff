"""Find out which depths inside a mask are those of the object: masks also cover background, and edges mix both."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

#: Standard deviation of a depth camera's noise: this much, and this much times the square of the depth.
#: Source: K. Khoshelham, S. Oude Elberink, Accuracy and resolution of Kinect depth data, Sensors 12(2), 2012.
_NOISE_M, _NOISE_PER_M = 0.005, 0.0015
#: Depths that are twice this many standard deviations apart are not neighbours,
_BIN_SIGMAS = 3.0
#: unless they are those of neighbouring pixels of a surface that is this steep: tangent of 85 degrees.
_STEEPEST = 12.0
#: A bin of the histogram that holds a smaller part of the depths is empty but for outliers ...
_DENSE_SHARE = 0.001
#: ... and, beyond three standard deviations, one that holds a smaller part for its width in metres. The side of a box
#: seen at a flat angle holds more, what the masks of real images cover of the background beside an object less.
_DENSE_SHARE_PER_M = 0.05
#: All farther depths are in the last bin: bins are 15 mm wide near by, 0.5 m at 10 m.
_MAX_BINS = 400
#: The median is that of about so many depths.
_MEDIAN_SAMPLES = 256
#: Ratio of the standard deviation to the median absolute deviation of a normal distribution.
#: Source: P. Rousseeuw, C. Croux, Alternatives to the median absolute deviation, JASA 88, 1993.
_MAD_TO_SIGMA = 1.4826


def object_interval(
    depth_m: NDArray[np.float32], num_inner: int, mode_share: float, pixel: float, outline_px: float
) -> tuple[float, float]:
    """Return the lowest and highest depth of the object that a mask shows.

    The depths inside a mask fall into groups with gaps between them: the object, what its mask covers of the
    background, and outliers. The nearest group that holds enough of the inner depths is the object. If none does, the
    depths are too few or too scattered to be grouped, and all are one group. Of the group counts what lies within 3
    standard deviations of the median, by the median absolute deviation, and beyond what follows densely: that gate
    alone would cut the side off a box that is seen from the front, since most depths are those of the front. Depths
    along the outline join as far as they follow without a gap.

    Args:
        depth_m: float32 (n,), valid depths in metres; those along the outline of the mask come last.
        num_inner: number of depths before them, 1 or more.
        mode_share: the nearest group that holds this part of the inner depths is the object, 0 to 1.
        pixel: width of a pixel at depth 1.
        outline_px: width of the outline in pixels.
    """
    step = 1 + num_inner // _MEDIAN_SAMPLES
    sampled_m = depth_m[:num_inner:step]
    median_m = _median(sampled_m)
    bin_m = max(_BIN_SIGMAS * _noise_m(median_m), _STEEPEST * pixel * median_m)
    nearest_m = float(depth_m.min())
    bins = np.minimum((depth_m - np.float32(nearest_m)) * np.float32(1 / bin_m), _MAX_BINS - 1).astype(np.intp)
    inner_counts = np.bincount(bins[:num_inner], minlength=_MAX_BINS)
    counts = inner_counts + np.bincount(bins[num_inner:], minlength=_MAX_BINS)
    group = _nearest_group(inner_counts.tolist(), _DENSE_SHARE * num_inner, mode_share * num_inner)
    if group is None:
        return _gate(sampled_m)
    of_group_m = sampled_m[_is_between(bins[:num_inner:step], group)]
    if not len(of_group_m):
        of_group_m = depth_m[:num_inner][_is_between(bins[:num_inner], group)]
    gated = tuple((edge_m - nearest_m) / bin_m for edge_m in _gate(of_group_m))
    far_share = max(_DENSE_SHARE, _DENSE_SHARE_PER_M * bin_m)

    def is_dense(index: int, counts: NDArray[np.intp], total: int) -> bool:
        is_gated = gated[0] - 1 < index < gated[1]
        return bool(counts[index] > (_DENSE_SHARE if is_gated else far_share) * total)

    first = min(max(int((_median(of_group_m) - nearest_m) / bin_m), group[0]), group[1] - 1)
    start, stop = _grown((first, first + 1), lambda index: is_dense(index, inner_counts, num_inner), group)
    growth = math.ceil(outline_px * _STEEPEST * pixel * median_m / bin_m)
    within = max(start - growth, 0), min(stop + growth, _MAX_BINS)
    start, stop = _grown((start, stop), lambda index: is_dense(index, counts, len(depth_m)), within)
    # Less than half a bin apart is no gap.
    return nearest_m + (start - 0.5) * bin_m, nearest_m + (stop + 0.5) * bin_m


def _gate(depth_m: NDArray[np.float32]) -> tuple[float, float]:
    """Return the depths three standard deviations from the median, by the median absolute deviation."""
    median_m = _median(depth_m)
    deviation_m = _MAD_TO_SIGMA * _median(np.abs(depth_m - median_m))
    reach_m = 3 * max(deviation_m, _noise_m(median_m))
    return median_m - reach_m, median_m + reach_m


def _median(values: NDArray[np.float32]) -> float:
    """Return the upper median; NumPy's own takes five times as long for a few hundred values."""
    middle = len(values) // 2
    return float(np.partition(values, middle)[middle])


def _noise_m(depth_m: float) -> float:
    return _NOISE_M + _NOISE_PER_M * depth_m**2


def _nearest_group(counts: Sequence[int], empty_count: float, group_count: float) -> tuple[int, int] | None:
    """Return the first and last + 1 bin of the nearest group that is large enough; None if there is none.

    Args:
        counts: of the depths in each bin.
        empty_count: a bin with more depths is in a group.
        group_count: a group has at least so many.
    """
    start = held = 0
    for index, count in enumerate((*counts, 0)):
        if count > empty_count:
            held += count
        elif held >= group_count:
            return start, index
        else:
            start, held = index + 1, 0
    return None


def _is_between(bins: NDArray[np.intp], group: tuple[int, int]) -> NDArray[np.bool_]:
    return (bins >= group[0]) & (bins < group[1])


def _grown(bins: tuple[int, int], is_dense: Callable[[int], bool], within: tuple[int, int]) -> tuple[int, int]:
    """Return bins (first, last + 1) with the dense ones that follow on both sides, inside of other bins.

    Source: a high threshold for what is kept and a lower one for what is joined to it, as in J. Canny, A computational
    approach to edge detection, IEEE PAMI 8(6), 1986.
    """
    start, stop = bins
    while start > within[0] and is_dense(start - 1):
        start -= 1
    while stop < within[1] and is_dense(stop):
        stop += 1
    return start, stop
