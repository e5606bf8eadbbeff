"""Test the depth node over real DDS, against scenes whose geometry is known exactly."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_ros")

from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.time import Time
from support.depth_robot import (
    CAMERA,
    COLOR_FRAME,
    PERIOD_NS,
    WORLD_FRAME,
    Robot,
    make_depth_node,
)
from support.depth_scene import Box, Sphere, camera_pose, render
from support.depth_watcher import PERSON, SCENE, shown
from visualization_msgs.msg import Marker


def xyz(value):
    return np.array((value.x, value.y, value.z))


@pytest.mark.parametrize("frame", ["", WORLD_FRAME], ids=["camera", "world"])
@pytest.mark.parametrize(
    ("registered", "encoding"), [(True, "16UC1"), (True, "32FC1"), (False, "16UC1")], ids=["mm", "m", "unregistered"]
)
def test_objects_are_where_they_are(ros, watcher, frame, registered, encoding):
    robot = ros.add(Robot(registered, encoding))
    robot.publish_extrinsics()
    node = make_depth_node(ros, target_frame=frame)
    message = shown(ros, robot, watcher, node)
    assert message.header.frame_id == (frame or COLOR_FRAME)
    assert [detection.id for detection in message.detections] == ["1", "2"]
    view = render(CAMERA, robot.pose, [shape for shape, _, _ in SCENE])
    for label, detection in enumerate(message.detections, start=1):
        center_m, size_m = view.visible(label, np.eye(3) if frame else robot.pose.rotation)
        if not frame:
            center_m = robot.pose.inverse().apply(center_m[:, np.newaxis]).ravel()
        assert detection.header == message.header
        assert xyz(detection.bbox.center.position) == pytest.approx(center_m, abs=0.05)
        assert xyz(detection.bbox.size) == pytest.approx(size_m, rel=0.08)
        assert detection.bbox.center.orientation.w == 1.0
        (result,) = detection.results
        assert result.hypothesis.class_id == ("person", "ball")[label - 1]
        assert result.hypothesis.score == pytest.approx(1 - 0.1 * label)
        surface_m = view.hits_m[view.labels == label]
        surface_m = surface_m if frame else robot.pose.inverse().apply(surface_m.T).T
        assert xyz(result.pose.pose.position) == pytest.approx(np.median(surface_m, axis=0), abs=0.05)
        assert result.pose.pose.orientation == detection.bbox.center.orientation
        covariance = np.array(result.pose.covariance).reshape(6, 6)
        assert (np.diag(covariance)[:3] > 0).all()
        assert covariance[3:].sum() == 0


def test_extrinsics_may_be_a_parameter(ros, watcher):
    robot = ros.add(Robot(registered=False))
    node = make_depth_node(ros, depth_extrinsics="-0.03 0 0 0 0.01 0 1")
    message = shown(ros, robot, watcher, node)
    view = render(CAMERA, robot.pose, [shape for shape, _, _ in SCENE])
    center_m = robot.pose.inverse().apply(view.visible(1, robot.pose.rotation)[0][:, np.newaxis]).ravel()
    assert xyz(message.detections[0].bbox.center.position) == pytest.approx(center_m, abs=0.05)


def test_depth_images_may_be_compressed(ros, watcher):
    robot = ros.add(Robot(registered=False))
    robot.publish_extrinsics()
    raw = shown(ros, robot, watcher, make_depth_node(ros))
    node = make_depth_node(ros, "depth/image:=depth/image/compressedDepth", "__node:=other")
    ros.until(lambda: watcher.count_publishers("other/objects"), "the other node's results to be matched")
    heard = []
    watcher.create_subscription(type(raw), "other/objects", heard.append, 10)
    ros.until(lambda: heard or robot.show(SCENE, index=1) is None, "objects")
    assert [one.bbox for one in heard[0].detections] == [one.bbox for one in raw.detections]
    assert node.count_subscribers("depth/image/compressedDepth") == 1


def test_of_rectified_images_p_counts(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros, rectified="both")
    raw = np.diag((0.5, 0.5, 1.0)) @ CAMERA.matrix
    projection = np.hstack((CAMERA.matrix, np.zeros((3, 1))))
    message = shown(ros, robot, watcher, node, k=raw.ravel(), p=projection.ravel())
    view = render(CAMERA, robot.pose, [shape for shape, _, _ in SCENE])
    center_m = robot.pose.inverse().apply(view.visible(1, robot.pose.rotation)[0][:, np.newaxis]).ravel()
    assert xyz(message.detections[0].bbox.center.position) == pytest.approx(center_m, abs=0.05)


def test_a_turned_box_is_turned_about_the_vertical(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros, target_frame=WORLD_FRAME, boxes="yaw")
    crate = (Box((2.4, 0.1, 0.3), (0.7, 0.5, 0.6), np.radians(25)), "chair", "1")
    (detection,) = shown(ros, robot, watcher, node, [crate]).detections
    turn = detection.bbox.center.orientation
    assert np.degrees(2 * np.arctan2(turn.z, turn.w)) == pytest.approx(25, abs=3)
    assert xyz(detection.bbox.size) == pytest.approx((0.7, 0.5, 0.6), rel=0.08)


def test_the_transform_is_that_of_the_image(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros, target_frame=WORLD_FRAME)
    first = shown(ros, robot, watcher, node, index=0)
    # The camera has moved on before the next image is processed; its own pose counts.
    robot.pose = camera_pose((0.5, 0, 1.0), pitch_deg=10, yaw_deg=5)
    second = shown(ros, robot, watcher, node, index=1)
    for before, after in zip(first.detections, second.detections, strict=True):
        moved_m = xyz(after.bbox.center.position) - xyz(before.bbox.center.position)
        assert np.linalg.norm(moved_m) < 0.12


def test_a_frame_waits_for_its_transform(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros, target_frame=WORLD_FRAME, max_wait_s=10.0)
    shown(ros, robot, watcher, node, index=0)
    stamp = robot.show(SCENE, index=1, tf=False)
    robot.publish_pose(stamp)
    ros.until(lambda: len(watcher.objects) == 2, "objects of the second image")
    assert watcher.objects[-1].header.stamp == stamp.to_msg()


def test_the_nearest_depth_image_serves(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros, max_depth_delay_s=0.02)
    ros.until(robot.is_heard, "the topics to be matched")
    robot.show(SCENE, index=0, depth_delay_ns=-5_000_000)
    # Only a later one makes it certain.
    robot.show(SCENE, index=1, depth_delay_ns=-30_000_000)
    robot.show(SCENE, index=2)
    ros.until(lambda: len(watcher.objects) == 2, "the first and the third image")
    stamps = [Time.from_msg(message.header.stamp).nanoseconds for message in watcher.objects]
    assert stamps[1] - stamps[0] == 2 * PERIOD_NS
    ros.until(lambda: watcher.value("frames without a near depth image") == "1", "the second image to be counted")
    assert watcher.value("frames with one of another stamp") == "1"
    assert watcher.value("frames with a depth image of the same stamp") == "1"
    assert node.count_subscribers("depth/image")


def test_an_image_without_objects_has_a_message(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros)
    assert shown(ros, robot, watcher, node, []).detections == []


def test_an_object_without_depth_is_counted_and_named(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros)
    view = render(CAMERA, robot.pose, [shape for shape, _, _ in SCENE])
    depth_m = np.where(view.labels == 2, 0, view.depth_m).astype(np.float32)
    message = shown(ros, robot, watcher, node, depth_m=depth_m)
    assert [detection.id for detection in message.detections] == ["1"]
    ros.until(lambda: watcher.value("objects without depth") == "1", "the ball to be counted")
    assert watcher.value("last objects without depth") == "ball 2"


def test_velocities_follow_from_tracks(ros, watcher):
    robot = ros.add(Robot())
    watcher.watch_markers()
    node = make_depth_node(ros, target_frame=WORLD_FRAME, **{"tracking.enabled": True})
    for index in range(6):
        moving = (Sphere((2.2, -0.6 + 0.05 * index, 0.9), 0.3), "ball", "7")
        shown(ros, robot, watcher, node, [PERSON, moving], index=index)
    last = watcher.objects[-1].header
    ros.until(lambda: watcher.markers and watcher.markers[-1].markers[0].header == last, "the last markers")
    markers = {(marker.ns, marker.id): marker for marker in watcher.markers[-1].markers}
    assert markers.keys() == {("objects", 1), ("objects", 7), ("names", 1), ("names", 7), ("velocities", 7)}
    start, end = markers["velocities", 7].points
    # 5 cm in a tenth of a second.
    assert xyz(end) - xyz(start) == pytest.approx((0, 0.5, 0), abs=0.1)
    assert markers["names", 7].text == "ball 7"
    assert markers["objects", 7].scale == watcher.objects[-1].detections[1].bbox.size


def test_markers_of_what_is_gone_are_deleted(ros, watcher):
    robot = ros.add(Robot())
    watcher.watch_markers()
    node = make_depth_node(ros, marker_lifetime_s=0.5)
    ros.until(lambda: watcher.count_publishers("depth_node/markers"), "the markers")
    shown(ros, robot, watcher, node, index=0)
    ros.until(lambda: watcher.markers, "markers")
    assert {marker.action for marker in watcher.markers[-1].markers} == {Marker.ADD}
    assert all(marker.lifetime.nanosec == 500_000_000 for marker in watcher.markers[-1].markers)
    shown(ros, robot, watcher, node, [PERSON], index=1)
    ros.until(lambda: len(watcher.markers) == 2, "markers of the second image")
    deleted = {(m.ns, m.id) for m in watcher.markers[-1].markers if m.action == Marker.DELETE}
    assert deleted == {("objects", 2), ("names", 2)}


def points_of(cloud):
    """Return the points of a PointCloud2 as a structured array."""
    kinds = {7: "<f4", 6: "<u4", 4: "<u2"}
    dtype = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [kinds[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    return np.frombuffer(cloud.data, dtype)


@pytest.mark.parametrize("color", ["instance", "image"])
def test_the_cloud_holds_the_points_of_objects(ros, watcher, color):
    robot = ros.add(Robot())
    watcher.watch_clouds()
    node = make_depth_node(ros, cloud_color=color, target_frame=WORLD_FRAME)
    ros.until(lambda: watcher.count_publishers("depth_node/cloud"), "the cloud")
    if color == "image":
        ros.until(lambda: robot.is_heard("image"), "the image")
    ros.until(lambda: node.count_publishers("yolov8_seg/label_info"), "the class names")

    def has_classes():
        # The class names may come after the first image.
        shown(ros, robot, watcher, node)
        return watcher.clouds and points_of(watcher.clouds[-1])["class"].any()

    ros.until(has_classes, "a cloud with classes")
    cloud = watcher.clouds[-1]
    # In the camera's frame, from which costmaps trace their rays.
    assert cloud.header.frame_id == COLOR_FRAME
    assert [field.name for field in cloud.fields] == ["x", "y", "z", "rgb", "instance", "confidence", "class"]
    points = points_of(cloud)
    assert len(points) == cloud.width
    view = render(CAMERA, robot.pose, [shape for shape, _, _ in SCENE])
    for label, value in ((1, 1), (2, 3)):
        own = points[points["instance"] == label]
        assert len(own) == pytest.approx(np.count_nonzero(view.labels == label), rel=0.02)
        assert set(own["class"]) == {value}
        assert own["confidence"] == pytest.approx(1 - 0.1 * label)
        assert (np.isfinite(own["x"]) & np.isfinite(own["z"])).all()
        colors = set(own["rgb"].view(np.uint32))
        assert len(colors) == 1
        assert (colors == {30 << 16 | 20 << 8 | 10}) == (color == "image")


def test_the_life_cycle_can_be_gone_through_twice(ros, watcher):
    robot = ros.add(Robot())
    node = make_depth_node(ros)
    shown(ros, robot, watcher, node, index=0)
    assert node.trigger_deactivate() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_cleanup() == TransitionCallbackReturn.SUCCESS
    ros.until(lambda: not robot.count_subscribers("depth/image"), "the node to leave its topics")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS
    shown(ros, robot, watcher, node, index=1)
