"""Segment images: the straight line from pixels to instances."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.color import ColorImage
from yolov8_seg_ros.core.evidence import mask_confidence, refine_box, window_around
from yolov8_seg_ros.core.head import Candidates, HeadOptions, decode
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.letterbox import (
    FITS,
    INTERPOLATIONS,
    PIXEL_ROUNDINGS,
    BoxXyxy,
    Letterbox,
    NetworkInput,
    require_choice,
)
from yolov8_seg_ros.core.masks import MaskLogits, MaskMaker, box_mask, halo_cells
from yolov8_seg_ros.core.model_spec import ModelSpec
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
    """

    def __init__(self, backend: Backend, options: SegmenterOptions | None = None, lanes: int = 1) -> None:
        self._backend = backend
        self.options = options or SegmenterOptions()
        spec = backend.spec
        self._network_input = NetworkInput(
            spec.input_hw, spec.input.quant, self.options.interpolation, self.options.pixel_rounding, lanes
        )
        self._letterbox: Letterbox | None = None
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
        """Decode the network's outputs into instances of the image."""
        found = decode(outputs, self.spec, self.options.head)
        if not len(found.score):
            return Instances.empty(letterbox.image_hw, masks)
        judged = self._judge(found, outputs, letterbox)
        return Instances(
            image_hw=letterbox.image_hw,
            xyxy=np.array([one.xyxy for one in judged], np.float32).reshape(-1, 4),
            score=np.array([one.score for one in judged], np.float32),
            class_id=np.array([one.class_id for one in judged], np.int64),
            # A mask ends where the network drew the box: what a refined box adds is another object as often as not.
            masks=tuple(box_mask(one.logits, one.drawn_xyxy, letterbox) for one in judged) if masks else None,
        )

    def _judge(self, found: Candidates, outputs: Sequence[Tensor], letterbox: Letterbox) -> list[_Judged]:
        """Ask each mask for a better box and score; give what is left of the image's instances, best score first."""
        spec, options = self.spec, self.options
        prototypes, quant = outputs[spec.prototypes_index][0], spec.prototypes.quant
        maker = MaskMaker(prototypes, quant, found.coefficients, halo_cells(letterbox))
        # The head has compared stored scores already: float32 must not turn one that just passed away.
        lowest = options.head.score_threshold * (1 - float(np.finfo(np.float32).eps))
        judged = []
        # Images hold few objects: of each a small window is looked at in plain numbers, rather than all planes at once.
        rows = zip(found.xyxy.tolist(), found.score.tolist(), found.class_id.tolist(), strict=True)
        for row, (box, score, class_id) in enumerate(rows):
            window = window_around(box, maker.plane_hw)
            logits = maker.logits(row, window)
            near = logits.within(window)
            score = score * mask_confidence(near) if options.rescore else score
            refined = refine_box(box, near, window) if options.refine_boxes else box
            xyxy = letterbox.box_to_image(refined)
            if score >= lowest and xyxy[0] < xyxy[2] and xyxy[1] < xyxy[3]:
                judged.append(_Judged(score, xyxy, class_id, letterbox.box_to_image(box), logits))
        return sorted(judged, key=lambda one: -one.score)


class _Judged(NamedTuple):
    """An instance of the image, its box in image pixels as it is published and as the network drew it."""

    score: float
    xyxy: BoxXyxy
    class_id: int
    drawn_xyxy: BoxXyxy
    logits: MaskLogits
