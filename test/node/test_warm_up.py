"""Test that warming up runs the whole way, masks included."""

from __future__ import annotations

import pytest
from fakes import FakeBackend, make_spec, stored_outputs
from tiny_models import default_head, default_prototypes

from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError
from yolov8_seg_ros.node.warm_up import WarmUp, warm_up


def make_backend() -> FakeBackend:
    spec = make_spec()
    return FakeBackend(spec, stored_outputs(spec, default_head(2, 4, (64, 64)), default_prototypes(4, (64, 64))))


def test_a_picture_goes_the_whole_way_several_times():
    backend = make_backend()
    times = warm_up(Segmenter(backend))
    assert len(backend.inputs) > 1
    assert len(set(backend.inputs[0].ravel().tolist())) > 10
    assert times.first_ms > 0
    assert times.steady_ms > 0


def test_a_backend_that_fails_is_told():
    backend = make_backend()
    backend.run = lambda network_input: (_ for _ in ()).throw(BackendError("the NPU does not answer"))
    with pytest.raises(BackendError, match="the NPU does not answer"):
        warm_up(Segmenter(backend))


def test_times_in_words():
    assert str(WarmUp(21000.4, 30.12)) == "the first image took 21000 ms, those after it 30.1 ms"
