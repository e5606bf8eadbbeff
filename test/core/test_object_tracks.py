"""Test velocities, smoothing and axes of tracks."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.object_tracks import ObjectTracks


def walk(tracks, stamps_s, velocity=(0.5, -0.2, 0.0), noise=None, number=3):
    """Return the motion after a straight walk."""
    motion = None
    for index, stamp_s in enumerate(stamps_s):
        position = np.array(velocity) * stamp_s + (0 if noise is None else noise[index])
        motion = tracks.update(number, stamp_s, position, 0.1)
    return motion


def test_the_velocity_is_that_of_the_walk():
    motion = walk(ObjectTracks(1.0, 0.0), np.arange(0, 2, 0.1))
    assert motion.velocity_m_s == pytest.approx((0.5, -0.2, 0.0))


def test_lost_images_do_no_harm():
    stamps_s = np.array([10.0, 10.1, 10.4, 10.5, 11.0, 11.1])
    assert walk(ObjectTracks(1.0, 0.0), stamps_s).velocity_m_s == pytest.approx((0.5, -0.2, 0.0))


def test_noise_is_averaged(rng):
    noise = rng.normal(0, 0.01, (60, 3))
    motion = walk(ObjectTracks(1.0, 0.0), np.arange(60) / 30, noise=noise)
    assert motion.velocity_m_s == pytest.approx((0.5, -0.2, 0.0), abs=0.03)


def test_two_positions_say_nothing():
    assert walk(ObjectTracks(1.0, 0.0), [0.0, 0.1]).velocity_m_s is None


def test_only_the_last_seconds_count():
    tracks = ObjectTracks(0.5, 0.0)
    walk(tracks, np.arange(0, 1, 0.1), velocity=(5.0, 0, 0))
    motion = walk(tracks, np.arange(1, 2, 0.1), velocity=(0.0, 0, 0))
    assert motion.velocity_m_s == pytest.approx((0, 0, 0), abs=1e-9)


def test_positions_are_as_measured_by_default():
    tracks = ObjectTracks(1.0, 0.0)
    tracks.update(1, 0.0, np.zeros(3), 0.0)
    assert tracks.update(1, 0.1, np.ones(3), 0.0).position_m == pytest.approx(1.0)


@pytest.mark.parametrize("rate_hz", [10, 50])
def test_smoothing_does_not_depend_on_the_rate(rate_hz):
    tracks = ObjectTracks(1.0, smoothing_s=0.5)
    tracks.update(1, 0.0, np.zeros(3), 0.0)
    for index in range(1, rate_hz + 1):
        motion = tracks.update(1, index / rate_hz, np.ones(3), 0.0)
    assert motion.position_m == pytest.approx(1 - np.exp(-2))


@pytest.mark.parametrize("stamp_s", [4.0, 0.5, 1.9], ids=["long away", "back in time", "the same again"])
def test_a_track_begins_anew(stamp_s):
    tracks = ObjectTracks(1.0, 0.5)
    walk(tracks, np.arange(0, 2, 0.1))
    if stamp_s == 1.9:
        tracks.update(3, 1.9, np.zeros(3), 0.0)
    motion = tracks.update(3, stamp_s, np.array((9.0, 9.0, 9.0)), 0.0)
    assert motion.velocity_m_s is None
    assert motion.position_m == pytest.approx(9.0)


def test_axes_are_kept_until_the_track_is_forgotten():
    tracks = ObjectTracks(1.0, 0.0)
    tracks.update(5, 1.0, np.zeros(3), 0.7)
    assert (tracks.yaw_rad(5), tracks.yaw_rad(6)) == (0.7, 0.0)
    tracks.forget_before(2.9)
    assert tracks.yaw_rad(5) == 0.7
    tracks.forget_before(3.1)
    assert tracks.yaw_rad(5) == 0.0
