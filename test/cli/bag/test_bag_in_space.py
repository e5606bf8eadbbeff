"""Test the verb `bag` with a depth camera: objects in space, against the core's arithmetic and against the truth."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("rosbags")

from support import bags, depth_bags
from support.depth_bags import COLOR, COLOR_FRAME, DEPTH, DEPTH_FRAME

from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.core.camera_geometry import PinholeCamera, RigidTransform
from yolov8_seg_ros.core.depth import DepthImage, DepthOptions, Registration
from yolov8_seg_ros.core.object_boxes import measure_boxes
from yolov8_seg_ros.core.object_points import find_objects
from yolov8_seg_ros.media.rgbd_scene import (
    BASE_FROM_CAMERA,
    CAMERA_FROM_OPTICAL,
    RgbdScene,
    drive_pose,
)
from yolov8_seg_ros.model_files.store import SCENE_MODEL

NUM_FRAMES, RATE_HZ = 12, 2.0
OBJECTS, CLOUD, MARKERS = "/depth_node/objects", "/depth_node/cloud", "/depth_node/markers"
#: Positions are compared with the truth at these distances from the camera.
JUDGED_RANGE_M, MAX_MEDIAN_ERROR_M = (1.5, 2.5), 0.02
#: Images of the small recordings: 4 at 25 Hz, of which each shows one object.
SMALL = PinholeCamera((48, 64), (60.0, 60.0), (31.5, 23.5))
NUM_SMALL = 4


@pytest.fixture
def output(tmp_path):
    return tmp_path / "found"


@pytest.fixture
def run(output, tmp_path):
    """Return a function that runs the verb, and returns its exit code and what it says of the camera."""

    def run(recording, *arguments, model=SCENE_MODEL, output=output, depth_topic=DEPTH):
        summary = tmp_path / "summary.json"
        command = ["bag", str(recording), "--output", str(output), "--json", str(summary), "--force"]
        code = main([*command, "--model", str(model), "--depth-topic", depth_topic, *map(str, arguments)])
        (camera,) = json.loads(summary.read_text())["cameras"].values()
        return code, camera["in_space"]

    return run


@pytest.fixture(scope="module", params=["registered", "unregistered"])
def drive(request):
    """Return a scene, and frames of a drive through it."""
    scene = RgbdScene(depth_registered=request.param == "registered", depth_noise_m=0.001)
    return scene, [scene.frame(0.3 + number / RATE_HZ) for number in range(NUM_FRAMES)]


def xyz(value):
    return np.array((value.x, value.y, value.z))


def expected_boxes(drive, index, labels, target):
    """Return the boxes of an image by the functions that the depth node calls."""
    scene, frames = drive
    depth = DepthImage(depth_bags.encoded(frames[index].depth_m, "16UC1"), 1e-3)
    depth_to_color = CAMERA_FROM_OPTICAL.inverse() @ scene.camera_from_depth_optical
    registration = Registration(scene.camera, None if scene.depth_registered else scene.depth_camera, depth_to_color)
    points = registration.label(labels, depth, DepthOptions(stride=1))
    return measure_boxes(find_objects(points, int(labels.max()), DepthOptions(stride=1)), target)


@pytest.mark.parametrize("frame", ["", "world"], ids=["camera", "world"])
def test_positions_are_those_of_the_depth_node_and_near_the_truth(frame, drive, run, output, tmp_path):
    scene, frames = drive
    types = depth_bags.types_of("mcap")
    path = bags.write_bag(tmp_path / "drive", "mcap", depth_bags.drive_entries(types, *drive), types)

    code, found = run(path, "--target-frame", frame, "--stride", 1)

    assert code == 0
    assert (found["images"], found["placed"], found["same_stamp"]) == (NUM_FRAMES,) * 3
    assert found["depth_images"] == ("registered" if scene.depth_registered else "projected")
    errors_m = []
    messages = bags.results_in(output, OBJECTS)
    detections = bags.results_in(output, "/yolov8_seg/detections")
    for index, (message, image) in enumerate(
        zip(messages, bags.results_in(output, "/yolov8_seg/instances"), strict=True)
    ):
        assert message.header.frame_id == (frame or COLOR_FRAME)
        assert message.header.stamp == image.header.stamp
        world_from_color = drive_pose(frames[index].time_s) @ BASE_FROM_CAMERA @ CAMERA_FROM_OPTICAL
        target = world_from_color if frame else RigidTransform.identity()
        labels = image.data.reshape(image.height, image.width)
        boxes = expected_boxes(drive, index, labels, target)
        assert len(boxes) == len(message.detections)
        for box, detection in zip(boxes, message.detections, strict=True):
            seen = detections[index].detections[box.label - 1]
            assert (detection.id, detection.results[0].hypothesis) == (seen.id, seen.results[0].hypothesis)
            # In the world, poses are interpolated between two of the drive.
            tolerance_m = 2e-3 if frame else 1e-5
            np.testing.assert_allclose(xyz(detection.bbox.center.position), box.center_m, atol=tolerance_m)
            np.testing.assert_allclose(xyz(detection.bbox.size), box.size_m, atol=tolerance_m)
            position_m = detection.results[0].pose.pose.position
            np.testing.assert_allclose(xyz(position_m), box.surface_m, atol=tolerance_m)
            back = world_from_color if not frame else RigidTransform.identity()
            in_world_m = back.apply(xyz(detection.bbox.center.position)[:, None]).ravel()
            errors_m += error_m(scene, world_from_color, detection.results[0].hypothesis.class_id, in_world_m)
    assert len(errors_m) >= NUM_FRAMES
    assert np.median(errors_m) <= MAX_MEDIAN_ERROR_M


def error_m(scene, world_from_color, class_name, position_m):
    """Return how far the nearest object of a class is from a position, if that is at about 2 m."""
    places_m = [one.world_from_object.translation_m for one in scene.objects if one.class_name == class_name]
    low_m, high_m = JUDGED_RANGE_M
    is_near = low_m <= np.linalg.norm(position_m - world_from_color.translation_m) <= high_m
    return [min(np.linalg.norm(position_m - place_m) for place_m in places_m)] if places_m and is_near else []


def small_entries(container="mcap"):
    """Return a recording of noise 2 m in front of the camera, which moves away from the origin of the world."""
    types = depth_bags.types_of(container)
    entries = [
        bags.Entry(topic, depth_bags.CAMERA_INFO, bags.START_NS, depth_bags.camera_info(types, SMALL, bags.START_NS))
        for topic in (depth_bags.COLOR_INFO, depth_bags.DEPTH_INFO)
    ]
    depth_mm = np.full(SMALL.image_hw, 2000, np.uint16)
    fixed = depth_bags.transform(types, COLOR_FRAME, DEPTH_FRAME, moved_by(0.02), bags.START_NS)
    entries.append(
        bags.Entry("/tf_static", depth_bags.TF_MESSAGE, bags.START_NS, depth_bags.tf_message(types, [fixed]))
    )
    for index, image in enumerate(bags.noise_images(NUM_SMALL, SMALL.image_hw)):
        stamp_ns = bags.START_NS + index * bags.PERIOD_NS
        log_ns = stamp_ns + bags.LATENCY_NS
        moved = depth_bags.transform(types, "world", COLOR_FRAME, moved_by(index), stamp_ns)
        color = depth_bags.raw_image(types, image, stamp_ns, "bgr8", COLOR_FRAME)
        depth = depth_bags.raw_image(types, depth_mm, stamp_ns, "16UC1", DEPTH_FRAME)
        entries += [
            bags.Entry(COLOR, bags.IMAGE, log_ns, color),
            bags.Entry(DEPTH, bags.IMAGE, log_ns + 10, depth),
            bags.Entry("/tf", depth_bags.TF_MESSAGE, log_ns + 20, depth_bags.tf_message(types, [moved])),
        ]
    return entries


def moved_by(x_m):
    return RigidTransform(np.eye(3), np.array((float(x_m), 0.0, 0.0)))


def small_bag(tmp_path, entries=None, container="mcap"):
    entries = small_entries(container) if entries is None else entries
    return bags.write_bag(tmp_path / "drive", container, entries, depth_bags.types_of(container))


@pytest.mark.parametrize("container", ["mcap", "mcap split", "sqlite3", "sqlite3 message zstd", "ros1"])
def test_objects_stand_at_the_log_time_of_their_image(container, run, model, output, tmp_path):
    code, found = run(small_bag(tmp_path, container=container), "--target-frame", "world", model=model)
    assert code == 0
    assert found["objects"] == {"mouse": NUM_SMALL}
    times_ns = [bags.START_NS + index * bags.PERIOD_NS + bags.LATENCY_NS for index in range(NUM_SMALL)]
    for topic in (OBJECTS, CLOUD, MARKERS):
        assert [time_ns for _, time_ns, _ in bags.messages_in(output, topic)] == times_ns
    # The camera moves by 1 m from image to image, and sees the same.
    places_m = [message.detections[0].bbox.center.position.x for message in bags.results_in(output, OBJECTS)]
    np.testing.assert_allclose(np.diff(places_m), 1.0, atol=0.05)


def test_the_cloud_and_the_markers_show_the_objects(run, model, output, tmp_path):
    run(small_bag(tmp_path), "--target-frame", "world", "--stride", 1, model=model)
    for objects, cloud, markers in zip(
        *(bags.results_in(output, topic) for topic in (OBJECTS, CLOUD, MARKERS)), strict=True
    ):
        (detection,) = objects.detections
        assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "instance", "confidence", "class"]
        points = np.frombuffer(cloud.data, np.float32).reshape(cloud.width, -1)
        # The cloud is in the camera's frame, whose rays costmaps trace.
        assert (cloud.header.frame_id, objects.header.frame_id) == (COLOR_FRAME, "world")
        np.testing.assert_allclose(points[:, 2], 2.0, atol=1e-3)
        assert set(points[:, 4].view(np.uint32)) == {int(detection.id)}
        assert set(points[:, 6].view(np.uint32)) == {2}
        assert {marker.ns for marker in markers.markers} >= {"objects", "names"}
        box = next(marker for marker in markers.markers if marker.ns == "objects")
        assert (box.pose, box.scale, box.header) == (detection.bbox.center, detection.bbox.size, objects.header)


@pytest.mark.parametrize("container", ["mcap", "sqlite3"])
def test_a_second_run_writes_the_same_bytes(container, run, model, tmp_path):
    path = small_bag(tmp_path, container=container)
    for folder in ("first", "second"):
        run(path, "--target-frame", "world", model=model, output=tmp_path / folder / "same")
    assert bags.content_of(tmp_path / "first" / "same") == bags.content_of(tmp_path / "second" / "same")


def test_what_is_copied_changes_nothing(run, model, tmp_path):
    path = small_bag(tmp_path)
    found = []
    for name, arguments in (("all", ()), ("alone", ("--only-results",))):
        run(path, "--target-frame", "world", *arguments, model=model, output=tmp_path / name)
        found.append([bags.messages_in(tmp_path / name, topic) for topic in (OBJECTS, CLOUD, MARKERS)])
    assert found[0] == found[1]


def test_a_part_has_the_objects_of_the_whole(run, model, output, tmp_path):
    path = small_bag(tmp_path)
    run(path, "--target-frame", "world", "--no-track", model=model, output=tmp_path / "whole")
    # The second and the third image, without the depth image and the transform that are logged after them.
    end_s = (2 * bags.PERIOD_NS + bags.LATENCY_NS + 5) / 1e9
    code, found = run(
        path, "--target-frame", "world", "--no-track", "--start", 0.02, "--end", f"{end_s:.9f}", model=model
    )
    assert (code, found["placed"], found["not_placed"]) == (0, 2, {})
    assert bags.messages_in(output, OBJECTS) == bags.messages_in(tmp_path / "whole", OBJECTS)[1:3]


def test_only_some_kinds_are_written(run, model, output, tmp_path):
    run(small_bag(tmp_path), "--only-results", "--write", "objects", "--depth-results", "/space", model=model)
    assert set(bags.topics_in(output)) == {"/space/objects", "/yolov8_seg/label_info"}


def of(entries, topic):
    return [entry for entry in entries if entry.topic == topic]


def without(*topics):
    return lambda entries: [entry for entry in entries if entry.topic not in topics]


def changed(topic, **fields):
    """Return what sets fields of the messages of a topic."""

    def change(entries):
        for entry in of(entries, topic):
            for name, value in fields.items():
                setattr(entry.message, name, value)
        return entries

    return change


def restamped(topic, stamp_ns):
    """Return what sets the stamps of a topic's messages by the stamps that they have."""

    def change(entries):
        for entry in of(entries, topic):
            stamp = entry.message.header.stamp
            stamp.sec, stamp.nanosec = divmod(stamp_ns(stamp.sec * 10**9 + stamp.nanosec), 10**9)
        return entries

    return change


def turned_off(entries):
    for entry in of(entries, "/tf"):
        entry.message.transforms[0].transform.rotation.w = 0.0
    return entries


def late_transforms(entries):
    late = [bags.Entry(one.topic, one.msgtype, one.log_time_ns + 10**9, one.message) for one in of(entries, "/tf")]
    return without("/tf")(entries) + late


#: What is done to a recording, further arguments, and why its images have no objects.
MISSING = {
    "no CameraInfo of the colour camera": (without(depth_bags.COLOR_INFO), (), "no CameraInfo on /cam/color/camera"),
    "no CameraInfo of the depth camera": (without(depth_bags.DEPTH_INFO), (), "no CameraInfo on /cam/depth/camera"),
    "not calibrated": (changed(depth_bags.COLOR_INFO, k=np.zeros(9)), (), "K is all zeros"),
    "K of NaN": (changed(depth_bags.DEPTH_INFO, k=np.full(9, np.nan)), (), "expected positive focal lengths"),
    "another size": (changed(depth_bags.DEPTH_INFO, width=32), (), "depth image is 64x48, its CameraInfo says 32x48"),
    "no transforms": (without("/tf"), ("--target-frame", "world"), "no transform from 'color_optical' to 'world'"),
    "transforms that are none": (turned_off, ("--target-frame", "world"), "no transform from"),
    "transforms too late": (late_transforms, ("--target-frame", "world"), "no transform from"),
    "no extrinsics": (without("/tf_static"), (), "no transform from 'depth_optical' to 'color_optical'"),
    "other stamps": (restamped(DEPTH, lambda ns: ns + 10**10), (), "no depth image is near enough"),
    "images without a stamp": (restamped(COLOR, lambda ns: 0), (), "the image has no stamp"),
    "depth images without a stamp": (restamped(DEPTH, lambda ns: 0), (), "no depth image is near enough"),
    "one stamp for all": (restamped(COLOR, lambda ns: bags.START_NS + 10**9), (), "no depth image is near|same stamp"),
    "no depth at all": (changed(DEPTH, encoding="rgb8"), (), "encoding 'rgb8' is no depth"),
    "depth images cut short": (changed(DEPTH, data=np.zeros(9, np.uint8)), (), "9 bytes of data do not fit"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "arguments", "reason"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_reported(change, arguments, reason, run, model, output, tmp_path, capsys):
    code, found = run(small_bag(tmp_path, change(small_entries())), *arguments, model=model)
    assert code == 1
    assert (found["images"], found["placed"]) == (NUM_SMALL, 0)
    assert sum(found["not_placed"].values()) == NUM_SMALL
    assert all(re.search(reason, one) for one in found["not_placed"])
    assert f"without objects in space {NUM_SMALL}: " in capsys.readouterr().err or len(found["not_placed"]) > 1
    # The images are segmented all the same.
    assert len(bags.messages_in(output, "/yolov8_seg/detections")) == NUM_SMALL
    assert bags.messages_in(output, OBJECTS) == []


def renamed(topic, name):
    """Return what gives a topic another name."""

    def change(entries):
        return [replace(one, topic=name) if one.topic == topic else one for one in entries]

    return change


def box_width_m(output):
    return bags.results_in(output, OBJECTS)[0].detections[0].bbox.size.x


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("/cam/color/image_rect_color", (), 0.5),
        ("/cam/color/image_rect_color", ("--rectified", "none"), 1.0),
        (COLOR, ("--rectified", "color"), 0.5),
        (COLOR, ("--rectified", "depth"), 1.0),
    ],
)
def test_p_counts_where_images_are_rectified(name, arguments, expected, run, model, output, tmp_path):
    run(small_bag(tmp_path), "--assume-registered", model=model)
    by_k_m = box_width_m(output)
    # Twice the focal length, so all is seen under half the angle.
    projection = np.hstack((np.diag((2.0, 2.0, 1.0)) @ SMALL.matrix, np.zeros((3, 1))))
    projection[:2, 2] = SMALL.center_xy_px
    entries = renamed(COLOR, name)(changed(depth_bags.COLOR_INFO, p=projection.ravel())(small_entries()))
    path = bags.write_bag(tmp_path / "other", "mcap", entries, depth_bags.types_of("mcap"))
    run(path, "--assume-registered", *arguments, model=model)
    assert box_width_m(output) == pytest.approx(expected * by_k_m, rel=1e-3)


def with_compressed_depth(entries):
    """Return a recording whose depth images are compressed, as rosbag2 records them from image_transport."""
    types = depth_bags.types_of("mcap")
    return [
        replace(
            one,
            topic=f"{DEPTH}/compressedDepth",
            msgtype=bags.COMPRESSED,
            message=depth_bags.compressed_depth(types, one.message),
        )
        if one.topic == DEPTH
        else one
        for one in entries
    ]


def test_compressed_depth_images_serve_as_raw_ones(run, model, output, tmp_path):
    run(small_bag(tmp_path), model=model)
    expected = [list(map(str, one.detections)) for one in bags.results_in(output, OBJECTS)]
    entries = with_compressed_depth(small_entries())
    path = bags.write_bag(tmp_path / "compressed", "mcap", entries, depth_bags.types_of("mcap"))
    code, found = run(path, model=model, depth_topic=f"{DEPTH}/compressedDepth")
    assert (code, found["placed"], found["depth_topic"]) == (0, NUM_SMALL, f"{DEPTH}/compressedDepth")
    assert [list(map(str, one.detections)) for one in bags.results_in(output, OBJECTS)] == expected


def test_later_transforms_are_waited_for_if_wanted(run, model, tmp_path):
    path = small_bag(tmp_path, late_transforms(small_entries()))
    code, found = run(path, "--target-frame", "world", "--max-wait-s", 1.5, model=model)
    assert (code, found["placed"]) == (0, NUM_SMALL)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf], ids=str)
def test_objects_without_depth_are_counted(value, run, model, output, tmp_path, capsys):
    entries = small_entries()
    pixels = np.full(SMALL.image_hw, value, np.float32)
    for entry in of(entries, DEPTH):
        stamp = entry.message.header.stamp
        entry.message.__dict__.update(
            depth_bags.raw_image(
                depth_bags.types_of("mcap"), pixels, stamp.sec * 10**9 + stamp.nanosec, "32FC1", DEPTH_FRAME
            ).__dict__
        )
    code, found = run(small_bag(tmp_path, entries), model=model)
    assert (code, found["placed"], found["objects"]) == (0, NUM_SMALL, {})
    assert found["without_depth"] == {"mouse": NUM_SMALL}
    assert f"{NUM_SMALL} mouse without enough depths" in capsys.readouterr().err
    assert [message.detections for message in bags.results_in(output, OBJECTS)] == [[]] * NUM_SMALL


def test_the_nearest_depth_image_serves(run, model, tmp_path):
    path = small_bag(tmp_path, restamped(DEPTH, lambda ns: ns + 7_000_000)(small_entries()))
    _, found = run(path, model=model)
    assert (found["same_stamp"], found["other_stamp"], found["placed"]) == (0, NUM_SMALL, NUM_SMALL)
    _, found = run(path, "--max-depth-delay-s", 0, model=model)
    assert found["not_placed"] == {"no depth image is near enough": NUM_SMALL}


def test_unusable_transforms_are_counted(run, model, tmp_path, capsys):
    run(small_bag(tmp_path, turned_off(small_entries())), "--target-frame", "world", model=model)
    unusable = json.loads((tmp_path / "summary.json").read_text())["unusable_transforms"]
    assert unusable == {"transform: expected a quaternion and a translation for 'color_optical' in 'world'": NUM_SMALL}
    assert "transforms left out 4: " in capsys.readouterr().err
