"""cv_bridge of the underlay reads and writes messages as users of the distribution's package rely on."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest

pytest.importorskip("cv_bridge.messages", reason="tests the underlay's cv_bridge, not the distribution's")

from cv_bridge import CvBridge, CvBridgeError, getCvType
from cv_bridge.encodings import parse_encoding
from hypothesis import given, strategies
from std_msgs.msg import Header
from support.bridge_images import ENCODINGS, GENERIC, HEIGHT, WIDTH, example_image
from support.properties import examples

BRIDGE = CvBridge()


def padded(message, padding: int):
    """Return the message with `padding` bytes of 0xEE after each row."""
    rows = np.frombuffer(bytes(message.data), np.uint8).reshape(-1, message.step)
    message.data = array.array("B", np.pad(rows, ((0, 0), (0, padding)), constant_values=0xEE).tobytes())
    message.step += padding
    return message


@examples(400)
@given(
    encoding=strategies.sampled_from(ENCODINGS),
    half_hw=strategies.tuples(strategies.integers(0, 4), strategies.integers(0, 4)),
    padding=strategies.integers(0, 16),
    byte_order=strategies.sampled_from("<>"),
)
def test_any_image_survives_the_round_trip(encoding, half_hw, padding, byte_order):
    height, width = (2 * size for size in half_hw)
    image = example_image(encoding, height, width)
    ordered = image.astype(image.dtype.newbyteorder(byte_order))

    message = BRIDGE.cv2_to_imgmsg(ordered, encoding)

    assert (message.height, message.width, message.encoding) == (height, width, encoding)
    assert message.step * image.shape[0] == len(message.data)
    assert bytes(message.data) == ordered.tobytes()
    assert image.itemsize == 1 or bool(message.is_bigendian) is (byte_order == ">")
    # The planes of nv24 have rows of different lengths.
    back = BRIDGE.imgmsg_to_cv2(padded(message, padding) if image.size and encoding != "nv24" else message)
    assert back.dtype.isnative
    assert back.dtype == np.dtype(parse_encoding(encoding).dtype)
    np.testing.assert_array_equal(back, image)


def test_padding_of_nv24_is_skipped_in_both_planes() -> None:
    image = example_image("nv24")
    luma = np.pad(image[:HEIGHT], ((0, 0), (0, 3)))
    chroma = np.pad(image[HEIGHT:].reshape(HEIGHT, 2 * WIDTH), ((0, 0), (0, 6)))
    message = BRIDGE.cv2_to_imgmsg(image, "nv24")
    message.step = WIDTH + 3
    message.data = array.array("B", luma.tobytes() + chroma.tobytes())

    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(message), image)


def test_empty_image_is_converted_to_an_empty_one() -> None:
    message = BRIDGE.cv2_to_imgmsg(np.zeros((0, 8, 3), np.uint8), "bgr8")

    assert BRIDGE.imgmsg_to_cv2(message, "mono16").shape == (0, 8)
    assert BRIDGE.imgmsg_to_cv2(message, "rgba8").shape == (0, 8, 4)


def test_type_numbers_are_those_of_opencv() -> None:
    for encoding in GENERIC:
        number = getattr(cv2, f"CV_{encoding}")
        assert getCvType(encoding) == BRIDGE.encoding_to_cvtype2(encoding) == number
        assert BRIDGE.cvtype_to_name[number] == encoding
        dtype, channels = BRIDGE.encoding_to_dtype_with_channels(encoding)
        assert BRIDGE.dtype_with_channels_to_cvtype2(np.dtype(dtype), channels) == encoding


@pytest.mark.parametrize("encoding", ["", "bgr", "BGR8", "8UC", "8UC0", "8UC513", "32UC1", "jpeg", "bgr8 "])
def test_unknown_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(CvBridgeError, match="Unrecognized image encoding"):
        BRIDGE.encoding_to_cvtype2(encoding)


CODES = {
    ("bgr8", "rgb8"): cv2.COLOR_BGR2RGB,
    ("rgb8", "bgr8"): cv2.COLOR_RGB2BGR,
    ("bgra8", "bgr8"): cv2.COLOR_BGRA2BGR,
    ("rgba8", "bgr8"): cv2.COLOR_RGBA2BGR,
    ("rgb8", "bgra8"): cv2.COLOR_RGB2BGRA,
    ("rgb16", "mono16"): cv2.COLOR_RGB2GRAY,
    ("bgr8", "mono8"): cv2.COLOR_BGR2GRAY,
    ("mono8", "rgba8"): cv2.COLOR_GRAY2RGBA,
    ("mono16", "bgr16"): cv2.COLOR_GRAY2BGR,
    ("bayer_rggb8", "bgr8"): cv2.COLOR_BayerBG2BGR,
    ("bayer_bggr8", "rgb8"): cv2.COLOR_BayerRG2RGB,
    ("bayer_gbrg16", "bgr16"): cv2.COLOR_BayerGR2BGR,
    ("bayer_grbg16", "mono16"): cv2.COLOR_BayerGB2GRAY,
    ("yuv422", "bgr8"): cv2.COLOR_YUV2BGR_UYVY,
    ("uyvy", "mono8"): cv2.COLOR_YUV2GRAY_UYVY,
    ("yuv422_yuy2", "rgb8"): cv2.COLOR_YUV2RGB_YUY2,
    ("yuyv", "bgra8"): cv2.COLOR_YUV2BGRA_YUY2,
    ("nv12", "bgr8"): cv2.COLOR_YUV2BGR_NV12,
    ("nv21", "rgb8"): cv2.COLOR_YUV2RGB_NV21,
}


@pytest.mark.parametrize(("source", "target"), CODES, ids=lambda name: name)
def test_colors_are_converted_by_opencv(source: str, target: str) -> None:
    message = BRIDGE.cv2_to_imgmsg(example_image(source), source)

    converted = BRIDGE.imgmsg_to_cv2(message, target)

    np.testing.assert_array_equal(converted, cv2.cvtColor(example_image(source), CODES[source, target]))


@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
@pytest.mark.parametrize("bits", [8, 16])
def test_bayer_mosaic_of_one_color_gives_that_color(order: str, bits: int) -> None:
    bgr = dict(zip("bgr", (10, 120, 200), strict=True))
    mosaic = np.tile(np.array([bgr[c] for c in order]).reshape(2, 2), (8, 8)).astype(f"uint{bits}")
    message = BRIDGE.cv2_to_imgmsg(mosaic, f"bayer_{order}{bits}")

    assert (BRIDGE.imgmsg_to_cv2(message, f"bgr{bits}") == (10, 120, 200)).all()


def test_nv24_has_the_colors_of_uyvy_in_every_pixel() -> None:
    luma, blue, red = 81, 90, 240  # red, in video range
    image = np.concatenate([np.full((2, 4), luma), np.tile([blue, red], (4, 2))]).astype(np.uint8)
    expected = cv2.cvtColor(np.tile(np.uint8([[blue, luma], [red, luma]]), (2, 2, 1)), cv2.COLOR_YUV2BGR_UYVY)

    converted = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "nv24"), "bgr8")

    np.testing.assert_array_equal(converted, expected)
    assert converted[0, 0].tolist() == [0, 0, 254]


def test_sixteen_bits_and_eight_span_the_same_brightness() -> None:
    eight = np.arange(256, dtype=np.uint8).reshape(16, 16)
    sixteen = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(eight, "mono8"), "mono16")

    np.testing.assert_array_equal(sixteen, eight.astype(np.uint16) * 257)
    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(sixteen, "mono16"), "mono8"), eight)


def test_depth_changes_after_color() -> None:
    image = example_image("rgb16")

    converted = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "rgb16"), "bgr8")

    np.testing.assert_array_equal(converted, np.rint(image[..., ::-1] / 257).astype(np.uint8))


def test_float_is_rounded_to_even_and_saturated() -> None:
    image = np.array([[-3.0, 0.5, 1.5, 254.6, 300.0, np.nan, np.inf]], np.float32)

    converted = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image), "8UC1")

    assert converted.tolist() == [[0, 0, 2, 255, 255, 0, 255]]


@pytest.mark.parametrize(
    ("source", "target"),
    [("8UC3", "bgr8"), ("8UC1", "mono8"), ("mono8", "8UC3"), ("bgr8", "nv12"), ("bayer_rggb8", "rgba8")],
    ids=lambda name: name,
)
def test_senseless_conversion_is_refused(source: str, target: str) -> None:
    with pytest.raises(CvBridgeError, match=target):
        BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(example_image(source), source), target)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"step": 23}, "step is 23 bytes, but 8 pixels of bgr8 need 24"),
        ({"step": 25}, "data has 144 bytes, but 8x6 bgr8 with step 25 needs 150"),
        ({"height": 7}, "data has 144 bytes"),
        ({"width": 9}, "step is 24 bytes"),
        ({"data": array.array("B")}, "data has 0 bytes"),
        ({"encoding": "64FC4"}, "step is 24 bytes"),
        ({"encoding": "nv12", "width": 7}, "needs even sizes, got 7x6"),
        ({"encoding": "no such"}, "Unrecognized image encoding"),
        ({"height": 2**32 - 1, "step": 2**32 - 1}, "data has 144 bytes"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_message_that_contradicts_itself_is_refused(change: dict, complaint: str) -> None:
    message = BRIDGE.cv2_to_imgmsg(example_image("bgr8"), "bgr8")
    for name, value in change.items():
        setattr(message, name, value)

    with pytest.raises(CvBridgeError, match=complaint):
        BRIDGE.imgmsg_to_cv2(message, "rgb8")


def test_plain_reading_shares_memory_and_conversion_does_not() -> None:
    message = BRIDGE.cv2_to_imgmsg(example_image("bgr8"), "bgr8")
    data = np.frombuffer(message.data, np.uint8)

    assert np.shares_memory(BRIDGE.imgmsg_to_cv2(message), data)
    for encoding in ("bgr8", "8UC3", "rgb8"):
        assert not np.shares_memory(BRIDGE.imgmsg_to_cv2(message, encoding), data)


def test_odd_width_of_pixel_pairs_is_an_error_not_a_crash() -> None:
    message = BRIDGE.cv2_to_imgmsg(example_image("uyvy", width=7), "uyvy")

    with pytest.raises(CvBridgeError, match="OpenCV cannot convert"):
        BRIDGE.imgmsg_to_cv2(message, "bgr8")


@pytest.mark.parametrize(
    ("image", "encoding", "complaint"),
    [
        (np.zeros((4, 4, 3), np.uint8), "rgba8", "rgba8 needs 8UC4, but the image is 8UC3"),
        (np.zeros((4, 4), np.int64), "passthrough", "got int64"),
        (np.zeros((4, 4), bool), "passthrough", "got bool"),
        (np.zeros(4, np.uint8), "mono8", "2 or 3 dimensions"),
        (np.zeros((5, 4), np.uint8), "nv12", "even sizes"),
        ([[1, 2]], "mono8", "NumPy array, got list"),
        (1, "rgba8", "NumPy array, got int"),
    ],
    ids=["channels", "int64", "bool", "1d", "planes", "list", "int"],
)
def test_array_that_does_not_fit_is_refused(image: object, encoding: str, complaint: str) -> None:
    with pytest.raises(CvBridgeError, match=complaint):
        BRIDGE.cv2_to_imgmsg(image, encoding)


def test_view_of_a_larger_image_is_written_without_its_surroundings() -> None:
    image = example_image("bgr8", 12, 16)[2:8, ::2]

    np.testing.assert_array_equal(BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(image, "bgr8")), image)


def test_single_channel_in_three_dimensions_is_one_channel() -> None:
    message = BRIDGE.cv2_to_imgmsg(example_image("mono8")[..., None], "mono8")

    assert BRIDGE.imgmsg_to_cv2(message).shape == (HEIGHT, WIDTH)


def test_header_is_kept() -> None:
    header = Header(frame_id="camera")

    assert BRIDGE.cv2_to_imgmsg(example_image("mono8"), "mono8", header=header).header.frame_id == "camera"
