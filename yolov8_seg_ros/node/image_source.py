"""Publish images, a video, a recording, a camera, the built-in scene or a simulated robot as a camera driver does.

Topics, all relative; the other two follow where `image` is remapped, as with image_transport:

- `image` (sensor_msgs/Image) and `image/compressed` (sensor_msgs/CompressedImage, JPEG), filled while subscribed to.
- `image/time_reference` (sensor_msgs/TimeReference), not for cameras: tells for the stamp of an image which frame of
  the source it shows. `source` is the frame's name, `time_ref` its index / rate_hz. Kept for late subscribers.

A simulated robot has more topics: see simulated_robot.py.

Stamps are the node's clock at capture, so they say nothing of the content: whoever compares with a known truth looks
the stamp up in `image/time_reference` and takes `frame_index` of it.
"""

from __future__ import annotations

import array
import itertools
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from cv_bridge import CvBridge
from numpy.typing import NDArray
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image, TimeReference
from std_msgs.msg import Header

from yolov8_seg_ros.choices import SIM
from yolov8_seg_ros.errors import MediaError, OptionError
from yolov8_seg_ros.media.frames import Media, MediaFrame
from yolov8_seg_ros.media.rgbd_scene import RATE_HZ
from yolov8_seg_ros.media.sources import SimulatedDrive, open_media
from yolov8_seg_ros.node.parameters import declare_parameters, print_help, read_parameters
from yolov8_seg_ros.node.process import run_node
from yolov8_seg_ros.settings.tables import IMAGE_SOURCE_SETTINGS

if TYPE_CHECKING:
    from yolov8_seg_ros.node.simulated_robot import SimulatedRobot

#: How bgr8 becomes each encoding.
_FROM_BGR = {
    "bgr8": None,
    "rgb8": cv2.COLOR_BGR2RGB,
    "bgra8": cv2.COLOR_BGR2BGRA,
    "rgba8": cv2.COLOR_BGR2RGBA,
    "mono8": cv2.COLOR_BGR2GRAY,
}
_COMPRESSED_FORMAT = "bgr8; jpeg compressed bgr8"
#: Images a second of a source without a rate of its own.
_DEFAULT_RATE_HZ = 30.0
#: A reliable subscriber that is held up for a third of a second still gets all images of a usual camera.
_IMAGE_DEPTH = 10
_REFERENCE_DEPTH = 1000
#: How long the last images may take to reach reliable subscribers, and how often that is looked at.
_FLUSH_S = 5.0
_FLUSH_PERIOD_S = 0.05
#: Subscribers awaited know of the publisher a little later than it of them, which nothing tells.
_SETTLE = Duration(seconds=0.5)
#: A camera sets the pace itself; this only keeps the wait for subscribers from spinning.
_LIVE_PERIOD_S = 0.001
#: A recording with minutes between its images begins as soon as others.
_LONGEST_START_S = 0.05


class Pace:
    """The schedule of frames with times of their own; a source that begins again goes on after a period.

    Args:
        period_s: between the last frame and the first of the next pass.
    """

    def __init__(self, period_s: float) -> None:
        self._period_s = period_s
        self._last: MediaFrame | None = None
        self._due_s = 0.0

    def due_s(self, frame: MediaFrame, now_s: float) -> float:
        """Return when the next frame is due on the clock that shows `now_s`; the first one is due now."""
        last, self._last = self._last, frame
        if last is None:
            self._due_s = now_s
        elif frame.index <= last.index:
            self._due_s += self._period_s
        else:
            self._due_s += max(0.0, (frame.time_s or 0.0) - (last.time_s or 0.0))
        return self._due_s


class ImageSource(Node):
    """Publish the frames of one source.

    Args:
        end: called with the process's exit code when the source has ended, or failed.
        node_options: as `rclpy.node.Node` takes them.

    Raises:
        OptionError: if a parameter is wrong.
        MediaError: if the source cannot be opened.
    """

    def __init__(self, end: Callable[[int], None], **node_options: Any) -> None:
        super().__init__("image_source", **node_options)
        self._end_process = end
        declare_parameters(self, IMAGE_SOURCE_SETTINGS)
        self._settings = read_parameters(self, IMAGE_SOURCE_SETTINGS)
        self._bridge = CvBridge()
        self._reported: set[str] = set()
        self._media = self._open()
        self._robot = self._make_robot()
        self._frames = self._repeated()
        self._rate_hz = self._settings["rate_hz"] or self._media.fps or _DEFAULT_RATE_HZ
        self._image, self._compressed = self._advertise_images()
        self._reference = self._advertise_reference()
        self._begins: Time | None = None
        self._pace = Pace(1 / self._rate_hz)
        self._has_times = self._media.is_timed and not self._settings["rate_hz"]
        self._upcoming: tuple[MediaFrame, float] | None = None
        self._exit_code: int | None = None
        self._flush_until_s = 0.0
        period_s = _LIVE_PERIOD_S if self._media.is_live else 1 / self._rate_hz
        if self._has_times:
            period_s = min(period_s, _LONGEST_START_S)
        self._timer = self.create_timer(period_s, self._tick)

    def destroy_node(self) -> None:
        """Release the source too."""
        self._media.close()
        super().destroy_node()

    def _open(self) -> Media:
        image_hw, seed = (self._settings["height"], self._settings["width"]), self._settings["seed"]
        if self._settings["source"] == SIM:
            return SimulatedDrive(
                self._settings["rate_hz"] or RATE_HZ,
                image_hw,
                seed,
                self._settings["depth_registered"],
                self._settings["depth_noise_m"],
            )
        return open_media(
            self._settings["source"],
            image_hw=image_hw,
            seed=seed,
            max_rate_hz=self._settings["rate_hz"] or math.inf,
            topic=self._settings["topic"],
            on_skip=self._report_skipped,
        )

    def _make_robot(self) -> SimulatedRobot | None:
        if not isinstance(self._media, SimulatedDrive):
            return None
        try:
            # Not every machine that publishes images has the message packages of transforms.
            from yolov8_seg_ros.node.simulated_robot import SimulatedRobot
        except ModuleNotFoundError as error:
            raise OptionError(f"source: {SIM} needs the ROS package {error.name}, which is not installed") from error
        return SimulatedRobot(self, self._media.scene, self._settings)

    def _report_skipped(self, error: MediaError) -> None:
        if str(error) not in self._reported:
            self._reported.add(str(error))
            self.get_logger().warning(f"skipped: {error}")

    def _repeated(self) -> Iterator[MediaFrame]:
        passes = itertools.repeat(self._media) if self._settings["loop"] else (self._media,)
        return itertools.islice(itertools.chain.from_iterable(passes), self._settings["num_frames"] or None)

    def _advertise_images(self) -> tuple[Publisher[Image] | None, Publisher[CompressedImage] | None]:
        reliability = {
            "reliable": ReliabilityPolicy.RELIABLE,
            "best_effort": ReliabilityPolicy.BEST_EFFORT,
        }[self._settings["reliability"]]
        qos = QoSProfile(depth=_IMAGE_DEPTH, reliability=reliability)
        transport = self._settings["transport"]
        topic = self.resolve_topic_name("image")
        raw = self.create_publisher(Image, "image", qos) if transport != "compressed" else None
        compressed = self.create_publisher(CompressedImage, f"{topic}/compressed", qos) if transport != "raw" else None
        return raw, compressed

    def _advertise_reference(self) -> Publisher[TimeReference] | None:
        if self._media.is_live:
            return None
        qos = QoSProfile(depth=_REFERENCE_DEPTH, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        topic = self.resolve_topic_name("image")
        return self.create_publisher(TimeReference, f"{topic}/time_reference", qos)

    def _tick(self) -> None:
        if self._exit_code is not None:
            self._end_when_flushed(self._exit_code)
            return
        if not self._has_begun():
            return
        now = self.get_clock().now()
        try:
            frame, due_s = self._upcoming or self._next_frame(now)
        except StopIteration:
            self._end(exit_code=0)
        except MediaError as error:
            self.get_logger().error(str(error))
            self._end(exit_code=1)
        else:
            wait_s = due_s - _seconds(now)
            self._upcoming = (frame, due_s) if wait_s > 0 else None
            if self._has_times:
                # The time of the next frame is known once it is read, which is done at once.
                self._timer.timer_period_ns = max(1, round(wait_s * 1e9))
                self._timer.reset()
            if wait_s <= 0:
                self._publish(frame, now)

    def _next_frame(self, now: Time) -> tuple[MediaFrame, float]:
        """Return the next frame and when it is due, in seconds."""
        frame = next(self._frames)
        return frame, self._pace.due_s(frame, _seconds(now)) if self._has_times else _seconds(now)

    def _has_begun(self) -> bool:
        now = self.get_clock().now()
        if self._begins is None and self._has_subscribers():
            waited = self._settings["wait_for_subscribers"] or self._settings["wait_for_reference"]
            self._begins = now + (_SETTLE if waited else Duration())
        return self._begins is not None and now >= self._begins

    def _has_subscribers(self) -> bool:
        if self._image_subscribers() < self._settings["wait_for_subscribers"]:
            return False
        if self._reference is None or not self._settings["wait_for_reference"]:
            return True
        return self._reference.get_subscription_count() > 0

    def _image_subscribers(self) -> int:
        offered = [publisher for publisher in (self._image, self._compressed) if publisher is not None]
        return sum(publisher.get_subscription_count() for publisher in offered)

    def _publish(self, frame: MediaFrame, captured: Time) -> None:
        frame_id = self._settings["frame_id"] if self._robot is None else self._robot.color_frame
        header = Header(stamp=captured.to_msg(), frame_id=frame_id)
        if self._reference is not None:
            position = Time(nanoseconds=round(frame.index / self._rate_hz * 1e9))
            self._reference.publish(TimeReference(header=header, time_ref=position.to_msg(), source=frame.name))
        if self._robot is not None and frame.rgbd is not None:
            # Before the image: whoever receives it wants to know where the camera was.
            self._robot.publish(frame.rgbd, header)
        if self._image is not None and self._image.get_subscription_count():
            self._image.publish(self._to_image(frame.image, header))
        if self._compressed is not None and self._compressed.get_subscription_count():
            self._compressed.publish(self._to_compressed(frame.image, header))

    def _to_image(self, bgr: NDArray[np.uint8], header: Header) -> Image:
        encoding = self._settings["encoding"]
        conversion = _FROM_BGR[encoding]
        pixels = bgr if conversion is None else cv2.cvtColor(bgr, conversion)
        return self._bridge.cv2_to_imgmsg(pixels, encoding, header)

    def _to_compressed(self, bgr: NDArray[np.uint8], header: Header) -> CompressedImage:
        quality = [cv2.IMWRITE_JPEG_QUALITY, self._settings["jpeg_quality"]]
        _, jpeg = cv2.imencode(".jpg", bgr, quality)
        # An array is taken over as it is; of anything else the message looks at each byte.
        data = array.array("B", jpeg.tobytes())
        return CompressedImage(header=header, format=_COMPRESSED_FORMAT, data=data)

    def _end(self, exit_code: int) -> None:
        """End when the subscribers have got everything; a signal ends the process before."""
        self._exit_code, self._flush_until_s = exit_code, time.monotonic() + _FLUSH_S
        self._timer.timer_period_ns = round(_FLUSH_PERIOD_S * 1e9)
        self._timer.reset()

    def _end_when_flushed(self, exit_code: int) -> None:
        publishers = [one for one in (self._image, self._compressed, self._reference) if one is not None]
        is_flushed = all(publisher.wait_for_all_acked(Duration()) for publisher in publishers)
        if not is_flushed and time.monotonic() < self._flush_until_s:
            return
        self._timer.cancel()
        if exit_code or self._settings["stop_at_end"]:
            self._end_process(exit_code)
        else:
            self.get_logger().info("the source has ended")


def _seconds(moment: Time) -> float:
    return moment.nanoseconds * 1e-9


def frame_index(reference: TimeReference, rate_hz: float) -> int:
    """Return which frame of its source an image shows, given the rate at which it was published."""
    return round(Time.from_msg(reference.time_ref).nanoseconds * rate_hz / 1e9)


def main(args: list[str] | None = None) -> int:
    """Run the node; return the process's exit code."""
    summary = "Publish images, a video, a camera, the built-in scene or a simulated robot as a camera's driver does."
    if print_help(args, "image_source", summary, IMAGE_SOURCE_SETTINGS):
        return 0
    return run_node(ImageSource, (MediaError, OptionError), args, logger_name="image_source")


if __name__ == "__main__":
    sys.exit(main())
