"""Make for the tests of the nodes a ROS context of their own."""

from __future__ import annotations

import pytest

rclpy = pytest.importorskip("rclpy")

from support.engine_harness import Harness  # noqa: E402
from support.ros_harness import DOMAIN_ID, RosHarness  # noqa: E402
from support.seg_camera import Camera  # noqa: E402
from support.tiny_models import write_segmentation_model  # noqa: E402
from vision_msgs.msg import Detection2DArray  # noqa: E402

from yolov8_seg_ros.backends.open_backend import open_backend  # noqa: E402
from yolov8_seg_ros.node import seg_node, subscribers  # noqa: E402


@pytest.fixture
def ros(monkeypatch):
    """Return a harness to spin nodes on, in a fresh context. They look for subscribers for each image."""
    monkeypatch.setattr(subscribers, "LOOK_PERIOD_S", 0.0)
    rclpy.init(domain_id=DOMAIN_ID)
    made = RosHarness()
    yield made
    made.close()
    rclpy.shutdown()


@pytest.fixture
def model(tmp_path):
    """Return the path of a tiny model of two classes."""
    return write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})


@pytest.fixture
def backends(monkeypatch):
    """Return the list in which each backend that a node opens is put."""
    opened = []

    def keep(**settings):
        opened.append(open_backend(**settings))
        return opened[-1]

    monkeypatch.setattr(seg_node, "open_backend", keep)
    return opened


@pytest.fixture
def camera(ros):
    """Return a camera that also keeps the detections."""
    made = Camera()
    made.listen(Detection2DArray, "detections")
    return ros.add(made)


@pytest.fixture
def watcher(ros):
    """Return what keeps the messages of a depth node."""
    from support.depth_watcher import Watcher

    return ros.add(Watcher())


@pytest.fixture
def start_engine():
    """Start harnesses of engines that are closed with the test."""
    started = []

    def start(*args, **kwargs) -> Harness:
        started.append(Harness(*args, **kwargs))
        return started[-1]

    yield start
    for harness in started:
        harness.close()


@pytest.fixture(params=[False, True], ids=["one worker", "overlapping"])
def is_accelerator(request):
    """Return whether the backend of an engine is an accelerator, so that its stages overlap."""
    return request.param
