"""Follow objects over time by the numbers of their tracks: velocity, steady axes, and a smoothed position if wanted."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: A track that is not seen for longer than this begins anew.
_FORGET_S = 2.0
#: Fewer positions say nothing of a velocity.
_MIN_POSITIONS = 3


@dataclass(frozen=True)
class Motion:
    """The position of an object, and how it moves.

    Attributes:
        position_m: float64 (3,), as measured, or smoothed.
        velocity_m_s: float64 (3,); None as long as it is not known.
    """

    position_m: NDArray[np.float64]
    velocity_m_s: NDArray[np.float64] | None


@dataclass
class _Track:
    smoothed_m: NDArray[np.float64]
    yaw_rad: float
    stamps_s: deque[float] = field(default_factory=deque)
    positions_m: deque[NDArray[np.float64]] = field(default_factory=deque)


class ObjectTracks:
    """The history of the objects seen of late, by the number of their track.

    Args:
        window_s: a velocity is that of so many seconds.
        smoothing_s: time constant of the smoothing of positions; 0: none.
    """

    def __init__(self, window_s: float, smoothing_s: float) -> None:
        self._window_s = window_s
        self._smoothing_s = smoothing_s
        self._tracks: dict[int, _Track] = {}

    def clear(self) -> None:
        """Forget all tracks."""
        self._tracks.clear()

    def yaw_rad(self, number: int) -> float:
        """Return the last angle of an object; 0 of one that is new."""
        track = self._tracks.get(number)
        return 0.0 if track is None else track.yaw_rad

    def update(self, number: int, stamp_s: float, position_m: NDArray[np.float64], yaw_rad: float) -> Motion:
        """Add where an object is now; return how it moves.

        Velocity is the slope of the straight line through the positions of the last seconds. The smoothed position
        follows the measured one with a time constant, whatever the rate is.

        Args:
            number: of the track.
            stamp_s: of the image.
            position_m: float64 (3,), in a frame that is the same each time.
            yaw_rad: angle of its box.

        Source: C. F. Gauss, Theoria motus, 1809 (least squares); R. G. Brown, Exponential smoothing, 1956.
        """
        track = self._tracks.get(number)
        if track is None or not 0 < stamp_s - track.stamps_s[-1] <= _FORGET_S:
            track = self._tracks[number] = _Track(position_m, yaw_rad)
        elif self._smoothing_s:
            weight = 1 - math.exp((track.stamps_s[-1] - stamp_s) / self._smoothing_s)
            track.smoothed_m = track.smoothed_m + weight * (position_m - track.smoothed_m)
        else:
            track.smoothed_m = position_m
        track.yaw_rad = yaw_rad
        track.stamps_s.append(stamp_s)
        track.positions_m.append(position_m)
        while track.stamps_s[0] < stamp_s - self._window_s:
            track.stamps_s.popleft()
            track.positions_m.popleft()
        return Motion(track.smoothed_m, _slope(track))

    def forget_before(self, stamp_s: float) -> None:
        """Forget the objects that were last seen too long before a time."""
        self._tracks = {
            number: track for number, track in self._tracks.items() if track.stamps_s[-1] >= stamp_s - _FORGET_S
        }


def _slope(track: _Track) -> NDArray[np.float64] | None:
    if len(track.stamps_s) < _MIN_POSITIONS:
        return None
    stamps_s = np.array(track.stamps_s) - track.stamps_s[-1]
    centered_s = stamps_s - stamps_s.mean()
    slope: NDArray[np.float64] = centered_s @ np.array(track.positions_m) / (centered_s @ centered_s)
    return slope
