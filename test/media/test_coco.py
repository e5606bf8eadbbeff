"""Test the exchange with COCO's results format against pycocotools and hand-made masks."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from pycocotools import mask as rle_codec

from yolov8_seg_ros.core.instances import NO_TRACK, BoxMask, Instances
from yolov8_seg_ros.media.coco import from_coco_results, image_ids, to_coco_results

IMAGE_HW = (20, 30)


def two_instances(masks: bool = True) -> Instances:
    ring = np.ones((4, 5), np.bool_)
    ring[1:3, 1:4] = False
    corner = np.ones((2, 3), np.bool_)
    return Instances(
        image_hw=IMAGE_HW,
        xyxy=np.array([[2.126, 3.0, 7.0, 7.25], [27, 18, 30, 20]], np.float32),
        score=np.array([0.875, 0.1234567], np.float32),
        class_id=np.array([3, 0], np.int64),
        masks=(BoxMask((2, 3), ring), BoxMask((27, 18), corner)) if masks else None,
    )


def test_results_are_what_pycocotools_reads():
    results = json.loads(json.dumps(to_coco_results(two_instances(), image_id=139)))

    assert [result["category_id"] for result in results] == [3, 0]
    assert {result["image_id"] for result in results} == {139}
    assert results[0]["bbox"] == [2.13, 3.0, 4.87, 4.25]
    assert results[1]["score"] == 0.12346
    expected = np.zeros(IMAGE_HW, np.uint8)
    expected[3:7, 2:7] = 1
    expected[4:6, 3:6] = 0
    assert np.array_equal(rle_codec.decode(results[0]["segmentation"]), expected)
    assert rle_codec.area(results[1]["segmentation"]) == 6


def test_numbers_of_tracks_are_written_where_there_are_any():
    tracked = replace(two_instances(), track_id=np.array([7, NO_TRACK], np.int64))
    assert [result.get("track_id") for result in to_coco_results(tracked, image_id=0)] == [7, None]


def test_instances_without_masks_give_boxes_only():
    assert all("segmentation" not in result for result in to_coco_results(two_instances(masks=False), image_id=0))


@pytest.mark.parametrize("masks", [True, False], ids=["masks", "boxes_only"])
def test_there_and_back(masks):
    instances = two_instances(masks)

    back = from_coco_results(to_coco_results(instances, image_id=0), IMAGE_HW)

    assert np.allclose(back.xyxy, instances.xyxy, atol=0.01)
    assert np.allclose(back.score, instances.score, atol=1e-5)
    assert np.array_equal(back.class_id, instances.class_id)
    assert (back.masks is None) == (not masks)
    if masks:
        assert all(np.array_equal(back.full_mask(index), instances.full_mask(index)) for index in range(2))


def test_an_empty_mask_there_and_back():
    instances = two_instances()
    empty = Instances(
        IMAGE_HW,
        instances.xyxy[:1],
        instances.score[:1],
        instances.class_id[:1],
        (BoxMask((2, 3), np.zeros((4, 5), np.bool_)),),
    )

    assert not from_coco_results(to_coco_results(empty, image_id=0), IMAGE_HW).full_mask(0).any()


def test_results_are_sorted_by_score():
    results = to_coco_results(two_instances(), image_id=0)

    assert from_coco_results(results[::-1], IMAGE_HW).class_id.tolist() == [3, 0]


def test_no_results_are_no_instances():
    assert len(from_coco_results([], IMAGE_HW)) == 0
    assert to_coco_results(Instances.empty(IMAGE_HW), image_id=0) == []


@pytest.mark.parametrize(
    "segmentation",
    [
        [[4.0, 2.0, 10.0, 2.0, 10.0, 8.0, 4.0, 8.0]],
        {"size": [20, 30], "counts": [82, 6, 14, 6, 14, 6, 14, 6, 14, 6, 14, 6, 412]},
    ],
    ids=["polygon", "uncompressed"],
)
def test_other_forms_of_masks_are_read(segmentation):
    result = {"image_id": 0, "category_id": 1, "score": 0.5, "bbox": [4, 2, 6, 6], "segmentation": segmentation}

    mask = from_coco_results([result], IMAGE_HW).full_mask(0)

    expected = np.zeros(IMAGE_HW, np.bool_)
    expected[2:8, 4:10] = True
    assert np.array_equal(mask, expected)


def test_a_mask_of_another_size_is_refused():
    with pytest.raises(ValueError, match="a mask of 30x20 in an image of 40x20"):
        from_coco_results(to_coco_results(two_instances(), image_id=0), (20, 40))


def test_masks_of_some_results_only_are_refused():
    results = to_coco_results(two_instances(), image_id=0)
    del results[0]["segmentation"]

    with pytest.raises(ValueError, match="got 1 of 2"):
        from_coco_results(results, IMAGE_HW)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["000000000139.jpg", "0285.jpg"], [139, 285]),
        (["1.jpg", "01.jpg"], [0, 1]),
        (["7.jpg", "a.jpg"], [0, 1]),
        ([], []),
    ],
    ids=["numbers", "twice the same", "a name", "none"],
)
def test_images_are_numbered(names, expected):
    assert image_ids(names) == expected
