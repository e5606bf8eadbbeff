"""Segment images: the straight line from pixels to instances."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.backend import Backend, DetectingBackend, TensorBackend
from yolov8_seg_ros.core.image import ColorImage, PixelBuffer
from yolov8_seg_ros.core.instances import BoxMask, DrawnMasks, Instances
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.native import Decoder, number_that_fits
from yolov8_seg_ros.core.network_instances import NetworkInstances
from yolov8_seg_ros.core.network_spec import NetworkSpec
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.preprocess import Preprocessor
from yolov8_seg_ros.core.quantization import Tensor


@dataclass
class StageTimes:
    """Milliseconds that the stages of one image took, as far as they have ended."""

    preprocess_ms: float = 0.0
    inference_ms: float = 0.0
    postprocess_ms: float = 0.0


@dataclass
class Frame:
    """An image on its way through the stages, with the memory for it. One thread at a time uses a frame; it is reused.

    Attributes:
        network_input: quantized, 1 x height x width x 3 in RGB; written by `preprocess`.
        letterbox: how the image was fitted into it; None before the first image.
        outputs: quantized; written by `infer` where the backend returns them.
        detected: in network pixels; written by `infer` where the backend decodes.
        instances: written by `postprocess`.
        times: of the stages; `preprocess` makes new ones for each image.
        image: the image itself.
        buffer: memory for its pixels, where they had to be converted.
        message: what the image came from, for the owner of the frame.
    """

    network_input: Tensor
    letterbox: Letterbox | None = None
    outputs: Sequence[Tensor] = ()
    detected: NetworkInstances | None = None
    instances: Instances | None = None
    times: StageTimes = field(default_factory=StageTimes)
    image: ColorImage | None = None
    buffer: PixelBuffer = field(default_factory=PixelBuffer)
    message: Any = None


class Segmenter:
    """Segmenter of images with one backend.

    `segment` runs the three stages in a row. An engine may call them apart, on several frames, so that they overlap;
    each stage is used by one thread at a time, `infer` by as many as the backend's `frames_in_flight` says.

    Args:
        backend: what runs the network; the caller keeps and closes it.
        options: how; those of the detection may be replaced at any time.
    """

    def __init__(self, backend: Backend, options: SegmenterOptions | None = None) -> None:
        self._backend = backend
        self.options = options or SegmenterOptions()
        spec = backend.spec
        self._preprocessor = Preprocessor(
            spec.input_hw, spec.input.quant, self.options.interpolation, self.options.pixel_rounding
        )
        self._network = backend if isinstance(backend, TensorBackend) else None
        self._decoder = None if self._network is None else Decoder(self._network.spec)
        self._frame = self.new_frame()

    @property
    def spec(self) -> NetworkSpec:
        """Return what goes into the backend's network, and its classes."""
        return self._backend.spec

    @property
    def times(self) -> StageTimes:
        """Return the times of the last image that went through `segment`."""
        return self._frame.times

    def set_detection(self, detection: DetectionOptions) -> None:
        """Set which instances are kept from the next image on."""
        self.options = replace(self.options, detection=detection)

    def segment(self, image: ColorImage | NDArray[np.uint8], masks: bool = True) -> Instances:
        """Find the instances of one image.

        Args:
            image: an image, or bare uint8 (height, width, 3) pixels in BGR order.
            masks: whether to draw masks too.
        """
        frame = self._frame
        self.preprocess(frame, image if isinstance(image, ColorImage) else ColorImage(image))
        self.infer(frame, masks)
        return self.postprocess(frame, masks)

    def new_frame(self) -> Frame:
        """Return a frame with memory for the network's input."""
        return Frame(self._preprocessor.new_tensor())

    def preprocess(self, frame: Frame, image: ColorImage) -> None:
        """Fit an image into the frame's network input."""
        started = time.perf_counter()
        frame.image = image
        if frame.letterbox is None or frame.letterbox.image_hw != image.hw:
            frame.letterbox = Letterbox.fit(image.hw, self.spec.input_hw, self.options.fit)
            self._preprocessor.write_border(frame.network_input)
        self._preprocessor.write(image, frame.letterbox, frame.network_input)
        frame.times = StageTimes(preprocess_ms=_ms_since(started))

    def infer(self, frame: Frame, masks: bool = True) -> None:
        """Run the network on the frame's input.

        Args:
            frame: that was preprocessed.
            masks: whether `postprocess` may be asked for masks; a backend that decodes leaves them out otherwise.

        Raises:
            BackendError: if the backend fails.
        """
        started = time.perf_counter()
        if self._network is not None:
            frame.outputs = self._network.run(frame.network_input)
        else:
            assert isinstance(self._backend, DetectingBackend)
            frame.detected = self._backend.detect(frame.network_input, self.options.detection, masks)
        frame.times.inference_ms = _ms_since(started)

    def postprocess(self, frame: Frame, masks: bool = True) -> Instances:
        """Return the frame's instances, in image pixels; they are kept in the frame, too.

        The worst ones are left out where masks of all would take more than `MAX_MASKS_BYTES`.

        Raises:
            ValueError: if masks are asked for that `infer` left out.
        """
        started = time.perf_counter()
        assert frame.letterbox is not None
        if frame.detected is None:
            frame.instances = self._decode(frame, masks)
        else:
            frame.instances = frame.detected.in_image(frame.letterbox, masks)
        frame.times.postprocess_ms = _ms_since(started)
        return frame.instances

    def _decode(self, frame: Frame, masks: bool) -> Instances:
        assert frame.letterbox is not None
        assert self._decoder is not None
        detection = self.options.detection
        count = self._decoder.decode(frame.outputs, detection)
        _, placements = self._decoder.place(count, frame.letterbox)
        # With or without masks, so that what is found does not depend on who looks at them.
        fitting = number_that_fits(placements, frame.letterbox.image_hw)
        xyxy, score, class_id = self._decoder.columns(fitting)
        return Instances(
            image_hw=frame.letterbox.image_hw,
            xyxy=xyxy,
            score=score,
            class_id=class_id,
            # The decoder's placements change with the next image.
            masks=self._draw(placements[:fitting].copy(), detection.mask_threshold) if masks else None,
        )

    def _draw(self, placements: NDArray[Any], mask_threshold: float) -> Sequence[BoxMask]:
        assert self._decoder is not None
        if not len(placements):
            return ()
        return DrawnMasks(placements, self._decoder.draw_masks(placements, mask_threshold))


def _ms_since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3
