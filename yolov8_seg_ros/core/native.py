"""Call the C library: decode a network's outputs, draw masks, paint them. `native/seg.h` is its manual."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.model_spec import HeadPart, ModelSpec, TensorSpec
from yolov8_seg_ros.core.options import DetectionOptions
from yolov8_seg_ros.core.quantization import QuantParams, Tensor
from yolov8_seg_ros.errors import ModelError, NativeLibraryError

LIBRARY = Path(__file__).parents[1] / "native" / "libseg.so"
#: So many boxes are compared with each other, the best ones. At a score of 0.001 an image has some thousands.
MAX_CANDIDATES = 16384
#: The masks of an image have a byte a pixel of each box: 255 boxes as large as a 4K image would take 2 GiB.
MAX_MASKS_BYTES = 1 << 30
#: A bitmap, uint8 or bool (height, width), and the column and row of its first pixel.
Stamp = tuple[NDArray[Any], tuple[int, int]]


class Native:
    """The library and what its header declares.

    Args:
        path: the library.

    Raises:
        NativeLibraryError: if it is missing or cannot be loaded.
    """

    def __init__(self, path: Path = LIBRARY) -> None:
        self.ffi, self.lib = load_library("_seg", path)
        self._pointer = self.ffi.typeof("void *")
        self.instance = self._dtype("struct seg_instance")
        self.placement = self._dtype("struct seg_placement")
        self.errors: dict[int, str] = self.ffi.typeof("enum seg_error").elements
        self.types: dict[str, int] = self.ffi.typeof("enum seg_type").relements
        self.limits: dict[str, int] = self.ffi.typeof("enum seg_limit").relements

    def address(self, array: NDArray[Any]) -> Any:
        """Return a pointer to an array's first element; the array must outlive it."""
        if array.flags.c_contiguous:
            # Ten times faster than the address of any array.
            return self.ffi.cast(self._pointer, self.ffi.from_buffer(array))
        return self.ffi.cast(self._pointer, array.__array_interface__["data"][0])

    def pointer(self, kind: str, array: NDArray[Any]) -> Any:
        """Return a pointer of that C type to an array's first element; the array must outlive it."""
        return self.ffi.cast(kind, self.address(array))

    def _dtype(self, name: str) -> np.dtype[Any]:
        """Return the NumPy type of a structure of numbers and arrays of numbers."""
        fields = self.ffi.typeof(name).fields
        formats = {"float": np.float32, "int32_t": np.int32}
        return np.dtype(
            {
                "names": [field for field, _ in fields],
                "formats": [
                    (formats[kind.item.cname], (kind.length,)) if kind.kind == "array" else formats[kind.cname]
                    for kind in (field.type for _, field in fields)
                ],
                "offsets": [field.offset for _, field in fields],
                "itemsize": self.ffi.sizeof(name),
            }
        )


def load_library(module: str, path: Path, name: str = "C library") -> tuple[Any, Any]:
    """Return what a library's headers declare, and the library.

    Args:
        module: with the declarations, in `native/`.
        path: of the library.
        name: by which errors call it.

    Raises:
        NativeLibraryError: if it is missing or cannot be loaded.
    """
    remedy = "build this package again, with a C compiler and cffi (apt install gcc python3-cffi)"
    try:
        ffi: Any = import_module(f"yolov8_seg_ros.native.{module}").ffi
        return ffi, _open_library(ffi, path)
    except (ImportError, OSError) as error:
        raise NativeLibraryError(f"the {name} {path} cannot be loaded: {error}; {remedy}") from error


def _open_library(ffi: Any, path: Path) -> Any:
    """Open the library; raise OSError where it is not the one that the header declares."""
    library = ffi.dlopen(str(path))
    try:
        # A function is looked up when it is first used: here, so that a library of other sources is found out.
        for name in dir(library):
            getattr(library, name)
    except ffi.error as error:
        raise OSError(error) from error
    return library


@lru_cache(maxsize=1)
def native() -> Native:
    """Return the library that was built with this package.

    Raises:
        NativeLibraryError: if it is missing or cannot be loaded.
    """
    return Native()


class Decoder:
    """Decoder of the outputs of one model into instances. Used by one thread at a time.

    The outputs of the last `decode` are needed until its masks are drawn.

    Args:
        spec: what the outputs mean.
        max_candidates: so many boxes are compared with each other, the best ones.
        library: the C library.

    Raises:
        ModelError: for a model beyond the limits of the library.
        NativeLibraryError: if the library is missing or cannot be loaded.
    """

    def __init__(self, spec: ModelSpec, max_candidates: int = MAX_CANDIDATES, library: Native | None = None) -> None:
        self._native = library or native()
        self._ffi, self._lib = self._native.ffi, self._native.lib
        self._outputs_spec = spec.outputs
        self._num_classes = len(spec.class_names)
        self._max_instances = spec.num_anchors * self._num_classes
        self._outputs = self._ffi.new("void *[]", len(spec.outputs))
        self._workspace = self._new_workspace(spec, max_candidates)
        self._given: Sequence[Tensor] | None = None
        self._detection: DetectionOptions | None = None
        self._fitted: Letterbox | None = None
        self._letterbox = self._ffi.new("struct seg_letterbox *")
        self._held: list[Tensor] = []

    def decode(self, outputs: Sequence[Tensor], options: DetectionOptions) -> int:
        """Find the instances of one image; return their number.

        Args:
            outputs: quantized, in the order and of the shapes of the model's outputs.
            options: which instances are kept.

        Raises:
            ValueError: for outputs that are not those of the model.
        """
        if outputs is not self._given:
            self._set_outputs(outputs)
        if options is not self._detection:
            self._set_options(options)
        count = self._lib.seg_decode(self._workspace, self._outputs, self._options, self._instances_pointer)
        assert count >= 0, self._native.errors[count]
        return int(count)

    def place(self, count: int, letterbox: Letterbox) -> tuple[NDArray[Any], NDArray[Any]]:
        """Map the instances of the last `decode` into the image.

        Returns:
            Structured arrays of the instances that lie in the image and of their placements, as seg.h declares them;
            they change with the next image.
        """
        if letterbox is not self._fitted:
            self._letterbox[0] = letterbox_fields(letterbox)
            self._fitted = letterbox
        count = self._lib.seg_place(self._letterbox, self._instances_pointer, count, self._placements_pointer)
        return self._instances[:count], self._placements[:count]

    def columns(self, count: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
        """Return the best of the instances that `place` found last, as arrays of their own.

        Returns:
            Boxes (count, 4) in image pixels, scores (count,) and class indices (count,).
        """
        xyxy_px, score, class_id = self._columns
        return xyxy_px[:count].copy(), score[:count].copy(), class_id[:count].astype(np.int64)

    def draw_masks(self, placements: NDArray[Any], mask_threshold: float) -> NDArray[np.bool_]:
        """Return the bitmaps of all placed instances, row by row, one after the other.

        Args:
            placements: what `place` returned last.
            mask_threshold: a pixel is True where its probability is above this, 0 to 1.
        """
        count = len(placements)
        bitmaps = np.empty(self._lib.seg_bitmaps_size(self._placements_pointer, count), np.bool_)
        self._lib.seg_draw_masks(
            self._workspace,
            self._outputs,
            self._letterbox,
            logit(mask_threshold),
            self._instances_pointer,
            self._placements_pointer,
            count,
            self._native.address(bitmaps),
        )
        return bitmaps

    def _set_outputs(self, outputs: Sequence[Tensor]) -> None:
        self._given = None
        # They must stay where they are while they are pointed at.
        self._held = [_checked(output, spec) for output, spec in zip(outputs, self._outputs_spec, strict=True)]
        for index, output in enumerate(self._held):
            self._outputs[index] = self._native.address(output)
        # Where a backend returns the same tuple again, its arrays are where they were, unless copies were needed.
        if isinstance(outputs, tuple) and all(held is output for held, output in zip(self._held, outputs, strict=True)):
            self._given = outputs

    def _new_workspace(self, spec: ModelSpec, max_candidates: int) -> Any:
        model = self._ffi.new("struct seg_model *", model_fields(spec, self._native.types))
        size = self._lib.seg_workspace_size(model, max_candidates)
        if size < 0:
            limits = ", ".join(f"{name.removeprefix('SEG_')} {limit}" for name, limit in self._native.limits.items())
            raise ModelError(f"the model is beyond the decoder's limits ({self._native.errors[size]}; {limits})")
        # Not cleared: pages that are never used take no memory.
        memory = self._ffi.new_allocator(should_clear_after_alloc=False)("uint64_t[]", -(-size // 8))
        self._memory = memory
        workspace = self._ffi.cast("struct seg_workspace *", memory)
        result = self._lib.seg_init(workspace, size, model, max_candidates)
        assert result == 0, self._native.errors[result]
        return workspace

    def _set_options(self, options: DetectionOptions) -> None:
        wanted = np.ones(self._num_classes, np.uint8)
        if options.classes is not None:
            wanted[:] = 0
            wanted[list(options.classes)] = 1
        self._wanted = wanted
        max_instances = min(options.max_instances, self._max_instances)
        self._options = self._ffi.new(
            "struct seg_options *",
            {
                "score_threshold": options.score_threshold,
                "iou_threshold": options.iou_threshold,
                "max_instances": max_instances,
                "agnostic_nms": options.agnostic_nms,
                "multi_label": options.multi_label,
                "vote_boxes": options.vote_boxes,
                "is_class_wanted": self._native.address(wanted),
            },
        )
        self._instances = np.zeros(max_instances, self._native.instance)
        self._placements = np.zeros(max_instances, self._native.placement)
        # A field of a structured array takes longer to look up than a slice of its numbers to copy.
        self._columns = (self._placements["xyxy_px"], self._instances["score"], self._instances["class_id"])
        self._instances_pointer = self._native.address(self._instances)
        self._placements_pointer = self._native.address(self._placements)
        self._detection = options


def paint(image: NDArray[np.uint8], stamps: Sequence[Stamp], values: Sequence[int]) -> None:
    """Paint a value where a bitmap is set; later bitmaps end on top.

    Args:
        image: uint8 (height, width), its pixels side by side in a row.
        stamps: bitmaps and their origins, inside the image.
        values: one for each, 0 to 255.

    Raises:
        ValueError: for a bitmap that leaves the image.
    """
    seg = native()
    held, structs = [], []
    for (bitmap, origin_xy), value in zip(stamps, values, strict=True):
        height, width = bitmap.shape
        require_inside(image.shape, origin_xy, bitmap.shape)
        # A copy must outlive its address.
        held.append(np.ascontiguousarray(bitmap))
        structs.append((seg.address(held[-1]), width, *origin_xy, width, height, value))
    array = seg.ffi.new("struct seg_stamp[]", structs)
    seg.lib.seg_paint(seg.address(image), image.strides[0], array, len(structs))


def paint_masks(
    image: NDArray[np.uint8], placements: NDArray[Any], bitmaps: NDArray[np.bool_], values: NDArray[np.uint8]
) -> None:
    """Paint a value where a bitmap is set; the first one ends on top.

    Args:
        image: uint8 (height, width) of the image that the placements are of, its pixels side by side in a row.
        placements: contiguous.
        bitmaps: as `Decoder.draw_masks` returned them.
        values: contiguous, one for each.
    """
    seg = native()
    address = seg.address
    seg.lib.seg_paint_masks(
        address(image), image.strides[0], address(placements), address(bitmaps), address(values), len(placements)
    )


def number_that_fits(placements: NDArray[Any], image_hw: tuple[int, int]) -> int:
    """Return how many of the best instances have masks that fit into the memory for them."""
    if len(placements) * math.prod(image_hw) <= MAX_MASKS_BYTES:
        return len(placements)
    areas_px = placements["width_px"].astype(np.int64) * placements["height_px"]
    return int(np.searchsorted(np.cumsum(areas_px), MAX_MASKS_BYTES, side="right"))


def logit(probability: float) -> float:
    """Return the logit of a probability, 0 to 1."""
    if not 0 < probability < 1:
        return math.inf if probability > 0 else -math.inf
    return math.log(probability / (1 - probability))


def letterbox_fields(letterbox: Letterbox) -> dict[str, Any]:
    """Return the fields of `struct seg_letterbox`."""
    (scale_x, scale_y), (pad_x_px, pad_y_px) = letterbox.scale_xy, letterbox.pad_xy
    height_px, width_px = letterbox.image_hw
    return {
        "scale_x": scale_x,
        "scale_y": scale_y,
        "pad_x_px": pad_x_px,
        "pad_y_px": pad_y_px,
        "image_width_px": width_px,
        "image_height_px": height_px,
    }


def require_inside(image_hw: tuple[int, ...], origin_xy: tuple[int, int], bitmap_hw: tuple[int, ...]) -> None:
    """Raise ValueError where a bitmap leaves the image; `origin_xy` is its first column and row there."""
    left, top = origin_xy
    bottom, right = top + bitmap_hw[0], left + bitmap_hw[1]
    if left < 0 or top < 0 or bottom > image_hw[0] or right > image_hw[1]:
        raise ValueError(
            f"masks: rows {top}:{bottom}, columns {left}:{right} leave the {image_hw[1]}x{image_hw[0]} image; "
            "crop the bitmap to it"
        )


def model_fields(spec: ModelSpec, types: dict[str, int]) -> dict[str, Any]:
    """Return the fields of `struct seg_model`; `types` are those of `Native`."""
    height, width = spec.input_hw
    grid_rows, grid_columns, count = spec.prototypes.shape[1:]
    return {
        "input_width_px": width,
        "input_height_px": height,
        "num_classes": len(spec.class_names),
        "num_coefficients": count,
        "box_bins": spec.box_bins,
        "num_levels": len(spec.levels),
        "levels": [
            {
                "boxes": _part(level.boxes, types),
                "scores": _part(level.scores, types),
                "coefficients": _part(level.coefficients, types),
                "stride_px": level.stride_px,
                "columns": level.grid_hw[1],
                "rows": level.grid_hw[0],
            }
            for level in spec.levels
        ],
        "prototypes": {
            "output": spec.prototypes_index,
            "channel_step": 1,
            "anchor_step": count,
            "quant": _quant(spec.prototypes.quant, types),
        },
        "prototype_columns": grid_columns,
        "prototype_rows": grid_rows,
    }


def _part(part: HeadPart, types: dict[str, int]) -> dict[str, Any]:
    return {
        "output": part.output_index,
        "first": part.channels.start * part.channel_step,
        "channel_step": part.channel_step,
        "anchor_step": part.anchor_step,
        "quant": _quant(part.quant, types),
    }


def _quant(quant: QuantParams, types: dict[str, int]) -> dict[str, Any]:
    kind = types[f"SEG_{quant.dtype.name.upper()}"]
    return {"type": kind, "scale": quant.scale, "zero_point": quant.zero_point}


def _checked(output: Tensor, spec: TensorSpec) -> Tensor:
    if output.shape != spec.shape or output.dtype != spec.quant.dtype:
        raise ValueError(f"expected {spec}, got {output.dtype.name} {'x'.join(map(str, output.shape))}")
    return np.ascontiguousarray(output)
