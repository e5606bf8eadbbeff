"""Test the stages of an image: that lanes keep apart, and that preparation allocates no image anew."""

from __future__ import annotations

import array
import tracemalloc

import numpy as np
import pytest

pytest.importorskip("rclpy")

from fakes import FLOAT32, FakeBackend, make_spec, stored_outputs
from sensor_msgs.msg import Image
from tiny_models import default_head, default_prototypes

from yolov8_seg_ros.core.options import SegmenterOptions
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.node.conversions import _ENCODINGS, ENCODINGS
from yolov8_seg_ros.node.image_stages import ImageStages

HW = (480, 640)
NETWORK_HW = (256, 256)
LANES = 2


def make_stages(input_quant=None, options=None):
    spec = make_spec(input_hw=NETWORK_HW)
    if input_quant is not None:
        object.__setattr__(spec.input, "quant", input_quant)
    outputs = stored_outputs(spec, default_head(2, 4, NETWORK_HW), default_prototypes(4, NETWORK_HW))
    backend = FakeBackend(spec, outputs)
    published = []
    segmenter = Segmenter(backend, options)
    stages = ImageStages(segmenter, LANES, lambda: True, lambda *result: published.append(result), pytest.fail)
    return stages, published


def message_of(encoding, rng, hw=HW):
    known = _ENCODINGS[encoding]
    step = hw[1] * known.channels * np.dtype(known.dtype).itemsize
    data = rng.integers(0, 256, hw[0] * known.row_factor // 2 * step, np.uint8)
    return Image(height=hw[0], width=hw[1], encoding=encoding, step=step, data=array.array("B", data.tobytes()))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_preparation_allocates_no_image(rng, encoding):
    stages, _ = make_stages()
    message = message_of(encoding, rng)
    assert peak_bytes(lambda: stages.prepare(message, 0)) < NETWORK_HW[0] * NETWORK_HW[1]


@pytest.mark.parametrize("quant", [FLOAT32, QuantParams(np.dtype("uint8"), 0.005, 3)], ids=["float32", "odd-uint8"])
@pytest.mark.parametrize("interpolation", ["area", "linear"])
def test_preparation_of_other_inputs_allocates_no_image(rng, quant, interpolation):
    stages, _ = make_stages(quant, SegmenterOptions(interpolation=interpolation))
    message = message_of("bgr8", rng)
    assert peak_bytes(lambda: stages.prepare(message, 0)) < NETWORK_HW[0] * NETWORK_HW[1]


def peak_bytes(work) -> int:
    """Give the most memory that the work holds at a time on top of what is there, once everything is set up."""
    work()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", ["bgr8", "nv12", "mono16"])
def test_lanes_do_not_disturb_each_other(rng, encoding):
    stages, _ = make_stages()
    one, other = message_of(encoding, rng), message_of(encoding, rng)
    first = stages.prepare(one, 0)
    tensor, pixels = first.network_input.copy(), first.image.pixels.copy()
    second = stages.prepare(other, 1)
    assert (second.network_input != tensor).any()
    np.testing.assert_array_equal(first.network_input, tensor)
    np.testing.assert_array_equal(first.image.pixels, pixels)


def test_results_go_out_with_their_image(rng):
    stages, published = make_stages()
    message = message_of("bgr8", rng)
    message.header.stamp.sec = 7
    stages.finish(stages.infer(stages.prepare(message, 0)))
    ((header, image, instances),) = published
    assert header.stamp.sec == 7
    assert image.hw == HW
    assert len(instances) == 1
    assert instances.masks is not None
    assert min(stages.times.preprocess_ms, stages.times.inference_ms, stages.times.postprocess_ms) > 0
