"""Test a board with the bridge firmware: its results are those of the CPU."""

from __future__ import annotations

import random
from contextlib import closing

import numpy as np
import pytest
from support.bridge_harness import (
    OPTIONS,
    BridgeHarness,
    Checker,
    EchoNetwork,
    assert_same,
    in_threads,
    open_bridge,
    random_image,
    until,
)
from support.fakes import FLOAT32, UINT8, make_raw_spec, make_spec

from yolov8_seg_ros.backends.n6.backend import WantedModel
from yolov8_seg_ros.backends.n6.bridge_backend import PictureEncoder
from yolov8_seg_ros.backends.n6.simulator.bridge_core import BoardOptions
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BoardError, ModelError


def test_results_are_those_of_the_same_network_here(checker):
    rng = random.Random(1)
    assert sum(checker.check(random_image(rng)) for _ in range(20)) > 20


def test_without_masks(checker):
    rng = random.Random(2)
    for masks in (False, True, False):
        checker.check(random_image(rng), masks)


@pytest.mark.parametrize(
    "spec",
    [
        make_raw_spec(input_hw=(32, 64), quant=UINT8, layout="channels-first"),
        make_raw_spec(num_classes=11, num_coefficients=32, quant=FLOAT32, logits_quant=FLOAT32),
        make_spec(input_hw=(32, 32)),
        make_spec(input_hw=(64, 32), quant=UINT8, channels_first=False, prototypes_first=True),
    ],
    ids=["wide", "float outputs", "decoded", "decoded-uint8"],
)
def test_other_models(spec):
    network, rng = EchoNetwork(spec), random.Random(3)
    with closing(BridgeHarness(None, network)) as board, open_bridge(board) as backend:
        checker = Checker(backend, network)
        for _ in range(10):
            checker.check(random_image(rng))


def test_options_hold_from_the_next_image_on(board, backend):
    rng = random.Random(4)
    here, there = Segmenter(board.network, OPTIONS), Segmenter(backend, OPTIONS)
    choices = [
        DetectionOptions(score_threshold=0.9),
        DetectionOptions(classes=(1,), agnostic_nms=True, mask_threshold=0.5),
        DetectionOptions(max_instances=1, multi_label=False, vote_boxes=False, iou_threshold=0.3),
        DetectionOptions(mask_threshold=0.0),
        DetectionOptions(mask_threshold=1.0),
    ]
    for detection in choices:
        here.set_detection(detection)
        there.set_detection(detection)
        for _ in range(3):
            image = random_image(rng)
            assert_same(there.segment(image), here.segment(image))


@pytest.mark.parametrize("threads", [2, 4])
def test_several_threads_each_get_their_own_results(checker, backend, threads):
    assert backend.info.frames_in_flight == 2
    in_threads(checker.check, threads, 20)


def test_a_jpeg_is_a_picture_too(board):
    spec = make_raw_spec(input_hw=(32, 32))
    seen, lines = [], []

    class Recorder(EchoNetwork):
        def run(self, network_input):
            seen.append(network_input.copy())
            return super().run(network_input)

    with (
        closing(BridgeHarness(None, Recorder(spec), BoardOptions(max_jpeg_bytes=1500))) as board,
        open_bridge(board, jpeg_quality=95, log=lines.append) as backend,
    ):
        assert "images travel as JPEG of quality 95 or less, as asked for" in backend.info.description
        segmenter = Segmenter(backend, OPTIONS)
        smooth = np.linspace(0, 255, 32 * 32 * 3).reshape(32, 32, 3).astype(np.uint8)
        segmenter.segment(smooth)
        expected = segmenter._frame.network_input
        assert np.abs(seen[-1].astype(int) - expected.astype(int)).mean() < 4
        assert lines == []
        # Noise does not fit into the board's room before the quality is lowered, which is logged once.
        for _ in range(2):
            segmenter.segment(np.random.default_rng(1).integers(0, 256, (32, 32, 3), np.uint8))
    assert [line.partition(" instead of ")[2] for line in lines] == [
        "95, since the board has room for 1500 bytes; further ones are not logged"
    ]


@pytest.mark.parametrize(("quality", "sampling"), [(-1, 0x21), (90, 0x11)], ids=["automatic", "asked for"])
def test_the_resolution_of_colours(quality, sampling):
    network_input = np.random.default_rng(2).integers(-128, 128, (1, 32, 32, 3), np.int8)
    _, data = PictureEncoder(make_raw_spec(input_hw=(32, 32)).input.quant, quality, 1 << 16).encode(network_input)
    start_of_frame = data.index(b"\xff\xc0")
    assert data[start_of_frame + 11] == sampling


@pytest.mark.parametrize(
    ("has_jpeg", "wanted", "path", "text"),
    [
        (True, -1, "pty", "as JPEG of quality 60 to 90, since a serial line is slower than the NPU"),
        (True, -1, "tcp", "raw, since the line is fast"),
        (True, 0, "pty", "raw, as asked for"),
        (True, 70, "tcp", "as JPEG of quality 70 or less, as asked for"),
        (False, -1, "pty", "raw, since the board has no JPEG decoder"),
        (False, 70, "pty", "raw, since the board has no JPEG decoder"),
    ],
)
def test_how_images_travel(has_jpeg, wanted, path, text, tmp_path):
    options = BoardOptions(max_jpeg_bytes=20_000 if has_jpeg else 0)
    with (
        closing(BridgeHarness(tmp_path if path == "pty" else None, options=options)) as board,
        open_bridge(board, jpeg_quality=wanted) as backend,
    ):
        assert f"images travel {text}" in backend.info.description


@pytest.mark.parametrize(("room_bytes", "fits"), [(150, True), (4, False)], ids=["coarser", "error"])
def test_masks_that_do_not_fit_come_coarser_or_are_an_error(room_bytes, fits):
    network, rng, few = EchoNetwork(), random.Random(5), 5
    options = BoardOptions(max_instances=few, max_result_bytes=40 + 36 * few + room_bytes)
    with closing(BridgeHarness(None, network, options)) as board, open_bridge(board) as backend:
        wanted = SegmenterOptions(detection=DetectionOptions(score_threshold=0.5, max_instances=few))
        there, image = Segmenter(backend, wanted), random_image(rng)
        expected = Segmenter(network, wanted).segment(image)
        assert len(expected) == few
        if fits:
            found = there.segment(image)
            np.testing.assert_array_equal(found.xyxy, expected.xyxy)
            assert len(found.masks) == len(expected)
        else:
            with pytest.raises(BoardError, match="lower max_instances"):
                there.segment(image)


def test_more_instances_than_the_board_sends_are_told_once():
    lines, rng = [], random.Random(12)
    with (
        closing(BridgeHarness(None, options=BoardOptions(max_instances=3))) as board,
        open_bridge(board, log=lines.append) as backend,
    ):
        segmenter = Segmenter(backend, OPTIONS)
        assert [len(segmenter.segment(random_image(rng))) for _ in range(3)] == [3, 3, 3]
    assert lines == ["the board sends 3 instances of an image at most, 20 were asked for"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (make_raw_spec(input_hw=(32, 64)), "32x32, 2 classes, a raw head, is not that of model.tflite"),
        (make_raw_spec(input_hw=(32, 32), num_classes=3), "is not that of model.tflite"),
        (make_spec(input_hw=(32, 32)), "is not that of model.tflite"),
    ],
    ids=["size", "classes", "head"],
)
def test_another_network_than_the_file_is_refused(board, wanted, message):
    with pytest.raises(ModelError, match=message):
        open_bridge(board, wanted=WantedModel("model.tflite", (wanted,)))


def test_a_network_of_another_file_of_the_same_form_is_refused():
    network = EchoNetwork()
    with closing(BridgeHarness(None, network)) as board:
        board.sha256 = bytes(range(32))
        board.reset()
        wanted = WantedModel("model.tflite", (network.spec,), sha256s=(bytes(32), bytes(range(32))))
        until(lambda: opens(board, wanted), "the board")
        with pytest.raises(ModelError, match=r"was made of another file than model.tflite \(SHA-256 0001020304"):
            open_bridge(board, wanted=WantedModel("model.tflite", (network.spec,), sha256s=(bytes(32),)))


def opens(board, wanted):
    with open_bridge(board, wanted=wanted) as backend:
        return bool(backend.info.description)


def test_names_are_the_users_or_numbers(board):
    with open_bridge(board, wanted=WantedModel(class_names=("bolt", "nut"))) as backend:
        assert backend.spec.class_names == ("bolt", "nut")
        assert backend.spec.names_given
    with open_bridge(board) as backend:
        assert backend.spec.class_names == ("class_0", "class_1")
        assert not backend.spec.names_given
