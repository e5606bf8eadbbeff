"""Test that the security policy names the topics and services that the nodes have, and no others."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.node import Node
from support.ros_harness import RosHarness, free_domain, parameters, process

from yolov8_seg_ros.model_files.store import SCENE_MODEL

POLICY = Path(__file__).resolve().parents[2] / "config" / "security_policy.xml"
#: Modules, parameters, and the topic that a node makes last.
NODES = {
    "yolov8_seg": ("node.seg_node", parameters(model=SCENE_MODEL), "/image"),
    "image_source": ("node.image_source", parameters(source="demo", transport="both"), "/image/time_reference"),
}
#: What a node has only with other parameters, such as a transport, or of another release of rclpy.
OPTIONAL = {"/image/compressed", "/clock", "/parameter_events"}
#: What rclpy offers from Kilted on.
TYPE_DESCRIPTIONS = "get_type_description"


def allowed(node: str, what: str, verb: str) -> set[str]:
    """Return the full names of what the policy allows a node."""
    (profile,) = ElementTree.parse(POLICY).iterfind(f".//profile[@node='{node}']")
    lists = [group for group in profile.iter(what) if group.get(verb) == "ALLOW"]
    names = [element.text for group in lists for element in group]
    return {name.replace("~", f"/{node}") if name[0] in "~/" else f"/{name}" for name in names}


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


@pytest.mark.parametrize("name", NODES)
def test_the_policy_names_what_the_node_has(ros, domain_id, name):
    module, arguments, last_topic = NODES[name]
    observer = ros.add(Node("observer"))

    def found(list_by_node) -> set[str]:
        try:
            return {entry for entry, _ in list_by_node(name, "/")}
        except RuntimeError:
            # It is not there yet.
            return set()

    def published() -> set[str]:
        return found(observer.get_publisher_names_and_types_by_node)

    def subscribed() -> set[str]:
        return found(observer.get_subscriber_names_and_types_by_node)

    with process(module, *arguments, ROS_DOMAIN_ID=str(domain_id)):
        ros.until(lambda: last_topic in published() | subscribed(), "the node's topics")
        assert allowed(name, "topics", "publish") - OPTIONAL == published() - OPTIONAL
        assert allowed(name, "topics", "subscribe") - OPTIONAL == subscribed() - OPTIONAL
        services = found(observer.get_service_names_and_types_by_node)
    assert allowed(name, "services", "reply") == services | {f"/{name}/{TYPE_DESCRIPTIONS}"}
