"""Test published models on a simulated board: each image has the instances and mask pixels of the CPU."""

from __future__ import annotations

import threading
from contextlib import contextmanager

import cv2
import numpy as np
import pytest
from support.bridge_harness import assert_same
from support.shared_data import SHARED_FILES, shared_path
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.n6.simulator.bridge import simulate_model
from yolov8_seg_ros.backends.n6.simulator.streams import PtyStream, TcpStream
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.options import DetectionOptions, SegmenterOptions
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import ModelError


@contextmanager
def simulated(model, stream=None, **options):
    """Run a simulated board with a model file; yield its port."""
    stream = stream or TcpStream()
    board = simulate_model(model, stream, **options)
    thread = threading.Thread(target=board.serve)
    thread.start()
    try:
        yield stream.path
    finally:
        board.close()
        thread.join()
        stream.close()


def open_n6(model, port, **options):
    return open_backend(str(model), "n6", n6=N6Options(port, **options))


@pytest.mark.parametrize("size", ["256", "320"])
def test_all_images_have_the_instances_of_the_cpu(size, coco_images):
    model, found = shared_path(SHARED_FILES[size]), 0
    with simulated(model) as port, open_n6(model, port) as board, open_backend(str(model), "cpu") as cpu:
        assert board.info.head == "raw, decoded on the board"
        there, here = Segmenter(board), Segmenter(cpu)
        for path in coco_images:
            image = cv2.imread(str(path))
            instances = there.segment(image)
            assert_same(instances, here.segment(image))
            found += len(instances)
    assert len(coco_images) == 40
    assert found > 140


def test_many_weak_instances_are_the_same_too(st_model_256, coco_images):
    options = SegmenterOptions(detection=DetectionOptions(score_threshold=0.001, max_instances=300))
    with simulated(st_model_256) as port, open_n6(st_model_256, port) as board:
        there = Segmenter(board, options)
        with open_backend(str(st_model_256), "cpu") as cpu:
            here = Segmenter(cpu, options)
            for path in coco_images[:5]:
                image = cv2.imread(str(path))
                assert_same(there.segment(image), here.segment(image))


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "tiny.tflite", names=["cat", "dog"])


def test_the_board_may_be_asked_by_its_model_or_without(model, tmp_path):
    with simulated(model) as port:
        with open_n6(model, port) as board:
            assert board.spec.class_names == ("cat", "dog")
            assert "network 'tiny'" in board.info.description
        with open_n6("", port) as board:
            assert board.spec.class_names == ("cat", "dog")
        other = write_segmentation_model(tmp_path / "other.tflite", names=["bolt", "nut"])
        with pytest.raises(ModelError, match=r"was made of another file than .*other\.tflite"):
            open_n6(other, port)


@pytest.mark.parametrize("protocol", ["auto", "bridge"])
def test_the_protocol_is_found_out(model, protocol):
    with simulated(model, PtyStream()) as port, open_n6(model, port, protocol=protocol) as board:
        assert "bridge firmware" in board.info.description


def test_a_line_takes_its_time(model):
    """Without this, rates by line would mean nothing."""
    baud_rate, num_frames = 1_000_000, 3
    with (
        simulated(model, PtyStream(), baud_rate=baud_rate) as port,
        open_n6(model, port, baud_rate=baud_rate, jpeg_quality=0) as board,
    ):
        segmenter, image = Segmenter(board), np.zeros((64, 64, 3), np.uint8)
        segmenter.segment(image)
        times_ms = []
        for _ in range(num_frames):
            segmenter.segment(image)
            times_ms.append(segmenter.times.inference_ms)
    assert min(times_ms) > 64 * 64 * 3 * 10 / baud_rate * 1e3 / 2
