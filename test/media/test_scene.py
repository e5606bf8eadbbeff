"""Test the synthetic scene: that its ground truth is a function of seed and index, and is what is drawn."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.media.scene import (
    MIN_VISIBLE_FRACTION,
    RADIUS_RANGE,
    SCENE_CLASSES,
    SPEED_RANGE,
    SyntheticScene,
    edge_distance,
    inradius,
    outline,
    touching,
)

SMALL_HW = (192, 256)


def same(one: Instances, other: Instances) -> bool:
    return (
        np.array_equal(one.xyxy, other.xyxy)
        and np.array_equal(one.class_id, other.class_id)
        and np.array_equal(one.track_id, other.track_id)
        and all(np.array_equal(a.bitmap, b.bitmap) for a, b in zip(one.masks, other.masks, strict=True))
    )


def areas(truth: Instances) -> np.ndarray:
    return np.array([mask.bitmap.sum() for mask in truth.iter_masks()])


def test_a_frame_depends_on_seed_and_index_alone():
    first, second = SyntheticScene(SMALL_HW, seed=5), SyntheticScene(SMALL_HW, seed=5)
    second.frame(90)
    assert np.array_equal(first.frame(17).image, second.frame(17).image)
    assert same(first.frame(17).truth, second.truth(17))


def test_seeds_and_frames_differ():
    frames = [SyntheticScene(SMALL_HW, seed=s).frame(i) for s, i in ((0, 0), (0, 1), (1, 0))]
    for a, b in ((0, 1), (0, 2)):
        assert not np.array_equal(frames[a].image, frames[b].image)
        assert not same(frames[a].truth, frames[b].truth)


def test_images_are_bgr8_of_the_size_asked_for():
    frame = SyntheticScene((240, 352), seed=1).frame(3)
    assert frame.image.shape == (240, 352, 3)
    assert frame.image.dtype == np.uint8
    assert frame.truth.image_hw == (240, 352)


@pytest.mark.parametrize("seed", range(12))
def test_the_truth_is_what_is_drawn(seed):
    scenes = [SyntheticScene(seed=seed, num_shapes=count) for count in (0, 1)]
    for scene in scenes:
        scene._shadow_strength = scene._noise_levels = scene._blur_sigma_px = 0.0
    without, with_one = (scene.frame(30) for scene in scenes)
    drawn = np.abs(with_one.image.astype(int) - without.image).max(axis=-1) > 20
    truth = with_one.truth.full_mask(0)
    assert (drawn & truth).sum() / (drawn | truth).sum() > 0.96


def test_all_classes_have_their_form_and_size():
    extent = {"circle": np.pi / 4, "square": 0.5, "triangle": 0.4}
    seen = set()
    for seed in range(40):
        truth = SyntheticScene(seed=seed, num_shapes=1).truth(0)
        height, width = truth.image_hw
        x0, y0, x1, y1 = truth.xyxy[0]
        if x0 <= 0 or y0 <= 0 or x1 >= width or y1 >= height:
            continue
        name, area = SCENE_CLASSES[truth.class_id[0]], areas(truth)[0]
        seen.add(name)
        assert area / ((x1 - x0) * (y1 - y0)) >= extent[name] - 0.01
        radius_px = np.sqrt(area / np.pi)
        assert RADIUS_RANGE[0] * height - 1 < radius_px < RADIUS_RANGE[1] * height + 1
    assert seen == set(SCENE_CLASSES)


def test_nearer_shapes_hide_others_and_the_hidden_are_left_out():
    scene = SyntheticScene(SMALL_HW, seed=3, num_shapes=12)
    truths = [scene.truth(index) for index in range(0, 600, 10)]
    whole = np.zeros(12)
    for truth in truths:
        np.maximum.at(whole, truth.track_id, areas(truth))
        assert np.all(np.diff(truth.track_id) < 0)
        assert np.sum([truth.full_mask(k) for k in range(len(truth))], axis=0).max() == 1
    for truth in truths:
        assert np.all(areas(truth) >= 0.95 * MIN_VISIBLE_FRACTION * whole[truth.track_id])
    counts = {len(truth) for truth in truths}
    assert min(counts) < 12


def test_shapes_move_smoothly_and_stay_about_the_image():
    scene = SyntheticScene(seed=8, num_shapes=1)
    boxes = np.array([scene.truth(index).xyxy[0] for index in range(400)])
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    whole = np.all((boxes > 0) & (boxes < [640, 480, 640, 480]), axis=1)
    steps = np.linalg.norm(np.diff(centres, axis=0), axis=1)[whole[1:] & whole[:-1]]
    # A turning shape's box moves a little against its centre.
    assert 0 < np.median(steps) <= SPEED_RANGE[1] * 480
    assert steps.max() < 3 * SPEED_RANGE[1] * 480
    assert np.ptp(centres[:, 0]) > 100


def test_no_shapes_is_a_scene_too():
    frame = SyntheticScene(SMALL_HW, seed=2, num_shapes=0).frame(0)
    assert len(frame.truth) == 0
    assert touching(frame.truth).shape == (0,)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [({"image_hw": (16, 640)}, "image_hw"), ({"seed": -1}, "seed"), ({"num_shapes": -1}, "num_shapes")],
    ids=["too small", "negative seed", "negative count"],
)
def test_arguments_out_of_range_are_named(arguments, named):
    with pytest.raises(ValueError, match=f"^{named}: expected"):
        SyntheticScene(**arguments)


def test_a_negative_index_is_refused():
    with pytest.raises(ValueError, match=r"^index: expected"):
        SyntheticScene(SMALL_HW).frame(-1)


@pytest.mark.parametrize(
    ("gap_px", "expected"), [(0, True), (2, True), (5, False)], ids=["adjoining", "narrow gap", "apart"]
)
def test_touching(gap_px, expected):
    masks = np.zeros((3, 40, 60), np.bool_)
    masks[0, 5:15, 5:15] = True
    masks[1, 5:15, 15 + gap_px : 30] = True
    masks[2, 30:38, 50:58] = True
    truth = Instances.from_full_masks(masks, [0, 1, 2], (40, 60))
    assert touching(truth).tolist() == [expected, expected, False]


def test_overlapping_counts_as_touching():
    masks = np.zeros((2, 40, 60), np.bool_)
    masks[0, 5:25, 5:25] = True
    masks[1, 10:15, 10:15] = True
    assert touching(Instances.from_full_masks(masks, [0, 1], (40, 60))).all()


@pytest.mark.parametrize("class_id", range(len(SCENE_CLASSES)), ids=SCENE_CLASSES)
def test_the_outline_is_where_the_distance_is_0(class_id):
    corners = outline(class_id, 3.0, angle_rad=0.4)
    following = np.roll(corners, -1, axis=0)
    for share in (0.0, 0.5, 0.9):
        xs, ys = ((1 - share) * corners + share * following).astype(np.float32).T
        assert edge_distance(class_id, 3.0, xs, ys, 0.4) == pytest.approx(0, abs=0.002)
    area = np.sum(corners[:, 0] * following[:, 1] - following[:, 0] * corners[:, 1]) / 2
    assert area == pytest.approx(np.pi * 9, rel=1e-3)


@pytest.mark.parametrize("class_id", range(len(SCENE_CLASSES)), ids=SCENE_CLASSES)
def test_a_side_lies_in_the_direction_asked_for(class_id):
    assert outline(class_id, 3.0, -np.pi / 2)[:, 1].min() == pytest.approx(-inradius(class_id, 3.0))
