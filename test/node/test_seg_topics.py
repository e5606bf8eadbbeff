"""Test the topics of the node `yolov8_seg` over real DDS in one process."""

from __future__ import annotations

import array
import builtins

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.segmenter import Segmenter

pytest.importorskip("rclpy")

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from support.seg_camera import (
    HW,
    SUCCESS,
    Camera,
    activate,
    make_node,
    send_and_await,
    subscribers,
)
from vision_msgs.msg import Detection2DArray, LabelInfo

from yolov8_seg_ros.node import publishers
from yolov8_seg_ros.node.publishers import ANNOTATIONS_TOPIC, RESULT_TOPICS, foxglove_messages

needs_foxglove = pytest.mark.skipif(foxglove_messages() is None, reason="the package foxglove_msgs is not installed")

# Topics


def test_masks_are_computed_only_while_somebody_looks(ros, camera, model, monkeypatch):
    asked = []
    postprocess = Segmenter.postprocess
    monkeypatch.setattr(Segmenter, "postprocess", lambda *given: asked.append(given[-1]) or postprocess(*given))
    node = make_node(ros, model)
    activate(node)
    asked.clear()
    send_and_await(ros, camera)
    subscription = camera.listen(Image, "instances")
    ros.until(lambda: subscribers(node, "instances"), "the mask's subscriber")
    send_and_await(ros, camera)
    camera.destroy_subscription(subscription)
    ros.until(lambda: not subscribers(node, "instances"), "the mask's subscriber to leave")
    send_and_await(ros, camera)
    assert asked == [False, True, False]


@pytest.mark.parametrize("reliability", [ReliabilityPolicy.BEST_EFFORT, ReliabilityPolicy.RELIABLE])
def test_all_results_of_an_image_bear_its_header_and_fit(ros, camera, model, reliability):
    node = make_node(ros, model)
    activate(node)
    for topic in ("instances", "semantic"):
        camera.listen(Image, topic)
    camera.listen(Image, "overlay", reliability=reliability)
    ros.until(lambda: all(subscribers(node, t) for t in ("instances", "semantic", "overlay")), "all subscribers")
    message = send_and_await(ros, camera)
    topics = ("instances", "semantic", "overlay")
    ros.until(lambda: all(camera.results[topic] for topic in topics), "all results")
    for topic in topics:
        assert camera.results[topic][0].header == message.header
        assert (camera.results[topic][0].height, camera.results[topic][0].width) == HW
    assert [camera.results[topic][0].encoding for topic in topics] == ["mono8", "mono8", "bgr8"]
    labels, classes = (np.frombuffer(camera.results[t][0].data, np.uint8) for t in ("instances", "semantic"))
    assert set(labels.tolist()) == {0, int(message.detections[0].id)}
    # Class 1, dog, has value 2.
    assert set(classes.tolist()) == {0, 2}
    np.testing.assert_array_equal(labels > 0, classes > 0)


def own_topics(node):
    return sorted(p.topic_name.removeprefix("/yolov8_seg/") for p in node.publishers if "/yolov8_seg/" in p.topic_name)


@pytest.mark.parametrize(("cameras", "prefixes"), [("", [""]), ("front,rear", ["front/", "rear/"])])
def test_the_topics_are_those_of_the_list(ros, model, cameras, prefixes):
    node = make_node(ros, model, cameras=cameras)
    assert node.trigger_configure() == SUCCESS
    topics = [topic for topic in RESULT_TOPICS if topic != ANNOTATIONS_TOPIC or foxglove_messages()]
    assert own_topics(node) == sorted(prefix + topic for prefix in prefixes for topic in topics)


def test_label_info_reaches_late_subscribers(ros, camera, model):
    activate(make_node(ros, model))
    camera.listen(LabelInfo, "label_info", durability=DurabilityPolicy.TRANSIENT_LOCAL)
    ros.until(lambda: camera.results["label_info"], "the label info")
    names = [entry.class_name for entry in camera.results["label_info"][0].class_map]
    assert names == ["background", "cat", "dog"]


def test_auto_reliability_follows_the_publishers(ros, model):
    node = make_node(ros, model)
    activate(node)
    camera = ros.add(Camera(ReliabilityPolicy.BEST_EFFORT))
    camera.listen(Detection2DArray, "detections")
    send_and_await(ros, camera)
    reliable = ros.add(Node("reliable_camera"))
    reliable.create_publisher(Image, "image", 10)
    camera.destroy_publisher(camera.raw)
    policy = ReliabilityPolicy.RELIABLE
    offers = node.get_subscriptions_info_by_topic
    ros.until(
        lambda: [info.qos_profile.reliability for info in offers("/image")] == [policy], "a reliable subscription"
    )


def test_best_effort_is_kept_where_it_is_asked_for(ros, camera, model):
    node = make_node(ros, model, image_reliability="best_effort")
    activate(node)
    send_and_await(ros, camera)
    (info,) = node.get_subscriptions_info_by_topic("/image")
    assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


def test_compressed_images_are_taken_beside_the_remapped_topic(ros, model):
    arguments = ["--ros-args", "-r", "image:=/front/color"]
    activate(make_node(ros, model, cli_args=arguments, image_transport="compressed"))
    camera = Node("camera")
    ros.add(camera)
    publisher = camera.create_publisher(CompressedImage, "/front/color/compressed", 10)
    received = []
    camera.create_subscription(Detection2DArray, "yolov8_seg/detections", received.append, 10)
    ros.until(publisher.get_subscription_count, "the node to listen")
    jpeg = cv2.imencode(".jpg", np.full((*HW, 3), 90, np.uint8))[1]
    message = CompressedImage(format="jpeg", data=array.array("B", jpeg.tobytes()))
    publisher.publish(message)
    ros.until(lambda: received, "the detections")
    assert len(received[0].detections) == 1


# Views


def test_the_colours_of_instances_and_the_compressed_overlay_are_published_on_demand(ros, camera, model):
    node = make_node(ros, model)
    activate(node)
    camera.listen(Image, "instances_color")
    camera.listen(CompressedImage, "overlay/compressed")
    ros.until(lambda: all(subscribers(node, t) for t in ("instances_color", "overlay/compressed")), "the subscribers")
    message = send_and_await(ros, camera)
    ros.until(lambda: all(camera.results[t] for t in ("instances_color", "overlay/compressed")), "the images")
    (colors,), (overlay,) = camera.results["instances_color"], camera.results["overlay/compressed"]
    assert colors.header == overlay.header == message.header
    pixels = np.frombuffer(colors.data, np.uint8).reshape(*HW, 3)
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) == 2
    assert pixels.max() > 100
    assert cv2.imdecode(np.frombuffer(overlay.data, np.uint8), cv2.IMREAD_COLOR).shape == (*HW, 3)


@needs_foxglove
@pytest.mark.parametrize(("settings", "prefix"), [({}, ""), ({"cameras": "front,rear"}, "front/")], ids=["one", "two"])
def test_annotations_are_those_of_the_detections(ros, model, settings, prefix):
    activate(make_node(ros, model, **settings))
    camera = ros.add(Camera(prefix=prefix))
    camera.listen(Detection2DArray, "detections")
    camera.listen(foxglove_messages().ImageAnnotations, ANNOTATIONS_TOPIC)
    message = send_and_await(ros, camera)
    ros.until(lambda: camera.results[ANNOTATIONS_TOPIC] or not camera.send(), "the annotations")
    made = camera.results[ANNOTATIONS_TOPIC][0]
    (detection,) = message.detections
    stamps = {annotation.timestamp.sec for annotation in (*made.points, *made.texts)}
    assert stamps <= set(range(1, camera.sent + 1))
    assert len(stamps) == 1
    *outlines, box = made.points
    xs, ys = [point.x for point in box.points], [point.y for point in box.points]
    assert max(xs) - min(xs) == pytest.approx(detection.bbox.size_x, abs=1e-3)
    assert (max(ys) + min(ys)) / 2 == pytest.approx(detection.bbox.center.position.y, abs=1e-3)
    assert outlines
    assert all(0 < point.x < HW[1] and 0 < point.y < HW[0] for outline in outlines for point in outline.points)
    hypothesis = detection.results[0].hypothesis
    assert [text.text for text in made.texts] == [f"{hypothesis.class_id} {hypothesis.score:.2f}"]


@needs_foxglove
def test_annotations_are_made_only_while_somebody_looks(ros, camera, model, monkeypatch):
    made = []
    make = publishers.image_annotations
    monkeypatch.setattr(publishers, "image_annotations", lambda *given: made.append(given) or make(*given))
    node = make_node(ros, model)
    activate(node)
    send_and_await(ros, camera)
    subscription = camera.listen(foxglove_messages().ImageAnnotations, ANNOTATIONS_TOPIC)
    ros.until(lambda: subscribers(node, ANNOTATIONS_TOPIC), "the subscriber")
    send_and_await(ros, camera)
    ros.until(lambda: camera.results[ANNOTATIONS_TOPIC], "the annotations")
    camera.destroy_subscription(subscription)
    ros.until(lambda: not subscribers(node, ANNOTATIONS_TOPIC), "the subscriber to leave")
    send_and_await(ros, camera)
    assert len(made) == 1


def test_without_their_package_there_are_no_annotations(ros, camera, model, monkeypatch):
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("foxglove_msgs"):
            raise ModuleNotFoundError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    node = make_node(ros, model)
    activate(node)
    assert own_topics(node) == sorted(set(RESULT_TOPICS) - {ANNOTATIONS_TOPIC})
    assert len(send_and_await(ros, camera).detections) == 1


# Topics of remapped cameras


@pytest.mark.parametrize(
    ("remapping", "topic"),
    [
        ("image:=/front/color", "/front/color/compressed"),
        ("image:=/front/color/compressed", "/front/color/compressed"),
        ("image/compressed:=/front/jpeg", "/front/jpeg"),
    ],
)
def test_the_compressed_topic_follows_every_way_to_remap_it(ros, model, remapping, topic):
    node = make_node(ros, model, cli_args=["--ros-args", "-r", remapping], image_transport="compressed")
    activate(node)
    (stream,) = node.streams
    assert stream.topic == topic
    assert node.count_subscribers(topic) == 1


def test_raw_images_that_come_only_compressed_are_told_with_the_remedy(ros, model):
    camera = ros.add(Node("camera"))
    camera.create_publisher(CompressedImage, "image/compressed", 10)
    node = make_node(ros, model)
    activate(node)
    (stream,) = node.streams
    ros.until(stream.why_silent, "the silence")
    assert stream.why_silent() == (
        "no images on /image, but /image/compressed has a publisher: set image_transport to compressed"
    )
