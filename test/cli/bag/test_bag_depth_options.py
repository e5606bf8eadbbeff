"""Test which topics of a recording the verb `bag` takes for depth, and what it says of damaged ones."""

from __future__ import annotations

import json
import re
import sqlite3

import numpy as np
import pytest

pytest.importorskip("rosbags")

from support import bags, depth_bags

from yolov8_seg_ros.cli.main import main
from yolov8_seg_ros.core.camera_geometry import PinholeCamera

CAMERA = PinholeCamera((48, 64), (60.0, 60.0), (31.5, 23.5))
NUM_IMAGES = 3


@pytest.fixture
def run(model, output, tmp_path):
    """Return a function that runs the verb, and returns its exit code."""

    def run(recording, *arguments):
        command = ["bag", str(recording), "--output", str(output), "--json", str(tmp_path / "summary.json"), "--force"]
        return main([*command, "--model", model, *arguments])

    return run


@pytest.fixture
def cameras(tmp_path):
    """Return what the summary says of the objects in space of each camera."""

    def cameras():
        described = json.loads((tmp_path / "summary.json").read_text())["cameras"]
        return {name: camera.get("in_space") for name, camera in described.items()}

    return cameras


def entries(color="/cam/color/image", depth="/cam/depth/image", infos=True, distance_mm=2000, stamps_ns=None):
    """Return what a camera records whose depth images are registered to its colour images."""
    types = depth_bags.types_of("mcap")
    depth_mm = np.full(CAMERA.image_hw, distance_mm, np.uint16)
    recorded = []
    for index, image in enumerate(bags.noise_images(NUM_IMAGES, CAMERA.image_hw)):
        stamp_ns = bags.START_NS + (index * bags.PERIOD_NS if stamps_ns is None else stamps_ns[index])
        log_ns = bags.START_NS + index * bags.PERIOD_NS + bags.LATENCY_NS
        for topic, pixels, encoding in ((color, image, "bgr8"), (depth, depth_mm, "16UC1")):
            message = depth_bags.raw_image(types, pixels, stamp_ns, encoding, "optical")
            recorded.append(bags.Entry(topic, bags.IMAGE, log_ns, message))
            if infos:
                info = depth_bags.camera_info(types, CAMERA, stamp_ns)
                name = f"{topic.rpartition('/')[0]}/camera_info"
                recorded.append(bags.Entry(name, depth_bags.CAMERA_INFO, log_ns, info))
    return recorded


def write(tmp_path, recorded, container="mcap"):
    return bags.write_bag(tmp_path / "drive", container, recorded, depth_bags.types_of(container))


def places_m(output, topic):
    """Return how far the first object of each image is away."""
    return [round(message.detections[0].bbox.center.position.z, 2) for message in bags.results_in(output, topic)]


def test_each_camera_has_the_depth_topic_that_is_called_alike(run, output, cameras, tmp_path):
    recorded = entries("/front/color/image", "/front/depth/image", distance_mm=1000)
    recorded += entries("/rear/color/image", "/rear/depth/image", distance_mm=3000)
    path = write(tmp_path, recorded)
    assert run(path, "--depth-topic", "/rear/depth/image", "--depth-topic", "/front/depth/image") == 0
    assert places_m(output, "/depth_node/front/color/objects") == [1.0] * NUM_IMAGES
    assert places_m(output, "/depth_node/rear/color/objects") == [3.0] * NUM_IMAGES
    assert cameras()["/rear/color/image"]["results"] == "/depth_node/rear/color"


def test_a_camera_may_have_no_depth(run, output, cameras, tmp_path):
    recorded = entries("/front/color/image", "/front/depth/image")
    recorded += [one for one in entries("/rear/color/image") if one.topic == "/rear/color/image"]
    assert run(write(tmp_path, recorded), "--depth-topic", "/front/depth/image") == 0
    assert cameras()["/rear/color/image"] is None
    assert [name for name in bags.topics_in(output) if name.endswith("/objects")] == ["/depth_node/front/color/objects"]


def test_a_depth_topic_can_be_given_to_an_image_topic(run, output, tmp_path):
    recorded = entries("/left", "/depth_a", infos=False, distance_mm=1000)
    recorded += entries("/right", "/depth_b", infos=False, distance_mm=3000)
    types = depth_bags.types_of("mcap")
    info = depth_bags.camera_info(types, CAMERA, bags.START_NS)
    recorded.append(bags.Entry("/calibration", depth_bags.CAMERA_INFO, bags.START_NS + 10**9, info))
    path = write(tmp_path, recorded)
    names = [text for topic in ("/left", "/right") for text in ("--camera-info", f"{topic}=/calibration")]
    given = ["--depth-topic", "/left=/depth_b", "--depth-topic", "/right=/depth_a", "--assume-registered"]
    assert run(path, *given, *names) == 0
    assert places_m(output, "/depth_node/left/objects") == [3.0] * NUM_IMAGES
    assert places_m(output, "/depth_node/right/objects") == [1.0] * NUM_IMAGES


def test_a_depth_topic_is_not_said_to_be_left_out(run, tmp_path, capsys):
    run(write(tmp_path, entries()), "--depth-topic", "/cam/depth/image")
    assert "left out" not in capsys.readouterr().err


#: Arguments that cannot be carried out, and what the line says.
WRONG = {
    "no such topic": (
        ["--depth-topic", "/nothing"],
        "no topic of raw images or compressed depth images of .*there are: .*/cam/depth/image",
    ),
    "a topic of another type": (["--depth-topic", "/cam/color/camera_info"], "no topic of raw images"),
    "not clear": (["--depth-topic", "/depth"], "not clear which of /cam/color/image, /rear/image it belongs to"),
    "no such camera": (["--depth-topic", "/x=/depth"], "/x is not segmented"),
    "two for one": (
        ["--depth-topic", "/rear/image=/depth", "--depth-topic", "/rear/image=/cam/depth/image"],
        "/rear/image has a depth topic already",
    ),
    "info of nothing": (["--depth-topic", "/cam/depth/image", "--camera-info", "/x=/y"], "/x is no topic of a camera"),
    "info of another type": (
        ["--depth-topic", "/cam/depth/image", "--camera-info", "/cam/depth/image=/depth"],
        "has no sensor_msgs/msg/CameraInfo on /depth",
    ),
    "half an argument": (["--depth-topic", "=/depth"], "expected NAME or IMAGE_TOPIC=NAME"),
    "half an info": (["--camera-info", "/depth"], "expected TOPIC=NAME"),
    "all images are depth images": (
        ["--depth-topic", "/cam/color/image", "--depth-topic", "/rear/image"],
        "no topic of colour images is left",
    ),
    "a frame without depth": (["--target-frame", "map"], "--target-frame: objects in space need --depth-topic"),
    "a name that is no topic's": (["--depth-results", "/my results"], "expected a topic's name such as /yolov8_seg"),
    "objects without depth": (["--write", "objects"], "objects in space need --depth-topic"),
    "depth without objects": (["--depth-topic", "/cam/depth/image", "--write", "semantic"], "names none of objects"),
    "turned boxes": (["--depth-topic", "/cam/depth/image", "--boxes", "yaw"], "yaw needs a --target-frame"),
    "no range": (["--depth-topic", "/cam/depth/image", "--max-depth-m", "0"], "must be less than --max-depth-m"),
    "no extrinsics": (["--depth-topic", "/cam/depth/image", "--depth-extrinsics", "1 2"], "--depth-extrinsics: expec"),
    "too many instances": (["--depth-topic", "/cam/depth/image", "--max-instances", "300"], "numbers 255 at most"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_told_in_one_line(arguments, message, run, output, tmp_path, capsys):
    recorded = [*entries(), *entries("/rear/image", "/depth", infos=False)]
    path = write(tmp_path, recorded)
    try:
        code = run(path, *arguments)
    except SystemExit as ended:
        code = ended.code
    error = capsys.readouterr().err
    assert code in (1, 2)
    lines = [line for line in error.splitlines() if line.startswith("yolov8_seg")]
    assert len(lines) == 1
    assert re.search(message, lines[0])
    assert not output.exists()


def test_results_of_an_earlier_run_are_not_mixed_up(run, output, tmp_path, capsys):
    path = write(tmp_path, entries())
    assert run(path, "--depth-topic", "/cam/depth/image") == 0
    again = output.rename(tmp_path / "earlier")
    given = ["--topic", "/cam/color/image", "--depth-topic", "/cam/depth/image", "--results", "/again"]
    assert run(again, *given) == 1
    assert "--depth-results: " in capsys.readouterr().err


#: A topic whose first message is cut short, and what is said of that.
DAMAGED = {
    "/cam/depth/image": ("depth images left out 1: the message is damaged", NUM_IMAGES, 1),
    "/cam/color/camera_info": ("without objects in space 1: /cam/color/camera_info: the message is damaged", 2, 0),
    "/tf": ("transforms left out 1: the message is damaged", NUM_IMAGES, 0),
}


@pytest.mark.parametrize(("topic", "told", "placed", "code"), [(name, *row) for name, row in DAMAGED.items()])
def test_damaged_messages_are_told(topic, told, placed, code, run, cameras, tmp_path, capsys):
    types = depth_bags.types_of("sqlite3")
    transforms = bags.Entry("/tf", depth_bags.TF_MESSAGE, bags.START_NS, depth_bags.tf_message(types, []))
    path = write(tmp_path, [*entries(), transforms], "sqlite3 alone")
    connection = sqlite3.connect(path)
    connection.execute(
        "UPDATE messages SET data = substr(data, 1, 7) WHERE id = "
        "(SELECT min(messages.id) FROM messages JOIN topics ON topic_id = topics.id WHERE name = ?)",
        (topic,),
    )
    connection.commit()
    connection.close()
    assert run(path, "--only-results", "--depth-topic", "/cam/depth/image") == code
    assert told in capsys.readouterr().err
    assert cameras()["/cam/color/image"]["placed"] == placed


def test_stamps_that_jump_back_lose_nothing_that_could_be_placed(run, cameras, tmp_path):
    path = write(tmp_path, entries(stamps_ns=[10**10, 0, bags.PERIOD_NS]))
    assert run(path, "--depth-topic", "/cam/depth/image") == 0
    found = cameras()["/cam/color/image"]
    assert (found["placed"], found["not_placed"], found["clock_jumps"]) == (NUM_IMAGES, {}, 1)
