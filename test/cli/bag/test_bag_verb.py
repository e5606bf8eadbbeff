"""Test the verb `bag`: what it writes, and that it loses nothing."""

from __future__ import annotations

import json
import os
import sqlite3
import struct

import cv2
import numpy as np
import pytest
from support.shared_data import shared_path

pytest.importorskip("rosbags")

from support import bags
from support.bags import CAMERA, NUM_IMAGES, recording

from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.media.coco import from_coco_results
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.tools.bag.writer import UNKNOWN_HASH


@pytest.fixture(scope="session")
def walk():
    """Return the first images of a sequence of walking people."""
    return sorted(shared_path("data/tracking/TUD-Stadtmitte/img1").glob("*.jpg"))[:NUM_IMAGES]


@pytest.fixture(scope="session")
def segmented(walk, st_model_256, tmp_path_factory):
    """Return what the verb `segment` finds in these images: results by image."""
    folder = tmp_path_factory.mktemp("segment")
    pictures = folder / "pictures"
    pictures.mkdir()
    for path in walk:
        os.symlink(path, pictures / path.name)
    arguments = [
        "--model",
        str(st_model_256),
        "--output",
        str(folder / "found"),
        "--no-images",
        "--track",
        "--fps",
        "25",
    ]
    assert main(["segment", str(pictures), *arguments]) == 0
    found = json.loads((folder / "found" / "results.json").read_text())
    ids = [entry["id"] for entry in json.loads((folder / "found" / "images.json").read_text())["images"]]
    return [[result for result in found if result["image_id"] == image_id] for image_id in ids]


@pytest.mark.parametrize(
    "container", ["mcap", "mcap file zstd", "mcap split", "sqlite3", "sqlite3 message zstd", "ros1"]
)
def test_results_equal_those_of_segment_in_each_container(container, walk, segmented, st_model_256, run, tmp_path):
    types = bags.types_of(container)
    entries = bags.image_entries(types, [read_image(path) for path in walk])
    path = bags.write_bag(tmp_path / "walk", container, [*entries, *bags.odd_entries(types, NUM_IMAGES)], types)

    assert run(path, model=str(st_model_256)) == 0

    check_results(tmp_path / "out" / "drive_segmented", segmented)


def test_compressed_images_are_decoded_as_segment_does(walk, segmented, st_model_256, run, tmp_path, output):
    path = bags.write_bag(tmp_path / "walk", "mcap", bags.jpeg_entries(bags.types_of("mcap"), walk))
    assert run(path, model=str(st_model_256)) == 0
    check_results(output, segmented)


def check_results(folder, segmented):
    detections = bags.results_in(folder, "/yolov8_seg/detections")
    labels = bags.results_in(folder, "/yolov8_seg/instances")
    semantic = bags.results_in(folder, "/yolov8_seg/semantic")
    names = [entry.class_name for entry in bags.results_in(folder, "/yolov8_seg/label_info")[0].class_map]
    assert len(detections) == len(labels) == len(semantic) == len(segmented)
    for index, (message, image, classes, results) in enumerate(
        zip(detections, labels, semantic, segmented, strict=True)
    ):
        stamp = message.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == bags.START_NS + index * bags.PERIOD_NS
        assert message.header == image.header == classes.header
        expected = from_coco_results(results, (image.height, image.width))
        assert [(one.results[0].hypothesis.class_id, one.id) for one in message.detections] == [
            (names[result["category_id"] + 1], str(result.get("track_id", ""))) for result in results
        ]
        np.testing.assert_allclose([numbers(one) for one in message.detections], as_numbers(expected), atol=0.01)
        np.testing.assert_array_equal(image.data.reshape(expected.image_hw), expected.label_image())
        np.testing.assert_array_equal(classes.data.reshape(expected.image_hw), expected.semantic_image())


def numbers(detection):
    box = detection.bbox
    return [
        box.center.position.x,
        box.center.position.y,
        box.size_x,
        box.size_y,
        100 * detection.results[0].hypothesis.score,
    ]


def as_numbers(instances):
    start, end = instances.xyxy[:, :2], instances.xyxy[:, 2:]
    return np.hstack([(start + end) / 2, end - start, 100 * instances.score[:, None]])


@pytest.mark.parametrize("container", ["mcap", "sqlite3", "mcap split", "sqlite3 message zstd"])
def test_other_topics_are_copied_byte_for_byte(container, run, output, tmp_path):
    path = recording(tmp_path, container)

    assert run(path) == 0

    known = bags.topics_in(path)
    copied = bags.topics_in(output)
    assert {name: copied[name] for name in known} == known
    assert [one for one in bags.messages_in(output) if one[0] in known] == bags.messages_in(path)


def test_results_stand_at_the_log_time_of_their_image(run, output, tmp_path):
    assert run(recording(tmp_path)) == 0
    order = [(topic, time_ns) for topic, time_ns, _ in bags.messages_in(output)]
    first_ns = bags.START_NS + bags.LATENCY_NS
    expected = [CAMERA, *(f"/yolov8_seg/{name}" for name in ("label_info", "detections", "instances", "semantic"))]
    assert order[:6] == [*((topic, first_ns) for topic in expected), ("/odd", first_ns + bags.LATENCY_NS)]


@pytest.mark.parametrize("container", ["mcap", "sqlite3"])
@pytest.mark.parametrize("compress", [(), ("--compress", "zstd")], ids=["plain", "zstd"])
def test_a_second_run_writes_the_same_bytes(container, compress, run, tmp_path):
    path = recording(tmp_path, container)
    for folder in ("first", "second"):
        assert run(path, *compress, output=tmp_path / folder / "same") == 0
    assert bags.content_of(tmp_path / "first" / "same") == bags.content_of(tmp_path / "second" / "same")


def test_hashes_that_a_recording_of_humble_lacks_are_completed(run, output, tmp_path):
    path = recording(tmp_path, "sqlite3 alone")
    connection = sqlite3.connect(path)
    connection.executescript("UPDATE schema SET schema_version = 3; DROP TABLE message_definitions")
    connection.close()
    assert {type_hash for _, type_hash, _ in bags.topics_in(path).values()} == {""}

    assert run(path) == 0

    hashes = {name: type_hash for name, (_, type_hash, _) in bags.topics_in(output).items()}
    assert hashes[CAMERA] == bags.types_of("sqlite3").hash_rihs01(bags.IMAGE)
    assert hashes["/odd"] == UNKNOWN_HASH
    assert bags.messages_in(output, "/odd") == bags.messages_in(path, "/odd")


def test_ros1_topics_are_converted(run, output, tmp_path):
    path = recording(tmp_path, "ros1")
    assert run(path) == 0
    images = bags.results_in(output, CAMERA)
    for image, expected in zip(images, bags.noise_images(NUM_IMAGES), strict=True):
        np.testing.assert_array_equal(image.data.reshape(expected.shape), expected)
    assert [len(data) > 8 for _, _, data in bags.messages_in(output, "/odd")] == [True] * NUM_IMAGES
    assert bags.topics_in(output)["/odd"][2][0].durability.name == "TRANSIENT_LOCAL"


def test_only_results(run, output, tmp_path):
    assert run(recording(tmp_path), "--only-results", "--write", "detections", "--results", "/net") == 0
    assert set(bags.topics_in(output)) == {"/net/detections", "/net/label_info"}
    assert len(bags.messages_in(output, "/net/detections")) == NUM_IMAGES


def test_several_cameras_have_topics_and_tracks_of_their_own(run, output, tmp_path):
    path = recording(tmp_path, topics=("/front/image_raw", "/rear/image_raw"))
    summary = tmp_path / "summary.json"
    assert run(path, "--json", summary) == 0
    for name, track in (("front", "1"), ("rear", "2")):
        messages = bags.results_in(output, f"/yolov8_seg/{name}/detections")
        assert [[one.id for one in message.detections] for message in messages] == [[track]] * NUM_IMAGES
    cameras = json.loads(summary.read_text())["cameras"]
    found = {"frames": NUM_IMAGES, "objects": {"mouse": NUM_IMAGES}, "tracks": {"mouse": 1}}
    for name in ("front", "rear"):
        expected = {**found, "results": f"/yolov8_seg/{name}"}
        assert cameras[f"/{name}/image_raw"].items() >= expected.items()


def test_without_tracks_the_id_is_the_pixel_value(run, output, tmp_path):
    assert run(recording(tmp_path), "--no-track") == 0
    labels = bags.results_in(output, "/yolov8_seg/instances")
    for message, image in zip(bags.results_in(output, "/yolov8_seg/detections"), labels, strict=True):
        assert {int(one.id) for one in message.detections} == set(np.unique(image.data)) - {0}


def test_a_part_is_cut_out(run, output, tmp_path):
    path = recording(tmp_path, count=8)
    # Log times are 0, 40, ... 280 ms after the first.
    assert run(path, "--every", "2", "--start", "0.04", "--end", "0.2") == 0
    images = bags.messages_in(output, CAMERA)
    assert images == bags.messages_in(path, CAMERA)[1:5]
    assert [time_ns for _, time_ns, _ in bags.messages_in(output, "/yolov8_seg/detections")] == [
        images[0][1],
        images[2][1],
    ]


def test_an_annotated_video_is_written_for_each_camera(run, tmp_path):
    path = recording(tmp_path, topics=("/front/image_raw", "/rear/image_raw"))
    assert run(path, "--overlay", tmp_path / "drive.mp4") == 0
    for name in ("drive_front.mp4", "drive_rear.mp4"):
        video = cv2.VideoCapture(str(tmp_path / name))
        assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == NUM_IMAGES
        video.release()


def test_a_video_leaves_out_what_does_not_fit_into_it(run, tmp_path, capsys):
    types = bags.types_of("mcap")
    front = bags.image_entries(types, [*bags.noise_images(3), *bags.noise_images(1, (24, 32))], "/front/image")
    rear = bags.image_entries(types, bags.noise_images(3), "/rear/image")
    for entry in rear:
        entry.message.step = 3
    path = bags.write_bag(tmp_path / "drive", "mcap", [*front, *rear], types)
    assert run(path, "--overlay", tmp_path / "drive.mp4") == 1
    assert "drive_front.mp4: 1 frames of another size" in capsys.readouterr().err
    # No frame of the other camera can be used.
    assert not (tmp_path / "drive_rear.mp4").exists()


def test_images_that_cannot_be_used_are_counted(run, output, tmp_path, capsys):
    types = bags.types_of("mcap")
    entries = bags.image_entries(types, bags.noise_images(NUM_IMAGES))
    entries[1].message.step = 3
    entries[2].message.header.stamp.nanosec = 4_000_000_000

    assert run(bags.write_bag(tmp_path / "drive", "mcap", entries, types), "--json", tmp_path / "summary.json") == 1

    camera = json.loads((tmp_path / "summary.json").read_text())["cameras"][CAMERA]
    assert (camera["images"], camera["frames"], camera["without_stamp"]) == (NUM_IMAGES, NUM_IMAGES - 1, 1)
    assert "step 3 does not fit" in " ".join(camera["skipped"])
    assert len(bags.messages_in(output, CAMERA)) == NUM_IMAGES
    assert "skipped 1: step 3 does not fit" in capsys.readouterr().err


def test_messages_that_are_announced_but_not_there_are_told(run, tmp_path, capsys):
    path = recording(tmp_path)
    file = path / "drive.mcap"
    data = bytearray(file.read_bytes())
    # The statistics of two channels: 42 bytes, then for each channel its number and how many messages it has.
    place = data.rindex(b"\x0b" + struct.pack("<Q", 42 + 4 + 20)) + 9 + 42 + 4
    struct.pack_into("<HQ", data, place, 1, NUM_IMAGES + 3)
    file.write_bytes(data)
    assert run(path) == 0
    assert f"of {2 * NUM_IMAGES + 3} messages {2 * NUM_IMAGES} could be read" in capsys.readouterr().err


def test_depth_and_doubles_are_left_out(run, output, tmp_path, capsys):
    types = bags.types_of("mcap")
    images = bags.noise_images(2)
    metres, mm = np.zeros((48, 64), np.float32), np.zeros((48, 64), np.uint16)
    entries = [
        *bags.image_entries(types, images),
        bags.Entry("/depth", bags.IMAGE, bags.START_NS, bags.raw_image(types, metres.view(np.uint8), 1, "32FC1")),
        bags.Entry("/aligned", bags.IMAGE, bags.START_NS, bags.raw_image(types, mm.view(np.uint8), 1, "16UC1")),
        bags.Entry(
            f"{CAMERA}/compressed", bags.COMPRESSED, bags.START_NS,
            bags.compressed_image(types, cv2.imencode(".jpg", images[0])[1].tobytes(), 1),
        ),
    ]  # fmt: skip
    path = bags.write_bag(tmp_path / "drive", "mcap", entries, types)
    assert run(path) == 0
    error = capsys.readouterr().err
    assert "left out: /depth: images of encoding '32FC1'" in error
    assert "left out: /aligned: images of encoding '16UC1'" in error
    assert f"left out: {CAMERA}/compressed: the images of {CAMERA} once more" in error
    assert run(path, "--topic", "/depth", "--force") == 1
    assert "--topic /depth: images of encoding '32FC1' cannot be segmented" in capsys.readouterr().err
