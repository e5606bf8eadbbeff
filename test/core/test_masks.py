"""Test mask assembly against a slow reference that interpolates the logits at every pixel by itself."""

from __future__ import annotations

import numpy as np
import pytest
from fakes import FLOAT32, INT8, UINT8
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.masks import MaskLogits, MaskMaker, box_mask, halo_cells
from yolov8_seg_ros.core.quantization import QuantParams

PUBLISHED = QuantParams(np.dtype("int8"), 0.0207487, -115)
CELL_PX = 4
#: Whole pixels of the enlarged cells are taken, so a mask may lie half a pixel aside; the rest is float32's.
HALF_PX = 0.501


def box_masks(planes, boxes, letterbox: Letterbox):
    """Cut masks out of logits of all cells."""
    return tuple(
        box_mask(MaskLogits(plane, 0, 0), box, letterbox) for plane, box in zip(planes, boxes.tolist(), strict=True)
    )


def position_in_cells(pixels: NDArray[np.float64], scale: float, pad_px: int) -> NDArray[np.float64]:
    """Give where pixel centres lie among the centres of cells, of which cell 0 spans the network's pixels 0 to 4."""
    return ((pixels + 0.5) * scale + pad_px) / CELL_PX - 0.5


def bilinear(plane: NDArray[np.float64], y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Interpolate at rows y and columns x; beyond the outer cells their values hold."""
    y, x = np.clip(y, 0, plane.shape[0] - 1), np.clip(x, 0, plane.shape[1] - 1)
    top, left = np.floor(y).astype(int), np.floor(x).astype(int)
    bottom, right = np.minimum(top + 1, plane.shape[0] - 1), np.minimum(left + 1, plane.shape[1] - 1)
    down, across = (y - top)[:, np.newaxis], (x - left)[np.newaxis]
    upper = plane[np.ix_(top, left)] * (1 - across) + plane[np.ix_(top, right)] * across
    lower = plane[np.ix_(bottom, left)] * (1 - across) + plane[np.ix_(bottom, right)] * across
    return upper * (1 - down) + lower * down


def reference_logits(
    plane: NDArray[np.float32],
    box: NDArray[np.float32],
    letterbox: Letterbox,
    shift_xy_px: tuple[float, float] = (0, 0),
) -> NDArray[np.float64]:
    """Give float64 logits of the pixels whose centre lies in the box, looked up `shift_xy_px` away."""
    left, top, right, bottom = np.floor(box.astype(np.float64) + 0.5).astype(int)
    (scale_x, scale_y), (pad_x, pad_y) = letterbox.scale_xy, letterbox.pad_xy
    x = position_in_cells(np.arange(left, right) + shift_xy_px[0], scale_x, pad_x)
    y = position_in_cells(np.arange(top, bottom) + shift_xy_px[1], scale_y, pad_y)
    return bilinear(plane.astype(np.float64), y, x)


def smooth_logits(rng: np.random.Generator, count: int, network_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Give logits (count, rows, columns) that change from cell to cell as a network's do."""
    rows, columns = (size // CELL_PX for size in network_hw)
    noise = rng.normal(size=(count, rows + 4, columns + 4))
    smooth = sum(noise[:, y : y + rows, x : x + columns] for y in range(5) for x in range(5))
    return smooth.astype(np.float32)


def random_ramps(rng: np.random.Generator, count: int, network_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Give logits (count, rows, columns) that rise evenly: around a pixel they are extreme in the corners."""
    rows, columns = (size // CELL_PX for size in network_hw)
    y, x = np.mgrid[:rows, :columns] + 0.5
    slope_y, slope_x = rng.normal(size=(2, count, 1, 1))
    through_y, through_x = rng.uniform(0.3, 0.7, (2, count, 1, 1))
    return (slope_y * (y - through_y * rows) + slope_x * (x - through_x * columns)).astype(np.float32)


def random_boxes(rng: np.random.Generator, count: int, image_hw: tuple[int, int]) -> NDArray[np.float32]:
    """Give boxes inside the image, the first of which is all of it and the others touch its edges now and then."""
    corners = rng.uniform(-0.2, 1.2, (count, 2, 2)).clip(0, 1) * image_hw[::-1]
    boxes = np.hstack([corners.min(axis=1), corners.max(axis=1)])
    boxes[0] = (0, 0, image_hw[1], image_hw[0])
    return boxes.astype(np.float32)


@pytest.mark.parametrize(
    ("image_hw", "network_hw", "mode"),
    [
        pytest.param((480, 640), (256, 256), "letterbox", id="640x480"),
        pytest.param((640, 480), (256, 256), "letterbox", id="480x640"),
        pytest.param((240, 320), (256, 256), "letterbox", id="320x240"),
        pytest.param((64, 64), (64, 64), "letterbox", id="same-size"),
        pytest.param((256, 256), (64, 64), "letterbox", id="quarter"),
        pytest.param((128, 320), (64, 64), "stretch", id="stretch"),
    ],
)
def test_equal_to_the_reference_where_cells_are_whole_pixels(image_hw, network_hw, mode, rng):
    letterbox = Letterbox.fit(image_hw, network_hw, mode)
    logits = smooth_logits(rng, 40, network_hw)
    boxes = random_boxes(rng, 40, image_hw)
    for plane, box, mask in zip(logits, boxes, box_masks(logits, boxes, letterbox), strict=True):
        if not mask.bitmap.size:
            continue
        expected = reference_logits(plane, box, letterbox)
        # Where float32 cannot tell the sign, either answer is right.
        decided = np.abs(expected) > 1e-4
        np.testing.assert_array_equal(mask.bitmap[decided], expected[decided] > 0)


@pytest.mark.parametrize(
    ("image_hw", "network_hw"),
    [
        pytest.param((427, 640), (256, 256), id="640x427"),
        pytest.param((375, 500), (320, 320), id="500x375"),
        pytest.param((1080, 1920), (256, 256), id="1920x1080"),
        pytest.param((333, 217), (96, 160), id="217x333"),
        pytest.param((31, 33), (256, 256), id="33x31"),
        pytest.param((3, 4000), (256, 256), id="4000x3"),
        pytest.param((4000, 3), (256, 256), id="3x4000"),
        pytest.param((1, 1), (256, 256), id="1x1"),
        pytest.param((1, 9), (64, 64), id="9x1"),
        pytest.param((2, 3), (320, 320), id="3x2"),
    ],
)
@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
def test_within_half_a_pixel_of_the_reference(image_hw, network_hw, mode, rng):
    letterbox = Letterbox.fit(image_hw, network_hw, mode)
    logits = random_ramps(rng, 40, network_hw)
    boxes = random_boxes(rng, 40, image_hw)
    corners = [(x, y) for x in (-HALF_PX, HALF_PX) for y in (-HALF_PX, HALF_PX)]
    for plane, box, mask in zip(logits, boxes, box_masks(logits, boxes, letterbox), strict=True):
        if mask.bitmap.size:
            around = np.array([reference_logits(plane, box, letterbox, corner) for corner in corners])
            assert mask.bitmap[around.min(axis=0) > 0].all()
            assert not mask.bitmap[around.max(axis=0) < 0].any()


@pytest.mark.parametrize("image_hw", [(427, 640), (375, 500), (720, 1280)], ids=["640x427", "500x375", "1280x720"])
def test_overlap_with_the_reference(image_hw, rng):
    letterbox = Letterbox.fit(image_hw, (256, 256))
    logits = smooth_logits(rng, 8, (256, 256))
    boxes = np.tile(np.array([0, 0, image_hw[1], image_hw[0]], np.float32), (8, 1))
    for plane, box, mask in zip(logits, boxes, box_masks(logits, boxes, letterbox), strict=True):
        expected = reference_logits(plane, box, letterbox) > 0
        assert (mask.bitmap & expected).sum() / (mask.bitmap | expected).sum() > 0.98


@pytest.mark.parametrize(
    ("box", "origin_xy", "shape"),
    [
        pytest.param([10, 20, 30, 50], (10, 20), (30, 20), id="whole-pixels"),
        pytest.param([10.4, 20.4, 30.4, 50.4], (10, 20), (30, 20), id="rounded-down"),
        pytest.param([10.6, 20.6, 30.6, 50.6], (11, 21), (30, 20), id="rounded-up"),
        pytest.param([0, 0, 640, 480], (0, 0), (480, 640), id="all"),
        pytest.param([639, 479, 640, 480], (639, 479), (1, 1), id="last-pixel"),
        pytest.param([0, 0, 1, 1], (0, 0), (1, 1), id="first-pixel"),
        pytest.param([10.2, 20, 10.4, 50], (10, 20), (0, 0), id="thinner-than-a-pixel"),
        pytest.param([10.4, 20, 10.6, 50], (10, 20), (30, 1), id="thin-around-a-centre"),
        pytest.param([640, 480, 640, 480], (640, 480), (0, 0), id="clipped-away-right"),
        pytest.param([0, 0, 0, 100], (0, 0), (0, 0), id="clipped-away-left"),
        pytest.param([50, 50, 10, 10], (50, 50), (0, 0), id="inside-out"),
    ],
)
def test_a_mask_ends_at_its_box(box, origin_xy, shape):
    letterbox = Letterbox.fit((480, 640), (256, 256))
    boxes = np.array([box], np.float32)
    (mask,) = box_masks(np.ones((1, 64, 64), np.float32), boxes, letterbox)
    assert (mask.origin_xy, mask.bitmap.shape, mask.bitmap.dtype) == (origin_xy, shape, np.bool_)
    assert mask.bitmap.all()
    # Such a mask is a valid part of a result.
    Instances((480, 640), boxes, np.ones(1, np.float32), np.zeros(1, np.int64), (mask,))


@pytest.mark.parametrize("image_hw", [(480, 640), (427, 639), (1, 1), (3, 4000), (4000, 3), (97, 1001)], ids=str)
@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
def test_any_box_gets_a_mask_of_its_size(image_hw, mode, rng):
    letterbox = Letterbox.fit(image_hw, (96, 160), mode)
    boxes = random_boxes(rng, 200, image_hw)
    masks = box_masks(np.ones((200, 24, 40), np.float32), boxes, letterbox)
    left, top, right, bottom = np.floor(boxes.astype(np.float64) + 0.5).astype(int).T
    for index, mask in enumerate(masks):
        shape = (bottom[index] - top[index], right[index] - left[index])
        assert mask.bitmap.shape == (shape if min(shape) > 0 else (0, 0))
        assert mask.bitmap.all()
    Instances(image_hw, boxes, np.ones(200, np.float32), np.zeros(200, np.int64), masks)


def test_half_an_image_by_hand():
    # Of 16 columns of cells the first 8 are inside; the sign changes in the middle between cells 7 and 8.
    logits = np.ones((1, 16, 16), np.float32)
    logits[:, :, 8:] = -1
    letterbox = Letterbox.fit((128, 128), (64, 64))
    (mask,) = box_masks(logits, np.array([[0, 0, 128, 128]], np.float32), letterbox)
    assert mask.bitmap[:, :64].all()
    assert not mask.bitmap[:, 64:].any()


def test_no_boxes():
    letterbox = Letterbox.fit((48, 64), (64, 64))
    assert box_masks(np.empty((0, 16, 16), np.float32), np.empty((0, 4), np.float32), letterbox) == ()


def test_logits_that_are_no_numbers_are_outside():
    letterbox = Letterbox.fit((64, 64), (64, 64))
    logits = np.full((1, 16, 16), np.nan, np.float32)
    (mask,) = box_masks(logits, np.array([[0, 0, 64, 64]], np.float32), letterbox)
    assert not mask.bitmap.any()


@pytest.mark.parametrize(
    "image_hw", [(480, 640), (427, 640), (1080, 1920), (240, 320), (40, 60), (9, 7), (1, 1), (3, 4000)], ids=str
)
@pytest.mark.parametrize("mode", ["letterbox", "stretch"])
def test_a_box_s_mask_needs_no_more_than_the_halo(image_hw, mode, rng):
    letterbox = Letterbox.fit(image_hw, (256, 256), mode)
    planes, boxes = smooth_logits(rng, 60, (256, 256)), random_boxes(rng, 60, image_hw)
    halo = halo_cells(letterbox)
    for plane, box, whole in zip(planes, boxes, box_masks(planes, boxes, letterbox), strict=True):
        left, top, right, bottom = letterbox.boxes_to_network(box[np.newaxis])[0] / CELL_PX
        x, y = max(0, int(np.floor(left)) - halo), max(0, int(np.floor(top)) - halo)
        cells = plane[y : int(np.ceil(bottom)) + halo, x : int(np.ceil(right)) + halo]
        mask = box_mask(MaskLogits(cells, x, y), box.tolist(), letterbox)
        assert mask.origin_xy == whole.origin_xy
        np.testing.assert_array_equal(mask.bitmap, whole.bitmap)


def test_logits_by_hand():
    prototypes = np.array([[[1, 2], [3, 4]]], np.float32)
    coefficients = np.array([[1, -1], [0.5, 2]], np.float32)
    maker = MaskMaker(prototypes, FLOAT32, coefficients)
    logits = [maker.logits(row, (0, 0, 2, 1)) for row in range(2)]
    assert [mask.cells.tolist() for mask in logits] == [[[-1, -1]], [[4.5, 9.5]]]
    assert logits[0].cells.dtype == np.float32


@pytest.mark.parametrize("quant", [INT8, UINT8, PUBLISHED, FLOAT32], ids=["int8", "uint8", "published", "float32"])
@pytest.mark.parametrize("count", [1, 7, 32])
def test_logits_are_real_ones(quant, count, rng):
    prototypes = quant.quantize(rng.normal(size=(16, 24, count)))
    coefficients = rng.normal(size=(9, count)).astype(np.float32)
    real = np.einsum("nc,yxc->nyx", coefficients.astype(np.float64), quant.dequantize(prototypes).astype(np.float64))
    maker = MaskMaker(prototypes, quant, coefficients)
    for row in range(9):
        np.testing.assert_allclose(maker.logits(row, (0, 0, 24, 16)).cells, real[row], atol=1e-3)


@pytest.mark.parametrize(
    ("window", "halo", "origin_xy", "shape"),
    [
        pytest.param((3, 4, 10, 6), 0, (3, 4), (2, 7), id="alone"),
        pytest.param((3, 4, 10, 6), 2, (1, 2), (6, 11), id="with-a-halo"),
        pytest.param((1, 0, 24, 16), 2, (0, 0), (16, 24), id="as-far-as-there-are-cells"),
    ],
)
def test_logits_of_a_window(window, halo, origin_xy, shape, rng):
    maker = MaskMaker(rng.normal(size=(16, 24, 8)).astype(np.float32), FLOAT32, np.ones((1, 8), np.float32), halo)
    whole, mask = maker.logits(0, (0, 0, 24, 16)), maker.logits(0, window)
    assert ((mask.first_column, mask.first_row), mask.cells.shape) == (origin_xy, shape)
    np.testing.assert_allclose(mask.within(window), whole.within(window), rtol=1e-5)
