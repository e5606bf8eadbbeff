"""Turn a network's outputs into instances with the compiled library."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.box_mask import BoxMask
from yolov8_seg_ros.core.head import HeadOptions, stored_threshold
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.library import (
    LetterboxStruct,
    MemoryStruct,
    OptionsStruct,
    OutputsStruct,
    PartStruct,
    QuantStruct,
)
from yolov8_seg_ros.core.masks import halo_cells
from yolov8_seg_ros.core.model_spec import HeadPart, ModelSpec, TensorSpec
from yolov8_seg_ros.core.quantization import QuantParams, Tensor

#: Room for so many candidates and cells at first; it grows with the images.
_FIRST_CANDIDATES, _FIRST_CELLS = 1024, 16384
_MEMORY_MUST_GROW = -1
_MASK_RECTANGLE = ["mask_left_px", "mask_top_px", "mask_width_px", "mask_height_px"]


class CompiledPostprocess:
    """Turn the outputs of a network of 8 bit tensors into instances, by one thread at a time.

    Args:
        library: what `open_library` gives.
        spec: what the outputs mean.
        refine_boxes: whether to average each box with the extent of its mask.
        rescore: whether to multiply each score with what its mask says.
    """

    def __init__(self, library: ctypes.CDLL, spec: ModelSpec, refine_boxes: bool, rescore: bool) -> None:
        self._library = library
        self._spec = spec
        self._outputs = _outputs(spec)
        self._options = OptionsStruct(refines=refine_boxes, rescores=rescore)
        self._letterbox = LetterboxStruct()
        self._memory = MemoryStruct()
        self._arrays: dict[str, NDArray[Any]] = {}
        self._head: HeadOptions | None = None
        self._letterbox_known: Letterbox | None = None
        self._reserve(is_anchor_taken=spec.num_anchors, coefficients=spec.num_coefficients)
        self._reserve_candidates(_FIRST_CANDIDATES)
        self._reserve_cells(_FIRST_CELLS)

    def __call__(
        self, outputs: Sequence[Tensor], letterbox: Letterbox, head: HeadOptions, masks: bool = True
    ) -> Instances:
        """Find the instances of one image, as `Postprocess` says.

        Raises:
            ValueError: for outputs that are not those of the spec.
        """
        if head is not self._head:
            self._set_head(head)
        if letterbox is not self._letterbox_known:
            self._set_letterbox(letterbox)
        found = self._arrays["found"][: self._find(outputs)]
        return Instances(
            image_hw=letterbox.image_hw,
            xyxy=found["xyxy"].copy(),
            score=found["score"].copy(),
            class_id=found["class_id"].astype(np.int64),
            masks=self._draw_masks(found) if masks else None,
        )

    def _find(self, outputs: Sequence[Tensor]) -> int:
        # They must stay where they are while they are pointed at.
        held = [_checked(output, tensor) for output, tensor in zip(outputs, self._spec.outputs, strict=True)]
        self._point_at(held)
        arguments = (self._outputs, self._options, self._letterbox, self._memory)
        references = [ctypes.byref(argument) for argument in arguments]
        while (count := int(self._library.seg_find(*references))) == _MEMORY_MUST_GROW:
            memory = self._memory
            if memory.candidates_needed > memory.candidates_max:
                self._reserve_candidates(memory.candidates_needed)
            if memory.cells_needed > memory.cells_max:
                self._reserve_cells(memory.cells_needed)
        return count

    def _draw_masks(self, found: NDArray[Any]) -> tuple[BoxMask, ...]:
        rectangles = found[_MASK_RECTANGLE].tolist()
        bitmaps = np.empty(sum(width * height for _, _, width, height in rectangles), np.bool_)
        self._library.seg_draw_masks(
            ctypes.byref(self._letterbox),
            ctypes.byref(self._memory),
            ctypes.c_int32(len(found)),
            ctypes.c_void_p(bitmaps.ctypes.data),
        )
        masks, start = [], 0
        for left, top, width, height in rectangles:
            end = start + width * height
            masks.append(BoxMask((left, top), bitmaps[start:end].reshape(height, width)))
            start = end
        return tuple(masks)

    def _point_at(self, outputs: Sequence[Tensor]) -> None:
        addresses = [output.ctypes.data for output in outputs]
        for name in ("boxes", "scores", "coefficients"):
            part: HeadPart = getattr(self._spec, name)
            target: PartStruct = getattr(self._outputs, name)
            target.stored = addresses[part.output_index] + part.channels.start * target.channel_step
        self._outputs.prototypes.stored = addresses[self._spec.prototypes_index]

    def _set_head(self, head: HeadOptions) -> None:
        options, quant = self._options, self._spec.scores.quant
        options.iou_threshold = head.iou_threshold
        options.lowest_score = head.lowest_score
        options.lowest_value = int(stored_threshold(quant, head.score_threshold)) - _middle(quant)
        max_instances = min(head.max_instances, self._spec.num_anchors * self._spec.scores.num_channels)
        options.max_instances = max_instances
        options.is_agnostic, options.is_multi_label = head.agnostic_nms, head.multi_label
        options.votes = head.vote_boxes
        wanted = np.ones(self._spec.scores.num_channels, np.uint8)
        if head.classes is not None:
            wanted[:] = 0
            wanted[list(head.classes)] = 1
        self._arrays["is_class_wanted"] = wanted
        options.is_class_wanted = wanted.ctypes.data
        self._reserve(kept=max_instances, found=max_instances)
        self._head = head

    def _set_letterbox(self, letterbox: Letterbox) -> None:
        ours = self._letterbox
        (ours.scale_x, ours.scale_y), (ours.pad_x_px, ours.pad_y_px) = letterbox.scale_xy, letterbox.pad_xy
        ours.image_height_px, ours.image_width_px = letterbox.image_hw
        ours.halo_cells = halo_cells(letterbox)
        self._reserve(**dict.fromkeys(("upper", "lower", "fraction", "place"), letterbox.image_hw[1]))
        self._letterbox_known = letterbox

    def _reserve_candidates(self, count: int) -> None:
        self._reserve(codes=count, candidates=count)
        self._memory.candidates_max = count

    def _reserve_cells(self, count: int) -> None:
        self._reserve(cells=count)
        self._memory.cells_max = count

    def _reserve(self, **sizes: int) -> None:
        for name, size in sizes.items():
            self._arrays[name] = np.zeros(size, np.dtype(MemoryStruct.arrays[name]))
            setattr(self._memory, name, self._arrays[name].ctypes.data)


def is_compiled_for(spec: ModelSpec) -> bool:
    """Tell whether the compiled postprocessing knows the types of these outputs."""
    return all(tensor.quant.dtype.itemsize == 1 for tensor in spec.outputs)


def _outputs(spec: ModelSpec) -> OutputsStruct:
    rows, columns = spec.prototypes.shape[1:3]
    height, width = spec.input_hw
    return OutputsStruct(
        boxes=_part(spec, spec.boxes),
        scores=_part(spec, spec.scores),
        coefficients=_part(spec, spec.coefficients),
        prototypes=PartStruct(None, 1, spec.num_coefficients, _quant(spec.prototypes.quant)),
        num_classes=spec.scores.num_channels,
        num_anchors=spec.num_anchors,
        num_coefficients=spec.num_coefficients,
        plane_rows=rows,
        plane_columns=columns,
        network_width_px=width,
        network_height_px=height,
    )


def _part(spec: ModelSpec, part: HeadPart) -> PartStruct:
    steps = (spec.num_anchors, 1) if part.channels_first else (1, spec.outputs[part.output_index].shape[2])
    return PartStruct(None, *steps, _quant(part.quant))


def _quant(quant: QuantParams) -> QuantStruct:
    middle = _middle(quant)
    # Flipping its top bit makes of a byte the signed number that is 128 less.
    return QuantStruct(quant.scale, quant.zero_point - middle, middle)


def _middle(quant: QuantParams) -> int:
    return 0 if quant.dtype.kind == "i" else 128


def _checked(output: Tensor, tensor: TensorSpec) -> Tensor:
    if output.shape != tensor.shape or output.dtype != tensor.quant.dtype:
        raise ValueError(f"expected {tensor}, got {output.dtype.name} {'x'.join(map(str, output.shape))}")
    return np.ascontiguousarray(output)
