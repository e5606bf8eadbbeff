"""Make the one image that all processes of a benchmark use."""

from __future__ import annotations

import argparse
import os

import cv2
import numpy as np

from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.media.scene import SyntheticScene

IMAGE_HW = (480, 640)
_SCENE_SEED, _SCENE_SHAPES = 5, 7


def benchmark_image(path: str, image_hw: tuple[int, int] = IMAGE_HW) -> ColorImage:
    """Return the image of a file, resized; one of the built-in scene where no path is given."""
    if not path:
        return ColorImage(SyntheticScene(image_hw, _SCENE_SEED, num_shapes=_SCENE_SHAPES).frame(0).image)
    pixels = cv2.imread(path)
    if pixels is None:
        raise SystemExit(f"'{path}' is not an image")
    return ColorImage(np.asarray(cv2.resize(pixels, image_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8))


def absolute_path(path: str) -> str:
    """Return an image's path as other processes can use it; empty for the built-in scene."""
    return os.path.abspath(path) if path else ""


def size_hw(text: str) -> tuple[int, int]:
    """Read `WIDTHxHEIGHT`, as an option of a command line."""
    try:
        width, height = map(int, text.split("x"))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no size such as 640x480")
    return height, width


def size_text(image_hw: tuple[int, int]) -> str:
    """Write a size as `size_hw` reads it."""
    return f"{image_hw[1]}x{image_hw[0]}"
