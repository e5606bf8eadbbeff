"""Test that the security policy names the topics and services that the nodes have, and no others."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

pytest.importorskip("rclpy")

from rclpy.node import Node
from ros_bench import parameters, process

from yolov8_seg_ros.model_files.store import SCENE_MODEL

POLICY = Path(__file__).resolve().parents[2] / "config" / "security_policy.xml"
#: Modules, parameters, and a topic that is there once the node has all of its topics.
NODES = {
    "yolov8_seg": ("node.seg_node", parameters(model=SCENE_MODEL), "/yolov8_seg/label_info"),
    "image_source": ("node.image_source", parameters(source="demo", transport="both"), "/image/time_reference"),
}
#: What a node has only with other parameters: a transport, or time from /clock.
OPTIONAL = {"/image/compressed", "/clock"}
#: What rclpy offers from Kilted on.
TYPE_DESCRIPTIONS = "get_type_description"


def allowed(node: str, what: str, verb: str) -> set[str]:
    """Return the full names of what the policy allows a node."""
    (profile,) = ElementTree.parse(POLICY).iterfind(f".//profile[@node='{node}']")
    lists = [group for group in profile.iter(what) if group.get(verb) == "ALLOW"]
    names = [element.text for group in lists for element in group]
    return {name.replace("~", f"/{node}") if name[0] in "~/" else f"/{name}" for name in names}


@pytest.mark.parametrize("name", NODES)
def test_the_policy_names_what_the_node_has(ros, name):
    module, arguments, last_topic = NODES[name]
    observer = ros.add(Node("observer"))

    def found(list_by_node) -> set[str]:
        try:
            return {entry for entry, _ in list_by_node(name, "/")}
        except RuntimeError:
            # It is not there yet.
            return set()

    with process(module, *arguments):
        ros.until(lambda: last_topic in found(observer.get_publisher_names_and_types_by_node), "the node's topics")
        published = found(observer.get_publisher_names_and_types_by_node)
        subscribed = found(observer.get_subscriber_names_and_types_by_node)
        services = found(observer.get_service_names_and_types_by_node)
    services.add(f"/{name}/{TYPE_DESCRIPTIONS}")
    assert allowed(name, "topics", "publish") - OPTIONAL == published - OPTIONAL
    assert allowed(name, "topics", "subscribe") - OPTIONAL - {"/parameter_events"} == subscribed - {"/parameter_events"}
    assert allowed(name, "services", "reply") == services
