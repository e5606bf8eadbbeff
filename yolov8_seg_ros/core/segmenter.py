"""Segment images: the straight line from pixels to instances."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.head import HeadOptions
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.letterbox import (
    FITS,
    INTERPOLATIONS,
    PIXEL_ROUNDINGS,
    Letterbox,
    NetworkInput,
    require_choice,
)
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.postprocess import choose_postprocess
from yolov8_seg_ros.core.quantization import Tensor


class Backend(Protocol):
    """What runs a network. A context manager that closes it.

    A backend that computes in this process derives from this class and leaves the rest as it is here.

    Attributes:
        spec: what its tensors mean.
        description: what it is and where it runs, for a person.
        reason: why it was chosen among others; empty where it was asked for by name.
        fault: what is wrong with it, or with the better one that it stands in for; empty where nothing is.
        needs_warm_up: whether its first run takes longer than the others.
        warnings: what a person should know about it although it runs.
        is_accelerator: whether the processor is free for other work while it runs.
        first_run_ms: how long its first run took, where that was made when it was opened.
    """

    spec: ModelSpec
    description: str
    reason: str
    fault: str = ""
    needs_warm_up: bool = True
    warnings: tuple[str, ...] = ()
    is_accelerator: bool = False
    first_run_ms: float | None = None

    def run(self, network_input: Tensor) -> Sequence[Tensor]:
        """Run the network on one stored input; give its stored outputs in the order of `spec.outputs`.

        The outputs are the caller's own: a later run does not change them.
        """

    def pause(self) -> None:
        """Give up a run that takes long, and let runs fail until `resume`; from any thread."""
        return

    def resume(self) -> None:
        """Allow runs again; from any thread."""
        return

    def close(self) -> None:
        """Release what the backend holds; it cannot run afterwards."""

    def __enter__(self) -> Backend:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class SegmenterOptions:
    """How images are segmented.

    Attributes:
        fit: `letterbox` keeps the image's aspect, `stretch` fills the network's input.
        interpolation: how the image is resized, `linear` or `area`.
        pixel_rounding: how a pixel becomes a stored number, `nearest` or `toward_zero` (as Ultralytics does it).
        head: which instances are kept.

    Raises:
        ValueError: for an option that is none of these.
    """

    fit: str = "letterbox"
    interpolation: str = "area"
    pixel_rounding: str = "nearest"
    refine_boxes: bool = True
    rescore: bool = True
    head: HeadOptions = field(default_factory=HeadOptions)

    def __post_init__(self) -> None:
        require_choice("fit", self.fit, FITS)
        require_choice("interpolation", self.interpolation, INTERPOLATIONS)
        require_choice("pixel_rounding", self.pixel_rounding, PIXEL_ROUNDINGS)


@dataclass(frozen=True)
class Prepared:
    """An image on its way into the network: the stored input and how it came about."""

    network_input: Tensor
    letterbox: Letterbox


@dataclass(frozen=True)
class StageTimes:
    """Milliseconds that the stages of one image took."""

    prepare_ms: float = 0.0
    infer_ms: float = 0.0
    finish_ms: float = 0.0


class Segmenter:
    """Turn images into instances with one backend.

    `segment` runs the three stages in a row. They can be called apart by a pipeline that overlaps them; each
    is used by one thread at a time.

    Args:
        backend: what runs the network; the caller keeps and closes it.
        options: how; the head's options may be replaced at any time.
        lanes: how many images may be on their way at the same time.

    Attributes:
        postprocessing: what turns outputs into instances, and why, for a person.
        times: of the last image that went through `segment`.
    """

    def __init__(self, backend: Backend, options: SegmenterOptions | None = None, lanes: int = 1) -> None:
        self._backend = backend
        self.options = options or SegmenterOptions()
        spec = backend.spec
        self._network_input = NetworkInput(
            spec.input_hw, spec.input.quant, self.options.interpolation, self.options.pixel_rounding, lanes
        )
        self._letterbox: Letterbox | None = None
        self._postprocess, self.postprocessing = choose_postprocess(
            spec, self.options.refine_boxes, self.options.rescore
        )
        self.times = StageTimes()

    @property
    def spec(self) -> ModelSpec:
        """Give what the backend's tensors mean."""
        return self._backend.spec

    def set_head_options(self, head: HeadOptions) -> None:
        """Keep other instances from the next image on."""
        self.options = replace(self.options, head=head)

    def segment(self, image: ColorImage | NDArray[np.uint8], masks: bool = True) -> Instances:
        """Find the instances of one image.

        Args:
            image: an image, or bare uint8 (height, width, 3) pixels in BGR order.
            masks: whether to assemble masks too.
        """
        started = time.perf_counter()
        prepared = self.prepare(image if isinstance(image, ColorImage) else ColorImage(image))
        inferred_from = time.perf_counter()
        outputs = self.infer(prepared)
        finished_from = time.perf_counter()
        instances = self.finish(outputs, prepared.letterbox, masks)
        ended = time.perf_counter()
        self.times = StageTimes(
            prepare_ms=(inferred_from - started) * 1e3,
            infer_ms=(finished_from - inferred_from) * 1e3,
            finish_ms=(ended - finished_from) * 1e3,
        )
        return instances

    def prepare(self, image: ColorImage, lane: int = 0) -> Prepared:
        """Fit an image into the network's input; the next call with the same lane overwrites that input."""
        letterbox = self._letterbox
        if letterbox is None or letterbox.image_hw != image.hw:
            letterbox = Letterbox.fit(image.hw, self.spec.input_hw, self.options.fit)
            self._letterbox = letterbox
        return Prepared(self._network_input.fill(image, letterbox, lane), letterbox)

    def infer(self, prepared: Prepared) -> Sequence[Tensor]:
        """Run the network."""
        return self._backend.run(prepared.network_input)

    def finish(self, outputs: Sequence[Tensor], letterbox: Letterbox, masks: bool = True) -> Instances:
        """Turn the network's outputs into instances of the image."""
        return self._postprocess(outputs, letterbox, self.options.head, masks)
