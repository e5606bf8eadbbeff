"""Test the engine: memory of a frame, and warm-up."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from support.engine_harness import TIMEOUT_S
from support.fakes import FLOAT32, FakeBackend, make_spec

from yolov8_seg_ros.core.backend import BackendInfo
from yolov8_seg_ros.core.image import ColorImage
from yolov8_seg_ros.core.options import SegmenterOptions
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.errors import BackendError
from yolov8_seg_ros.node.engine import Engine, WarmUp


@pytest.mark.parametrize(
    "quant", [None, FLOAT32, QuantParams(np.dtype("uint8"), 0.005, 3)], ids=["int8", "float32", "odd"]
)
@pytest.mark.parametrize("interpolation", ["area", "linear"])
def test_a_frame_is_preprocessed_without_new_memory_of_an_image(rng, quant, interpolation):
    spec = make_spec(input_hw=(256, 256))
    if quant is not None:
        object.__setattr__(spec.input, "quant", quant)
    engine = Engine(FakeBackend(spec, ()), SegmenterOptions(interpolation=interpolation))
    image = ColorImage(rng.integers(0, 256, (480, 640, 3), np.uint8))
    frame = engine.segmenter.new_frame()
    engine.segmenter.preprocess(frame, image)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        engine.segmenter.preprocess(frame, image)
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < 256 * 256
    assert engine.close(TIMEOUT_S)


def test_warming_up_segments_an_image_of_shapes_several_times(start_engine):
    harness = start_engine()
    times = harness.engine.warm_up()
    assert len(harness.backend.inputs) > 1
    assert len(set(harness.backend.inputs[0].ravel().tolist())) > 10
    assert min(times.first_ms, times.steady_ms) > 0


def test_a_backend_that_needs_no_warm_up_gets_none(start_engine):
    harness = start_engine()
    harness.backend.info = BackendInfo("warm", needs_warm_up=False)
    assert harness.engine.warm_up() is None
    assert harness.backend.inputs == []


def test_the_first_run_counts_where_opening_made_it(start_engine):
    harness = start_engine()
    harness.backend.info = BackendInfo("compiled", first_run_ms=21000.0)
    assert harness.engine.warm_up().first_ms == 21000.0


def test_a_backend_that_fails_while_warming_up_says_so(start_engine):
    harness = start_engine()
    harness.backend.run = lambda network_input: (_ for _ in ()).throw(BackendError("the NPU does not answer"))
    with pytest.raises(BackendError, match="the NPU does not answer"):
        harness.engine.warm_up()


def test_times_in_words():
    assert str(WarmUp(21000.4, 30.12)) == "the first image took 21000 ms, those after it 30.1 ms"
