"""Declare settings as parameters of a node, read them, and explain them to users."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node
from rclpy.parameter import Parameter

from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.settings.depth_table import DEPTH_NODE_SETTINGS
from yolov8_seg_ros.settings.setting import OldName, Setting, as_text, nearest_name
from yolov8_seg_ros.settings.tables import (
    CAMERA,
    IMAGE_SOURCE_SETTINGS,
    OLD_PARAMETERS,
    SEG_NODE_SETTINGS,
)

_HELP_COLUMNS = 100
_TABLES = (SEG_NODE_SETTINGS, DEPTH_NODE_SETTINGS, IMAGE_SOURCE_SETTINGS, OLD_PARAMETERS)
#: A file of parameters may be for all nodes of the package.
_KNOWN_NAMES = {item.name for table in _TABLES for item in table}
_CAMERA_NAMES = {setting.name for setting in SEG_NODE_SETTINGS if setting.group == CAMERA}
#: Declared by ROS where a publisher or a subscription wants it.
_QOS_PREFIX = "qos_overrides."


def declare_parameters(
    node: Node, settings: Sequence[Setting], old_names: Sequence[OldName] = (), *, read_only: bool = True
) -> None:
    """Declare settings as parameters, without checking the values given at start: `read_parameters` does.

    A warning names each parameter given at start that has another name now, or that no node of the package has.

    Args:
        node: whose parameters.
        settings: what is declared.
        old_names: names of an earlier release that are accepted.
        read_only: whether settings that cannot change while the node runs are refused by ROS; False leaves it to
            the node, which may accept them in some of its states.
    """
    overrides: Mapping[str, Parameter[Any]] = node._parameter_overrides  # rclpy offers no public way.
    defaults = {setting.name: setting.default for setting in settings}
    for old in (old for old in old_names if old.name in overrides):
        node.get_logger().warning(_old_name_warning(old, is_overruled=old.setting in overrides))
        if not old.advice:
            defaults[old.setting] = overrides[old.name].value
    for setting in settings:
        _declare(node, setting, defaults[setting.name], read_only and not setting.can_change)
    for name in overrides:
        if not (node.has_parameter(name) or name in _KNOWN_NAMES or _is_declared_later(name)):
            node.get_logger().warning(_unknown_name_warning(name, defaults))


def declare_camera_parameters(node: Node, cameras: Collection[str]) -> None:
    """Declare the parameters that a camera has for itself; their defaults are the values for all cameras.

    A warning names each parameter given at start for a camera that there is not.
    """
    for setting in camera_settings(cameras):
        if not node.has_parameter(setting.name):
            _declare(node, setting, node.get_parameter(setting.name.partition(".")[2]).value, read_only=False)
    for name in node._parameter_overrides:
        camera, _, of_camera = name.partition(".")
        if of_camera in _CAMERA_NAMES and camera not in cameras:
            node.get_logger().warning(f"there is no camera {camera}: {name} has no effect")


def camera_settings(cameras: Iterable[str]) -> list[Setting]:
    """Return the settings that named cameras have for themselves."""
    of_all = [setting for setting in SEG_NODE_SETTINGS if setting.group == CAMERA]
    return [replace(setting, name=f"{camera}.{setting.name}") for camera in cameras if camera for setting in of_all]


def read_camera_parameters(node: Node, camera: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings for one camera, by their names without the camera's.

    Args:
        node: whose parameters.
        camera: name; empty for the only camera.
        settings: for all cameras.

    Raises:
        OptionError: for the first setting whose value is wrong.
    """
    own = read_parameters(node, camera_settings([camera]))
    return {**settings, **{name.partition(".")[2]: value for name, value in own.items()}}


def read_parameters(node: Node, settings: Iterable[Setting]) -> dict[str, Any]:
    """Return the present value of each setting by its name.

    Raises:
        OptionError: for the first setting whose value is wrong.
    """
    return {setting.name: setting.check(node.get_parameter(setting.name).value) for setting in settings}


def checked_changes(
    node: Node, settings: Iterable[Setting], changes: Iterable[Parameter[Any]], *, is_configured: bool
) -> dict[str, Any]:
    """Return the values that settings are to be changed to, by name; parameters of ROS itself are left out.

    Raises:
        OptionError: for a value that is wrong, or a setting that cannot change while the node is configured, unless
            it has that value already.
    """
    known = {setting.name: setting for setting in settings}
    checked = {change.name: known[change.name].check(change.value) for change in changes if change.name in known}
    for name, value in checked.items():
        is_fixed = is_configured and not known[name].can_change
        if is_fixed and value != known[name].check(node.get_parameter(name).value):
            raise OptionError(f"{name} can be changed only while the node is unconfigured")
    return checked


def print_help(args: Sequence[str] | None, program: str, summary: str, settings: Iterable[Setting]) -> bool:
    """Print a program's parameters if its arguments ask for help; return whether they do.

    Args:
        args: arguments; those of the process where None. Those from --ros-args on are ROS's.
        program: name of the executable.
        summary: what it does.
        settings: its parameters.
    """
    given = list(sys.argv[1:] if args is None else args)
    own = given[: given.index("--ros-args")] if "--ros-args" in given else given
    if not {"-h", "--help"} & set(own):
        return False
    lines = [f"usage: ros2 run yolov8_seg_ros {program} [--ros-args -p NAME:=VALUE ...]\n\n{summary}\n\nparameters:"]
    try:
        print("\n".join([*lines, *(line for setting in settings for line in _help_lines(setting))]), flush=True)
    except BrokenPipeError:
        # The reader, such as `head`, has ended; Python would fail when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return True


def descriptor(setting: Setting, *, read_only: bool = False) -> ParameterDescriptor:
    """Return the description of a parameter for ROS's tools."""
    described = ParameterDescriptor(
        description=setting.description,
        read_only=read_only,
        # Setting.check decides on types: ROS would refuse 30 for 30.0.
        dynamic_typing=True,
        additional_constraints=f"one of {setting.values}" if setting.choices else "",
    )
    if setting.minimum is not None and setting.maximum is not None:
        if isinstance(setting.default, int):
            limits = IntegerRange(from_value=int(setting.minimum), to_value=int(setting.maximum), step=1)
            described.integer_range = [limits]
        else:
            wide = FloatingPointRange(from_value=float(setting.minimum), to_value=float(setting.maximum))
            described.floating_point_range = [wide]
    return described


def _declare(node: Node, setting: Setting, default: Any, read_only: bool) -> None:
    value = node.declare_parameter(setting.name, default, ParameterDescriptor(dynamic_typing=True)).value
    described = descriptor(setting, read_only=read_only)
    try:
        setting.check(value)
    except OptionError:
        # ROS would refuse a value that is out of the range by an exception.
        described = descriptor(replace(setting, minimum=None, maximum=None))
    node.set_descriptor(setting.name, described)


def _is_declared_later(name: str) -> bool:
    return name.startswith(_QOS_PREFIX) or name.partition(".")[2] in _CAMERA_NAMES


def _old_name_warning(old: OldName, is_overruled: bool) -> str:
    if old.advice:
        return f"the parameter {old.name} is gone and has no effect: {old.advice}"
    effect = "the value under the new name is used" if is_overruled else "this release still accepts the old name"
    return f"the parameter {old.name} is now called {old.setting}; {effect}"


def _unknown_name_warning(name: str, names: Mapping[str, Any]) -> str:
    members = [known for known in names if known.startswith(f"{name}.")]
    nearest = " or ".join(members) or nearest_name(name, names)
    return f"there is no parameter {name}: it has no effect" + (f"; did you mean {nearest}?" if nearest else "")


def _help_lines(setting: Setting) -> Iterator[str]:
    facts = [f"default: {as_text(setting.default) or 'empty'}"]
    if setting.values:
        facts.append(f"values: {setting.values}")
    yield f"  {setting.name} ({'; '.join(facts)})"
    yield from textwrap.wrap(setting.description, _HELP_COLUMNS, initial_indent=" " * 6, subsequent_indent=" " * 6)
