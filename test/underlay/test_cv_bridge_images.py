"""cv_bridge of the underlay compresses, decodes and shows images."""

from __future__ import annotations

import array

import cv2
import numpy as np
import pytest

pytest.importorskip("cv_bridge.messages", reason="tests the underlay's cv_bridge, not the distribution's")

import cv_bridge
from cv_bridge import CvBridge, CvBridgeError
from sensor_msgs.msg import CompressedImage
from support.bridge_images import HEIGHT, WIDTH, example_image

BRIDGE = CvBridge()


@pytest.mark.parametrize("file_format", ["png", "bmp", "tiff"])
@pytest.mark.parametrize("encoding", ["8UC1", "8UC3", "8UC4"])
def test_compressed_round_trip_keeps_every_value(file_format: str, encoding: str) -> None:
    image = example_image(encoding)

    message = BRIDGE.cv2_to_compressed_imgmsg(image, file_format)

    assert message.format == file_format
    np.testing.assert_array_equal(BRIDGE.compressed_imgmsg_to_cv2(message), image)


@pytest.mark.parametrize(
    ("encoding", "target", "shape"),
    [
        ("mono8", "bgr8", (HEIGHT, WIDTH, 3)),
        ("mono16", "mono8", (HEIGHT, WIDTH)),
        ("bgra8", "rgb8", (HEIGHT, WIDTH, 3)),
        ("bgr8", "mono8", (HEIGHT, WIDTH)),
    ],
    ids=["grey", "grey16", "alpha", "color"],
)
def test_decoded_image_is_converted_from_what_it_is(encoding: str, target: str, shape: tuple[int, ...]) -> None:
    message = BRIDGE.cv2_to_compressed_imgmsg(example_image(encoding), "png")

    converted = BRIDGE.compressed_imgmsg_to_cv2(message, target)

    assert (converted.shape, converted.dtype) == (shape, np.uint8)
    plain = BRIDGE.imgmsg_to_cv2(BRIDGE.cv2_to_imgmsg(example_image(encoding), encoding), target)
    np.testing.assert_array_equal(converted, plain)


def test_default_format_is_jpeg() -> None:
    message = BRIDGE.cv2_to_compressed_imgmsg(example_image("bgr8"))

    assert message.format == "jpg"
    assert bytes(message.data[:2]) == b"\xff\xd8"


@pytest.mark.parametrize("data", [b"", b"not an image", b"\xff\xd8\xff\xe0"], ids=["empty", "text", "cut"])
def test_data_that_is_no_image_is_refused(data: bytes) -> None:
    message = CompressedImage(format="jpeg", data=array.array("B", data))

    with pytest.raises(CvBridgeError, match=f"{len(data)} bytes of data are no "):
        BRIDGE.compressed_imgmsg_to_cv2(message)


@pytest.mark.parametrize(
    ("encoding", "file_format"), [("mono8", "nonsense"), ("8UC5", "png")], ids=["format", "channels"]
)
def test_image_that_cannot_be_written_is_refused(encoding: str, file_format: str) -> None:
    with pytest.raises(CvBridgeError, match="OpenCV cannot write"):
        BRIDGE.cv2_to_compressed_imgmsg(example_image(encoding), file_format)


def test_labels_are_told_apart_and_the_background_is_black() -> None:
    labels = np.array([[-1, 0, 1, 2, 3, 4]], np.int32)

    shown = cv_bridge.cvtColorForDisplay(labels, "32SC1", "bgr8")

    assert shown[0, 0].tolist() == [0, 0, 0]
    assert len({tuple(color) for color in shown[0].tolist()}) == labels.size


def test_dynamic_scaling_spans_black_to_white_of_what_is_finite() -> None:
    depth_m = np.array([[1.0, 2.0, 3.0, np.inf, np.nan]], np.float32)

    shown = cv_bridge.cvtColorForDisplay(depth_m, "32FC1", "mono8", do_dynamic_scaling=True)

    assert shown.tolist() == [[0, 128, 255, 255, 0]]


def test_fixed_range_and_colormap_show_nan_black() -> None:
    depth_m = np.array([[0.0, 5.0, np.nan]], np.float32)

    shown = cv_bridge.cvtColorForDisplay(depth_m, "32FC1", "", False, 0.0, 5.0, cv2.COLORMAP_JET)

    map_ends = cv2.applyColorMap(np.uint8([[0, 255]]), cv2.COLORMAP_JET)
    np.testing.assert_array_equal(shown, np.concatenate([map_ends, np.zeros((1, 1, 3), np.uint8)], axis=1))


def test_even_image_is_grey() -> None:
    shown = cv_bridge.cvtColorForDisplay(np.full((2, 2), 7, np.uint16), "16UC1", "bgr8", True)

    assert (shown == 128).all()
    assert shown.shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("encoding_in", "encoding_out"),
    [("8UC1", "bgr16"), ("8UC1", "nv12"), ("64FC1", ""), ("32FC1", "bgr8")],
    ids=lambda name: name or "none",
)
def test_what_cannot_be_shown_is_refused(encoding_in: str, encoding_out: str) -> None:
    with pytest.raises(CvBridgeError):
        cv_bridge.cvtColorForDisplay(example_image(encoding_in), encoding_in, encoding_out)


def test_untold_colors_are_taken_as_opencv_has_them() -> None:
    shown = cv_bridge.cvtColorForDisplay(example_image("8UC3"), "8UC3", "rgb8")

    np.testing.assert_array_equal(shown, example_image("8UC3")[..., ::-1])
