"""The lifecycle node `yolov8_seg`: images in, detections and masks out."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter as RclParameter
from std_srvs.srv import SetBool

from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.errors import OptionError, one_line
from yolov8_seg_ros.node.bond import Bond
from yolov8_seg_ros.node.engine import Engine, WarmUp
from yolov8_seg_ros.node.health import ERROR, OK, BackendHealth, DiagnosticsPublisher, Health, StreamHealth, merged
from yolov8_seg_ros.node.managed_node import ManagedNode, reported
from yolov8_seg_ros.node.parameters import (
    camera_settings,
    checked_changes,
    declare_camera_parameters,
    declare_parameters,
    print_help,
    read_camera_parameters,
    read_parameters,
)
from yolov8_seg_ros.node.process import Ending, run_node
from yolov8_seg_ros.node.stream import CameraStream
from yolov8_seg_ros.settings.options import (
    backend_arguments,
    camera_names,
    detection_options,
    segmenter_options,
    tracker_options,
)
from yolov8_seg_ros.settings.tables import OLD_PARAMETERS, SEG_NODE_SETTINGS

#: How long leaving may wait for the frames at hand; a slower backend is closed by its own thread later on.
_CLOSE_TIMEOUT_S = 0.5


class SegNode(ManagedNode):
    """Segment images while active.

    configure loads and warms up the model, activate subscribes, deactivate unsubscribes and keeps the model,
    cleanup releases it.

    Args:
        stop: waiting for a board while configuring ends as soon as this returns True.
        node_options: as `rclpy.lifecycle.LifecycleNode` takes them.

    Attributes:
        streams: one for each camera while the node is configured.
    """

    def __init__(self, stop: Callable[[], bool] = lambda: False, **node_options: Any) -> None:
        super().__init__("yolov8_seg", **node_options)
        self._stop = stop
        declare_parameters(self, SEG_NODE_SETTINGS, OLD_PARAMETERS, read_only=False)
        self._cameras: tuple[str, ...] = ("",)
        # A wrong name is reported when the node is configured.
        with suppress(OptionError):
            self._declare_cameras()
        self.streams: tuple[CameraStream, ...] = ()
        self._engine: Engine | None = None
        self._track_ids = itertools.count(1)
        self._state, self._is_active, self._is_enabled = "unconfigured", False, True
        self._backend_health: BackendHealth | None = None
        self._stream_health: tuple[StreamHealth, ...] = ()
        # Heartbeats for Nav2's lifecycle manager.
        self._bond = Bond(self.get_name(), self.get_namespace(), self.context)
        self.add_on_set_parameters_callback(self._check_changes)
        self.add_post_set_parameters_callback(self._apply_changes)
        self.create_service(SetBool, "~/set_enabled", self._set_enabled)
        self._diagnostics = DiagnosticsPublisher(self, self._read_health)

    @reported
    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Load the model and get ready; a failure says why and leaves nothing behind."""
        try:
            self._open()
        except Exception as error:  # noqa: BLE001 - whatever it is, the node can be set right and tried again
            self._close()
            self.fail(error, "configure")
            return TransitionCallbackReturn.FAILURE
        self._state, self.failure = "inactive", ""
        return TransitionCallbackReturn.SUCCESS

    @reported
    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Publish and, unless disabled, listen."""
        result = super().on_activate(state)
        self._is_active = True
        self._publish_label_info()
        self._listen()
        self._bond.start()
        return result

    @reported
    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Leave images alone; the model stays loaded."""
        self._bond.stop()
        self._is_active = False
        self._listen()
        return super().on_deactivate(state)

    @reported
    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model."""
        self._close()
        self._state = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    @reported
    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model."""
        self._close()
        self._state = "finalized"
        return TransitionCallbackReturn.SUCCESS

    @reported
    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release the model, so that the node can be configured again."""
        self._close()
        self._state = "unconfigured"
        return TransitionCallbackReturn.SUCCESS

    def destroy_node(self) -> None:
        """Release the model too."""
        self._close()
        super().destroy_node()

    def _declare_cameras(self) -> None:
        self._cameras = camera_names(read_parameters(self, _CAMERAS)["cameras"])
        declare_camera_parameters(self, self._cameras)

    def _open(self) -> None:
        settings = read_parameters(self, SEG_NODE_SETTINGS)
        self._declare_cameras()
        of_camera = {camera: read_camera_parameters(self, camera, settings) for camera in self._cameras}
        backend = open_backend(**backend_arguments(settings), log=self.get_logger().info, stop=self._stop)
        try:
            options = segmenter_options(settings, backend.spec)
            self._engine = engine = Engine(backend, options)
        except Exception:
            backend.close()
            raise
        tracking = tracker_options(settings)
        for camera, own_settings in of_camera.items():
            tracker = None if tracking is None else Tracker(tracking, self._track_ids)
            self.streams += (CameraStream(self, camera, own_settings, engine, tracker),)
        self._backend_health = BackendHealth(backend, settings["model"])
        self._stream_health = tuple(map(StreamHealth, self.streams))
        self._log_start(settings["model"], backend, engine.warm_up())

    def _log_start(self, model: str, backend: Backend, times: WarmUp | None) -> None:
        info, spec = backend.info, backend.spec
        height, width = spec.input_hw
        if info.reason:
            self.get_logger().info(info.reason)
        self.get_logger().info(
            f"{model}: {width}x{height}, {len(spec.class_names)} classes; {info.description}"
            + (f"; {times}" if times is not None else "")
            + (f"; head: {info.head}" if info.head else "")
        )
        for warning in info.warnings:
            self.get_logger().warning(warning)
        if backend.fault:
            self.get_logger().error(backend.fault)
        if not spec.names_given:
            self.get_logger().warning(
                f"{model} carries no class names, so they are numbered: set the parameter class_names_file"
            )

    def _close(self) -> None:
        """Release all that configure made: first the inputs, then the engine, last the outputs."""
        self._is_active = False
        self._bond.stop()
        for stream in self.streams:
            stream.stop()
        if self._engine is not None:
            self._engine.close(_CLOSE_TIMEOUT_S)
        for stream in self.streams:
            stream.close()
        self.streams, self._engine = (), None
        self._backend_health, self._stream_health = None, ()

    def _listen(self) -> None:
        """Subscribe to the cameras' images if the node is active and enabled; else unsubscribe."""
        is_listening = self._is_active and self._is_enabled
        if self._engine is None:
            return
        if is_listening:
            self._engine.resume()
        for stream in self.streams:
            stream.listen(is_listening)
        if not is_listening:
            self._engine.pause()

    def _publish_label_info(self) -> None:
        if self._engine is not None:
            for stream in self.streams:
                stream.publishers.publish_label_info(self._engine.segmenter.options.detection.score_threshold)

    def _set_enabled(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._is_enabled = request.data
        if self._is_active:
            self._listen()
        response.success = True
        response.message = "enabled" if self._is_enabled else "disabled"
        return response

    def _check_changes(self, changes: list[RclParameter[Any]]) -> SetParametersResult:
        settings = [*SEG_NODE_SETTINGS, *camera_settings(self._cameras)]
        try:
            changed = checked_changes(self, settings, changes, is_configured=self._engine is not None)
            if self._engine is not None:
                detection_options({**read_parameters(self, SEG_NODE_SETTINGS), **changed}, self._engine.segmenter.spec)
        except ValueError as error:
            return SetParametersResult(successful=False, reason=one_line(error))
        return SetParametersResult(successful=True)

    def _apply_changes(self, changes: list[RclParameter[Any]]) -> None:
        if self._engine is None:
            return
        segmenter = self._engine.segmenter
        detection = detection_options(read_parameters(self, SEG_NODE_SETTINGS), segmenter.spec)
        if detection != segmenter.options.detection:
            self._engine.set_detection(detection)
            self._publish_label_info()

    def _read_health(self) -> Sequence[Health]:
        if self.failure:
            return [Health(ERROR, self.failure)]
        if self._backend_health is None:
            return [Health(OK, self._state)]
        state = self._why_not_listening()
        backend = self._backend_health.read()
        streams = [health.read(state) for health in self._stream_health]
        return [merged(backend, *streams)] if len(streams) == 1 else [backend, *streams]

    def _why_not_listening(self) -> str:
        if not self._is_active:
            return "inactive"
        return "" if self._is_enabled else "disabled by ~/set_enabled"


_CAMERAS = [setting for setting in SEG_NODE_SETTINGS if setting.name == "cameras"]


def make_node(ending: Ending) -> SegNode:
    """Make the node and, with `autostart`, bring it up; a transition that fails ends the process."""
    node = SegNode(stop=lambda: ending.exit_code is not None)
    node.bring_up(ending)
    return node


def main(args: list[str] | None = None) -> int:
    """Run the node; return the process's exit code."""
    if print_help(args, "seg_node", "Segment the images of a topic: the lifecycle node yolov8_seg.", SEG_NODE_SETTINGS):
        return 0
    return run_node(make_node, (OptionError,), args)


if __name__ == "__main__":
    sys.exit(main())
