"""Find where frames are at the time of an image, or what is wrong where that is not known."""

from __future__ import annotations

import tf2_ros
from builtin_interfaces.msg import Time as TimeMsg
from rclpy.node import Node
from rclpy.time import Time

from yolov8_seg_ros.core.camera_geometry import RigidTransform
from yolov8_seg_ros.errors import FrameError


class FrameLookup:
    """The transforms of /tf and /tf_static.

    Args:
        node: whose executor receives them.
    """

    def __init__(self, node: Node) -> None:
        self._buffer = tf2_ros.Buffer()
        self._listener = tf2_ros.TransformListener(self._buffer, node)

    def close(self) -> None:
        """Stop listening."""
        self._listener.unregister()

    def clear(self) -> None:
        """Forget what was received, as the clock has jumped."""
        self._buffer.clear()

    def transform(self, target: str, source: str, stamp: TimeMsg) -> RigidTransform:
        """Return the transform of points in the source frame to the target frame, at the time of a stamp.

        Raises:
            FrameError: if it is not known at that time; the latest one is never taken instead.
        """
        if target == source:
            return RigidTransform.identity()
        if stamp.sec < 0:
            raise FrameError(
                f"the image's stamp is negative, {stamp.sec} s: no transform is of that time", may_come=False
            )
        time = Time.from_msg(stamp)
        if time.nanoseconds == 0:
            # tf2 would take it for "the latest".
            raise FrameError("the image has no stamp: no transform can be looked up for it", may_come=False)
        try:
            found = self._buffer.lookup_transform(target, source, time).transform
        except tf2_ros.TransformException as error:
            raise self._explained(target, source, time, error) from error
        turn, move = found.rotation, found.translation
        return RigidTransform.from_quaternion((turn.x, turn.y, turn.z, turn.w), (move.x, move.y, move.z))

    def _explained(self, target: str, source: str, time: Time, error: Exception) -> FrameError:
        try:
            latest = self._buffer.get_latest_common_time(target, source)
        except tf2_ros.TransformException:
            return FrameError(
                f"no transform from '{source}' to '{target}': {error}; publish it, or compare with ros2 run tf2_tools "
                "view_frames"
            )
        behind_s = (time.nanoseconds - latest.nanoseconds) / 1e9
        if behind_s > 0:
            return FrameError(
                f"the transform from '{source}' to '{target}' is too old: the newest is {behind_s:.2f} s older than "
                "the image"
            )
        return FrameError(
            f"the image is too old for the transform from '{source}' to '{target}': it is {-behind_s:.2f} s older "
            "than the newest, and those of its time are forgotten",
            may_come=False,
        )
