"""Start the segmentation node and, where asked for, an image source and rviz.

    ros2 launch yolov8_seg_ros seg.launch.py source:=demo rviz:=true

The launch ends with the segmentation node. A node that fails ends all, and `ros2 launch` then exits with a code other
than 0; an image source that merely comes to its end leaves the rest running.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import Action, LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import DeclareLaunchArgument, GroupAction, OpaqueFunction, Shutdown, TimerAction
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, TextSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from yolov8_seg_ros.media.sources import DEMO
from yolov8_seg_ros.model_files.store import SCENE_MODEL
from yolov8_seg_ros.node.transport import OPT_OUT_VARIABLE, use_large_image_profile

PACKAGE = "yolov8_seg_ros"
CONFIG = PathJoinSubstitution([FindPackageShare(PACKAGE), "config"])
#: Parameters of the segmentation node that have an argument of their own; one that is not given leaves params_file be.
OVERRIDES = {"model": str, "backend": str, "autostart": bool}
#: What `source:=camera` stands for.
FIRST_CAMERA = "0"

ARGUMENTS = (
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="model file or name; empty: as in params_file, or with source:=demo the bundled one",
    ),
    DeclareLaunchArgument("backend", default_value="", description="what runs the model; empty: as in params_file"),
    DeclareLaunchArgument("image_topic", default_value="image", description="topic of the camera's images"),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([CONFIG, "seg.yaml"]),
        description="parameters of the segmentation node, and of image_source if it has any of its own there",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes"),
    DeclareLaunchArgument(
        "source",
        default_value="none",
        description="what to publish on image_topic: none, camera, demo, or a picture, folder of pictures or video",
    ),
    DeclareLaunchArgument(
        "rviz", default_value="false", choices=["true", "false"], description="show the results in rviz"
    ),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", "true", "false"],
        description="configure and activate at start; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "log_level",
        default_value="info",
        choices=["debug", "info", "warn", "error", "fatal"],
        description="least severe messages shown of the package's nodes",
    ),
    DeclareLaunchArgument(
        "transport_profile",
        default_value="large_images",
        choices=["large_images", "none"],
        description="Fast DDS set up for whole images in shared memory, or left as it is delivered",
    ),
)


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what is started with them."""
    nodes = GroupAction(
        [
            OpaqueFunction(function=_check_params_file),
            OpaqueFunction(function=_set_transport_profile),
            PushRosNamespace(LaunchConfiguration("namespace")),
            OpaqueFunction(function=_rviz, condition=IfCondition(LaunchConfiguration("rviz"))),
            OpaqueFunction(function=_segmentation),
            OpaqueFunction(function=_image_source),
        ]
    )
    return LaunchDescription([*ARGUMENTS, nodes])


def _set_transport_profile(context: LaunchContext) -> None:
    if LaunchConfiguration("transport_profile").perform(context) == "large_images":
        use_large_image_profile(context.environment)
    else:
        # The nodes would set it up themselves.
        context.environment[OPT_OUT_VARIABLE] = "none"


def _check_params_file(context: LaunchContext) -> None:
    path = LaunchConfiguration("params_file").perform(context)
    # launch_ros would only warn, and start the nodes with their defaults.
    if not Path(path).is_file():
        raise RuntimeError(f"params_file: there is no file '{path}'")


def _segmentation(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    if LaunchConfiguration("source").perform(context) == DEMO:
        given["model"] = given["model"] or SCENE_MODEL
    overrides = {
        # Only a substitution is read as what its type says.
        name: ParameterValue(TextSubstitution(text=value), value_type=OVERRIDES[name])
        for name, value in given.items()
        if value
    }
    return [_node("seg_node", overrides, on_exit=_end)]


def _image_source(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    source = LaunchConfiguration("source").perform(context)
    if source == "none":
        return []
    value = FIRST_CAMERA if source == "camera" else source
    return [_node("image_source", {"source": ParameterValue(value, value_type=str)}, on_exit=_end_if_failed)]


def _node(executable: str, overrides: dict[str, ParameterValue], **options: Any) -> Node:
    return Node(
        package=PACKAGE,
        executable=executable,
        parameters=[LaunchConfiguration("params_file"), overrides],
        remappings=[("image", LaunchConfiguration("image_topic"))],
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        **options,
    )


def _rviz(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        raise RuntimeError("rviz:=true needs the package rviz2, which is not installed here") from error
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=["-d", PathJoinSubstitution([CONFIG, "seg.rviz"])],
            # The topics in seg.rviz are relative: they follow the namespace, and the camera's follows this.
            remappings=[("image", LaunchConfiguration("image_topic"))],
        )
    ]


def _end(event: ProcessExited, context: LaunchContext) -> Action | None:
    if event.returncode != 0 or context.is_shutdown:
        return _end_if_failed(event, context)
    return Shutdown(reason=f"{event.process_name} has ended")


def _end_if_failed(event: ProcessExited, context: LaunchContext) -> Action | None:
    if event.returncode == 0 or context.is_shutdown:
        return None
    message = f"{event.process_name} failed with exit code {event.returncode}; its messages above say why"
    # Not at once: an exception keeps others who wait for this event from seeing it.
    return TimerAction(period=0.0, actions=[OpaqueFunction(function=_fail, args=[message])])


def _fail(_context: LaunchContext, message: str) -> None:
    # Only an exception makes launch both end everything and exit with a code other than 0.
    raise RuntimeError(message)
