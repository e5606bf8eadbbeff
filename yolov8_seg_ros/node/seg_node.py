"""The lifecycle node `yolov8_seg`: images in, detections and masks out."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RclParameter
from std_srvs.srv import SetBool

from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.errors import BackendError, OptionError
from yolov8_seg_ros.node.diagnostics import DiagnosticsPublisher, Health
from yolov8_seg_ros.node.parameters import checked_changes, declare_parameters, print_help, read_parameters
from yolov8_seg_ros.node.process import Ending, run_node
from yolov8_seg_ros.node.session import Session
from yolov8_seg_ros.node.warm_up import WarmUp
from yolov8_seg_ros.settings.options import backend_arguments, detection_options, segmenter_options
from yolov8_seg_ros.settings.tables import OLD_PARAMETERS, SEG_NODE_SETTINGS

#: What a user's mistake, or a machine that lacks something, raises while the node is configured.
_CONFIGURE_ERRORS = (BackendError, ValueError)


class SegNode(LifecycleNode):
    """Segment images while active.

    configure loads and warms up the model, activate subscribes, deactivate unsubscribes and keeps the model,
    cleanup releases it.

    Args:
        stop: waiting for a board while configuring ends as soon as this returns True.
        node_options: as `rclpy.lifecycle.LifecycleNode` takes them.
    """

    def __init__(self, stop: Callable[[], bool] = lambda: False, **node_options: Any) -> None:
        super().__init__("yolov8_seg", **node_options)
        self._stop = stop
        declare_parameters(self, SEG_NODE_SETTINGS, OLD_PARAMETERS, read_only=False)
        self._session: Session | None = None
        self._spec: ModelSpec | None = None
        self._active = False
        self._enabled = True
        self._failure = ""
        self.add_on_set_parameters_callback(self._check_changes)
        self.add_post_set_parameters_callback(self._apply_changes)
        self.create_service(SetBool, "~/set_enabled", self._set_enabled)
        self._diagnostics = DiagnosticsPublisher(self, self._health)

    @property
    def autostart(self) -> bool:
        """Tell whether the node is to configure and activate itself."""
        return bool(self.get_parameter("autostart").value)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and get ready; a failure says why and leaves nothing behind."""
        try:
            self._open_session()
        except _CONFIGURE_ERRORS as error:
            self._failure = str(error)
            self.get_logger().error(f"cannot configure: {error}")
            return TransitionCallbackReturn.FAILURE
        self._failure = ""
        return TransitionCallbackReturn.SUCCESS

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish and, unless disabled, listen."""
        result = super().on_activate(state)
        self._active = True
        if self._session is not None:
            self._session.tell_labels()
            self._session.listen(self._enabled)
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave images alone; the model stays loaded."""
        self._active = False
        if self._session is not None:
            self._session.listen(False)
        return super().on_deactivate(state)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model."""
        self._close_session()
        return TransitionCallbackReturn.SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model."""
        self._close_session()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model, so that the node can be configured again."""
        self._close_session()
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Release the model too."""
        self._close_session()
        super().destroy_node()

    def _open_session(self) -> None:
        settings = read_parameters(self, SEG_NODE_SETTINGS)
        backend = open_backend(**backend_arguments(settings), tell=self.get_logger().info, stop=self._stop)
        try:
            options = segmenter_options(settings, backend.spec)
        except ValueError:
            backend.close()
            raise
        self._spec = backend.spec
        self._session = Session(self, settings, backend, options)
        try:
            times = self._session.warm_up()
        except BackendError:
            self._close_session()
            raise
        self._log_start(settings["model"], backend, times)

    def _log_start(self, model: str, backend: Backend, times: WarmUp | None) -> None:
        assert self._spec is not None
        height, width = self._spec.input_hw
        if backend.info.reason:
            self.get_logger().info(backend.info.reason)
        self.get_logger().info(
            f"{model}: {width}x{height}, {len(self._spec.class_names)} classes; {backend.info.description}"
            + (f"; {times}" if times is not None else "")
            + (f"; head: {backend.info.head}" if backend.info.head else "")
        )
        for warning in backend.info.warnings:
            self.get_logger().warning(warning)
        if backend.fault:
            self.get_logger().error(backend.fault)
        if not self._spec.names_given:
            self.get_logger().warning(
                f"{model} carries no class names, so they are numbered: set the parameter class_names_file"
            )

    def _close_session(self) -> None:
        self._active = False
        if self._session is not None:
            self._session.close()
            self._session = None
            self._spec = None

    def _set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = request.data
        if self._session is not None and self._active:
            self._session.listen(self._enabled)
        response.success = True
        response.message = "enabled" if self._enabled else "disabled"
        return response

    def _check_changes(self, changes: list[RclParameter[Any]]) -> SetParametersResult:
        try:
            changed = checked_changes(self, SEG_NODE_SETTINGS, changes, is_configured=self._session is not None)
            if self._spec is not None:
                detection_options({**read_parameters(self, SEG_NODE_SETTINGS), **changed}, self._spec)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _apply_changes(self, changes: list[RclParameter[Any]]) -> None:
        if self._session is None or self._spec is None:
            return
        detection = detection_options(read_parameters(self, SEG_NODE_SETTINGS), self._spec)
        if detection != self._session.options.detection:
            self._session.set_detection(detection)

    def _health(self) -> Health:
        if self._session is not None:
            return self._session.health(listening=self._active and self._enabled)
        if self._failure:
            return Health(DiagnosticStatus.ERROR, f"cannot configure: {self._failure}")
        return Health(DiagnosticStatus.OK, "unconfigured")


def make_node(ending: Ending) -> SegNode:
    """Make the node and, with `autostart`, bring it up; a transition that fails ends the process."""
    node = SegNode(stop=lambda: ending.exit_code is not None)
    if node.autostart:
        for transition in (node.trigger_configure, node.trigger_activate):
            if transition() != TransitionCallbackReturn.SUCCESS:
                ending(1)
                break
    return node


def main(args: list[str] | None = None) -> int:
    """Run the node; give the process's exit code."""
    if print_help(args, "seg_node", "Segment the images of a topic: the lifecycle node yolov8_seg.", SEG_NODE_SETTINGS):
        return 0
    return run_node(make_node, (OptionError,), args)


if __name__ == "__main__":
    sys.exit(main())
