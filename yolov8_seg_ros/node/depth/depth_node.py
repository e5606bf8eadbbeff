"""The lifecycle node `depth_node`: detections, masks and depth images in, objects in space out."""

from __future__ import annotations

import sys
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RclParameter

from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.node.bond import Bond
from yolov8_seg_ros.node.depth.depth_health import PART
from yolov8_seg_ros.node.depth.depth_session import DepthSession
from yolov8_seg_ros.node.health import ERROR, OK, DiagnosticsPublisher, Health
from yolov8_seg_ros.node.managed_node import ManagedNode, reported
from yolov8_seg_ros.node.parameters import checked_changes, declare_parameters, print_help, read_parameters
from yolov8_seg_ros.node.process import Ending, run_node
from yolov8_seg_ros.settings.depth_table import DEPTH_NODE_SETTINGS

NODE_NAME = "depth_node"


class DepthNode(ManagedNode):
    """Place objects in space while active.

    configure checks the parameters, activate subscribes, deactivate unsubscribes, cleanup releases the topics.

    Args:
        node_options: as `rclpy.lifecycle.LifecycleNode` takes them.
    """

    def __init__(self, **node_options: Any) -> None:
        super().__init__(NODE_NAME, **node_options)
        declare_parameters(self, DEPTH_NODE_SETTINGS, read_only=False)
        self._session: DepthSession | None = None
        self._bond = Bond(self.get_name(), self.get_namespace(), self.context)
        self.add_on_set_parameters_callback(self._check_changes)
        self._diagnostics = DiagnosticsPublisher(self, self._read_health)

    @reported
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Read the parameters and advertise the topics; a failure says why and leaves nothing behind."""
        try:
            settings = read_parameters(self, DEPTH_NODE_SETTINGS)
            self._session = DepthSession(self, settings)
        except Exception as error:  # noqa: BLE001 - whatever it is, the node can be set right and tried again
            self._close_session()
            self.fail(error, "configure")
            return TransitionCallbackReturn.FAILURE
        self.failure = ""
        return TransitionCallbackReturn.SUCCESS

    @reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish and listen."""
        result = super().on_activate(state)
        if self._session is not None:
            self._session.listen(True)
            self._bond.start()
            self.get_logger().info(f"listening to {', '.join(self._session.topics.values())}")
        return result

    @reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave messages alone."""
        self._bond.stop()
        if self._session is not None:
            self._session.listen(False)
        return super().on_deactivate(state)

    @reported
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the topics."""
        self._close_session()
        return TransitionCallbackReturn.SUCCESS

    @reported
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the topics."""
        self._close_session()
        return TransitionCallbackReturn.SUCCESS

    @reported
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the topics, so that the node can be configured again."""
        self._close_session()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Release the topics too."""
        self._close_session()
        super().destroy_node()

    def _close_session(self) -> None:
        self._bond.stop()
        if self._session is not None:
            self._session.close()
            self._session = None

    def _check_changes(self, changes: list[RclParameter[Any]]) -> SetParametersResult:
        try:
            checked_changes(self, DEPTH_NODE_SETTINGS, changes, is_configured=self._session is not None)
        except OptionError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _read_health(self) -> list[Health]:
        if self.failure:
            return [Health(ERROR, self.failure, part=PART)]
        if self._session is not None:
            return [self._session.counts.health(self._session.topics)]
        return [Health(OK, "unconfigured", part=PART)]


def make_node(ending: Ending) -> DepthNode:
    """Make the node and, with `autostart`, bring it up; a transition that fails ends the process."""
    node = DepthNode()
    node.bring_up(ending)
    return node


def main(args: list[str] | None = None) -> int:
    """Run the node; return the process's exit code."""
    summary = "Place the objects that yolov8_seg detects in space, by a depth camera: the lifecycle node depth_node."
    if print_help(args, NODE_NAME, summary, DEPTH_NODE_SETTINGS):
        return 0
    return run_node(make_node, (OptionError,), args, logger_name=NODE_NAME)


if __name__ == "__main__":
    sys.exit(main())
