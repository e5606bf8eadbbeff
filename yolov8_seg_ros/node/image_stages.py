"""Bring an image message through the stages of a segmenter, apart, so that those of several images may overlap."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from std_msgs.msg import Header

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.segmenter import Frame, Segmenter, StageTimes
from yolov8_seg_ros.node.conversions import ImageMessage, PixelBuffer, image_from_msg


class ImageStages:
    """The stages of a `NewestFramePipeline`.

    Args:
        segmenter: with at least as many lanes as the pipeline.
        lanes: of the pipeline.
        wants_masks: asked for each image whether masks are to be assembled.
        publish: called with the results of each image.
        report: called with what goes wrong.

    Attributes:
        times: of the last image.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        lanes: int,
        wants_masks: Callable[[], bool],
        publish: Callable[[Header, ColorImage, Instances], None],
        report: Callable[[Exception], None],
    ) -> None:
        self._segmenter = segmenter
        self._frames = [segmenter.new_frame() for _ in range(lanes)]
        self._buffers = [PixelBuffer() for _ in range(lanes)]
        self._wants_masks = wants_masks
        self._publish = publish
        self.report = report
        self.times = StageTimes()

    def prepare(self, message: ImageMessage, lane: int) -> Frame:
        """Fit the message's image into the network's input."""
        started = time.perf_counter()
        frame = self._frames[lane]
        frame.header = message.header
        self._segmenter.preprocess(frame, image_from_msg(message, self._buffers[lane]))
        frame.times = replace(frame.times, preprocess_ms=(time.perf_counter() - started) * 1e3)
        return frame

    def infer(self, frame: Frame) -> Frame:
        """Run the network."""
        self._segmenter.infer(frame)
        return frame

    def finish(self, frame: Frame) -> None:
        """Postprocess and publish."""
        instances = self._segmenter.postprocess(frame, self._wants_masks())
        self.times = frame.times
        assert frame.image is not None
        self._publish(frame.header, frame.image, instances)
