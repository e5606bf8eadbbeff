"""Place and draw instances that were decoded elsewhere, in pixels of the network's input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import BoxMask, DrawnMasks, Instances
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.native import letterbox_fields, native, number_that_fits


class PackedMaskError(ValueError):
    """Bytes that are not the packed mask of their window."""


@dataclass(frozen=True)
class GridMasks:
    """The mask logits of instances, each in a window of the prototypes' grid.

    Attributes:
        input_hw: height and width of the network's input, in pixels.
        grid_hw: rows and columns of the grid.
        windows: int32 (n, 4), left, top, columns and rows, in cells.
        logits: float32, of the windows' cells, row by row, window after window.
        mask_logit: a pixel belongs to the mask where the interpolated logits are above this.
    """

    input_hw: tuple[int, int]
    grid_hw: tuple[int, int]
    windows: NDArray[np.int32]
    logits: NDArray[np.float32]
    mask_logit: float


@dataclass(frozen=True)
class NetworkInstances:
    """Instances in pixels of the network's input, best score first.

    Attributes:
        xyxy_px: float32 (n, 4), left, top, right and bottom edge; pixel 0 spans 0.0 to 1.0.
        score: float32 (n,), 0 to 1, descending.
        class_id: int64 (n,), index into the class names.
        masks: n masks on the grid; None where they were not asked for.
    """

    xyxy_px: NDArray[np.float32]
    score: NDArray[np.float32]
    class_id: NDArray[np.int64]
    masks: GridMasks | None

    def __len__(self) -> int:
        return len(self.score)

    def in_image(self, letterbox: Letterbox, masks: bool = True) -> Instances:
        """Return those that lie in the image, in its pixels; the best ones, as many as there is memory for masks.

        Args:
            letterbox: how the image was fitted into the network's input.
            masks: whether to draw masks.

        Raises:
            ValueError: if masks are to be drawn that these instances do not have.
        """
        if masks and self.masks is None:
            raise ValueError("these instances carry no masks: ask for them where the network is run")
        seg = native()
        fitted = seg.ffi.new("struct seg_letterbox *", letterbox_fields(letterbox))
        placed = np.zeros(len(self), seg.instance)
        placed["xyxy_px"], placed["score"], placed["class_id"] = self.xyxy_px, self.score, self.class_id
        # By this an instance is found again among those that are left.
        placed["anchor"] = np.arange(len(self))
        placements = np.empty(len(self), seg.placement)
        instance, placement = (
            seg.pointer("struct seg_instance *", placed),
            seg.pointer("struct seg_placement *", placements),
        )
        count = seg.lib.seg_place(fitted, instance, len(self), placement)
        count = number_that_fits(placements[:count], letterbox.image_hw)
        kept, placements = placed["anchor"][:count], placements[:count]
        return Instances(
            image_hw=letterbox.image_hw,
            xyxy=placements["xyxy_px"].copy(),
            score=self.score[kept],
            class_id=self.class_id[kept],
            masks=self._draw(fitted, kept, placements) if masks else None,
        )

    def _draw(self, fitted: object, kept: NDArray[np.int32], placements: NDArray[np.void]) -> Sequence[BoxMask]:
        assert self.masks is not None
        if not len(placements):
            return ()
        seg, masks = native(), self.masks
        height, width = masks.input_hw
        rows, columns = masks.grid_hw
        numbers = np.ascontiguousarray(kept)
        placement = seg.pointer("struct seg_placement *", placements)
        bitmaps = np.empty(seg.lib.seg_bitmaps_size(placement, len(placements)), np.bool_)
        seg.lib.seg_draw_windows(
            fitted,
            seg.ffi.new("struct seg_grid *", (width, height, columns, rows)),
            masks.mask_logit,
            seg.pointer("struct seg_window *", masks.windows),
            seg.pointer("float *", masks.logits),
            seg.pointer("int32_t *", numbers),
            placement,
            len(placements),
            seg.pointer("uint8_t *", bitmaps),
        )
        return DrawnMasks(placements, bitmaps)


def unpack_masks(
    packed: bytes, sizes_bytes: NDArray[np.int32], windows: NDArray[np.int32], mask_logit: float
) -> NDArray[np.float32]:
    """Return the logits of masks that `seg_pack_mask` packed.

    Args:
        packed: mask after mask.
        sizes_bytes: int32 (n,), C order, of each mask.
        windows: int32 (n, 4), C order, left, top, columns and rows of each mask, in cells.
        mask_logit: by which they were packed.

    Returns:
        float32, of the windows' cells, row by row, window after window.

    Raises:
        PackedMaskError: if a mask does not fill its window exactly.
    """
    seg = native()
    num_cells = windows[:, 2].astype(np.int64) * windows[:, 3]
    logits = np.empty(int(num_cells.sum()), np.float32)
    num_right = seg.lib.seg_unpack_masks(
        seg.ffi.from_buffer(packed),
        seg.pointer("int32_t *", sizes_bytes),
        seg.pointer("struct seg_window *", windows),
        len(windows),
        mask_logit,
        seg.pointer("float *", logits),
    )
    if num_right < len(windows):
        raise PackedMaskError(
            f"mask {num_right} of {sizes_bytes[num_right]} bytes does not fill its {num_cells[num_right]} cells exactly"
        )
    return logits
