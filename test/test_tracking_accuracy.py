"""Test how well objects are followed, on sequences with ground truth: what docs/tracking.md says must hold."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import cv2
import numpy as np
import pytest
from support.shared_data import SHARED_FILES, shared_path

from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import NO_TRACK
from yolov8_seg_ros.core.iou import mask_iou
from yolov8_seg_ros.core.options import TrackerOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.tools.evaluation.tracks import TrackedBoxes, measure_tracks, read_mot

PERSON = 0
WALK, DRIVE = "data/tracking/TUD-Stadtmitte", "data/tracking/DAVIS-car-shadow"
#: Model, every N-th image of 25 a second: HOTA, IDF1, most switches. Each rate once, each model at least once.
LEAST = {
    ("256", 5): (0.56, 0.80, 8),
    ("320", 1): (0.60, 0.83, 8),
    ("320", 2): (0.60, 0.83, 8),
}
#: The camera sees this part of each image, height and width in pixels, where it pans.
WINDOW_HW = (360, 480)


@lru_cache
def images_of(sequence):
    return [read_image(path) for path in sorted(next(shared_path(sequence).glob("im*g*")).glob("*.jpg"))]


@lru_cache
def segmenter_of(model):
    return Segmenter(open_backend(str(shared_path(SHARED_FILES[model])), "cpu"))


@lru_cache(maxsize=1000)
def instances_in(model, sequence, index):
    """Return what the model finds in an image of a sequence, with its defaults."""
    return segmenter_of(model).segment(images_of(sequence)[index])


def indices_of(sequence, every):
    return range(0, len(images_of(sequence)), every)


def persons(instances):
    return TrackedBoxes.of_instances(instances[instances.class_id == PERSON])


@pytest.mark.parametrize(("model", "every"), LEAST, ids=str)
def test_persons_in_a_street(model, every):
    pytest.importorskip("trackeval")
    sequence = read_mot(shared_path(WALK)).every(every)
    tracker = Tracker()
    tracks = [
        persons(tracker.update(instances_in(model, WALK, index), number / sequence.fps))
        for number, index in enumerate(indices_of(WALK, every))
    ]

    figures = measure_tracks(sequence.truth, tracks)

    hota, idf1, switches = LEAST[model, every]
    assert figures.hota >= hota
    assert figures.idf1 >= idf1
    assert figures.switches <= switches


def pan_xy(index):
    """Return where the window of a camera that pans is in image `index`: column and row."""
    return round(80 + 80 * np.sin(index / 9.5)), round(60 + 60 * np.sin(index / 7))


@pytest.mark.parametrize(("model", "every"), LEAST, ids=str)
def test_a_pan_of_the_camera_is_compensated(model, every):
    pytest.importorskip("trackeval")
    truth = read_mot(shared_path(WALK)).truth
    switches = {}
    for is_panned in (False, True):
        tracker, tracks, moved = Tracker(TrackerOptions(camera_motion=True)), [], []
        for index in indices_of(WALK, every):
            x, y = pan_xy(index) if is_panned else (80, 60)
            offset = np.array((x, y, x, y), np.float32)
            image = ColorImage(np.ascontiguousarray(images_of(WALK)[index][y : y + WINDOW_HW[0], x : x + WINDOW_HW[1]]))
            found = instances_in(model, WALK, index)
            seen = replace(found, xyxy=found.xyxy - offset, masks=None)
            tracks.append(persons(tracker.update(seen, index / 25, image)))
            moved.append(replace(truth[index], xyxy=truth[index].xyxy - offset))
        switches[is_panned] = measure_tracks(moved, tracks).switches
    assert switches[True] <= 2 * switches[False]


@pytest.mark.parametrize("compensated", [False, True], ids=["as it is", "compensated"])
@pytest.mark.parametrize(("model", "every"), [("256", 1), ("320", 3)], ids=str)
def test_a_car_before_a_moving_camera_has_one_number(model, every, compensated):
    truths = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) > 127 for path in sorted(shared_path(DRIVE).glob("masks/*"))]
    tracker = Tracker(TrackerOptions(camera_motion=compensated))
    ids, overlaps = [], []
    for index in indices_of(DRIVE, every):
        tracked = tracker.update(instances_in(model, DRIVE, index), index / 24, ColorImage(images_of(DRIVE)[index]))
        tracked = tracked[tracked.track_id != NO_TRACK]
        overlap = [mask_iou(tracked.full_mask(row), truths[index]) for row in range(len(tracked))]
        if overlap and max(overlap) > 0.5:
            ids.append(int(tracked.track_id[np.argmax(overlap)]))
            overlaps.append(max(overlap))
    assert len(ids) >= 0.9 * len(truths) / every
    assert set(ids) == {1}
    assert np.mean(overlaps) >= 0.85
