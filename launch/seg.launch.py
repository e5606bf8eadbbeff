"""Start the segmentation node and, where asked for, the depth node, an image source and rviz.

    ros2 launch yolov8_seg_ros seg.launch.py source:=demo rviz:=true
    ros2 launch yolov8_seg_ros seg.launch.py image_topic:=/cam/color/image_raw depth_topic:=/cam/depth/image_raw

Launched by itself, it ends with the segmentation node. A node that fails ends all, and `ros2 launch` then exits with a
code other than 0; an image source that merely comes to its end leaves the rest running.

Included by another launch file, a node that ends leaves the rest of the robot running; `required:=true` changes that.
Its arguments stay its own where it is included inside a `GroupAction`; examples/ shows how.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import Action, LaunchContext, LaunchDescription, LaunchDescriptionEntity
from launch.actions import (
    DeclareLaunchArgument,
    GroupAction,
    IncludeLaunchDescription,
    OpaqueFunction,
    Shutdown,
    TimerAction,
)
from launch.conditions import IfCondition
from launch.events.process import ProcessExited
from launch.logging import get_logger
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution, TextSubstitution
from launch_ros.actions import Node, PushRosNamespace
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

from yolov8_seg_ros.choices import BACKENDS, DEMO, SIM, TRANSPORTS
from yolov8_seg_ros.model_files.store import SCENE_MODEL
from yolov8_seg_ros.node.transport import OPT_OUT_VARIABLE, use_large_image_profile
from yolov8_seg_ros.settings.setting import listed_names

PACKAGE = "yolov8_seg_ros"
CONFIG = PathJoinSubstitution([FindPackageShare(PACKAGE), "config"])
#: Parameters that have an argument of their own; one that is not given leaves params_file as it is.
OVERRIDES = {
    "model": str,
    "backend": str,
    "cameras": str,
    "device": str,
    "image_transport": str,
    "autostart": bool,
    "use_sim_time": bool,
}
DEPTH_OVERRIDES = {"target_frame": str, "autostart": bool, "use_sim_time": bool}
_TYPES = OVERRIDES | DEPTH_OVERRIDES
#: The name that seg.rviz shows the results of.
NODE_NAME = "yolov8_seg"
BOOLEANS = ["true", "false"]
#: What `source:=camera` stands for.
FIRST_CAMERA = "0"

ARGUMENTS = (
    DeclareLaunchArgument(
        "model",
        default_value="",
        description="model file or name; empty: as in params_file, or with source:=demo and sim the bundled one",
    ),
    DeclareLaunchArgument(
        "backend",
        default_value="",
        choices=["", *BACKENDS],
        description="what runs the model; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "cameras",
        default_value="",
        description="names of several cameras, separated by commas, with images on NAME/image; "
        "empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "device",
        default_value="",
        description="camera, video file or stream that the segmentation node opens itself; empty: as in params_file",
    ),
    DeclareLaunchArgument("image_topic", default_value="image", description="topic of the camera's images"),
    DeclareLaunchArgument(
        "image_transport",
        default_value="",
        choices=["", *TRANSPORTS],
        description="type of the camera's images; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "params_file",
        default_value=PathJoinSubstitution([CONFIG, "seg.yaml"]),
        description="parameters of the segmentation node, and of image_source if it has any of its own there",
    ),
    DeclareLaunchArgument("namespace", default_value="", description="namespace of all nodes"),
    DeclareLaunchArgument(
        "node_name",
        default_value=NODE_NAME,
        description="name of the segmentation node, used in its topics and in params_file",
    ),
    DeclareLaunchArgument(
        "use_sim_time",
        default_value="",
        choices=["", *BOOLEANS],
        description="take the time from /clock; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "source",
        default_value="none",
        description="what to publish on image_topic: none, camera, demo, sim (a simulated robot), or an image, "
        "folder of images, video or rosbag",
    ),
    DeclareLaunchArgument(
        "depth_topic",
        default_value="",
        description="topic of a depth camera's images, for objects in space by the depth node; empty: no depth node",
    ),
    DeclareLaunchArgument(
        "target_frame",
        default_value="",
        description="frame in which the depth node places objects; empty: as in params_file",
    ),
    DeclareLaunchArgument("rviz", default_value="false", choices=BOOLEANS, description="show the results in rviz"),
    DeclareLaunchArgument(
        "autostart",
        default_value="",
        choices=["", *BOOLEANS],
        description="configure and activate at start; empty: as in params_file",
    ),
    DeclareLaunchArgument(
        "required",
        default_value="auto",
        choices=["auto", *BOOLEANS],
        description="end the launch with the segmentation node, and with an image source that fails; "
        "auto: true where this file is launched by itself without respawn, false where another one includes it",
    ),
    DeclareLaunchArgument(
        "respawn",
        default_value="false",
        choices=BOOLEANS,
        description="start the segmentation node again whenever it ends",
    ),
    DeclareLaunchArgument("respawn_delay", default_value="2.0", description="seconds before it is started again"),
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
            # In the group too: defaults that are set outside it would be those of all files included later.
            *ARGUMENTS,
            OpaqueFunction(function=_check_params_file),
            OpaqueFunction(function=_check_sections),
            OpaqueFunction(function=_check_cameras),
            OpaqueFunction(function=_check_depth_arguments),
            OpaqueFunction(function=_set_transport_profile),
            PushRosNamespace(LaunchConfiguration("namespace")),
            OpaqueFunction(function=_rviz, condition=IfCondition(LaunchConfiguration("rviz"))),
            OpaqueFunction(function=_segmentation),
            OpaqueFunction(function=_depth),
            OpaqueFunction(function=_image_source),
        ]
    )
    return LaunchDescription([nodes])


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


def _check_sections(context: LaunchContext) -> None:
    path, node_name = (LaunchConfiguration(name).perform(context) for name in ("params_file", "node_name"))
    nodes = {node_name, "depth_node", "image_source"}
    sections = _node_names(Path(path))
    # Warnings only: a file may be shared, and arguments of a launch file that includes this one come here too.
    if sections and not any(name in nodes or "*" in name for name in sections):
        get_logger(PACKAGE).warning(
            f"params_file: '{path}' has parameters of {', '.join(sorted(sections))} only, so they have no effect; "
            f"write /** or {node_name} in place of that name"
        )


def _node_names(path: Path) -> set[str]:
    """Return of which nodes a file has parameters, without their namespaces; none where it cannot be read."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError):
        # The nodes say what is wrong.
        return set()
    return set(_names_with_parameters("", content))


def _names_with_parameters(name: str, content: object) -> Iterator[str]:
    if isinstance(content, dict):
        if "ros__parameters" in content:
            yield name.rpartition("/")[2]
        for key, value in content.items():
            if key != "ros__parameters":
                yield from _names_with_parameters(str(key), value)


def _check_cameras(context: LaunchContext) -> None:
    cameras = listed_names(LaunchConfiguration("cameras").perform(context))
    topic = LaunchConfiguration("image_topic").perform(context)
    is_published = LaunchConfiguration("source").perform(context) != "none"
    if cameras and is_published and topic not in [f"{name}/image" for name in cameras]:
        get_logger(PACKAGE).warning(
            f"the source publishes on '{topic}', which is no topic of a camera; add image_topic:={cameras[0]}/image"
        )


def _check_depth_arguments(context: LaunchContext) -> None:
    target_frame = LaunchConfiguration("target_frame").perform(context)
    if target_frame and not LaunchConfiguration("depth_topic").perform(context):
        get_logger(PACKAGE).warning(f"target_frame:={target_frame} has no effect without depth_topic")


def _segmentation(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    given = {name: LaunchConfiguration(name).perform(context) for name in OVERRIDES}
    if LaunchConfiguration("source").perform(context) in (DEMO, SIM):
        given["model"] = given["model"] or SCENE_MODEL
    node = _node(
        context,
        "seg_node",
        _overrides(given),
        name=LaunchConfiguration("node_name"),
        on_exit=_end if _is_required(context) else None,
        respawn=_is_respawned(context),
        respawn_delay=_respawn_delay_s(context),
    )
    return [node]


def _depth(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    if not LaunchConfiguration("depth_topic").perform(context):
        return []
    overrides = _overrides({name: LaunchConfiguration(name).perform(context) for name in DEPTH_OVERRIDES})
    overrides["segmentation"] = ParameterValue(LaunchConfiguration("node_name"), value_type=str)
    node = _node(
        context,
        "depth_node",
        overrides,
        name="depth_node",
        on_exit=_end_if_failed if _is_required(context) else None,
        respawn=_is_respawned(context),
        respawn_delay=_respawn_delay_s(context),
    )
    return [node]


def _image_source(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    source = LaunchConfiguration("source").perform(context)
    if source == "none":
        return []
    overrides = _overrides({"use_sim_time": LaunchConfiguration("use_sim_time").perform(context)})
    overrides["source"] = ParameterValue(FIRST_CAMERA if source == "camera" else source, value_type=str)
    return [_node(context, "image_source", overrides, on_exit=_end_if_failed if _is_required(context) else None)]


def _overrides(given: dict[str, str]) -> dict[str, ParameterValue]:
    return {
        # Only a substitution is read as what its type says.
        name: ParameterValue(TextSubstitution(text=value), value_type=_TYPES[name])
        for name, value in given.items()
        if value
    }


def _is_respawned(context: LaunchContext) -> bool:
    return LaunchConfiguration("respawn").perform(context) == "true"


def _respawn_delay_s(context: LaunchContext) -> float:
    text = LaunchConfiguration("respawn_delay").perform(context)
    try:
        delay_s = float(text)
    except ValueError:
        delay_s = math.nan
    if not 0 <= delay_s < math.inf:
        raise RuntimeError(f"respawn_delay: expected seconds, 0 or more, got '{text}'")
    return delay_s


def _is_required(context: LaunchContext) -> bool:
    required = LaunchConfiguration("required").perform(context)
    if required == "auto":
        return not _is_respawned(context) and _is_launched_by_itself(context)
    if required == "true" and _is_respawned(context):
        raise RuntimeError("required:=true and respawn:=true: the node cannot both end the launch and start again")
    return required == "true"


def _is_launched_by_itself(context: LaunchContext) -> bool:
    """Return whether the launch service was given this file, rather than one that includes it."""
    local = context.get_locals_as_dict()
    given = getattr(local.get("event"), "launch_description", None)
    return given is not None and any(
        isinstance(entity, IncludeLaunchDescription)
        and Path(entity.launch_description_source.location).resolve() == Path(__file__).resolve()
        for entity in given.entities
    )


def _node(context: LaunchContext, executable: str, overrides: dict[str, ParameterValue], **options: Any) -> Node:
    remappings = [("image", LaunchConfiguration("image_topic"))]
    if LaunchConfiguration("depth_topic").perform(context):
        remappings.append(("depth/image", LaunchConfiguration("depth_topic")))
    return Node(
        package=PACKAGE,
        executable=executable,
        parameters=[LaunchConfiguration("params_file"), overrides],
        remappings=remappings,
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
        output="screen",
        **options,
    )


def _rviz(context: LaunchContext) -> list[LaunchDescriptionEntity]:
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        package = f"ros-{os.environ.get('ROS_DISTRO', 'DISTRIBUTION')}-rviz2"
        raise RuntimeError(
            f"rviz:=true needs the package rviz2, which is not installed here; run: sudo apt install {package}"
        ) from error
    has_depth = bool(LaunchConfiguration("depth_topic").perform(context))
    arguments = ["-d", PathJoinSubstitution([CONFIG, "depth.rviz" if has_depth else "seg.rviz"])]
    target_frame = LaunchConfiguration("target_frame").perform(context)
    if has_depth and target_frame:
        arguments += ["-f", target_frame]
    return [
        Node(
            package="rviz2",
            executable="rviz2",
            arguments=arguments,
            # The topics in the files are relative: they follow the namespace, and these.
            remappings=[
                ("image", LaunchConfiguration("image_topic")),
                (f"{NODE_NAME}/overlay", [LaunchConfiguration("node_name"), "/overlay"]),
            ],
            parameters=[_overrides({"use_sim_time": LaunchConfiguration("use_sim_time").perform(context)})],
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
