"""Test which depths inside a mask are taken for the object's."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.depth_interval import object_interval


def kept(depth_m, is_inner=None, mode_share=0.25):
    """Return which depths lie in the interval of one object."""
    depth_m = np.asarray(depth_m, np.float32)
    is_inner = np.ones(len(depth_m), bool) if is_inner is None else is_inner
    sorted_m = np.concatenate((depth_m[is_inner], depth_m[~is_inner]))
    low_m, high_m = object_interval(sorted_m, int(is_inner.sum()), mode_share, pixel=1 / 525, outline_px=2)
    return (depth_m >= low_m) & (depth_m <= high_m)


@pytest.fixture
def front(rng):
    return rng.normal(2.0, 0.01, 700)


def test_background_behind_a_gap_is_left_out(front, rng):
    background = rng.normal(3.5, 0.02, 300)
    assert kept(np.concatenate((front, background))).tolist() == [True] * 700 + [False] * 300


def test_the_nearer_of_two_large_groups_is_the_object(front, rng):
    # More background than object, as through the back of a chair.
    background = rng.normal(3.0, 0.02, 1400)
    assert kept(np.concatenate((background, front))).tolist() == [False] * 1400 + [True] * 700


def test_a_small_group_in_front_is_not_the_object(front, rng):
    # A cable or an arm of the robot itself.
    nearer = rng.normal(1.2, 0.01, 100)
    assert kept(np.concatenate((nearer, front))).tolist() == [False] * 100 + [True] * 700


def test_single_outliers_are_left_out(front):
    outliers = [0.4, 1.1, 2.6, 5.0, 9.9]
    assert not kept(np.concatenate((front, outliers)))[-5:].any()


def test_a_side_that_recedes_from_the_front_is_kept(front, rng):
    # The deviation of the front is 1 cm: three of them would leave out all of the side but its first 3 cm.
    side = rng.uniform(2.0, 2.5, 100)
    assert kept(np.concatenate((front, side))).all()


def test_mixed_depths_of_an_outline_are_left_out(front, rng):
    # A fiftieth of the depths, evenly between the object and a wall.
    mixed = rng.uniform(2.2, 4.0, 15)
    depth_m = np.concatenate((front, mixed, rng.normal(4.0, 0.02, 60)))
    is_inner = np.arange(len(depth_m)) < 700
    assert not kept(depth_m, is_inner)[720:].any()


def test_an_outline_that_follows_without_a_gap_is_kept(rng):
    # The rim of a ball: its last pixels recede steeply.
    inner, rim = rng.uniform(1.7, 1.9, 900), rng.uniform(1.9, 1.98, 100)
    depth_m = np.concatenate((inner, rim))
    assert kept(depth_m, np.arange(1000) < 900).all()


def test_few_scattered_depths_are_gated_by_their_deviation():
    depth_m = np.array([2.0, 2.2, 2.4, 2.6, 2.8, 3.0, 9.0])
    assert kept(depth_m, mode_share=0.5).tolist() == [True] * 6 + [False]


def test_a_small_share_is_a_group_though_no_sample_meets_it(rng):
    # Of 6,000 depths some 250 are sampled, every 24th: the nearer group lies between two of them.
    depth_m = rng.normal(3.0, 0.005, 6000)
    depth_m[1:20] = rng.normal(1.5, 0.001, 19)
    assert kept(depth_m, mode_share=0.002).nonzero()[0].tolist() == list(range(1, 20))


def test_a_flat_thing_at_the_edge_of_a_bin_is_found():
    for distance_mm in range(300, 6000, 7):
        depth_m = np.full(200, distance_mm, np.float32) * np.float32(1e-3)
        depth_m[:3] = 0.2
        assert kept(depth_m).tolist() == [False] * 3 + [True] * 197
