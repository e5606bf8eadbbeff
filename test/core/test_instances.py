"""Test the one result type: what it refuses, what it keeps, and the label images it paints."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.instances import BoxMask, Instances

IMAGE_HW = (4, 6)


def box_mask(x: int, y: int, *rows: str) -> BoxMask:
    return BoxMask((x, y), np.array([[pixel == "#" for pixel in row] for row in rows], np.bool_))


def columns(count: int) -> dict:
    return {
        "image_hw": IMAGE_HW,
        "xyxy": np.arange(count * 4, dtype=np.float32).reshape(count, 4),
        "score": np.linspace(0.9, 0.5, count, dtype=np.float32),
        "class_id": np.arange(count, dtype=np.int64),
    }


@pytest.fixture
def three() -> Instances:
    """Three instances of classes 0, 1 and 2; the second lies partly under the first."""
    masks = (box_mask(1, 1, "##", "##"), box_mask(2, 0, "###", "###"), box_mask(0, 3, "#.#"))
    return Instances(**columns(3), masks=masks, track_id=np.array([7, 5, 9]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"score": np.zeros((2, 1))}, "score: expected shape (2,), got (2, 1)", id="score-rank"),
        pytest.param({"xyxy": np.zeros((3, 4))}, "xyxy: expected shape (2, 4), got (3, 4)", id="xyxy-rows"),
        pytest.param({"xyxy": np.zeros((2, 5))}, "xyxy: expected shape (2, 4), got (2, 5)", id="xyxy-columns"),
        pytest.param({"class_id": np.zeros(1)}, "class_id: expected shape (2,), got (1,)", id="class-id"),
        pytest.param({"track_id": np.zeros(3)}, "track_id: expected shape (2,), got (3,)", id="track-id"),
        pytest.param({"masks": ()}, "masks: expected 2, one for each score, got 0", id="masks-missing"),
        pytest.param({"masks": (box_mask(0, 0, "#"),)}, "expected 2, one for each score, got 1", id="mask-missing"),
        pytest.param({"masks": (box_mask(-1, 0, "#"),) * 2}, "rows 0:1, columns -1:0 leave the 6x4", id="left-of-it"),
        pytest.param({"masks": (box_mask(0, -1, "#"),) * 2}, "rows -1:0, columns 0:1 leave the 6x4", id="above-it"),
        pytest.param({"masks": (box_mask(5, 0, "##"),) * 2}, "columns 5:7 leave the 6x4 image", id="right-of-it"),
        pytest.param({"masks": (box_mask(0, 3, "#", "#"),) * 2}, "rows 3:5, columns 0:1 leave the", id="below-it"),
    ],
)
def test_refused_columns(changes, message):
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        Instances(**{**columns(2), **changes})
    assert message in str(caught.value)


def test_a_mask_may_touch_every_edge_and_may_be_empty():
    masks = (BoxMask((0, 0), np.ones(IMAGE_HW, np.bool_)), BoxMask((6, 4), np.zeros((0, 0), np.bool_)))
    assert len(Instances(**columns(2), masks=masks)) == 2


@pytest.mark.parametrize("masks", [True, False], ids=["with-masks", "without-masks"])
def test_empty(masks):
    nothing = Instances.empty(IMAGE_HW, masks)
    assert len(nothing) == 0
    assert nothing.masks == (() if masks else None)
    assert (nothing.xyxy.dtype, nothing.score.dtype, nothing.class_id.dtype) == (np.float32, np.float32, np.int64)
    assert len(nothing[np.zeros(0, np.bool_)]) == 0


def test_empty_label_images_are_background():
    nothing = Instances.empty(IMAGE_HW)
    for image in (nothing.label_image(), nothing.semantic_image()):
        assert (image.shape, image.dtype) == (IMAGE_HW, np.uint8)
        assert not image.any()


@pytest.mark.parametrize(
    ("keep", "rows"),
    [
        pytest.param(np.array([True, False, True]), [0, 2], id="boolean"),
        pytest.param(np.array([False, False, False]), [], id="none"),
        pytest.param(np.array([2, 0]), [2, 0], id="indices"),
        pytest.param(slice(0, 2), [0, 1], id="slice"),
    ],
)
def test_filter(three, keep, rows):
    kept = three[keep]
    np.testing.assert_array_equal(kept.xyxy, three.xyxy[rows])
    np.testing.assert_array_equal(kept.score, three.score[rows])
    np.testing.assert_array_equal(kept.class_id, three.class_id[rows])
    np.testing.assert_array_equal(kept.track_id, three.track_id[rows])
    assert kept.masks == tuple(three.masks[row] for row in rows)
    assert kept.image_hw == IMAGE_HW


def test_filter_without_masks_and_tracks():
    kept = Instances(**columns(2))[np.array([False, True])]
    assert kept.masks is None
    assert kept.track_id is None


def test_a_filter_of_another_length_is_refused(three):
    with pytest.raises(IndexError):
        three[np.array([True, False])]


def test_full_mask(three):
    expected = np.zeros(IMAGE_HW, np.bool_)
    expected[3, [0, 2]] = True
    np.testing.assert_array_equal(three.full_mask(2), expected)


def test_label_image_shows_the_better_score_on_top(three):
    assert three.label_image().tolist() == [
        [0, 0, 2, 2, 2, 0],
        [0, 1, 1, 2, 2, 0],
        [0, 1, 1, 0, 0, 0],
        [3, 0, 3, 0, 0, 0],
    ]


@pytest.mark.parametrize("method", ["label_image", "semantic_image"])
def test_images_are_painted_over_what_is_given(three, method):
    canvas = np.full(IMAGE_HW, 99, np.uint8)
    assert getattr(three, method)(canvas) is canvas
    np.testing.assert_array_equal(canvas, getattr(three, method)())


@pytest.mark.parametrize("method", ["label_image", "semantic_image"])
def test_an_image_that_is_too_small_is_refused(three, method):
    with pytest.raises(ValueError, match="leave the 6x3 image"):
        getattr(three, method)(np.zeros((3, 6), np.uint8))


def test_semantic_image_shows_classes(three):
    changed = Instances(three.image_hw, three.xyxy, three.score, np.array([4, 254, 4]), three.masks)
    assert changed.semantic_image().tolist() == [
        [0, 0, 255, 255, 255, 0],
        [0, 5, 5, 255, 255, 0],
        [0, 5, 5, 0, 0, 0],
        [5, 0, 5, 0, 0, 0],
    ]


@pytest.mark.parametrize("count", [255, 256])
def test_label_image_numbers_255_at_most(count):
    instances = Instances(**columns(count), masks=(box_mask(0, 0, "#"),) * (count - 1) + (box_mask(1, 0, "#"),))
    if count == 255:
        assert instances.label_image()[0, :2].tolist() == [1, 255]
    else:
        with pytest.raises(ValueError, match="256 instances, 8 bits number at most 255"):
            instances.label_image()


def test_semantic_image_holds_class_254_at_most():
    instances = Instances(**{**columns(1), "class_id": np.array([255])}, masks=(box_mask(0, 0, "#"),))
    with pytest.raises(ValueError, match="class index 255, 8 bits hold at most 254"):
        instances.semantic_image()


@pytest.mark.parametrize("method", ["iter_masks", "label_image", "semantic_image"])
def test_without_masks_there_is_nothing_to_paint(method):
    with pytest.raises(ValueError, match="these instances carry no masks"):
        getattr(Instances(**columns(2)), method)()


def test_from_full_masks():
    truth = np.zeros((3, *IMAGE_HW), np.bool_)
    truth[0, 1:3, 2:5] = True
    truth[0, 1, 2] = False
    truth[2, 3, 5] = True
    instances = Instances.from_full_masks(truth, [8, 1, 0], IMAGE_HW)
    assert instances.class_id.tolist() == [8, 0]
    assert instances.xyxy.tolist() == [[2, 1, 5, 3], [5, 3, 6, 4]]
    assert instances.score.tolist() == [1, 1]
    np.testing.assert_array_equal([instances.full_mask(0), instances.full_mask(1)], truth[[0, 2]])


def test_from_full_masks_of_nothing():
    assert len(Instances.from_full_masks([], [], IMAGE_HW)) == 0
    assert len(Instances.from_full_masks([np.zeros(IMAGE_HW, np.bool_)], [1], IMAGE_HW)) == 0


def test_from_full_masks_wants_a_class_for_each():
    with pytest.raises(ValueError, match="zip"):
        Instances.from_full_masks([np.ones(IMAGE_HW, np.bool_)], [1, 2], IMAGE_HW)


def test_random_masks_come_back(rng):
    masks = rng.random((20, 9, 11)) < 0.2
    masks[3] = False
    instances = Instances.from_full_masks(masks, range(20), (9, 11))
    for index, class_id in enumerate(instances.class_id):
        np.testing.assert_array_equal(instances.full_mask(index), masks[class_id])
    expected = np.zeros((9, 11), np.uint8)
    for label in range(len(instances), 0, -1):
        expected[instances.full_mask(label - 1)] = label
    np.testing.assert_array_equal(instances.label_image(), expected)
