"""Make image messages as cameras send them, in every encoding, and damaged ones."""

from __future__ import annotations

import array

import cv2
import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from yolov8_seg_ros.node import conversions

HW = (48, 64)


def smooth_bgr(hw=HW):
    """Return an image without sharp edges, which subsampled colours and Bayer patterns keep."""
    rows, columns = np.mgrid[: hw[0], : hw[1]].astype(np.float32)
    planes = [40 + 2 * columns, 60 + 2 * rows, 200 - columns - rows]
    return np.clip(np.dstack(planes), 0, 255).astype(np.uint8)


def bayer_of(bgr, pattern):
    """Sample an image as a sensor with that pattern does, named by its first two rows."""
    raw = np.empty(bgr.shape[:2], np.uint8)
    for position, letter in enumerate(pattern):
        row, column = divmod(position, 2)
        raw[row::2, column::2] = bgr[row::2, column::2, "bgr".index(letter)]
    return raw


def yuv_of(bgr):
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2YUV)


def packed_422_of(bgr, luma_first):
    luma, u, v = cv2.split(yuv_of(bgr))
    packed = np.empty((*bgr.shape[:2], 2), np.uint8)
    packed[..., 0 if luma_first else 1] = luma
    packed[:, 0::2, 1 if luma_first else 0] = u[:, 0::2]
    packed[:, 1::2, 1 if luma_first else 0] = v[:, 0::2]
    return packed


def nv12_of(bgr, swapped=False):
    luma, *colours = cv2.split(yuv_of(bgr))
    first, second = reversed(colours) if swapped else colours
    chroma = np.dstack([first[::2, ::2], second[::2, ::2]]).reshape(bgr.shape[0] // 2, bgr.shape[1])
    return np.vstack([luma, chroma])


def nv24_message(bgr, padding=0):
    """Return a message whose rows of colours are twice as long as those of grey."""
    luma, u, v = cv2.split(yuv_of(bgr))
    height, width = luma.shape
    colours = np.dstack([u, v]).reshape(height, -1)
    planes = (np.pad(luma, ((0, 0), (0, padding))), np.pad(colours, ((0, 0), (0, 2 * padding))))
    data = array.array("B", b"".join(plane.tobytes() for plane in planes))
    return Image(height=height, width=width, encoding="nv24", step=width + padding, data=data)


def words_of(pixels):
    """Return 8-bit pixels as a 16-bit camera sends them."""
    return pixels.astype("<u2") << 8


def message(pixels, encoding, hw=HW, padding=0, big_endian=False):
    rows = pixels.reshape(pixels.shape[0], -1)
    raw = np.ascontiguousarray(rows).view(np.uint8)
    padded = np.pad(raw, ((0, 0), (0, padding)), constant_values=77)
    return Image(
        height=hw[0],
        width=hw[1],
        encoding=encoding,
        is_bigendian=big_endian,
        step=padded.shape[1],
        data=array.array("B", padded.tobytes()),
    )


GREY = cv2.cvtColor(smooth_bgr(), cv2.COLOR_BGR2GRAY)
#: Pixels as a driver sends them, and how far the conversion may be off.
ENCODED = {
    "bgr8": (smooth_bgr(), 0),
    "rgb8": (smooth_bgr()[..., ::-1], 0),
    "bgra8": (np.dstack([smooth_bgr(), np.full(HW, 9, np.uint8)]), 0),
    "rgba8": (np.dstack([smooth_bgr()[..., ::-1], np.full(HW, 9, np.uint8)]), 0),
    "8UC3": (smooth_bgr(), 0),
    "yuv422": (packed_422_of(smooth_bgr(), luma_first=False), 12),
    "uyvy": (packed_422_of(smooth_bgr(), luma_first=False), 12),
    "yuv422_yuy2": (packed_422_of(smooth_bgr(), luma_first=True), 12),
    "yuyv": (packed_422_of(smooth_bgr(), luma_first=True), 12),
    "nv12": (nv12_of(smooth_bgr()), 12),
    "bayer_rggb8": (bayer_of(smooth_bgr(), "rggb"), 4),
    "bayer_bggr8": (bayer_of(smooth_bgr(), "bggr"), 4),
    "bayer_gbrg8": (bayer_of(smooth_bgr(), "gbrg"), 4),
    "bayer_grbg8": (bayer_of(smooth_bgr(), "grbg"), 4),
    "nv21": (nv12_of(smooth_bgr(), swapped=True), 12),
    "RGB8": (smooth_bgr()[..., ::-1], 0),
    "bgr16": (words_of(smooth_bgr()), 0),
    "rgb16": (words_of(smooth_bgr()[..., ::-1]), 0),
    "bgra16": (words_of(np.dstack([smooth_bgr(), np.full(HW, 9, np.uint8)])), 0),
    "rgba16": (words_of(np.dstack([smooth_bgr()[..., ::-1], np.full(HW, 9, np.uint8)])), 0),
    **{f"bayer_{p}16": (words_of(bayer_of(smooth_bgr(), p)), 4) for p in ("rggb", "bggr", "gbrg", "grbg")},
}
GREY_ENCODED = {
    "mono8": (GREY, False),
    "8UC1": (GREY, False),
    "16UC1": (words_of(GREY), False),
    "mono16": (words_of(GREY), False),
    "mono16 big endian": ((GREY.astype(np.uint16) << 8).astype(">u2"), True),
}


def compressed(suffix=".jpg"):
    return cv2.imencode(suffix, smooth_bgr())[1].tobytes()


def mutated_image(rng):
    pixels, _ = ENCODED[rng.choice(list(ENCODED))]
    msg = message(pixels, rng.choice([*conversions.ENCODINGS, "", "rgb16", "\x00"]))
    for _ in range(rng.randrange(4)):
        name = rng.choice(["height", "width", "step"])
        setattr(msg, name, rng.choice([0, 1, 2, 47, 64, 192, 2**16, 2**32 - 1]))
    msg.is_bigendian = rng.randrange(256)
    if rng.random() < 0.5:
        msg.data = msg.data[: rng.randrange(len(msg.data) + 1)]
    return msg


def mutated_jpeg(rng):
    data = bytearray(compressed(rng.choice([".jpg", ".png"])))
    for _ in range(rng.randrange(20)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    if rng.random() < 0.5:
        del data[rng.randrange(len(data)) :]
    return CompressedImage(format="jpeg", data=array.array("B", bytes(data)))
