"""Serve one camera: its images go into the engine, its results go out on its topics."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from typing import Any

from rclpy.lifecycle import LifecycleNode

from yolov8_seg_ros.core.image import ColorImage, PixelBuffer
from yolov8_seg_ros.core.segmenter import Frame, StageTimes
from yolov8_seg_ros.core.tracker import Tracker
from yolov8_seg_ros.errors import UserError, one_line
from yolov8_seg_ros.node.complaints import Complaints
from yolov8_seg_ros.node.conversions import ImageMessage, image_from_msg, now_ns, stamp_ns
from yolov8_seg_ros.node.device_input import CapturedImage, DeviceInput
from yolov8_seg_ros.node.engine import Engine
from yolov8_seg_ros.node.frame_queue import FrameCounts
from yolov8_seg_ros.node.image_input import ImageInput
from yolov8_seg_ros.node.publishers import Publishers

#: A camera that is silent for longer than this deserves a warning ...
_SILENCE_S = 2.0
#: ... unless it was as slow before: silence lasts so many of its periods.
_SILENT_PERIODS = 3.0


class CameraStream:
    """One camera of the node.

    Args:
        node: on whose topics.
        camera: name; empty for the only camera, whose topics bear no name.
        settings: values of the camera's parameters by name, without the camera's prefix.
        engine: segments the images.
        tracker: numbers the objects from image to image; None for no tracking.

    Attributes:
        name: of the camera.
        times: of the stages of the last image.
        age_ms: from the last image's stamp to its published results.
        last_error: why an image had no result; empty as long as none had.
    """

    def __init__(
        self,
        node: LifecycleNode,
        camera: str,
        settings: Mapping[str, Any],
        engine: Engine,
        tracker: Tracker | None = None,
    ) -> None:
        self.name = camera
        self.times = StageTimes()
        self.age_ms = 0.0
        self.last_error = ""
        self._node = node
        self._clock = node.get_clock()
        self._tracker = tracker
        self._complaints = Complaints(node.get_logger())
        prefix = f"{camera}/" if camera else ""
        has_track_ids = tracker is not None and settings["tracking.ids_in_instances"]
        # First, since it may refuse a calibration: then nothing has to be undone.
        self._input = self._open_input(prefix, settings)
        self.publishers = Publishers(node, f"~/{prefix}", engine.segmenter.spec.class_names, has_track_ids)
        self._entrance = engine.add(self, weight=settings["weight"], max_rate_hz=settings["max_rate_hz"])
        self._last_image_s, self._period_s = time.monotonic(), 0.0

    @property
    def topic(self) -> str:
        """Return the topic of the images, or the device."""
        return self._input.topic

    @property
    def counts(self) -> FrameCounts:
        """Return what became of the images so far."""
        return self._entrance.counts

    @property
    def lost(self) -> int:
        """Return how many images got lost in transport so far."""
        return self._input.lost

    def listen(self, enabled: bool) -> None:
        """Subscribe to the images, or unsubscribe and drop the one that waits."""
        if enabled:
            self._last_image_s, self._period_s = time.monotonic(), 0.0
            self._input.open()
        else:
            self._input.close()
            self._entrance.clear()

    def why_silent(self) -> str:
        """Return why there are no images, as far as known; empty while they come."""
        silent_s = time.monotonic() - self._last_image_s
        is_silent = silent_s > max(_SILENCE_S, _SILENT_PERIODS * self._period_s)
        return self._input.why_silent() if is_silent else ""

    def stop(self) -> None:
        """End the subscription for good."""
        self._input.destroy()

    def close(self) -> None:
        """Destroy the publishers; results of frames that are still on their way are not published."""
        self.publishers.close()

    def read(self, message: ImageMessage | CapturedImage, buffer: PixelBuffer) -> ColorImage:
        """Return the image of a message, or of a device.

        Raises:
            ImageError: if there is none in it.
        """
        return message.read(buffer) if isinstance(message, CapturedImage) else image_from_msg(message, buffer)

    def wants_masks(self) -> bool:
        """Return whether anybody looks at masks."""
        return self.publishers.want_masks()

    def publish(self, frame: Frame) -> None:
        """Number the objects of a frame, where that is wanted, and publish them."""
        assert frame.image is not None
        assert frame.instances is not None
        header = frame.message.header
        taken_ns = stamp_ns(header)
        if self._tracker is not None:
            frame.instances = self._tracker.update(frame.instances, taken_ns / 1e9, frame.image)
        self.publishers.publish(header, frame.image, frame.instances)
        self.times = frame.times
        self.age_ms = (now_ns(self._clock) - taken_ns) / 1e6

    def report(self, error: Exception) -> None:
        """Log why a frame has no result, and keep it for the diagnostics."""
        self.last_error = one_line(error)
        # What a user can put right says all; anything else is a defect, which its traceback helps to find.
        details = self.last_error if isinstance(error, UserError) else "".join(traceback.format_exception(error))
        camera = f"{self.name}: " if self.name else ""
        self._complaints.add(self.last_error, f"{camera}an image has no result: {details}")

    def _open_input(self, prefix: str, settings: Mapping[str, Any]) -> ImageInput | DeviceInput:
        if settings["device"]:
            return DeviceInput(self._node, f"~/{prefix}", settings, self._take_captured)
        transport, reliability = settings["image_transport"], settings["image_reliability"]
        return ImageInput(self._node, f"{prefix}image", transport, reliability, self._take)

    def _take(self, message: ImageMessage) -> None:
        self._note_image()
        self._entrance.put(message)

    def _take_captured(self, captured: CapturedImage, may_hold_up: bool) -> None:
        self._note_image()
        offer = self._entrance.serve if may_hold_up else self._entrance.put
        offer(captured, captured.frame.missed)

    def _note_image(self) -> None:
        now_s = time.monotonic()
        self._last_image_s, self._period_s = now_s, now_s - self._last_image_s
