"""Describe a node's parameters in one table, declare them, and read them checked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterValueException
from rclpy.node import Node

from yolov8_seg_ros.errors import OptionError

_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list"}


@dataclass(frozen=True)
class Parameter:
    """Describe one parameter.

    Attributes:
        name: lower case.
        default: bool, int, float, str, or a list of str; its type is the parameter's.
        description: one line for `ros2 param describe`.
        read_only: False where it may be changed while the node runs.
        minimum: lowest number allowed, or None; together with `maximum`.
        maximum: highest number allowed, or None.
        choices: all values allowed, or empty where any is.
    """

    name: str
    default: Any
    description: str
    read_only: bool = True
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()

    def check(self, value: Any) -> Any:
        """Give the value as the parameter's type: 30 is a number where 30.0 is, and 0 may name a camera.

        Raises:
            OptionError: if it is of another type, out of range, or none of the choices.
        """
        value = self._convert(value)
        if self.choices and value not in self.choices:
            raise OptionError(f"{self.name}: expected one of {', '.join(self.choices)}; got '{value}'")
        low, high = self.minimum, self.maximum
        # Written so that NaN is out of any range.
        if low is not None and high is not None and not low <= value <= high:
            raise OptionError(f"{self.name}: expected {low} to {high}, got {value}")
        return value

    def descriptor(self) -> ParameterDescriptor:
        """Give the description for tools."""
        descriptor = ParameterDescriptor(
            description=self.description,
            read_only=self.read_only,
            # `check` decides on types: ROS would refuse 30 for 30.0.
            dynamic_typing=True,
            additional_constraints=f"one of {', '.join(self.choices)}" if self.choices else "",
        )
        if self.minimum is not None and self.maximum is not None:
            if isinstance(self.default, int):
                limits = IntegerRange(from_value=int(self.minimum), to_value=int(self.maximum), step=1)
                descriptor.integer_range = [limits]
            else:
                wide = FloatingPointRange(from_value=float(self.minimum), to_value=float(self.maximum))
                descriptor.floating_point_range = [wide]
        return descriptor

    def _convert(self, value: Any) -> Any:
        kind = type(self.default)
        if type(value) is kind:
            return [str(item) for item in value] if kind is list else value
        # A bool is an int to Python, not to a person.
        if kind in (float, str) and type(value) is int:
            return kind(value)
        raise OptionError(f"{self.name}: expected {_TYPE_NAMES[kind]}, got {value!r}")


def declare_parameters(node: Node, table: Iterable[Parameter], *, lifecycle: bool = False) -> None:
    """Declare all parameters of a table, with the values given at start where there are any.

    Args:
        node: whose parameters.
        table: of which kind.
        lifecycle: the node itself judges values when it is configured, and guards the read-only ones from then on.

    Raises:
        OptionError: if a value given at start is out of its range.
    """
    for parameter in table:
        if lifecycle:
            _declare_unjudged(node, replace(parameter, read_only=False))
        else:
            _declare(node, parameter)


def _declare(node: Node, parameter: Parameter) -> None:
    try:
        node.declare_parameter(parameter.name, parameter.default, parameter.descriptor())
    except InvalidParameterValueException as error:
        raise OptionError(str(error)) from error


def _declare_unjudged(node: Node, parameter: Parameter) -> None:
    # ROS would refuse a value out of range by an exception: the range is told only where it holds already.
    value = node.declare_parameter(parameter.name, parameter.default, ParameterDescriptor(dynamic_typing=True)).value
    try:
        parameter.check(value)
    except OptionError:
        return
    node.set_descriptor(parameter.name, parameter.descriptor())


def read_parameters(node: Node, table: Iterable[Parameter]) -> dict[str, Any]:
    """Give the present value of each parameter by its name.

    Raises:
        OptionError: naming the first one whose value is wrong.
    """
    return {parameter.name: parameter.check(node.get_parameter(parameter.name).value) for parameter in table}
