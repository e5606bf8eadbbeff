"""Make random images, and random places of the pixels of their resized form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reference import Places

from yolov8_seg_ros.core.native import Native

#: Of random images; more than what the library works on at once.
MAX_SIDE_PX = 150
#: Of the four bytes of a pair of pixels in YUV, the first luma, u and v.
YUYV, UYVY = (0, 1, 3), (1, 0, 2)


@dataclass(frozen=True)
class ResizeCase:
    """The arguments of one resize."""

    pixels: NDArray[np.uint8]
    columns: Places
    rows: Places
    num_halvings: int
    rgb: tuple[int, int, int]
    flip: int

    def resized_by(self, library: Native) -> NDArray[np.uint8]:
        """Return what the library makes of it."""
        width, channels = self.pixels.shape[1:]
        others = {"num_halvings": self.num_halvings, "num_channels": channels, "rgb": self.rgb, "flip": self.flip}
        plan = library.ffi.new("struct seg_resize *", _axes(library, self.columns, self.rows) | others)
        # Allocated as small as seg.h allows.
        target = np.empty((len(self.rows.first), len(self.columns.first), 3), np.uint8)
        library.lib.seg_resize(
            plan, library.address(self.pixels), width * channels, library.address(target), target.strides[0]
        )
        return target


#: Layouts of planes: the bytes from one u to the next, and whether v comes before u.
NV12, NV21, I420 = (2, False), (2, True), (1, False)


@dataclass(frozen=True)
class PlanesCase:
    """The arguments of one resize of planes.

    Attributes:
        planes: luma, uint8 (2 * height, 2 * width), u and v, uint8 (height, width).
        columns: where the new ones lie.
        rows: where the new ones lie.
        num_halvings: 1, or 2.
        flip: what new bytes are combined with.
        layout: of u and v in memory.
        padding: bytes between the rows of a plane.
    """

    planes: tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]
    columns: Places
    rows: Places
    num_halvings: int
    flip: int
    layout: tuple[int, bool] = NV12
    padding: int = 0

    def resized_by(self, library: Native) -> NDArray[np.uint8]:
        """Return what the library makes of it."""
        chroma_step, is_v_first = self.layout
        luma, u, v = self.planes
        if chroma_step == 2:
            pairs = np.stack([v, u] if is_v_first else [u, v], axis=-1).reshape(len(u), -1)
            plane, chroma_row_step = self._spread(pairs)
            starts = [plane[1:], plane] if is_v_first else [plane, plane[1:]]
        else:
            (u_plane, chroma_row_step), (v_plane, _) = self._spread(u), self._spread(v)
            starts = [u_plane, v_plane]
        luma_plane, luma_row_step = self._spread(luma)
        pointers = [library.pointer("uint8_t *", start) for start in (luma_plane, *starts)]
        planes = library.ffi.new("struct seg_planes *", (*pointers, luma_row_step, chroma_row_step, chroma_step))
        others = {"num_halvings": self.num_halvings, "flip": self.flip}
        plan = library.ffi.new("struct seg_resize *", _axes(library, self.columns, self.rows) | others)
        target = np.empty((len(self.rows.first), len(self.columns.first), 3), np.uint8)
        library.lib.seg_resize_planes(plan, planes, library.address(target), target.strides[0])
        return target

    def _spread(self, plane: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], int]:
        """Return the bytes of a plane whose rows lie apart, no longer than they must be, and their step."""
        height, width = plane.shape
        row_step = width + self.padding
        spread = np.full(row_step * (height - 1) + width, 99, np.uint8)
        np.ndarray(plane.shape, np.uint8, spread, strides=(row_step, 1))[:] = plane
        return spread, row_step


def _axes(library: Native, columns: Places, rows: Places) -> dict[str, Any]:
    return {
        name: (len(axis.first), library.address(axis.first), library.address(axis.next_weight))
        for name, axis in (("columns", columns), ("rows", rows))
    }


def random_places(size: int, rng: np.random.Generator) -> Places:
    """Return places among `size` pixels, ascending; some on a pixel, the last one perhaps on the last pixel."""
    thirty_seconds = np.sort(rng.integers(0, (size - 1) * 32 + 1, rng.integers(1, size + 3)))
    if rng.random() < 0.3:
        thirty_seconds -= thirty_seconds % 32
    return Places((thirty_seconds // 32).astype(np.int32), (thirty_seconds % 32).astype(np.uint16))


def random_resize(rng: np.random.Generator) -> ResizeCase:
    """Return a case with an image of any size and any number of channels."""
    channels = int(rng.choice([1, 2, 3, 4]))
    is_yuv = channels == 2
    num_halvings = int(rng.integers(2)) + is_yuv
    old = 2**num_halvings
    height, width = (int(side) for side in rng.integers(old, MAX_SIDE_PX, 2))
    if is_yuv:
        width -= width % 2
    pixels = rng.choice([rng.integers(0, 256, 1)[0], 255], (height, width, channels)).astype(np.uint8)
    if rng.random() < 0.8:
        pixels = rng.integers(0, 256, pixels.shape, np.uint8)
    columns, rows = random_places(width // old, rng), random_places(height // old, rng)
    rgb: Any = tuple(int(channel) for channel in rng.integers(0, channels, 3))
    if is_yuv:
        rgb = YUYV if rng.integers(2) else UYVY
    return ResizeCase(pixels, columns, rows, num_halvings, rgb, int(rng.integers(256)))


def random_planes(rng: np.random.Generator) -> PlanesCase:
    """Return a case with planes of any size and layout."""
    num_halvings = 1 + int(rng.integers(2))
    height, width = (int(side) for side in rng.integers(num_halvings, MAX_SIDE_PX, 2))
    luma, u, v = (rng.integers(0, 256, hw, np.uint8) for hw in ((2 * height, 2 * width), *[(height, width)] * 2))
    layout = (NV12, NV21, I420)[rng.integers(3)]
    columns, rows = (random_places(side // num_halvings, rng) for side in (width, height))
    padding = int(rng.integers(5))
    return PlanesCase((luma, u, v), columns, rows, num_halvings, int(rng.integers(256)), layout, padding)
