"""Test the way between messages and images: every encoding, every way in which a message may lie."""

from __future__ import annotations

import array
import random
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("rclpy")

from cv_bridge import CvBridge
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header
from support.camera_messages import (
    ENCODED,
    GREY,
    GREY_ENCODED,
    HW,
    compressed,
    message,
    mutated_image,
    mutated_jpeg,
    nv24_message,
    smooth_bgr,
)

from yolov8_seg_ros.core.image import ColorOrder, PixelBuffer
from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.node import conversions
from yolov8_seg_ros.node.cdr import detections_to_cdr
from yolov8_seg_ros.node.conversions import ImageError, image_from_msg


def test_every_supported_encoding_is_tested_here():
    tested = {"nv24", *ENCODED, *(name.split()[0] for name in GREY_ENCODED)}
    assert set(conversions.ENCODINGS) == {name.lower() for name in tested}


@pytest.mark.parametrize("padding", [0, 13], ids=["tight", "padded rows"])
@pytest.mark.parametrize("encoding", ENCODED)
def test_colours_arrive(encoding, padding):
    pixels, tolerance = ENCODED[encoding]
    image = image_from_msg(message(pixels, encoding, padding=padding))
    difference = np.abs(image.to_bgr().astype(int) - smooth_bgr())[2:-2, 2:-2]
    assert image.hw == HW
    # Studio-range YUV of a real camera differs from the full range of this test by a few levels.
    assert np.median(difference) <= tolerance


@pytest.mark.parametrize("padding", [0, 13], ids=["tight", "padded rows"])
def test_nv24_has_rows_of_colours_twice_as_long(padding):
    image = image_from_msg(nv24_message(smooth_bgr(), padding))
    assert np.median(np.abs(image.to_bgr().astype(int) - smooth_bgr())) <= 12


@pytest.mark.parametrize("name", GREY_ENCODED)
def test_grey_arrives(name):
    pixels, big_endian = GREY_ENCODED[name]
    image = image_from_msg(message(pixels, name.split()[0], padding=6, big_endian=big_endian))
    assert image.order is ColorOrder.GRAY
    np.testing.assert_array_equal(image.pixels, GREY)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_16_bit_pixels_are_as_bright_as_the_camera_has_bits(bits):
    image = image_from_msg(message(GREY.astype("<u2") << bits - 8, "mono16"))
    np.testing.assert_array_equal(image.pixels, GREY)


@pytest.mark.parametrize("encoding", ["nv24", "nv12", "mono16", "rgb16", "bayer_rggb16"])
def test_no_image_is_allocated(encoding):
    hw = (480, 640)
    shapes = {"nv12": (720, 640), "rgb16": (480, 640 * 3)}
    pixels = np.ones(shapes.get(encoding, hw), np.uint16 if "16" in encoding else np.uint8)
    msg = nv24_message(smooth_bgr(hw)) if encoding == "nv24" else message(pixels, encoding, hw)
    buffer = PixelBuffer()
    image_from_msg(msg, buffer)
    tracemalloc.start()
    try:
        image_from_msg(msg, buffer)
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak_bytes < hw[0] * hw[1] // 4


def test_a_dark_image_after_a_bright_one_stays_dark():
    buffer = PixelBuffer()
    bright = image_from_msg(message(GREY.astype("<u2") << 4, "mono16"), buffer).pixels.copy()
    dark = image_from_msg(message(GREY.astype("<u2"), "mono16"), buffer)
    np.testing.assert_array_equal(bright, GREY)
    np.testing.assert_array_equal(dark.pixels, GREY >> 4)


@pytest.mark.parametrize("encoding", ["bgr8", "rgb8", "mono8", "yuv422", "yuv422_yuy2", "nv12", "nv21"])
def test_pixels_that_serve_as_they_are_are_not_copied(encoding):
    pixels = GREY if encoding == "mono8" else ENCODED[encoding][0]
    msg = message(pixels, encoding)
    assert np.shares_memory(image_from_msg(msg).pixels, np.frombuffer(msg.data, np.uint8))


def changed(**fields):
    msg = message(smooth_bgr(), "bgr8")
    for name, value in fields.items():
        setattr(msg, name, value)
    return msg


BAD_IMAGES = {
    "unknown encoding": (changed(encoding="32FC7"), "encoding '32FC7' is not supported; expected one of bgr8"),
    "no encoding": (changed(encoding=""), "encoding '' is not supported"),
    "no columns": (changed(width=0), "the image is empty: 0x48"),
    "no rows": (changed(height=0), "the image is empty: 64x0"),
    "step too small": (changed(step=100), "step 100 does not fit 64x48 bgr8; expected 192 or more"),
    "step zero": (changed(step=0), "step 0 does not fit"),
    "step too large": (changed(step=193), "9216 bytes of data do not fit 64x48 bgr8 with step 193; expected 9264"),
    "data short": (changed(data=array.array("B", bytes(9215))), "9215 bytes of data do not fit"),
    "no data": (changed(data=array.array("B")), "0 bytes of data do not fit"),
    "size beyond all bounds": (changed(width=2**32 - 1, height=2**32 - 1), "does not fit"),
    "odd yuv": (changed(encoding="yuv422", width=63), "expected an even size"),
    "odd nv12": (changed(encoding="nv12", height=47), "expected an even size"),
}


@pytest.mark.parametrize("case", BAD_IMAGES)
def test_images_that_do_not_fit_are_refused(case):
    msg, expected = BAD_IMAGES[case]
    with pytest.raises(ImageError) as caught:
        image_from_msg(msg)
    assert expected in str(caught.value)


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_compressed_images_are_decoded(suffix):
    msg = CompressedImage(format="jpeg", data=array.array("B", compressed(suffix)))
    image = image_from_msg(msg)
    assert np.abs(image.pixels.astype(int) - smooth_bgr()).mean() < 3


BAD_PICTURES = {
    "nothing": (b"", "0 bytes are not an image"),
    "no image": (b"hello, this is no image", "are not an image"),
    "truncated JPEG": (compressed()[:-40], "cut short"),
    "JPEG header alone": (compressed()[:20], "do not say how large the image is"),
    "truncated PNG": (compressed(".png")[:-40], "cut short"),
}


@pytest.mark.parametrize("case", BAD_PICTURES)
def test_damaged_images_are_refused(case):
    data, expected = BAD_PICTURES[case]
    with pytest.raises(ImageError, match=expected):
        image_from_msg(CompressedImage(format="jpeg", data=array.array("B", data)))


@pytest.mark.parametrize("mutate", [mutated_image, mutated_jpeg])
def test_mutations_give_an_image_or_a_clear_error(mutate):
    rng = random.Random(8)
    refusals = []
    for _ in range(1000):
        try:
            image_from_msg(mutate(rng)).to_bgr()
        except ImageError as error:
            refusals.append(str(error))
    assert all(refusals)
    assert 100 < len(refusals) < 1000


def two_instances():
    left, right = np.zeros((2, *HW), np.bool_)
    left[10:20, 5:15] = True
    right[30:40, 40:60] = True
    return Instances.from_full_masks([left, right], [1, 0], HW)


HEADER = Header(frame_id="camera")


def test_detections_carry_box_class_score_and_label():
    message = conversions.detections_to_msg(two_instances(), ("cat", "dog"), HEADER)
    first, second = message.detections
    assert (message.header, first.header) == (HEADER, HEADER)
    assert [first.id, second.id] == ["1", "2"]
    assert [d.results[0].hypothesis.class_id for d in message.detections] == ["dog", "cat"]
    assert first.results[0].hypothesis.score == 1.0
    box = second.bbox
    assert (box.center.position.x, box.center.position.y, box.size_x, box.size_y) == (50, 35, 20, 10)


@pytest.mark.parametrize("time_ns", [0, 1_700_000_000_123_456_789, -1], ids=["zero", "now", "before 1970"])
def test_a_header_without_its_message_says_the_same(time_ns):
    header = conversions.header_at(time_ns, "camera")
    message = conversions.header_to_msg(header)
    assert conversions.stamp_ns(header) == conversions.stamp_ns(message) == time_ns
    assert header.frame_id == message.frame_id == "camera"
    assert conversions.header_to_msg(message) is message
    names = ("cat", "dog")
    assert conversions.detections_to_msg(two_instances(), names, header).header == message
    assert detections_to_cdr(two_instances(), names, header) == detections_to_cdr(two_instances(), names, message)


def painted(canvas, labels):
    canvas.pixels(labels.shape)[:] = labels
    return canvas.message(HEADER)


def test_masks_and_overlays_are_read_back_by_cv_bridge():
    labels = two_instances().label_image()
    np.testing.assert_array_equal(
        CvBridge().imgmsg_to_cv2(painted(conversions.LabelCanvas("mono8"), labels), "mono8"), labels
    )
    bgr = smooth_bgr()
    np.testing.assert_array_equal(CvBridge().imgmsg_to_cv2(conversions.bgr_to_msg(bgr, HEADER), "bgr8"), bgr)


def test_label_info_names_the_values_of_the_semantic_image():
    info = conversions.label_info(("cat", "dog"), 0.25, HEADER)
    assert [(c.class_id, c.class_name) for c in info.class_map] == [(0, "background"), (1, "cat"), (2, "dog")]
    assert info.threshold == 0.25


def test_a_canvas_follows_the_size_of_its_image(rng):
    canvas = conversions.LabelCanvas("mono8")
    for hw in ((48, 64), (48, 64), (10, 20), (48, 64)):
        labels = rng.integers(0, 256, hw, np.uint8)
        message = painted(canvas, labels)
        assert (message.height, message.width, message.step, message.encoding) == (*hw, hw[1], "mono8")
        np.testing.assert_array_equal(CvBridge().imgmsg_to_cv2(message, "mono8"), labels)
