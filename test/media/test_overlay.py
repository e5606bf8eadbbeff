"""Test the overlay a person looks at: what is drawn where, and that any image and result can be drawn."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from yolov8_seg_ros.core.instances import NO_TRACK, BoxMask, Instances
from yolov8_seg_ros.media.overlay import MASK_OPACITY, draw_overlay, instance_color_bgr

NAMES = ("cat", "dog")
GREY = 100


def found(image_hw, *boxes_and_classes, masks: bool = True) -> Instances:
    """Return one instance for each (left, top, right, bottom, class), whose mask fills its box."""
    boxes = np.array([row[:4] for row in boxes_and_classes], np.float32).reshape(-1, 4)
    bitmaps = tuple(
        BoxMask((int(left), int(top)), np.ones((int(bottom) - int(top), int(right) - int(left)), np.bool_))
        for left, top, right, bottom in boxes
    )
    return Instances(
        image_hw=image_hw,
        xyxy=boxes,
        score=np.linspace(0.9, 0.5, len(boxes), dtype=np.float32),
        class_id=np.array([row[4] for row in boxes_and_classes], np.int64),
        masks=bitmaps if masks else None,
    )


def grey_image(*hw: int) -> np.ndarray:
    return np.full((*hw, 3), GREY, np.uint8)


def test_the_image_itself_is_left_alone():
    image = grey_image(200, 300)
    image.flags.writeable = False
    overlay = draw_overlay(image, found((200, 300), (50, 60, 150, 160, 0)), NAMES)
    assert (image == GREY).all()
    assert (overlay.shape, overlay.dtype) == (image.shape, np.uint8)
    assert not (overlay == GREY).all()


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_nothing_found_changes_nothing(masks):
    image = grey_image(20, 30)
    np.testing.assert_array_equal(draw_overlay(image, Instances.empty((20, 30), masks), NAMES), image)


def tint(number: int) -> np.ndarray:
    return GREY * (1 - MASK_OPACITY) + np.array(instance_color_bgr(number)) * MASK_OPACITY


def test_masks_of_one_class_are_tinted_by_rank():
    three = found((200, 300), (20, 60, 80, 160, 1), (100, 60, 160, 160, 1), (200, 60, 260, 160, 1))
    overlay = draw_overlay(grey_image(200, 300), three, NAMES)
    for rank, column in enumerate((50, 130, 230)):
        np.testing.assert_allclose(overlay[110, column], tint(rank), atol=1)
    assert overlay[180, 280].tolist() == [GREY] * 3


def test_a_track_keeps_its_colour_whatever_its_rank():
    two = found((200, 300), (20, 60, 80, 160, 0), (100, 60, 160, 160, 0))
    for track_ids in ((7, 1000), (1000, 7)):
        overlay = draw_overlay(grey_image(200, 300), replace(two, track_id=np.array(track_ids, np.int64)), NAMES)
        for track_id, column in zip(track_ids, (50, 130), strict=True):
            np.testing.assert_allclose(overlay[110, column], tint(track_id), atol=1)


def test_a_box_is_drawn_inside_its_edges():
    overlay = draw_overlay(grey_image(200, 300), found((200, 300), (50, 60, 150, 160, 0), masks=False), NAMES)
    color = list(instance_color_bgr(0))
    assert [overlay[y, x].tolist() for y, x in ((159, 100), (110, 50), (110, 149))] == [color] * 3
    assert [overlay[y, x].tolist() for y, x in ((160, 100), (110, 49), (110, 150), (110, 100))] == [[GREY] * 3] * 4


def test_the_better_score_is_on_top():
    both = found((200, 300), (50, 60, 150, 160, 0), (100, 60, 200, 160, 1))
    overlay = draw_overlay(grey_image(200, 300), both, NAMES)
    assert overlay[110, 149].tolist() == list(instance_color_bgr(0))


def test_labels_are_above_boxes_and_boxes_above_masks():
    both = found((200, 300), (100, 20, 200, 190, 0), (10, 60, 250, 160, 1))
    overlay = draw_overlay(grey_image(200, 300), both, NAMES)
    # The box of the lower score, where the mask of the better one covers it.
    assert overlay[159, 150].tolist() == list(instance_color_bgr(1))


def test_a_hole_in_a_mask_is_outlined_and_stays_free():
    bitmap = np.ones((60, 60), np.bool_)
    bitmap[20:40, 20:40] = False
    ring = Instances(
        (200, 300),
        np.array([[100, 100, 160, 160]], np.float32),
        np.ones(1, np.float32),
        np.zeros(1, np.int64),
        (BoxMask((100, 100), bitmap),),
    )
    overlay = draw_overlay(grey_image(200, 300), ring, NAMES)
    assert overlay[130, 130].tolist() == [GREY] * 3
    assert overlay[119, 130].tolist() == list(instance_color_bgr(0))
    assert overlay[110, 130].tolist() != [GREY] * 3


@pytest.mark.parametrize(
    "image_hw", [(1, 1), (1, 50), (50, 1), (3, 4000), (4000, 3), (7, 7), (480, 640), (2160, 3840)], ids=str
)
@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_any_image_size(image_hw, masks):
    height, width = image_hw
    boxes = [
        (0, 0, width, height, 0),
        (0, 0, 1, 1, 1),
        (width - 1, height - 1, width, height, 0),
        (width, 0, width, 0, 1),
    ]
    overlay = draw_overlay(grey_image(*image_hw), found(image_hw, *boxes, masks=masks), NAMES)
    assert overlay.shape == (*image_hw, 3)


def test_a_label_at_any_edge_stays_in_the_image():
    text_px = set()
    for left, top in itertools.product((0, 250), (0, 170)):
        box = (left, top, left + 50, top + 30, 0)
        overlay = draw_overlay(grey_image(200, 300), found((200, 300), box, masks=False), ("a rather long name",))
        # The label's text is what is neither the image nor the colour of the instance.
        text = (overlay != GREY).any(axis=2) & (overlay != instance_color_bgr(0)).any(axis=2)
        text_px.add(int(text.sum()))
    assert len(text_px) == 1
    assert min(text_px) > 200


@pytest.mark.parametrize("name", ["", "猫", "x" * 500, "a\nb", "%s %d", "a\ud83d", "\udce9", "a\0b"])
def test_any_class_name(name):
    draw_overlay(grey_image(200, 300), found((200, 300), (50, 60, 150, 160, 0)), (name,))


def test_scores_can_be_left_out():
    image, instances = grey_image(200, 300), found((200, 300), (50, 60, 150, 160, 0))
    inked = [np.count_nonzero(draw_overlay(image, instances, NAMES, scores=scores) != GREY) for scores in (True, False)]
    assert inked[0] > inked[1]


def changed(image_hw: tuple[int, int], instances: Instances, names: tuple[str, ...]) -> np.ndarray:
    """Return bool (height, width): where the overlay of a grey image is not grey."""
    return (draw_overlay(grey_image(*image_hw), instances, names) != GREY).any(axis=2)


def test_labels_of_neighbours_do_not_cover_each_other():
    image_hw = (200, 300)
    boxes = [(100, 100, 101, 101, 0), (104, 102, 105, 103, 0), (96, 101, 97, 102, 0), (101, 104, 102, 105, 0)]
    names = ("a name",)
    alone = [int(changed(image_hw, found(image_hw, box, masks=False), names).sum()) for box in boxes]
    together = draw_overlay(grey_image(*image_hw), found(image_hw, *boxes, masks=False), names)
    # Each label's ground is as large as if the others were not there.
    for rank in range(len(boxes)):
        ground_px = int((together == instance_color_bgr(rank)).all(axis=2).sum())
        assert ground_px > 0.4 * alone[rank]
    assert int((together != GREY).any(axis=2).sum()) > 0.95 * sum(alone)


def test_of_labels_without_room_the_best_score_is_readable():
    image_hw = (24, 60)
    boxes = [(10, 5, 50, 20, 0)] * 12
    overlay = draw_overlay(grey_image(*image_hw), found(image_hw, *boxes, masks=False), NAMES)
    alone = draw_overlay(grey_image(*image_hw), found(image_hw, boxes[0], masks=False), NAMES)
    label = alone[:12]
    assert (label != GREY).any(axis=2).mean() > 0.5
    where = (label != GREY).any(axis=2)
    assert (overlay[:12][where] == label[where]).all()


@pytest.mark.parametrize(
    ("image_hw", "rows"), [((240, 320), (7, 20)), ((480, 640), (9, 20)), ((1440, 1920), (28, 60))], ids=str
)
def test_text_grows_with_the_image(image_hw, rows):
    height, width = image_hw
    box = (width // 2, height // 2, width // 2 + 1, height // 2 + 1, 0)
    label_rows = np.flatnonzero(changed(image_hw, found(image_hw, box, masks=False), NAMES).any(axis=1))
    assert rows[0] <= len(label_rows) <= rows[1]


def test_a_name_longer_than_the_image_is_wide_ends_inside_it():
    image_hw = (100, 120)
    overlay = draw_overlay(
        grey_image(*image_hw), found(image_hw, (10, 40, 60, 80, 0), masks=False), ("some name that never ends",)
    )
    # Ground of the label on both sides of its text, from one edge to the other.
    label_row = overlay[36]
    assert (label_row != GREY).any(axis=1).sum() > 100
    ink = np.flatnonzero((overlay[20:38] < 60).all(axis=2).any(axis=0))
    assert ink.max() < 119


def test_a_track_bears_its_number():
    image_hw = (200, 300)
    untracked = found(image_hw, (50, 60, 150, 160, 0), masks=False)
    tracked = replace(untracked, track_id=np.array([12], np.int64))
    label_px = [
        int((draw_overlay(grey_image(*image_hw), one, NAMES, scores=scores)[:59] != GREY).any(axis=2).sum())
        for scores in (False, True)
        for one in (untracked, tracked)
    ]
    assert label_px == sorted(set(label_px))


def test_an_instance_without_a_track_bears_no_number():
    image_hw = (200, 300)
    untracked = found(image_hw, (50, 60, 150, 160, 0), masks=False)
    ink = [
        (draw_overlay(grey_image(*image_hw), one, NAMES)[:59] != GREY).any(axis=2)
        for one in (untracked, replace(untracked, track_id=np.array([NO_TRACK], np.int64)))
    ]
    assert np.array_equal(*ink)


def test_colours_of_an_image_are_far_apart():
    colors = [instance_color_bgr(number) for number in range(80)]
    assert len(set(colors)) == 80
    for one, other in itertools.pairwise(colors):
        assert np.abs(np.subtract(one, other)).max() > 80
    for one, other in itertools.combinations(colors[:20], 2):
        assert np.abs(np.subtract(one, other)).max() > 30


def test_colours_stay_the_same():
    assert instance_color_bgr(3) == instance_color_bgr(3)
    assert all(0 <= channel <= 255 for number in (0, 79, 10**12) for channel in instance_color_bgr(number))


def test_another_image_than_the_segmented_one_is_refused():
    with pytest.raises(ValueError, match="the image has 30x20 pixels, the instances are of one of 40x20"):
        draw_overlay(grey_image(20, 30), found((20, 40), (5, 5, 35, 15, 0)), NAMES)
