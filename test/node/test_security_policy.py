"""Test that the security policy names the topics and services that the nodes have, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.node import Node
from support.ros_harness import RosHarness, free_domain, parameters, process

from yolov8_seg_ros.model_files.store import SCENE_MODEL

POLICY = Path(__file__).resolve().parents[2] / "config" / "security_policy.xml"
CALIBRATION = """\
image_width: 320
image_height: 240
camera_matrix: {data: [300, 0, 160, 0, 300, 120, 0, 0, 1]}
distortion_model: plumb_bob
distortion_coefficients: {data: [0, 0, 0, 0, 0]}
rectification_matrix: {data: [1, 0, 0, 0, 1, 0, 0, 0, 1]}
projection_matrix: {data: [300, 0, 160, 0, 0, 300, 120, 0, 0, 0, 1, 0]}
"""
SIMULATED = {"/camera_info", "/depth/image", "/depth/camera_info", "/image_source/ground_truth"}
SIMULATED |= {"/image_source/ground_truth_2d", "/tf", "/tf_static"}
CAPTURED = {"/yolov8_seg/image", "/yolov8_seg/camera_info"}
#: Node, module, parameters, and the topics of the policy that it has only with others.
RUNS = {
    "segmentation": ("yolov8_seg", "node.seg_node", {"model": SCENE_MODEL}, CAPTURED),
    "segmentation of a device": (
        "yolov8_seg",
        "node.seg_node",
        {"model": SCENE_MODEL, "device": "nothere.mp4", "calibration_file": "calibration.yaml"},
        {"/image"},
    ),
    "depth": ("depth_node", "node.depth.depth_node", {"nav2": True, "cloud_color": "image"}, set()),
    "image source": ("image_source", "node.image_source", {"source": "demo", "transport": "both"}, SIMULATED),
    "simulated robot": (
        "image_source",
        "node.image_source",
        {"source": "sim", "transport": "both"},
        set(),
    ),
}
#: What a node has only with another transport, with another release of rclpy, or with a package that may be missing.
OPTIONAL = {"/image/compressed", "/clock", "/parameter_events", "/yolov8_seg/image_annotations"}
OPTIONAL_SERVICE = "get_type_description"
WITH_BOND = ("yolov8_seg", "depth_node")


@pytest.fixture(scope="module")
def domain_id():
    """Return a domain in which no other test had a node of the same name."""
    return free_domain()


@pytest.fixture
def ros(domain_id):
    rclpy.init(domain_id=domain_id)
    made = RosHarness()
    yield made
    made.close()
    rclpy.shutdown()


@contextmanager
def started(domain_id: int, module: str, **settings: object) -> Iterator[None]:
    """Run a node; it takes its leave at the end, so that the next one of its name is not mistaken for it."""
    with process(module, *parameters(**settings), ROS_DOMAIN_ID=str(domain_id)) as running:
        yield
        running.terminate()
        running.wait()


def allowed(node: str) -> dict[str, set[str]]:
    """Return the full names of what the policy allows a node, by `publish`, `subscribe` and `reply`."""
    (profile,) = ElementTree.parse(POLICY).iterfind(f".//profile[@node='{node}']")
    names: dict[str, set[str]] = {"publish": set(), "subscribe": set(), "reply": set()}
    for group in profile:
        (verb,) = group.attrib
        names[verb] |= {(element.text or "").replace("~", f"/{node}") for element in group}
    return {verb: {name if name[0] == "/" else f"/{name}" for name in group} for verb, group in names.items()}


def required(names: dict[str, set[str]], absent: set[str]) -> dict[str, set[str]]:
    """Return names without those that are absent or optional."""
    return {
        verb: {name for name in group - absent - OPTIONAL if not name.endswith(OPTIONAL_SERVICE)}
        for verb, group in names.items()
    }


def found(observer: Node, node: str) -> dict[str, set[str]]:
    """Return the full names that a node has in the graph, as far as the observer has heard of them."""
    lists = {
        "publish": observer.get_publisher_names_and_types_by_node,
        "subscribe": observer.get_subscriber_names_and_types_by_node,
        "reply": observer.get_service_names_and_types_by_node,
    }
    try:
        return {verb: {name for name, _ in list_by_node(node, "/")} for verb, list_by_node in lists.items()}
    except RuntimeError:
        # It is not there yet.
        return {verb: set() for verb in lists}


@pytest.mark.parametrize("run", RUNS)
def test_the_policy_names_what_the_node_has(ros, domain_id, tmp_path, monkeypatch, run):
    node, module, settings, absent = RUNS[run]
    (tmp_path / "calibration.yaml").write_text(CALIBRATION)
    monkeypatch.chdir(tmp_path)
    observer = ros.add(Node("observer"))
    policy = allowed(node)

    def is_equal() -> bool:
        return required(found(observer, node), set()) == required(policy, absent)

    with started(domain_id, module, **settings):
        # Publishers, subscriptions and services are discovered one by one, each kind on a way of its own.
        with suppress(AssertionError):
            ros.until(is_equal, "the names")
        names = found(observer, node)
    assert required(names, set()) == required(policy, absent)
    for verb, group in names.items():
        assert group <= policy[verb]


@pytest.mark.parametrize("node", WITH_BOND)
def test_the_policy_names_the_nodes_of_bonds(ros, domain_id, node):
    pytest.importorskip("bond.msg")
    (_, module, settings, _) = next(entry for entry in RUNS.values() if entry[0] == node)
    observer = ros.add(Node("observer"))
    policy = allowed(f"{node}_bond")

    with started(domain_id, module, **settings):
        ros.until(lambda: "/bond" in found(observer, f"{node}_bond")["publish"], "the bond")
        names = found(observer, f"{node}_bond")
    for verb, group in names.items():
        assert group <= policy[verb]
