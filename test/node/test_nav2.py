"""Read the topics for Nav2 by the rules of the costmap layer that they are for."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytest.importorskip("tf2_ros")

from support.costmap_layer import CostmapLayer
from support.depth_robot import CAMERA, DEPTH_CAMERA, WORLD_FRAME, Robot, make_depth_node
from support.depth_scene import Box, Sphere, render

PERSON = (Box((2.6, 0.5, 0.85), (0.4, 0.5, 1.7), np.radians(-20)), "person", "1")
BALL = (Sphere((2.2, -0.4, 0.9), 0.3), "ball", "2")
SCENE = [PERSON, BALL]
CLASSES = ("person", "ball")


def marked(ros, layer, registered=True, scene=SCENE, **parameters):
    """Return what the layer marks of one image, and the robot."""
    robot = ros.add(Robot(registered))
    robot.publish_extrinsics()
    ros.add(layer)
    make_depth_node(ros, nav2=True, **parameters)
    ros.until(robot.is_heard, "the topics to be matched")
    ros.until(lambda: layer.count_publishers("depth_node/nav2/points"), "the topics for Nav2")
    ros.until(lambda: robot.count_subscribers("/tf") == 2, "the transforms to be read")
    ros.until(lambda: layer.has_class_names, "the class names")
    robot.show(scene)
    ros.until(lambda: layer.marks or layer.faults, "marks")
    return robot


@pytest.mark.parametrize("decimation", [1, 4, 5])
@pytest.mark.parametrize("registered", [True, False], ids=["registered", "unregistered"])
def test_the_layer_marks_objects_where_they_are(ros, decimation, registered):
    layer = CostmapLayer(CLASSES, WORLD_FRAME, "depth_node/nav2")
    robot = marked(ros, layer, registered, nav2_classes="person, ball", nav2_decimation=decimation)
    assert (layer.faults, layer.critical_errors) == ([], [])
    (marks,) = layer.marks
    height, width = (CAMERA if registered else DEPTH_CAMERA).image_hw
    view = render(CAMERA, robot.pose, [shape for shape, _, _ in SCENE])
    for label, (name, score) in enumerate((("person", 0.9), ("ball", 0.8)), start=1):
        own = [(confidence, point) for found, confidence, point in marks if found == name]
        assert {confidence for confidence, _ in own} == {round(255 * score)}
        points_m = np.array([point for _, point in own])
        center_m, size_m = view.visible(label)
        assert (np.abs(points_m - center_m) <= size_m / 2 + 0.06).all()
        seen = np.count_nonzero(view.labels == label) / CAMERA.image_hw[0] / CAMERA.image_hw[1]
        if registered:
            assert len(own) == pytest.approx(seen * height * width / decimation**2, rel=0.2)
    assert len(marks) < height * width / decimation**2


def test_classes_that_the_costmap_does_not_know_are_left_out(ros):
    layer = CostmapLayer(("ball",), WORLD_FRAME, "depth_node/nav2")
    marked(ros, layer, nav2_classes=["ball"])
    # For each further class the layer would log a critical error.
    assert (layer.faults, layer.critical_errors) == ([], [])
    assert {name for name, _, _ in layer.marks[0]} == {"ball"}


def test_an_image_without_objects_marks_nothing(ros):
    layer = CostmapLayer(CLASSES, WORLD_FRAME, "depth_node/nav2")
    marked(ros, layer, nav2_classes="person,ball", scene=[])
    assert (layer.faults, layer.marks) == ([], [[]])


def test_the_layer_reports_a_class_it_does_not_know(ros):
    # What happens without nav2_classes: a check of the layer's rules rather than of the node.
    layer = CostmapLayer(CLASSES, WORLD_FRAME, "depth_node/nav2")
    marked(ros, layer)
    assert layer.critical_errors == ["chair"]
