"""Bring an image message through the stages of a segmenter, apart, so that those of several images may overlap."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from std_msgs.msg import Header

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.quantization import Tensor
from yolov8_seg_ros.core.segmenter import Prepared, Segmenter, StageTimes
from yolov8_seg_ros.node.conversions import ImageMessage, PixelBuffer, image_from_msg


@dataclass(frozen=True)
class PreparedImage:
    """An image on its way into the network."""

    header: Header
    image: ColorImage
    prepared: Prepared
    prepare_ms: float


@dataclass(frozen=True)
class InferredImage:
    """An image and what the network makes of it."""

    source: PreparedImage
    outputs: Sequence[Tensor]
    infer_ms: float


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
        self._buffers = [PixelBuffer() for _ in range(lanes)]
        self._wants_masks = wants_masks
        self._publish = publish
        self.report = report
        self.times = StageTimes()

    def prepare(self, message: ImageMessage, lane: int) -> PreparedImage:
        """Fit the message's image into the network's input."""
        started = time.perf_counter()
        image = image_from_msg(message, self._buffers[lane])
        prepared = self._segmenter.prepare(image, lane)
        return PreparedImage(message.header, image, prepared, _ms_since(started))

    def infer(self, source: PreparedImage) -> InferredImage:
        """Run the network."""
        started = time.perf_counter()
        return InferredImage(source, self._segmenter.infer(source.prepared), _ms_since(started))

    def finish(self, inferred: InferredImage) -> None:
        """Decode and publish."""
        started = time.perf_counter()
        source = inferred.source
        instances = self._segmenter.finish(inferred.outputs, source.prepared.letterbox, self._wants_masks())
        self.times = StageTimes(source.prepare_ms, inferred.infer_ms, _ms_since(started))
        self._publish(source.header, source.image, instances)


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3
