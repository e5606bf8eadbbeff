"""Test that one object keeps one number, through all that cameras, clocks and detectors do."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given, strategies
from support.properties import examples

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import NO_TRACK, BoxMask, Instances
from yolov8_seg_ros.core.iou import box_iou
from yolov8_seg_ros.core.options import TrackerOptions
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.media.scene import SyntheticScene

IMAGE_HW = (480, 640)
CAR, TRUCK, PERSON = 2, 7, 0
YEAR_S = 3.156e7


def found(*boxes, image_hw=IMAGE_HW):
    """Build instances of (x, y of the centre, width, height, class, score); what is left out is the default."""
    defaults = (0, 0, 40, 80, PERSON, 0.9)
    rows = [(*box, *defaults[len(box) :]) for box in boxes]
    table = np.array(rows, np.float64).reshape(-1, 6)
    centre, half = table[:, :2], table[:, 2:4] / 2
    return Instances(
        image_hw=image_hw,
        xyxy=np.hstack((centre - half, centre + half)).astype(np.float32),
        score=table[:, 5].astype(np.float32),
        class_id=table[:, 4].astype(np.int64),
    )


def follow(images, fps=10.0, options=None):
    """Return the track ids of each image."""
    tracker = Tracker(options)
    return [tracker.update(instances, index / fps).track_id.tolist() for index, instances in enumerate(images)]


def test_numbers_begin_at_one_and_stay():
    assert follow([found((100, 100), (300, 100))] * 3) == [[1, 2]] * 3


def test_objects_are_found_again_in_any_order():
    assert follow([found((100, 100), (300, 100)), found((300, 100), (100, 100))]) == [[1, 2], [2, 1]]


@pytest.mark.parametrize("fps", [25.0, 5.0, 2.0], ids=str)
def test_crossing_objects_keep_their_numbers(fps):
    times = np.arange(0, 4, 1 / fps)
    images = [found((100 + 100 * t, 200), (500 - 100 * t, 215)) for t in times]
    assert follow(images, fps) == [[1, 2]] * len(images)


@pytest.mark.parametrize("kind", ["every third", "now and then", "half of the time"])
def test_an_object_of_a_changing_class_is_one(kind):
    flips = {"every third": (0, 0, 1), "now and then": (0,) * 7 + (1,), "half of the time": (0, 0, 1, 1)}[kind]
    images = [found((100 + 4 * k, 200, 80, 50, TRUCK if flips[k % len(flips)] else CAR)) for k in range(40)]
    assert follow(images) == [[1]] * 40


def test_one_box_of_two_classes_is_one_object():
    images = [found((100 + 4 * k, 200, 80, 50, CAR, 0.9), (100 + 4 * k, 200, 80, 50, TRUCK, 0.6)) for k in range(10)]
    assert follow(images) == [[1, NO_TRACK]] * 10


def test_what_an_object_carries_is_another_one():
    images = [found((100 + 4 * k, 200), (110 + 4 * k, 210, 16, 20, 26)) for k in range(10)]
    assert follow(images) == [[1, 2]] * 10


def test_a_double_gets_no_number_and_stays_in_the_result():
    images = [found((100, 200), (300, 200)), found((100, 200), (302, 200), (100, 180, 38, 42, PERSON, 0.8))] * 5
    assert follow(images) == [[1, 2], [1, 2, NO_TRACK]] * 5


def test_the_number_stays_with_the_better_box_when_doubles_take_turns():
    whole, upper = (100, 200, 40, 80), (100, 185, 38, 50)
    images = [found((*whole, PERSON, 0.9), (*upper, PERSON, 0.5)), found((*upper, PERSON, 0.8))] * 6
    assert {track_id for ids in follow(images) for track_id in ids} == {1, NO_TRACK}


@pytest.mark.parametrize(("gap_s", "same"), [(0.5, True), (1.9, True), (2.1, False), (3 * YEAR_S, False)], ids=str)
def test_a_gap_ends_a_track_when_it_is_longer_than_the_lost_time(gap_s, same):
    tracker = Tracker(TrackerOptions(lost_s=2.0))
    first = tracker.update(found((100, 100)), 50.0).track_id
    again = tracker.update(found((100, 100)), 50.0 + gap_s).track_id
    assert (first.tolist() == again.tolist()) is same


def test_an_object_that_is_not_seen_for_a_while_moves_on():
    images = [found((100 + 10 * k, 200)) if not 10 <= k < 20 else found() for k in range(30)]
    assert {track_id for ids in follow(images) for track_id in ids} == {1}


def test_numbers_are_never_used_again():
    tracker, seen = Tracker(), set()
    for round_number in range(5):
        ids = set(tracker.update(found((100, 100), (300, 100)), round_number * 100.0).track_id.tolist())
        assert not ids & seen
        seen |= ids
        tracker.reset()


@pytest.mark.parametrize(
    "second",
    [
        pytest.param((found((100, 100)), 9.9), id="a clock that runs backwards"),
        pytest.param((found((100, 100), image_hw=(240, 320)), 10.1), id="an image of another size"),
    ],
)
def test_all_tracks_end_with(second):
    tracker = Tracker()
    tracker.update(found((100, 100)), 10.0)
    assert tracker.update(*second).track_id.tolist() == [2]


@pytest.mark.parametrize("stamp_s", [math.nan, math.inf, -math.inf], ids=str)
def test_a_stamp_that_is_no_number_is_refused(stamp_s):
    tracker = Tracker()
    tracker.update(found((100, 100)), 1.0)
    with pytest.raises(ValueError, match="stamp_s"):
        tracker.update(found((100, 100)), stamp_s)
    assert tracker.update(found((100, 100)), 1.1).track_id.tolist() == [1]


def test_weak_instances_continue_tracks_but_begin_none():
    weak, strong = (100, 100, 40, 80, PERSON, 0.3), (100, 100, 40, 80, PERSON, 0.5)
    assert follow([found(weak), found(strong), found(weak)]) == [[NO_TRACK], [1], [1]]


def test_a_number_comes_after_the_confirm_time():
    ids = follow([found((100, 100))] * 6, fps=10.0, options=TrackerOptions(confirm_s=0.25))
    assert [track_ids[0] for track_ids in ids] == [NO_TRACK] * 3 + [1] * 3


def test_what_vanishes_before_it_is_confirmed_is_forgotten():
    images = [found((100, 100)), found(), found((100, 100)), found((100, 100)), found((100, 100))]
    ids = follow(images, fps=10.0, options=TrackerOptions(confirm_s=0.15))
    assert ids == [[NO_TRACK], [], [NO_TRACK], [NO_TRACK], [2]]


def with_halves(instances, *halves):
    """Add masks that fill the upper or the lower half of each box."""
    masks = []
    for (left, top, right, bottom), half in zip(instances.xyxy.astype(int).tolist(), halves, strict=True):
        bitmap = np.zeros((bottom - top, right - left), np.bool_)
        middle = len(bitmap) // 2
        bitmap[slice(0, middle) if half == "upper" else slice(middle, None)] = True
        masks.append(BoxMask((left, top), bitmap))
    return replace(instances, masks=tuple(masks))


@pytest.mark.parametrize(("masks", "ids"), [(False, [1, 2]), (True, [2, 1])], ids=["without masks", "with masks"])
def test_masks_decide_where_boxes_leave_a_choice(masks, ids):
    apart = found((100, 100, 60, 60), (200, 100, 60, 60))
    together = found((149, 100, 60, 60), (151, 100, 60, 60))
    if masks:
        apart, together = with_halves(apart, "upper", "lower"), with_halves(together, "lower", "upper")
    assert follow([apart, together]) == [[1, 2], ids]


def test_nothing_is_changed_but_the_number():
    tracker = Tracker()
    instances = found((100, 100), (300, 100), (301, 100))
    tracked = tracker.update(instances, 0.0)
    assert tracked.xyxy is instances.xyxy
    assert tracked.score is instances.score
    assert tracked.class_id is instances.class_id
    assert tracked.image_hw == instances.image_hw
    assert tracked.track_id.dtype == np.int64


def disturbed(truth, rng):
    """Return what a poor detector finds of a scene: boxes that jitter, other classes, and not all of them."""
    edges = truth.xyxy + rng.normal(0, 2, truth.xyxy.shape)
    return replace(
        truth,
        xyxy=edges.astype(np.float32),
        score=np.sort(rng.uniform(0.4, 0.95, len(truth)))[::-1].astype(np.float32),
        class_id=np.where(rng.random(len(truth)) < 0.2, (truth.class_id + 1) % 3, truth.class_id),
        track_id=None,
    )[rng.random(len(truth)) > 0.1]


@pytest.mark.parametrize("seed", range(6))
def test_shapes_that_pass_behind_each_other_keep_their_numbers(seed):
    scene, rng, tracker = SyntheticScene((240, 320), seed, num_shapes=5), np.random.default_rng(seed), Tracker()
    numbers, last_seen_s, changes = {}, {}, 0
    for index in range(0, 200, 2):
        stamp_s, truth = index / 25, scene.truth(index)
        tracked = tracker.update(disturbed(replace(truth, masks=None), rng), stamp_s)
        nearest = box_iou(tracked.xyxy, truth.xyxy).argmax(axis=1) if len(tracked) else []
        for track_id, row in zip(tracked.track_id.tolist(), nearest, strict=True):
            shape = int(truth.track_id[row])
            if track_id == NO_TRACK:
                continue
            is_back = stamp_s - last_seen_s.get(shape, -math.inf) <= tracker.options.lost_s
            changes += is_back and numbers[shape] != track_id
            numbers[shape], last_seen_s[shape] = track_id, stamp_s
    assert changes <= 4


def random_stamp(rng, stamp_s):
    """Return the next stamp: mostly a little later, now and then something odd."""
    steps = (0.0, -0.04, -YEAR_S, 50 * YEAR_S, 1.9, 2.1)
    return stamp_s + (float(rng.choice(steps)) if rng.random() < 0.2 else float(rng.exponential(0.05)))


@examples(30)
@given(seed=strategies.integers(0, 2**32 - 1))
def test_whatever_comes_order_and_number_stay_and_no_id_is_there_twice(seed):
    rng = np.random.default_rng(seed)
    options = TrackerOptions(
        birth_score=rng.uniform(0, 1),
        confirm_s=float(rng.choice([0, 0.1])),
        buffer=rng.uniform(0, 2),
        min_similarity=rng.uniform(0.01, 1),
        double_cover=rng.uniform(0, 1),
        size_weight=rng.uniform(0, 2),
        camera_motion=rng.random() < 0.2,
    )
    tracker, stamp_s, ended = Tracker(options), 0.0, set()
    image = ColorImage(rng.integers(0, 256, (*IMAGE_HW, 3), np.uint8))
    places = rng.uniform(0, 480, (12, 2))
    for _ in range(40):
        places += rng.normal(0, 6, places.shape)
        kept = places[rng.random(len(places)) < rng.uniform(0, 1)]
        kept = np.repeat(kept, rng.integers(1, 3, len(kept)), axis=0)
        boxes = [(*xy, *rng.uniform(0, 80, 2), rng.integers(3), rng.uniform(0, 1)) for xy in kept]
        instances = found(*boxes)
        stamp_s = random_stamp(rng, stamp_s)

        tracked = tracker.update(instances, stamp_s, image if rng.random() < 0.8 else None)

        assert np.array_equal(tracked.xyxy, instances.xyxy)
        assert np.array_equal(tracked.score, instances.score)
        assert np.array_equal(tracked.class_id, instances.class_id)
        ids = tracked.track_id[tracked.track_id != NO_TRACK].tolist()
        assert len(set(ids)) == len(ids)
        assert all(track_id >= 1 for track_id in ids)
        assert not ended & set(ids)
        if rng.random() < 0.05:
            ended |= set(ids)
            tracker.reset()


def landscape():
    blobs = np.random.default_rng(3).integers(0, 256, (40, 100, 3), np.uint8)
    return cv2.resize(blobs, (1600, 640), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(("compensated", "ids"), [(True, {1, 2}), (False, {1, 2, 3, 4})], ids=["with", "without"])
def test_the_motion_of_the_camera_is_compensated(compensated, ids):
    # The camera jumps by three times the width of the objects.
    pixels, tracker = landscape(), Tracker(TrackerOptions(camera_motion=compensated, lost_s=0.15))
    seen = set()
    for index, x in enumerate((0, 0, 0, 60, 60)):
        image = ColorImage(np.ascontiguousarray(pixels[:480, x : x + 640]))
        seen |= set(
            tracker.update(found((300 - x, 100, 20, 40), (520 - x, 300, 20, 40)), index / 10, image).track_id.tolist()
        )
    assert seen == ids


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("birth_score", 1.1),
        ("birth_score", math.nan),
        ("confirm_s", -1),
        ("lost_s", math.inf),
        ("buffer", -0.1),
        ("min_similarity", 0.0),
        ("double_cover", 2),
        ("size_weight", -1),
        ("mask_weight", 11),
    ],
    ids=str,
)
def test_an_option_out_of_its_range_is_refused(name, value):
    with pytest.raises(OptionError, match=name):
        TrackerOptions(**{name: value})
