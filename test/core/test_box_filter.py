"""Test the Kalman filter against the matrices of the textbook, and against what must come out."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core import box_filter
from yolov8_seg_ros.core.box_filter import BoxFilter

ALL = np.array([0], np.intp)


def box(x, y, width=40.0, height=80.0):
    return np.array([[x - width / 2, y - height / 2, x + width / 2, y + height / 2]], np.float32)


def test_it_is_the_filter_of_the_textbook():
    rng = np.random.default_rng(4)
    boxes = BoxFilter.of_boxes(box(100, 100))
    size = np.sqrt(40.0 * 80.0)
    state = np.array([100.0, 0.0])
    covariance = np.diag([(box_filter.MEASUREMENT_NOISE * size) ** 2, (box_filter.FIRST_VELOCITY * size) ** 2])

    for _ in range(20):
        step_s, measured = rng.uniform(0.01, 0.5), 100 + rng.normal(0, 10)
        noise = (box_filter.CENTRE_ACCELERATION * np.sqrt(np.prod(boxes.value[0, 2:]))) ** 2
        transition = np.array([[1, step_s], [0, 1]])
        covariance = transition @ covariance @ transition.T + noise * np.array(
            [[step_s**3 / 3, step_s**2 / 2], [step_s**2 / 2, step_s]]
        )
        state = transition @ state
        gain = covariance[:, 0] / (covariance[0, 0] + (box_filter.MEASUREMENT_NOISE * size) ** 2)
        state = state + gain * (measured - state[0])
        covariance = covariance - np.outer(gain, covariance[0])

        boxes.predict(step_s)
        boxes.correct(ALL, box(measured, 100))

        assert (boxes.value[0, 0], boxes.velocity[0, 0]) == pytest.approx(tuple(state), rel=1e-5)
        variances = boxes.value_variance[0, 0], boxes.covariance[0, 0], boxes.velocity_variance[0, 0]
        assert variances == pytest.approx((covariance[0, 0], covariance[0, 1], covariance[1, 1]), rel=1e-5)


def test_one_long_step_is_two_short_ones():
    once, twice = BoxFilter.of_boxes(box(50, 60)), BoxFilter.of_boxes(box(50, 60))
    for boxes in (once, twice):
        boxes.velocity[:] = (30, -10, 0, 0)
    once.predict(0.6)
    twice.predict(0.2)
    twice.predict(0.4)

    assert once.value == pytest.approx(twice.value)
    assert once.value_variance == pytest.approx(twice.value_variance)
    assert once.covariance == pytest.approx(twice.covariance)
    assert once.velocity_variance == pytest.approx(twice.velocity_variance)


def test_the_velocity_of_a_steady_box_is_found():
    boxes = BoxFilter.of_boxes(box(0, 100))
    for index in range(1, 40):
        boxes.predict(0.1)
        boxes.correct(ALL, box(index * 3, 100))
    assert boxes.velocity[0, :2] == pytest.approx((30, 0), abs=0.5)


def test_no_time_changes_nothing():
    boxes = BoxFilter.of_boxes(box(5, 5))
    boxes.predict(0.0)
    assert boxes.value_variance == pytest.approx(BoxFilter.of_boxes(box(5, 5)).value_variance)


def test_no_side_shrinks_below_a_pixel():
    boxes = BoxFilter.of_boxes(box(50, 50))
    boxes.velocity[:, 2:] = -1000
    boxes.predict(1.0)
    assert boxes.value[0, 2:].tolist() == [1.0, 1.0]


def test_boxes_move_and_grow_with_the_image():
    boxes = BoxFilter.of_boxes(box(100, 50))
    boxes.velocity[:] = (10, 0, 2, 2)
    quarter_turn_twice_as_large = np.array([[0.0, -2.0, 7.0], [2.0, 0.0, 3.0]])
    boxes.transform(quarter_turn_twice_as_large)

    assert boxes.value[0].tolist() == pytest.approx([-93, 203, 80, 160])
    assert boxes.velocity[0].tolist() == pytest.approx([0, 20, 4, 4])
