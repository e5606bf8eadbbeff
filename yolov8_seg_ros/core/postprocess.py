"""Turn a network's outputs into instances: with the compiled library where there is one, else with NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np

from yolov8_seg_ros.core.compiled import CompiledPostprocess, is_compiled_for
from yolov8_seg_ros.core.evidence import mask_confidence, refine_box, window_around
from yolov8_seg_ros.core.head import Candidates, HeadOptions, decode
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.letterbox import BoxXyxy, Letterbox
from yolov8_seg_ros.core.library import NotBuiltError, open_library
from yolov8_seg_ros.core.masks import MaskLogits, MaskMaker, box_mask, halo_cells
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.quantization import Tensor


class Postprocess(Protocol):
    """What turns outputs into instances, one image at a time."""

    def __call__(
        self, outputs: Sequence[Tensor], letterbox: Letterbox, head: HeadOptions, masks: bool = True
    ) -> Instances:
        """Find the instances of one image.

        Args:
            outputs: the network's, in the order of `spec.outputs`.
            letterbox: how the image was fitted into the network's input.
            head: which instances are kept.
            masks: whether to assemble masks too.
        """


def choose_postprocess(spec: ModelSpec, refine_boxes: bool, rescore: bool) -> tuple[Postprocess, str]:
    """Give the fastest postprocessing for a model, and what it is, for a person.

    Args:
        spec: what the model's outputs mean.
        refine_boxes: whether to average each box with the extent of its mask.
        rescore: whether to multiply each score with what its mask says.
    """
    numpy = NumpyPostprocess(spec, refine_boxes, rescore)
    if not is_compiled_for(spec):
        return numpy, "NumPy, since the model's outputs are not all of 8 bits"
    try:
        return CompiledPostprocess(open_library(), spec, refine_boxes, rescore), "compiled"
    except NotBuiltError as error:
        return numpy, f"NumPy, several times slower than the compiled library: {error}"


class NumpyPostprocess:
    """Turn the outputs of any network into instances; this says what the compiled library does.

    Args:
        spec: what the outputs mean.
        refine_boxes: whether to average each box with the extent of its mask.
        rescore: whether to multiply each score with what its mask says.
    """

    def __init__(self, spec: ModelSpec, refine_boxes: bool, rescore: bool) -> None:
        self._spec = spec
        self._refine_boxes = refine_boxes
        self._rescore = rescore

    def __call__(
        self, outputs: Sequence[Tensor], letterbox: Letterbox, head: HeadOptions, masks: bool = True
    ) -> Instances:
        """Find the instances of one image, as `Postprocess` says."""
        found = decode(outputs, self._spec, head)
        if not len(found.score):
            return Instances.empty(letterbox.image_hw, masks)
        judged = self._judge(found, outputs, letterbox, head.lowest_score)
        return Instances(
            image_hw=letterbox.image_hw,
            xyxy=np.array([one.xyxy for one in judged], np.float32).reshape(-1, 4),
            score=np.array([one.score for one in judged], np.float32),
            class_id=np.array([one.class_id for one in judged], np.int64),
            # A mask ends where the network drew the box: what a refined box adds is another object as often as not.
            masks=tuple(box_mask(one.logits, one.drawn_xyxy, letterbox) for one in judged) if masks else None,
        )

    def _judge(
        self, found: Candidates, outputs: Sequence[Tensor], letterbox: Letterbox, lowest_score: float
    ) -> list[_Judged]:
        """Ask each mask for a better box and score; give what is left of the image's instances, best score first."""
        spec = self._spec
        prototypes, quant = outputs[spec.prototypes_index][0], spec.prototypes.quant
        maker = MaskMaker(prototypes, quant, found.coefficients, halo_cells(letterbox))
        judged = []
        # Images hold few objects: of each a small window is looked at in plain numbers, rather than all planes at once.
        rows = zip(found.xyxy.tolist(), found.score.tolist(), found.class_id.tolist(), strict=True)
        for row, (box, score, class_id) in enumerate(rows):
            window = window_around(box, maker.plane_hw)
            logits = maker.logits(row, window)
            near = logits.within(window)
            score = score * mask_confidence(near) if self._rescore else score
            refined = refine_box(box, near, window) if self._refine_boxes else box
            xyxy = letterbox.box_to_image(refined)
            if score >= lowest_score and xyxy[0] < xyxy[2] and xyxy[1] < xyxy[3]:
                judged.append(_Judged(score, xyxy, class_id, letterbox.box_to_image(box), logits))
        return sorted(judged, key=lambda one: -one.score)


class _Judged(NamedTuple):
    """An instance of the image, its box in image pixels as it is published and as the network drew it."""

    score: float
    xyxy: BoxXyxy
    class_id: int
    drawn_xyxy: BoxXyxy
    logits: MaskLogits
