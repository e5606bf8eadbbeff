"""Test the picture a person looks at: what is drawn where, and that any image and result can be drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from yolov8_seg_ros.core.instances import BoxMask, Instances
from yolov8_seg_ros.media.overlay import MASK_OPACITY, class_color_bgr, draw_overlay

NAMES = ("cat", "dog")
GREY = 100


def found(image_hw, *boxes_and_classes, masks: bool = True) -> Instances:
    """Give one instance for each (left, top, right, bottom, class), whose mask fills its box."""
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
    picture = draw_overlay(image, found((200, 300), (50, 60, 150, 160, 0)), NAMES)
    assert (image == GREY).all()
    assert (picture.shape, picture.dtype) == (image.shape, np.uint8)
    assert not (picture == GREY).all()


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_nothing_found_changes_nothing(masks):
    image = grey_image(20, 30)
    np.testing.assert_array_equal(draw_overlay(image, Instances.empty((20, 30), masks), NAMES), image)


@pytest.mark.parametrize("class_id", [0, 1])
def test_a_mask_is_tinted_with_the_colour_of_its_class(class_id):
    picture = draw_overlay(grey_image(200, 300), found((200, 300), (50, 60, 150, 160, class_id)), NAMES)
    blend = GREY * (1 - MASK_OPACITY) + np.array(class_color_bgr(class_id)) * MASK_OPACITY
    np.testing.assert_allclose(picture[110, 100], blend, atol=1)
    assert picture[180, 280].tolist() == [GREY] * 3


def test_a_box_is_drawn_inside_its_edges():
    picture = draw_overlay(grey_image(200, 300), found((200, 300), (50, 60, 150, 160, 0), masks=False), NAMES)
    color = list(class_color_bgr(0))
    assert [picture[y, x].tolist() for y, x in ((159, 100), (110, 50), (110, 149))] == [color] * 3
    assert [picture[y, x].tolist() for y, x in ((160, 100), (110, 49), (110, 150), (110, 100))] == [[GREY] * 3] * 4


def test_the_better_score_is_on_top():
    both = found((200, 300), (50, 60, 150, 160, 0), (100, 60, 200, 160, 1))
    picture = draw_overlay(grey_image(200, 300), both, NAMES)
    assert picture[110, 149].tolist() == list(class_color_bgr(0))


def test_labels_are_above_boxes_and_boxes_above_masks():
    both = found((200, 300), (100, 20, 200, 190, 0), (10, 60, 250, 160, 1))
    picture = draw_overlay(grey_image(200, 300), both, NAMES)
    # The box of the lower score, where the mask of the better one covers it.
    assert picture[159, 150].tolist() == list(class_color_bgr(1))


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
    picture = draw_overlay(grey_image(200, 300), ring, NAMES)
    assert picture[130, 130].tolist() == [GREY] * 3
    assert picture[119, 130].tolist() == list(class_color_bgr(0))
    assert picture[110, 130].tolist() != [GREY] * 3


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
    picture = draw_overlay(grey_image(*image_hw), found(image_hw, *boxes, masks=masks), NAMES)
    assert picture.shape == (*image_hw, 3)


def test_a_label_at_any_edge_stays_in_the_picture():
    text_px = set()
    for left, top in itertools.product((0, 250), (0, 170)):
        box = (left, top, left + 50, top + 30, 0)
        picture = draw_overlay(grey_image(200, 300), found((200, 300), box, masks=False), ("a rather long name",))
        # The label's text is what is neither the image nor the colour of the class.
        text = (picture != GREY).any(axis=2) & (picture != class_color_bgr(0)).any(axis=2)
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


def test_more_classes_than_are_found_and_hues_far_apart():
    colors = [class_color_bgr(class_id) for class_id in range(80)]
    assert len(set(colors)) > 60
    for one, other in itertools.pairwise(colors):
        assert np.abs(np.subtract(one, other)).max() > 80


def test_colours_stay_the_same():
    assert class_color_bgr(3) == class_color_bgr(3)
    assert all(0 <= channel <= 255 for class_id in (0, 79, 999) for channel in class_color_bgr(class_id))


def test_another_image_than_the_segmented_one_is_refused():
    with pytest.raises(ValueError, match="the image has 30x20 pixels, the instances are of one of 40x20"):
        draw_overlay(grey_image(20, 30), found((20, 40), (5, 5, 35, 15, 0)), NAMES)
