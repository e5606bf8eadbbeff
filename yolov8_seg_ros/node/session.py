"""Keep what a configured node holds: the model, its publishers, and the way of a frame through them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from vision_msgs.msg import Detection2DArray, LabelInfo

from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError, RunInterruptedError
from yolov8_seg_ros.media.overlay import draw_overlay
from yolov8_seg_ros.node import conversions
from yolov8_seg_ros.node.cdr import detections_to_cdr, installed_messages_agree
from yolov8_seg_ros.node.diagnostics import SILENCE_S, Health, Rate
from yolov8_seg_ros.node.image_stages import ImageStages
from yolov8_seg_ros.node.image_subscription import ImageSubscription
from yolov8_seg_ros.node.loss_watch import LossWatch
from yolov8_seg_ros.node.pipeline import OVERLAPPING_LANES, NewestFramePipeline
from yolov8_seg_ros.node.warm_up import WarmUp, warm_up

_RESULT_QOS = QoSProfile(depth=10)
#: Reliable, so that subscribers of either kind see it; a slow one is not waited for.
_OVERLAY_QOS = QoSProfile(depth=2)
_LATCHED_QOS = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
#: How often the same complaint about images is logged.
_COMPLAINT_PERIOD_S = 5.0
#: How long leaving may wait for the frame at hand; a slower backend is closed by its own thread later on.
_CLOSE_TIMEOUT_S = 0.5


class Session:
    """From images to results, for as long as the node stays configured.

    Args:
        node: on whose topics.
        settings: values of the parameters by name.
        backend: runs the network; closed by this session.
        options: how images are segmented.
    """

    def __init__(
        self, node: LifecycleNode, settings: Mapping[str, Any], backend: Backend, options: SegmenterOptions
    ) -> None:
        self._node = node
        self._backend = backend
        self._model = settings["model"]
        # A processor that runs the network itself gains nothing by overlap, and the frames would wait for each other.
        lanes = OVERLAPPING_LANES if backend.info.is_accelerator else 1
        self._segmenter = Segmenter(backend, options)
        self._detections = node.create_lifecycle_publisher(Detection2DArray, "~/detections", _RESULT_QOS)
        self._instances = node.create_lifecycle_publisher(Image, "~/instances", _RESULT_QOS)
        self._semantic = node.create_lifecycle_publisher(Image, "~/semantic", _RESULT_QOS)
        self._overlay = node.create_lifecycle_publisher(Image, "~/overlay", _OVERLAY_QOS)
        self._detections_message = self._choose_detections_message()
        self._canvas = conversions.GrayCanvas()
        self._label_info = node.create_lifecycle_publisher(LabelInfo, "~/label_info", _LATCHED_QOS)
        self._subscription = ImageSubscription(
            node, settings["image_transport"], settings["image_reliability"], self._take, self._miss
        )
        self._stages = ImageStages(self._segmenter, lanes, self._wants_masks, self._publish, self._report)
        self._pipeline = NewestFramePipeline(self._stages, lanes, end=backend.close)
        self._losses = LossWatch()
        self._input_rate, self._output_rate = Rate(), Rate()
        self._last_image_s = time.monotonic()
        self._unusable = 0
        self._failed = 0
        self._told = (0, 0, 0)
        self._last_error = ""
        self._age_ms = 0.0

    @property
    def options(self) -> SegmenterOptions:
        """Give how images are segmented now."""
        return self._segmenter.options

    def warm_up(self) -> WarmUp | None:
        """Segment a picture, so that the first real one meets no delay; tell how long it took, if that is of use.

        Raises:
            BackendError: if the backend fails at it.
        """
        if not self._backend.info.needs_warm_up:
            return None
        times = warm_up(self._segmenter)
        first_ms = self._backend.info.first_run_ms
        return times if first_ms is None else replace(times, first_ms=first_ms)

    def listen(self, enabled: bool) -> None:
        """Take images, or leave them."""
        if enabled:
            self._last_image_s = time.monotonic()
            self._backend.resume()
            self._subscription.open()
        else:
            self._subscription.close()
            self._pipeline.clear()
            self._losses.restart(self._pipeline.counts.received)
            self._backend.pause()

    def set_detection(self, detection: DetectionOptions) -> None:
        """Keep other instances from the next image on."""
        self._segmenter.set_detection(detection)
        self.tell_labels()

    def tell_labels(self) -> None:
        """Publish what the pixel values of the semantic image mean."""
        header = Header(stamp=self._node.get_clock().now().to_msg())
        threshold = self.options.detection.score_threshold
        self._label_info.publish(conversions.label_info(self._segmenter.spec.class_names, threshold, header))

    def close(self) -> None:
        """Release all that the session holds; a frame at hand is finished by its thread."""
        self._subscription.destroy()
        self._backend.pause()
        self._pipeline.close(_CLOSE_TIMEOUT_S)
        for publisher in (self._detections, self._instances, self._semantic, self._overlay, self._label_info):
            self._node.destroy_lifecycle_publisher(publisher)

    def health(self, listening: bool) -> Health:
        """Tell how it goes."""
        counts = self._pipeline.counts
        input_hz, output_hz = self._input_rate.update(counts.received), self._output_rate.update(counts.done)
        level, summary = self._verdict(listening, output_hz)
        times = self._stages.times
        values = {
            "backend": self._backend.info.description,
            "choice of backend": self._backend.info.reason or "as asked for",
            "head": self._backend.info.head,
            "model": self._model,
            "image topic": self._subscription.topic,
            "input rate (Hz)": f"{input_hz:.1f}",
            "output rate (Hz)": f"{output_hz:.1f}",
            "preprocess (ms)": f"{times.preprocess_ms:.2f}",
            "inference (ms)": f"{times.inference_ms:.2f}",
            "postprocess (ms)": f"{times.postprocess_ms:.2f}",
            "age of the last result (ms)": f"{self._age_ms:.1f}",
            "frames received": str(counts.received),
            "frames lost in transport": str(self._losses.lost),
            "frames processed": str(counts.done),
            "frames dropped for newer ones": str(counts.overwritten),
            "frames unusable": str(self._unusable),
            "frames failed": str(self._failed),
            "last error": self._last_error,
        }
        return Health(level, summary, values, self._backend.info.description)

    def _verdict(self, listening: bool, output_hz: float) -> tuple[bytes, str]:
        before, self._told = self._told, (self._unusable, self._failed, self._losses.lost)
        if self._backend.fault:
            return DiagnosticStatus.ERROR, self._backend.fault
        if self._failed > before[1]:
            return DiagnosticStatus.ERROR, self._last_error
        if self._unusable > before[0]:
            return DiagnosticStatus.WARN, f"unusable images: {self._last_error}"
        if listening and time.monotonic() - self._last_image_s > SILENCE_S:
            return DiagnosticStatus.WARN, self._silence()
        if self._losses.lost > before[2]:
            return DiagnosticStatus.WARN, f"{self._losses.lost - before[2]} images lost in transport"
        if self._backend.info.warnings:
            return DiagnosticStatus.WARN, self._backend.info.warnings[0]
        return DiagnosticStatus.OK, f"{output_hz:.1f} images a second" if listening else "not listening"

    def _silence(self) -> str:
        silence = f"no images on {self._subscription.topic}"
        if not self._subscription.is_matched_best_effort:
            return silence
        return f"{silence}; if its publisher sends any, they get lost: {self._subscription.loss_advice()}"

    def _take(self, message: conversions.ImageMessage) -> None:
        self._last_image_s = time.monotonic()
        self._pipeline.put(message)

    def _miss(self, count: int) -> None:
        loss = self._losses.add(count, self._pipeline.counts.received)
        if loss is not None:
            self._node.get_logger().warning(
                f"{loss} images of {self._subscription.topic} got lost in transport: {self._subscription.loss_advice()}"
            )

    def _choose_detections_message(
        self,
    ) -> Callable[[Instances, Sequence[str], Header], Detection2DArray | bytes]:
        if installed_messages_agree():
            return detections_to_cdr
        self._node.get_logger().warning(
            "the installed vision_msgs are not those this package was written for: detections take longer to publish"
        )
        return conversions.detections_to_msg

    def _wants_masks(self) -> bool:
        return any(p.get_subscription_count() for p in (self._instances, self._semantic, self._overlay))

    def _publish(self, header: Header, image: ColorImage, instances: Instances) -> None:
        names = self._segmenter.spec.class_names
        if self._detections.get_subscription_count():
            self._detections.publish(self._detections_message(instances, names, header))
        # Someone may have subscribed only after the masks were left out: then the next image will do.
        if instances.masks is not None:
            if self._instances.get_subscription_count():
                instances.label_image(self._canvas.pixels(instances.image_hw))
                self._instances.publish(self._canvas.message(header))
            if self._semantic.get_subscription_count():
                instances.semantic_image(self._canvas.pixels(instances.image_hw))
                self._semantic.publish(self._canvas.message(header))
            if self._overlay.get_subscription_count():
                overlay = draw_overlay(image.to_bgr(), instances, names)
                self._overlay.publish(conversions.bgr_to_msg(overlay, header))
        self._age_ms = (self._node.get_clock().now() - Time.from_msg(header.stamp)).nanoseconds / 1e6

    def _report(self, error: Exception) -> None:
        if isinstance(error, RunInterruptedError):
            return
        self._last_error = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, conversions.ImageError):
            self._unusable += 1
            self._node.get_logger().warning(
                f"image skipped: {self._last_error}", throttle_duration_sec=_COMPLAINT_PERIOD_S
            )
            return
        self._failed += 1
        # A backend says what is wrong; anything else is a defect, which its traceback helps to find.
        details = self._last_error if isinstance(error, BackendError) else "".join(traceback.format_exception(error))
        self._node.get_logger().error(f"image failed: {details}", throttle_duration_sec=_COMPLAINT_PERIOD_S)
