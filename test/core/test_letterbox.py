"""Test the map between image and network, and the network input it fills."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.image import ColorImage, ColorOrder
from yolov8_seg_ros.core.letterbox import BORDER_GREY, Letterbox, NetworkInput, stored_pixels
from yolov8_seg_ros.core.quantization import QuantParams

#: As the published models store it: 1/255 in float32.
INT8_INPUT = QuantParams(np.dtype("int8"), 0.003921568859368563, -128)
UINT8_INPUT = QuantParams(np.dtype("uint8"), 0.003921568859368563, 0)
FLOAT_INPUT = QuantParams(np.dtype("float32"))
SIZES_HW = [
    (480, 640),
    (640, 480),
    (256, 256),
    (1, 1),
    (1, 7),
    (3, 4000),
    (4000, 3),
    (427, 639),
    (33, 31),
    (1080, 1920),
]
each_size = pytest.mark.parametrize("image_hw", SIZES_HW, ids=lambda hw: f"{hw[1]}x{hw[0]}")
each_fit = pytest.mark.parametrize("mode", ["letterbox", "stretch"])


def rgb_image(rng: np.random.Generator, hw: tuple[int, int]) -> ColorImage:
    return ColorImage(rng.integers(0, 256, (*hw, 3), np.uint8), ColorOrder.RGB)


def filled(network_input: NetworkInput, image: ColorImage, network_hw: tuple[int, int], mode: str = "letterbox"):
    return network_input.fill(image, Letterbox.fit(image.hw, network_hw, mode))


@pytest.mark.parametrize(
    ("image_hw", "network_hw", "mode", "resized_hw", "pad_xy"),
    [
        pytest.param((480, 640), (256, 256), "letterbox", (192, 256), (0, 32), id="landscape"),
        pytest.param((640, 480), (256, 256), "letterbox", (256, 192), (32, 0), id="portrait"),
        pytest.param((480, 640), (192, 320), "letterbox", (192, 256), (32, 0), id="wide-network"),
        pytest.param((427, 640), (256, 256), "letterbox", (171, 256), (0, 42), id="odd-border-grows-below"),
        pytest.param((64, 64), (256, 256), "letterbox", (256, 256), (0, 0), id="enlarged"),
        pytest.param((3, 4000), (256, 256), "letterbox", (1, 256), (0, 127), id="never-without-a-row"),
        pytest.param((4000, 3), (256, 256), "letterbox", (256, 1), (127, 0), id="never-without-a-column"),
        pytest.param((480, 640), (256, 256), "stretch", (256, 256), (0, 0), id="stretch"),
    ],
)
def test_fit_by_hand(image_hw, network_hw, mode, resized_hw, pad_xy):
    letterbox = Letterbox.fit(image_hw, network_hw, mode)
    assert (letterbox.resized_hw, letterbox.pad_xy) == (resized_hw, pad_xy)


@pytest.mark.parametrize(
    ("image_hw", "mode", "message"),
    [
        pytest.param((0, 5), "letterbox", "the image is empty: 5x0 pixels", id="no-rows"),
        pytest.param((5, 0), "stretch", "the image is empty: 0x5 pixels", id="no-columns"),
        pytest.param((5, 5), "crop", "expected one of letterbox, stretch, got 'crop'", id="mode"),
    ],
)
def test_refused_fit(image_hw, mode, message):
    with pytest.raises(ValueError, match=message):
        Letterbox.fit(image_hw, (256, 256), mode)


def test_boxes_by_hand():
    letterbox = Letterbox.fit((480, 640), (256, 256))
    network = np.array([[0, 32, 256, 224], [64, 128, 128, 160]], np.float32)
    image = np.array([[0, 0, 640, 480], [160, 240, 320, 320]], np.float32)
    np.testing.assert_allclose([letterbox.box_to_image(box) for box in network.tolist()], image)
    np.testing.assert_allclose(letterbox.boxes_to_network(image), network)


def test_boxes_are_clipped_to_the_image():
    letterbox = Letterbox.fit((480, 640), (256, 256))
    assert letterbox.box_to_image([-50, 0, 300, 256]) == (0, 0, 640, 480)
    assert letterbox.box_to_image([10, 1, 20, 9]) == (25, 0, 50, 0)


@each_size
@each_fit
@pytest.mark.parametrize("network_hw", [(256, 256), (320, 320), (96, 160)], ids=["256", "320", "160x96"])
def test_a_box_comes_back(image_hw, mode, network_hw, rng):
    letterbox = Letterbox.fit(image_hw, network_hw, mode)
    corners = rng.uniform(0, 1, (50, 2, 2)) * image_hw[::-1]
    boxes = np.hstack([corners.min(axis=1), corners.max(axis=1)]).astype(np.float32)
    back = [letterbox.box_to_image(box) for box in letterbox.boxes_to_network(boxes).tolist()]
    np.testing.assert_allclose(back, boxes, atol=0.01)


@each_size
@each_fit
def test_the_image_lies_inside_the_network_input(image_hw, mode):
    letterbox = Letterbox.fit(image_hw, (256, 320), mode)
    whole = np.array([[0, 0, image_hw[1], image_hw[0]]], np.float32)
    rows, columns = letterbox.interior
    np.testing.assert_allclose(
        letterbox.boxes_to_network(whole), [[columns.start, rows.start, columns.stop, rows.stop]], atol=1e-3
    )
    assert 0 <= rows.start < rows.stop <= 256
    assert 0 <= columns.start < columns.stop <= 320


@each_size
@each_fit
@pytest.mark.parametrize("interpolation", ["linear", "area"])
@pytest.mark.parametrize("quant", [INT8_INPUT, UINT8_INPUT, FLOAT_INPUT], ids=["int8", "uint8", "float32"])
def test_any_image_fills_any_input(image_hw, mode, interpolation, quant, rng):
    network_input = NetworkInput((64, 96), quant, interpolation)
    image = rgb_image(rng, image_hw)
    tensor = filled(network_input, image, (64, 96), mode)
    assert (tensor.shape, tensor.dtype) == ((1, 64, 96, 3), quant.dtype)
    pixels = quant.dequantize(tensor[0]) * 255
    letterbox = Letterbox.fit(image_hw, (64, 96), mode)
    border = np.ones((64, 96), np.bool_)
    border[letterbox.interior] = False
    np.testing.assert_allclose(pixels[border], BORDER_GREY, atol=1e-3)
    low, high = image.pixels.min() - 0.01, image.pixels.max() + 0.01
    assert ((pixels[letterbox.interior] >= low) & (pixels[letterbox.interior] <= high)).all()


@pytest.mark.parametrize("interpolation", ["linear", "area"])
@pytest.mark.parametrize("image_hw", [(48, 64), (100, 31), (7, 200)], ids=["exact", "narrow", "flat"])
def test_every_colour_order_gives_the_same_input(image_hw, interpolation, rng):
    red, green, blue, alpha = rng.integers(0, 256, (4, *image_hw), np.uint8)
    images = [
        ColorImage(np.dstack([red, green, blue]), ColorOrder.RGB),
        ColorImage(np.dstack([blue, green, red]), ColorOrder.BGR),
        ColorImage(np.dstack([blue, green, red, alpha]), ColorOrder.BGRA),
        ColorImage(np.dstack([red, green, blue, alpha]), ColorOrder.RGBA),
    ]
    tensors = [filled(NetworkInput((64, 64), INT8_INPUT, interpolation), image, (64, 64)) for image in images]
    for tensor in tensors[1:]:
        np.testing.assert_array_equal(tensor, tensors[0])


def test_gray_equals_a_colour_image_of_equal_channels(rng):
    gray = rng.integers(0, 256, (48, 80), np.uint8)
    tensors = [
        filled(NetworkInput((64, 64), INT8_INPUT), image, (64, 64)).copy()
        for image in (ColorImage(gray, ColorOrder.GRAY), ColorImage(np.dstack([gray] * 3)))
    ]
    np.testing.assert_array_equal(*tensors)


def test_int8_input_is_the_pixel_minus_128(rng):
    image = rgb_image(rng, (64, 64))
    tensor = filled(NetworkInput((64, 64), INT8_INPUT), image, (64, 64))
    np.testing.assert_array_equal(tensor[0], image.pixels.astype(np.int16) - 128)


def test_uint8_input_is_the_pixel(rng):
    image = rgb_image(rng, (64, 64))
    np.testing.assert_array_equal(filled(NetworkInput((64, 64), UINT8_INPUT), image, (64, 64))[0], image.pixels)


def test_float_input_is_the_pixel_over_255(rng):
    image = rgb_image(rng, (64, 64))
    tensor = filled(NetworkInput((64, 64), FLOAT_INPUT), image, (64, 64))
    np.testing.assert_array_equal(tensor[0], image.pixels.astype(np.float32) / 255)


def test_other_scales_go_through_a_table(rng):
    quant = QuantParams(np.dtype("int8"), 0.01, -40)
    image = rgb_image(rng, (64, 64))
    tensor = filled(NetworkInput((64, 64), quant), image, (64, 64))
    np.testing.assert_array_equal(tensor[0], np.rint(image.pixels / 255 / 0.01) - 40)


def test_the_border_is_grey_again_after_another_image_size(rng):
    network_input = NetworkInput((64, 64), INT8_INPUT)
    for image_hw in ((64, 64), (32, 64), (64, 32), (64, 64), (20, 60)):
        image = rgb_image(rng, image_hw)
        again = filled(network_input, image, (64, 64))
        np.testing.assert_array_equal(again, filled(NetworkInput((64, 64), INT8_INPUT), image, (64, 64)))


def test_lanes_do_not_disturb_one_another(rng):
    network_input = NetworkInput((64, 64), INT8_INPUT, lanes=2)
    images = [rgb_image(rng, (40, 64)), rgb_image(rng, (64, 30))]
    fitted = [Letterbox.fit(image.hw, (64, 64)) for image in images]
    tensors = [network_input.fill(images[lane], fitted[lane], lane) for lane in (0, 1)]
    for tensor, image in zip(tensors, images, strict=True):
        np.testing.assert_array_equal(tensor, filled(NetworkInput((64, 64), INT8_INPUT), image, (64, 64)))


def test_a_reused_input_shows_the_new_image_alone(rng):
    network_input = NetworkInput((64, 64), INT8_INPUT)
    filled(network_input, rgb_image(rng, (40, 64)), (64, 64))
    image = rgb_image(rng, (40, 64))
    again = filled(network_input, image, (64, 64))
    np.testing.assert_array_equal(again, filled(NetworkInput((64, 64), INT8_INPUT), image, (64, 64)))


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda pixels: pixels[:, 8:72], id="padded-rows"),
        pytest.param(lambda pixels: pixels[::-1], id="upside-down"),
        pytest.param(lambda pixels: pixels[:, ::2], id="every-second-column"),
    ],
)
@pytest.mark.parametrize("order", [ColorOrder.RGB, ColorOrder.BGR], ids=["rgb", "bgr"])
def test_views_of_pixels_serve(view, order, rng):
    pixels = view(rng.integers(0, 256, (48, 80, 3), np.uint8))
    tensors = [
        filled(NetworkInput((64, 64), INT8_INPUT), ColorImage(given, order), (64, 64)).copy()
        for given in (pixels, np.ascontiguousarray(pixels))
    ]
    np.testing.assert_array_equal(*tensors)


def test_linear_resize_by_hand():
    # Halved exactly, each new pixel lies between four old ones.
    image = np.zeros((64, 64), np.uint8)
    image[0:2, 0:2] = [[0, 40], [80, 120]]
    tensor = filled(NetworkInput((32, 32), UINT8_INPUT, "linear"), ColorImage(image, ColorOrder.GRAY), (32, 32))
    assert tensor[0, 0, 0].tolist() == [60, 60, 60]
    assert not tensor[0, 1:, 1:].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"interpolation": "cubic"}, "expected one of linear, area, got 'cubic'", id="interpolation"),
        pytest.param({"pixel_rounding": "up"}, "expected one of nearest, toward_zero, got 'up'", id="rounding"),
    ],
)
def test_refused_input_options(options, message):
    with pytest.raises(ValueError, match=message):
        NetworkInput((64, 64), INT8_INPUT, **options)


@pytest.mark.parametrize("quant", [INT8_INPUT, QuantParams(np.dtype("int8"), 0.0041, -120), UINT8_INPUT])
def test_toward_zero_is_the_arithmetic_of_ultralytics(quant):
    batch = np.arange(256, dtype=np.uint8).astype(np.float32)
    batch /= 255
    expected = (batch / quant.scale + quant.zero_point).astype(quant.dtype)
    np.testing.assert_array_equal(stored_pixels(quant, "toward_zero"), expected)


def test_toward_zero_is_nearest_or_one_step_below():
    difference = stored_pixels(INT8_INPUT, "nearest").astype(int) - stored_pixels(INT8_INPUT, "toward_zero")
    assert set(np.unique(difference)) == {0, 1}


def test_rounding_means_nothing_to_a_float_input():
    np.testing.assert_array_equal(stored_pixels(FLOAT_INPUT, "toward_zero"), stored_pixels(FLOAT_INPUT, "nearest"))
