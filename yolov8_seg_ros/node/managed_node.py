"""Share what the lifecycle nodes of the package have in common: reported failures and the start by themselves."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from yolov8_seg_ros.errors import UserError, one_line
from yolov8_seg_ros.node.process import Ending

NodeT = TypeVar("NodeT", bound="ManagedNode")
_Transition = Callable[[NodeT, LifecycleState], TransitionCallbackReturn]


class ManagedNode(LifecycleNode):
    """A lifecycle node with the parameter `autostart` that reports why a transition failed.

    Args:
        name: of the node.
        node_options: as `rclpy.lifecycle.LifecycleNode` takes them.

    Attributes:
        failure: why the last transition failed, for /diagnostics; empty if it did not.
    """

    def __init__(self, name: str, **node_options: Any) -> None:
        super().__init__(name, **node_options)
        self.failure = ""

    @property
    def autostart(self) -> bool:
        """Return whether the node is to configure and activate itself."""
        return bool(self.get_parameter("autostart").value)

    def fail(self, error: Exception, transition: str) -> None:
        """Log an error of a transition, and keep it as `failure`."""
        self.failure = f"cannot {transition}: {one_line(error)}"
        # What a user can put right says all; anything else is a defect, which its traceback helps to find.
        details = "" if isinstance(error, UserError) else "\n" + "".join(traceback.format_exception(error))
        self.get_logger().error(self.failure + details)

    def bring_up(self, ending: Ending) -> None:
        """Configure and activate the node if `autostart` is on; a transition that fails ends the process."""
        if not self.autostart:
            return
        for transition in (self.trigger_configure, self.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                ending(1)
                return


def reported(transition: _Transition[NodeT]) -> _Transition[NodeT]:
    """Return a transition whose exceptions are reported: rclpy would keep them to itself."""

    @wraps(transition)
    def wrapper(node: NodeT, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            return transition(node, state)
        except Exception as error:  # noqa: BLE001 - whatever it is, a person has to know
            node.fail(error, transition.__name__.removeprefix("on_"))
            return TransitionCallbackReturn.ERROR

    return wrapper
