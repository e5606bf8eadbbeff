"""Test the map between image and network by hand, and for images of any size."""

from __future__ import annotations

import numpy as np
import pytest

from yolov8_seg_ros.core.letterbox import Letterbox


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
    image = np.array([[0, 0, 640, 480], [160, 240, 320, 320]], np.float32)
    network = letterbox.boxes_to_network(image)
    np.testing.assert_allclose(network, [[0, 32, 256, 224], [64, 128, 128, 160]])
    assert network.dtype == np.float32


#: Image, network and fit: larger and smaller images, tall and wide ones, down to a pixel.
SHAPES = [
    pytest.param((480, 640), (256, 256), "letterbox", id="landscape"),
    pytest.param((640, 480), (320, 320), "letterbox", id="portrait"),
    pytest.param((256, 256), (256, 256), "letterbox", id="same-size"),
    pytest.param((1, 1), (96, 160), "letterbox", id="a-pixel"),
    pytest.param((1, 7), (256, 320), "letterbox", id="a-row"),
    pytest.param((3, 4000), (256, 256), "letterbox", id="flat"),
    pytest.param((4000, 3), (96, 160), "letterbox", id="narrow"),
    pytest.param((427, 639), (256, 320), "letterbox", id="odd"),
    pytest.param((33, 31), (256, 256), "letterbox", id="enlarged"),
    pytest.param((1080, 1920), (256, 256), "stretch", id="stretched"),
    pytest.param((4000, 3), (256, 320), "stretch", id="stretched-narrow"),
    pytest.param((1, 1), (32, 32), "stretch", id="stretched-pixel"),
]


@pytest.mark.parametrize(("image_hw", "network_hw", "mode"), SHAPES)
def test_the_image_fills_its_part_of_the_network_input(image_hw, network_hw, mode):
    letterbox = Letterbox.fit(image_hw, network_hw, mode)
    whole = np.array([[0, 0, image_hw[1], image_hw[0]]], np.float32)
    rows, columns = letterbox.interior
    edges = [[columns.start, rows.start, columns.stop, rows.stop]]
    np.testing.assert_allclose(letterbox.boxes_to_network(whole), edges, atol=1e-3)
    assert 0 <= rows.start < rows.stop <= network_hw[0]
    assert 0 <= columns.start < columns.stop <= network_hw[1]
