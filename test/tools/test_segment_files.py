"""Test that many files become annotated files and one results file, with ids that can be traced back."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from support.tiny_models import DEFAULT_SCORE, write_segmentation_model

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.media.coco import from_coco_results
from yolov8_seg_ros.media.sources import open_media
from yolov8_seg_ros.tools.segment_files import BatchSegmenter

GREY = np.full((48, 64, 3), 128, np.uint8)


@pytest.fixture
def segmenter(tmp_path):
    """Return a segmenter that finds one mouse in the middle of whatever it is shown."""
    path = write_segmentation_model(tmp_path / "tiny.tflite", names=["cat", "mouse"])
    with TfliteBackend(path, num_threads=1) as backend:
        yield Segmenter(backend)


@pytest.fixture
def run(segmenter, tmp_path):
    """Return a function that segments sources into a folder; it returns the folder, the images and the results."""

    def run_batch(*sources, annotate=True, tracker=None, fps=None):
        output = tmp_path / "output"
        batch = BatchSegmenter(segmenter, output, annotate, tracker)
        for source in sources:
            with open_media(source) as media:
                batch.add(source, media, fps=fps)
        batch.write_results()
        listing = json.loads((output / "images.json").read_text())
        assert listing["categories"] == [{"id": 0, "name": "cat"}, {"id": 1, "name": "mouse"}]
        return output, listing["images"], json.loads((output / "results.json").read_text())

    return run_batch


def write_image_file(path):
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), GREY)
    return path


def video(path, num_frames=3):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 12.5, (64, 48))
    for _ in range(num_frames):
        writer.write(GREY)
    writer.release()
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_becomes_a_folder(run, tmp_path):
    source = write_image_file(tmp_path / "images" / "000000000139.jpg").parent
    write_image_file(source / "7.png")

    output, images, results = run(source)

    assert names(output) == ["000000000139.jpg", "7.png", "images.json", "results.json"]
    assert images[0] == {
        "id": 139,
        "file_name": "000000000139.jpg",
        "source": str(source / "000000000139.jpg"),
        "width": 64,
        "height": 48,
    }
    assert [result["image_id"] for result in results] == [139, 7]
    assert not np.array_equal(cv2.imread(str(output / "7.png")), GREY)


def test_results_hold_what_was_found(run, tmp_path):
    _, _, results = run(write_image_file(tmp_path / "images" / "a.png"))

    found = from_coco_results(results, (48, 64))
    assert found.class_id.tolist() == [1]
    assert found.score[0] == pytest.approx(DEFAULT_SCORE, abs=0.001)
    # The middle half of a square of 64 px, of which the image is the middle 48; its left half is the mask.
    assert found.xyxy[0].tolist() == pytest.approx([16, 8, 48, 40], abs=0.1)
    assert np.flatnonzero(found.full_mask(0).any(axis=0))[[0, -1]] == pytest.approx([16, 31], abs=1)


@pytest.mark.parametrize(
    "file_names",
    [["1.png", "b.png"], ["1.png", "01.png"], ["b.png", "a.png"]],
    ids=["not_all_numbered", "number_twice", "no_number"],
)
def test_ids_count_where_names_do_not(file_names, run, tmp_path):
    _, images, results = run(*(write_image_file(tmp_path / "images" / name) for name in file_names))

    assert [(image["id"], image["file_name"]) for image in images] == list(enumerate(file_names))
    assert [result["image_id"] for result in results] == [0, 1]


def test_a_video_becomes_a_video(run, tmp_path):
    source = video(tmp_path / "12.avi")

    output, images, results = run(source)

    assert names(output) == ["12.mp4", "images.json", "results.json"]
    assert [image["id"] for image in images] == [image["frame"] for image in images] == [0, 1, 2]
    assert {image["file_name"] for image in images} == {"12.mp4"}
    assert len(results) == 3
    capture = cv2.VideoCapture(str(output / "12.mp4"))
    assert capture.get(cv2.CAP_PROP_FRAME_COUNT) == 3
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(12.5)
    assert not np.allclose(capture.read()[1], GREY, atol=20)


def test_equal_names_do_not_overwrite_each_other(run, tmp_path):
    sources = [write_image_file(tmp_path / folder / "a.png") for folder in ("x", "y", "z")]

    output, images, _ = run(*sources)

    assert names(output) == ["a.png", "a_2.png", "a_3.png", "images.json", "results.json"]
    assert [image["source"] for image in images] == [str(source) for source in sources]


def test_without_annotation_there_are_results_only(run, tmp_path):
    output, images, _ = run(write_image_file(tmp_path / "p" / "a.png"), video(tmp_path / "b.avi"), annotate=False)

    assert names(output) == ["images.json", "results.json"]
    assert len(images) == 4


def test_totals_count_images_and_instances(segmenter, tmp_path):
    batch = BatchSegmenter(segmenter, tmp_path / "output")
    source = video(tmp_path / "b.avi")
    frames = []
    with open_media(source) as media:
        batch.add(source, media, lambda: frames.append(1))

    assert (batch.totals.images, batch.totals.instances, len(frames)) == (3, 3, 3)
    assert (batch.totals.stages_ms > 0).all()


def test_an_object_of_a_video_has_one_number_and_the_next_video_another(run, tmp_path):
    _, _, results = run(video(tmp_path / "a.avi"), video(tmp_path / "b.avi"), tracker=Tracker())
    assert [result["track_id"] for result in results] == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize(("fps", "ids"), [(5.0, [1, 1]), (0.1, [1, 2]), (None, [None, None])], ids=str)
def test_a_folder_is_tracked_by_its_rate(run, tmp_path, fps, ids):
    for name in ("1.png", "2.png"):
        write_image_file(tmp_path / "frames" / name)
    _, _, results = run(tmp_path / "frames", tracker=Tracker(), fps=fps)
    assert [result.get("track_id") for result in results] == ids


def test_without_a_tracker_nothing_is_numbered(run, tmp_path):
    _, _, results = run(video(tmp_path / "a.avi"))
    assert not any("track_id" in result for result in results)
