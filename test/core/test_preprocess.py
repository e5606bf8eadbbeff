"""Test how an image gets into the network's input: size, colours, border, quantization."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.image import ColorImage, ColorOrder, PixelBuffer, write_rgb
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.preprocess import BORDER_GREY, AreaResizer, Preprocessor, quantized_pixels
from yolov8_seg_ros.core.quantization import QuantParams

#: As the published models have it: 1/255 in float32.
INT8_INPUT = QuantParams(np.dtype("int8"), 0.003921568859368563, -128)
UINT8_INPUT = QuantParams(np.dtype("uint8"), 0.003921568859368563, 0)
FLOAT_INPUT = QuantParams(np.dtype("float32"))


def rgb_image(rng: np.random.Generator, hw: tuple[int, int]) -> ColorImage:
    return ColorImage(rng.integers(0, 256, (*hw, 3), np.uint8), ColorOrder.RGB)


def written(
    image: ColorImage,
    network_hw: tuple[int, int] = (64, 64),
    quant: QuantParams = INT8_INPUT,
    mode: str = "letterbox",
    interpolation: str = "area",
) -> np.ndarray:
    """Return a new input tensor with an image."""
    preprocessor = Preprocessor(network_hw, quant, interpolation)
    tensor = preprocessor.new_tensor()
    preprocessor.write(image, Letterbox.fit(image.hw, network_hw, mode), tensor)
    return tensor


#: Image, fit, interpolation and quantization of the input.
INPUTS = [
    pytest.param((480, 640), "letterbox", "area", INT8_INPUT, id="landscape"),
    pytest.param((640, 480), "letterbox", "linear", UINT8_INPUT, id="portrait"),
    pytest.param((64, 96), "letterbox", "area", FLOAT_INPUT, id="same-size"),
    pytest.param((1, 1), "letterbox", "linear", INT8_INPUT, id="a-pixel"),
    pytest.param((1, 7), "stretch", "area", UINT8_INPUT, id="a-row"),
    pytest.param((3, 4000), "letterbox", "area", INT8_INPUT, id="flat"),
    pytest.param((4000, 3), "letterbox", "area", FLOAT_INPUT, id="narrow"),
    pytest.param((4000, 3), "stretch", "linear", INT8_INPUT, id="narrow-stretched"),
    pytest.param((427, 639), "letterbox", "linear", FLOAT_INPUT, id="odd"),
    pytest.param((33, 31), "letterbox", "area", UINT8_INPUT, id="enlarged"),
    pytest.param((1080, 1920), "stretch", "area", INT8_INPUT, id="large"),
]


@pytest.mark.parametrize(("image_hw", "mode", "interpolation", "quant"), INPUTS)
def test_any_image_fills_any_input(image_hw, mode, interpolation, quant, rng):
    image = rgb_image(rng, image_hw)
    tensor = written(image, (64, 96), quant, mode, interpolation)
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
    tensors = [written(image, interpolation=interpolation) for image in images]
    for tensor in tensors[1:]:
        np.testing.assert_array_equal(tensor, tensors[0])


def test_gray_equals_a_colour_image_of_equal_channels(rng):
    gray = rng.integers(0, 256, (48, 80), np.uint8)
    tensors = [written(image) for image in (ColorImage(gray, ColorOrder.GRAY), ColorImage(np.dstack([gray] * 3)))]
    np.testing.assert_array_equal(*tensors)


def test_int8_input_is_the_pixel_minus_128(rng):
    image = rgb_image(rng, (64, 64))
    tensor = written(image)
    np.testing.assert_array_equal(tensor[0], image.pixels.astype(np.int16) - 128)


def test_uint8_input_is_the_pixel(rng):
    image = rgb_image(rng, (64, 64))
    np.testing.assert_array_equal(written(image, quant=UINT8_INPUT)[0], image.pixels)


def test_float_input_is_the_pixel_over_255(rng):
    image = rgb_image(rng, (64, 64))
    tensor = written(image, quant=FLOAT_INPUT)
    np.testing.assert_array_equal(tensor[0], image.pixels.astype(np.float32) / 255)


def test_other_scales_go_through_a_table(rng):
    quant = QuantParams(np.dtype("int8"), 0.01, -40)
    image = rgb_image(rng, (64, 64))
    tensor = written(image, quant=quant)
    np.testing.assert_array_equal(tensor[0], np.rint(image.pixels / 255 / 0.01) - 40)


@pytest.mark.parametrize("interpolation", ["linear", "area"])
def test_a_tensor_is_used_again(interpolation, rng):
    """After another size the border is written anew; within a size the interior alone."""
    preprocessor = Preprocessor((64, 64), INT8_INPUT, interpolation)
    tensor, last_hw = preprocessor.new_tensor(), None
    for image_hw in ((64, 64), (32, 64), (32, 64), (64, 32), (64, 64), (20, 60)):
        image = rgb_image(rng, image_hw)
        if image_hw != last_hw:
            preprocessor.write_border(tensor)
        preprocessor.write(image, Letterbox.fit(image_hw, (64, 64)), tensor)
        np.testing.assert_array_equal(tensor, written(image, interpolation=interpolation))
        last_hw = image_hw


def test_tensors_do_not_disturb_one_another(rng):
    preprocessor = Preprocessor((64, 64), INT8_INPUT)
    images = [rgb_image(rng, (40, 64)), rgb_image(rng, (64, 30))]
    tensors = [preprocessor.new_tensor() for _ in images]
    for image, tensor in zip(images, tensors, strict=True):
        preprocessor.write(image, Letterbox.fit(image.hw, (64, 64)), tensor)
    for image, tensor in zip(images, tensors, strict=True):
        np.testing.assert_array_equal(tensor, written(image))


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
    tensors = [written(ColorImage(given, order)) for given in (pixels, np.ascontiguousarray(pixels))]
    np.testing.assert_array_equal(*tensors)


def test_linear_resize_by_hand():
    # Halved exactly, each new pixel lies between four old ones.
    image = np.zeros((64, 64), np.uint8)
    image[0:2, 0:2] = [[0, 40], [80, 120]]
    tensor = written(ColorImage(image, ColorOrder.GRAY), (32, 32), UINT8_INPUT, interpolation="linear")
    assert tensor[0, 0, 0].tolist() == [60, 60, 60]
    assert not tensor[0, 1:, 1:].any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"interpolation": "cubic"}, "expected one of area, linear, got 'cubic'", id="interpolation"),
        pytest.param({"pixel_rounding": "up"}, "expected one of nearest, toward_zero, got 'up'", id="rounding"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        Preprocessor((64, 64), INT8_INPUT, **options)


@pytest.mark.parametrize(
    "quant",
    [INT8_INPUT, QuantParams(np.dtype("int8"), 0.0041, -120), UINT8_INPUT],
    ids=["int8", "other-scale", "uint8"],
)
def test_toward_zero_is_the_arithmetic_of_ultralytics(quant):
    batch = np.arange(256, dtype=np.uint8).astype(np.float32)
    batch /= 255
    expected = (batch / quant.scale + quant.zero_point).astype(quant.dtype)
    np.testing.assert_array_equal(quantized_pixels(quant, "toward_zero"), expected)


def test_toward_zero_is_nearest_or_one_step_below():
    difference = quantized_pixels(INT8_INPUT, "nearest").astype(int) - quantized_pixels(INT8_INPUT, "toward_zero")
    assert set(np.unique(difference)) == {0, 1}


def test_rounding_means_nothing_to_a_float_input():
    np.testing.assert_array_equal(
        quantized_pixels(FLOAT_INPUT, "toward_zero"), quantized_pixels(FLOAT_INPUT, "nearest")
    )


@pytest.mark.parametrize("interpolation", ["linear", "area"])
@pytest.mark.parametrize(
    "image_hw",
    [
        pytest.param((48, 64), id="same-size"),
        pytest.param((31, 40), id="enlarged"),
        pytest.param((100, 98), id="three-pixels-now-and-then"),
        pytest.param((96, 160), id="halved-once"),
        pytest.param((97, 158), id="halved-once-odd"),
        pytest.param((190, 238), id="halved-and-then-nearly-halved"),
        pytest.param((300, 398), id="halved-twice"),
        pytest.param((3, 4000), id="flat"),
        pytest.param((4000, 2), id="narrow"),
    ],
)
@pytest.mark.parametrize("order", [order for order in ColorOrder if order.is_yuv], ids=lambda order: order.value)
def test_yuv_gives_the_input_of_the_converted_image(order, image_hw, interpolation, rng):
    # Of colours none of which is brighter or stronger than RGB can show.
    height, width = image_hw
    shape = ((height + height % 2) * 3 // 2, width) if order.is_planar else (height, width, 2)
    image = ColorImage(rng.integers(110, 146, shape, np.uint8), order)
    converted = image.in_rgb(PixelBuffer())
    expected, found = (
        written(given, (48, 64), UINT8_INPUT, interpolation=interpolation) for given in (converted, image)
    )
    difference = found.astype(int) - expected
    # An image that is halved is rounded less often than one that was converted before, of which each halving adds an
    # eighth on average, as halves are rounded up.
    assert np.abs(difference).max() <= 2
    assert np.abs(difference.mean((0, 1, 2))).max() < 0.3


@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda pixels: pixels[:, 8:72], id="padded-rows"),
        pytest.param(lambda pixels: pixels[::-1], id="upside-down"),
        pytest.param(lambda pixels: pixels[..., ::-1], id="other-order"),
    ],
)
@pytest.mark.parametrize("network_hw", [(24, 32), (8, 16), (64, 96)], ids=["halved", "halved-twice", "converted"])
def test_views_of_yuv_serve(view, network_hw, rng):
    pixels = view(rng.integers(0, 256, (48, 80, 2), np.uint8))
    images = [ColorImage(given, ColorOrder.YUYV) for given in (pixels, np.ascontiguousarray(pixels))]
    np.testing.assert_array_equal(*(written(image, network_hw) for image in images))


@pytest.mark.parametrize("order", [order for order in ColorOrder if order.is_planar], ids=lambda order: order.value)
@pytest.mark.parametrize("network_hw", [(24, 32), (8, 16), (64, 96)], ids=["halved", "halved-twice", "converted"])
def test_planes_in_padded_rows_serve(order, network_hw, rng):
    # With an odd number of rows of colours: in I420 v begins in the middle of a row.
    pixels = rng.integers(0, 256, (75, 80), np.uint8)[:, 8:72]
    images = [ColorImage(given, order) for given in (pixels, np.ascontiguousarray(pixels))]
    np.testing.assert_array_equal(*(written(image, network_hw) for image in images))


# --------------------------------------------------------------------------------------------------- area interpolation


def smooth_image(rng: np.random.Generator, hw: tuple[int, int], *channels: int):
    """Return an image whose structures are some 20 pixels large, as those of a photo mostly are."""
    coarse = rng.integers(0, 256, (hw[0] // 20 + 2, hw[1] // 20 + 2, *channels), np.uint8)
    return cv2.resize(coarse, hw[::-1], interpolation=cv2.INTER_LINEAR)


def resized(image: ColorImage, size_wh: tuple[int, int], resizer: AreaResizer | None = None) -> np.ndarray:
    """Return an image in another size, RGB."""
    target = np.empty((size_wh[1], size_wh[0], 3), np.uint8)
    (resizer or AreaResizer()).resize(image, target)
    return target


#: Image, size that is wanted, and order of colours.
AREAS = [
    pytest.param((480, 640), (256, 192), ColorOrder.RGB, id="halved-once"),
    pytest.param((480, 640), (256, 192), ColorOrder.GRAY, id="halved-once-gray"),
    pytest.param((480, 640), (320, 240), ColorOrder.RGBA, id="exactly-half"),
    pytest.param((720, 1280), (256, 144), ColorOrder.BGR, id="halved-twice"),
    pytest.param((1080, 1920), (256, 144), ColorOrder.RGB, id="more-than-two-pixels-each"),
    pytest.param((427, 640), (256, 171), ColorOrder.BGRA, id="three-pixels-now-and-then"),
    pytest.param((240, 320), (256, 192), ColorOrder.RGBA, id="two-pixels-each"),
    pytest.param((192, 256), (256, 192), ColorOrder.BGR, id="same-size"),
    pytest.param((30, 40), (256, 192), ColorOrder.GRAY, id="enlarged"),
    pytest.param((481, 643), (256, 192), ColorOrder.BGR, id="odd"),
    pytest.param((2000, 300), (256, 100), ColorOrder.GRAY, id="narrow"),
    pytest.param((2000, 256), (256, 100), ColorOrder.RGB, id="one-side-only"),
]


def image_of(pixels: np.ndarray, order: ColorOrder) -> ColorImage:
    return ColorImage(pixels.reshape(pixels.shape[:2]) if order is ColorOrder.GRAY else pixels, order)


@pytest.mark.parametrize(("hw", "wanted_wh", "order"), AREAS)
def test_like_opencv(hw, wanted_wh, order, rng):
    image = image_of(smooth_image(rng, hw, order.channels), order)
    expected = np.empty((wanted_wh[1], wanted_wh[0], 3), np.uint8)
    write_rgb(cv2.resize(image.pixels, wanted_wh, interpolation=cv2.INTER_AREA), order, expected)
    difference = np.abs(resized(image, wanted_wh).astype(int) - expected)
    # What is left out at the end of an odd image shifts the rest by a fraction of a pixel.
    assert difference.mean() < (0.06 if hw[0] % 2 else 0.03) * image.pixels.std()
    assert difference.max() < 0.4 * image.pixels.std()


@pytest.mark.parametrize(("hw", "wanted_wh", "order"), [AREAS[0], AREAS[6], AREAS[9]])
def test_equal_to_what_opencv_interpolates_at_the_same_places(hw, wanted_wh, order, rng):
    """A new pixel's place along an axis is a sum of half pixels and what it covers of the second or third one."""
    image = image_of(rng.integers(0, 256, (*hw, order.channels), np.uint8), order)
    pixels, (width, height) = image.pixels, wanted_wh
    if hw[0] >= 2 * height:
        pixels = cv2.resize(
            pixels[: hw[0] // 2 * 2, : hw[1] // 2 * 2], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA
        )
    places = [mean_places(old, new) for old, new in zip(pixels.shape[:2], (height, width), strict=True)]
    x, y = np.meshgrid(places[1], places[0])
    expected = np.empty((height, width, 3), np.uint8)
    write_rgb(cv2.remap(pixels, x, y, cv2.INTER_LINEAR), order, expected)
    np.testing.assert_array_equal(resized(image, wanted_wh), expected)


def mean_places(old: int, new: int) -> np.ndarray:
    """Return where linear interpolation is the mean of the two pixels that a new one covers most of."""
    places = []
    for index in range(new):
        start, end = index * old / new, (index + 1) * old / new
        covered = np.array([max(0.0, min(k + 1, end) - max(k, start)) for k in range(old)])
        first = max(range(old), key=lambda k: (covered[k : k + 2].sum(), -k))
        pair = covered[first : first + 2]
        places.append(first + (pair[1] / pair.sum() if len(pair) > 1 else 0))
    return np.array(places, np.float32)


@pytest.mark.parametrize("flip", [0, 0x80], ids=["uint8", "int8"])
@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda pixels: pixels[:, 8:72], id="padded-rows"),
        pytest.param(lambda pixels: pixels[::-1], id="upside-down"),
        pytest.param(lambda pixels: pixels[:, ::-1], id="mirrored"),
        pytest.param(lambda pixels: pixels[..., ::-1], id="other-order"),
    ],
)
def test_views_are_resized_into_a_view(view, flip, rng):
    pixels = view(rng.integers(0, 256, (48, 80, 3), np.uint8))
    target = np.full((20, 40, 3), 7, np.uint8)
    AreaResizer(flip).resize(ColorImage(pixels), target[2:18, 5:25])
    np.testing.assert_array_equal(target[2:18, 5:25] ^ flip, resized(ColorImage(pixels.copy()), (20, 16)))
    target[2:18, 5:25] = 7
    assert (target == 7).all()


def test_a_pixel_is_the_mean_of_four():
    image = ColorImage(np.array([[0, 10, 100, 100], [20, 30, 100, 104]], np.uint8), ColorOrder.GRAY)
    assert resized(image, (2, 1))[..., 0].tolist() == [[15, 101]]


def test_a_pixel_is_the_mean_of_one_and_a_quarter():
    image = ColorImage(np.array([[0, 40, 100, 180, 200]], np.uint8), ColorOrder.GRAY)
    # Each new pixel covers 1.25 old ones: 1 and 0.25, 0.75 and 0.5, 0.5 and 0.75, 0.25 and 1.
    assert resized(image, (4, 1))[0, :, 0] == pytest.approx([8, 64, 148, 196], abs=2)


def test_nothing_is_left_out_of_an_even_image():
    for width in range(64, 257):
        assert (resized(ColorImage(np.full((48, 256, 3), 200, np.uint8)), (width, 48)) == 200).all()


def test_an_image_of_another_size_is_not_disturbed_by_the_last_one():
    resizer = AreaResizer()
    for side, value in ((64, 200), (80, 7), (64, 9)):
        image = ColorImage(np.full((side, side, 3), value, np.uint8))
        assert (resized(image, (20, 20), resizer) == value).all()
