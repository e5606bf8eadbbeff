"""Find out which depths inside a mask are those of the object: masks also cover background, and edges mix both."""

from __future__ import annotations

import math

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
    depth_m: NDArray[np.float32], is_inner: NDArray[np.bool_], mode_share: float, pixel: float, outline_px: float
) -> tuple[float, float]:
    """Return the lowest and highest depth of the object that a mask shows.

    The depths inside a mask fall into groups with gaps between them: the object, what its mask covers of the
    background, and outliers. The nearest group that holds enough of the inner depths is the object. If none does, the
    depths are too few or too scattered to be grouped, and all are one group. Of the group counts what lies within 3
    standard deviations of the median, by the median absolute deviation, and beyond what follows densely: that gate
    alone would cut the side off a box that is seen from the front, since most depths are those of the front. Depths
    along the outline join as far as they follow without a gap.

    Args:
        depth_m: float32 (n,), valid depths in metres.
        is_inner: bool (n,), False along the outline of the mask; True for one depth at least.
        mode_share: the nearest group that holds this part of the inner depths is the object, 0 to 1.
        pixel: width of a pixel at depth 1.
        outline_px: width of the outline in pixels.
    """
    inner_m = depth_m[is_inner]
    sampled_m = inner_m[:: 1 + len(inner_m) // _MEDIAN_SAMPLES]
    median_m = _median(sampled_m)
    bin_m = max(_BIN_SIGMAS * _noise_m(median_m), _STEEPEST * pixel * median_m)
    nearest_m = float(depth_m.min())
    bins = np.minimum((depth_m - np.float32(nearest_m)) * np.float32(1 / bin_m), _MAX_BINS - 1).astype(np.intp)
    counts = np.bincount(bins)
    inner_counts = np.bincount(bins[is_inner], minlength=len(counts))
    group = _nearest_group(inner_counts, mode_share)
    if group is None:
        return _gate(sampled_m)
    edges_m = nearest_m + bin_m * np.arange(len(counts) + 1)
    of_group_m = sampled_m[(sampled_m >= edges_m[group[0]]) & (sampled_m <= edges_m[group[1]])]
    low_m, high_m = _gate(of_group_m)
    is_gated = (edges_m[1:] > low_m) & (edges_m[:-1] < high_m)
    share = np.where(is_gated, _DENSE_SHARE, max(_DENSE_SHARE, _DENSE_SHARE_PER_M * bin_m))
    first = min(int((_median(of_group_m) - nearest_m) / bin_m), group[1] - 1)
    start, stop = _grown((first, first + 1), inner_counts > share * len(inner_m), group)
    growth = math.ceil(outline_px * _STEEPEST * pixel * median_m / bin_m)
    start, stop = _grown((start, stop), counts > share * len(depth_m), (start - growth, stop + growth))
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


def _nearest_group(counts: NDArray[np.intp], share: float) -> tuple[int, int] | None:
    """Return the first and last + 1 bin of the nearest group that holds a share of all; None if there is none."""
    total = int(counts.sum())
    edges = np.flatnonzero(np.diff(counts > _DENSE_SHARE * total, prepend=False, append=False))
    cumulated = np.concatenate(([0], np.cumsum(counts)))
    for start, stop in edges.reshape(-1, 2).tolist():
        if cumulated[stop] - cumulated[start] >= share * total:
            return start, stop
    return None


def _grown(bins: tuple[int, int], is_dense: NDArray[np.bool_], within: tuple[int, int]) -> tuple[int, int]:
    """Return bins (first, last + 1) with the dense ones that follow on both sides, inside of other bins.

    Source: a high threshold for what is kept and a lower one for what is joined to it, as in J. Canny, A computational
    approach to edge detection, IEEE PAMI 8(6), 1986.
    """
    start, stop = bins
    dense = is_dense.tolist()
    while start > max(within[0], 0) and dense[start - 1]:
        start -= 1
    while stop < min(within[1], len(dense)) and dense[stop]:
        stop += 1
    return start, stop
