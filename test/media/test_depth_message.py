"""Test what depth images become of messages, raw and compressed."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.errors import DepthError
from yolov8_seg_ros.media.depth_message import depth_from_msg, info_topic

HEIGHT, WIDTH = 24, 32
#: What compressed_depth_image_transport uses where nothing else is set: png_level, depth_quantization, depth_max.
QUANTIZATION, MAX_DEPTH_M = 100.0, 10.0


def raw(pixels, encoding):
    height, width = pixels.shape
    data = pixels.tobytes()
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=0, step=len(data) // height, data=data
    )


def compressed(pixels, image_format, scale=0.0, offset=0.0, suffix=".png"):
    encoded = cv2.imencode(suffix, pixels)[1].tobytes()
    return SimpleNamespace(format=image_format, data=struct.pack("<iff", 0, scale, offset) + encoded)


def inverse_depths(depth_m):
    """Return what the transport writes of depths in metres: 16 bits, finer near by, and the numbers that undo it."""
    scale = QUANTIZATION * (QUANTIZATION + 1.0)
    offset = 1.0 - scale / MAX_DEPTH_M
    inverse = np.where(np.isnan(depth_m) | (depth_m >= MAX_DEPTH_M), 0, scale / depth_m + offset)
    return compressed(inverse.astype(np.uint16), "32FC1; compressedDepth png", scale, offset)


@pytest.fixture
def depth_mm(rng):
    depth_mm = rng.integers(300, 9000, (HEIGHT, WIDTH)).astype(np.uint16)
    depth_mm[3, 4] = 0
    return depth_mm


@pytest.mark.parametrize("image_format", ["16UC1; compressedDepth png", "16UC1; compressedDepth", "mono16;png"])
def test_compressed_millimetres_are_those_of_the_raw_image(image_format, depth_mm):
    depth = depth_from_msg(compressed(depth_mm, image_format))
    np.testing.assert_array_equal(depth.pixels, depth_from_msg(raw(depth_mm, "16UC1")).pixels)
    assert depth.unit_m == 0.001


def test_compressed_metres_are_near_the_raw_ones(rng):
    depth_m = rng.uniform(0.4, 9.0, (HEIGHT, WIDTH)).astype(np.float32)
    depth_m[3, 4] = np.nan
    depth = depth_from_msg(inverse_depths(depth_m))
    assert depth.unit_m == 1.0
    # One step of the inverse depth.
    step_m = np.nan_to_num(depth_m, nan=1.0) ** 2 / (QUANTIZATION * (QUANTIZATION + 1.0))
    assert np.isnan(depth.pixels[3, 4])
    assert (np.abs(np.nan_to_num(depth.pixels - depth_m)) <= 1.01 * step_m).all()


def test_the_unit_can_be_given(depth_mm):
    assert depth_from_msg(compressed(depth_mm, "16UC1; compressedDepth png"), 0.0005).unit_m == 0.0005


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (compressed(np.zeros((4, 4), np.uint16), "16UC1; compressedDepth rvl"), "compressed as RVL.*expected PNG"),
        (compressed(np.zeros((4, 4, 3), np.uint8), "bgr8; jpeg compressed bgr8"), "encoding 'bgr8' is no depth"),
        (compressed(np.zeros((4, 4), np.uint8), "16UC1; compressedDepth png"), "16 bits a pixel, got uint8"),
        (compressed(np.zeros((4, 4, 3), np.uint16), "16UC1; compressedDepth png"), "one number of 16 bits a pixel"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=b"abc"), "3 bytes are no compressed depth image"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=bytes(40)), "28 bytes are not an image"),
    ],
    ids=["rvl", "colour", "8-bit", "channels", "short", "no-image"],
)
def test_what_is_no_compressed_depth_is_refused(message, text):
    with pytest.raises(DepthError, match=text):
        depth_from_msg(message)


@pytest.mark.parametrize("length", [20, 60, -30])
def test_a_compressed_image_that_is_cut_is_refused(length, depth_mm):
    message = compressed(depth_mm, "16UC1; compressedDepth png")
    message.data = message.data[:length]
    with pytest.raises(DepthError, match="compressed depth image: "):
        depth_from_msg(message)


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        ("/cam/depth/image_raw", "/cam/depth/camera_info"),
        ("/cam/depth/image_raw/compressedDepth", "/cam/depth/camera_info"),
        ("image", "/camera_info"),
    ],
)
def test_camera_info_is_beside_the_images(topic, expected):
    assert info_topic(topic) == expected
