"""Test compiled graphs through STAI_MPU, with a module of the same interface that has LiteRT inside."""

from __future__ import annotations

import importlib
import shutil
import sys
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.backends import sidecar
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.backends.stai_mpu import StaiMpuBackend
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError, ModelError


@pytest.fixture
def stand_in(monkeypatch):
    """Install the stand-in as `stai_mpu`; give what it can be bent through."""
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "support" / "stand_ins"))
    module = importlib.import_module("stai_mpu")
    bent = replace(module.BENT)
    monkeypatch.setattr(module, "BENT", bent)
    yield bent
    sys.modules.pop("stai_mpu")


@pytest.fixture
def graph(tmp_path):
    """Return a graph that knows no names and has nothing beside it."""
    return write_segmentation_model(tmp_path / "tiny.nb")


def segmented(backend):
    return Segmenter(backend).segment(np.zeros((64, 64, 3), np.uint8))


def assert_same_as_the_model(graph, rtol=1e-6):
    with StaiMpuBackend(graph) as backend, TfliteBackend(shutil.copy(graph, graph.with_suffix(".copy"))) as model:
        assert backend.info.is_accelerator
        assert backend.info.first_run_ms > 0
        found, expected = segmented(backend), segmented(model)
    np.testing.assert_allclose(found.xyxy, expected.xyxy, rtol=rtol)
    np.testing.assert_allclose(found.score, expected.score, rtol=rtol)
    np.testing.assert_array_equal(found.label_image(), expected.label_image())


@pytest.mark.parametrize("as_methods", [False, True], ids=["attributes", "methods"])
def test_a_graph_gives_what_its_model_gives(stand_in, graph, as_methods):
    stand_in.as_methods = as_methods
    assert_same_as_the_model(graph)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_float_outputs_will_do(stand_in, graph, dtype):
    stand_in.float_outputs = dtype
    assert_same_as_the_model(graph, rtol=1e-2)


def test_fixed_point_outputs_are_read(stand_in, graph):
    stand_in.fixed_point_pos = 6
    with StaiMpuBackend(graph) as backend:
        scores = backend.spec.levels[0].scores.quant
        assert (scores.scale, scores.zero_point) == (1 / 64, 0)


def test_outputs_are_the_callers_own(stand_in, graph):
    with StaiMpuBackend(graph) as backend:
        zeros = np.zeros(backend.spec.input.shape, backend.spec.input.quant.dtype)
        first = backend.run(zeros)
        kept = [output.copy() for output in first]
        for output in first:
            output[:] = 1
        for one, other in zip(backend.run(zeros), kept, strict=True):
            np.testing.assert_array_equal(one, other)


# What lies beside it


def test_names_come_from_the_model_beside_it(stand_in, graph):
    write_segmentation_model(graph.with_suffix(".tflite"), names={0: "cat", 1: "dog"})
    with StaiMpuBackend(graph) as backend:
        assert backend.spec.class_names == ("cat", "dog")


def test_names_come_from_the_yaml_beside_it_first(stand_in, graph):
    write_segmentation_model(graph.with_suffix(".tflite"), names={0: "cat", 1: "dog"})
    graph.with_suffix(".yaml").write_text("names: [bolt, nut]\n")
    with StaiMpuBackend(graph) as backend:
        assert backend.spec.class_names == ("bolt", "nut")


def test_names_that_are_given_win(stand_in, graph, tmp_path):
    graph.with_suffix(".yaml").write_text("names: [bolt, nut]\n")
    names = tmp_path / "names.txt"
    names.write_text("fish\nredfish\n")
    with open_backend(str(graph), "npu", class_names_file=str(names)) as backend:
        assert backend.spec.class_names == ("fish", "redfish")


def test_without_anything_beside_it_names_are_numbered(stand_in, graph):
    with StaiMpuBackend(graph) as backend:
        assert backend.spec.class_names == ("class_0", "class_1")
        assert not backend.spec.names_given


def model_beside(graph):
    write_segmentation_model(graph.with_suffix(".tflite"), names={0: "cat", 1: "dog"})


def yaml_beside(graph):
    graph.with_suffix(".yaml").write_text("names: [cat, dog]\noutputs: [[1, 16, 16, 4], [1, 10, 84]]\n")


@pytest.mark.parametrize("beside", [model_beside, yaml_beside])
def test_lost_axes_are_found_again(stand_in, graph, beside):
    beside(graph)
    stand_in.flat = True
    assert_same_as_the_model(graph)


def test_the_model_beside_it_serves_for_names_where_no_runtime_is(stand_in, graph, monkeypatch):
    model_beside(graph)

    def no_runtime(*_args, **_kwargs):
        raise BackendError("no TensorFlow Lite runtime is installed")

    monkeypatch.setattr(sidecar, "TfliteBackend", no_runtime)
    with StaiMpuBackend(graph) as backend:
        assert backend.spec.class_names == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("names: [cat, dog]\noutputs: [[1, 2, 3]]", "do not fit those of the file beside it", id="shapes"),
        pytest.param("names: [cat, dog]\noutputs: 7", r"outputs: expected a list of shapes like", id="no-shapes"),
        pytest.param("names: [cat]", "1 class names for a model of 2 classes", id="names"),
        pytest.param("outputs: []", "has no entry 'names'", id="no-names"),
        pytest.param("names: [", "is not YAML", id="no-yaml"),
    ],
)
def test_a_wrong_file_beside_it_is_reported(stand_in, graph, text, message):
    graph.with_suffix(".yaml").write_text(text)
    with pytest.raises(ModelError, match=message):
        StaiMpuBackend(graph)


# Every way it can fail


def test_without_stai_mpu(graph):
    with pytest.raises(BackendError, match=r"\.nb files need ST's Python module stai_mpu, which is not installed"):
        StaiMpuBackend(graph)


def test_a_broken_stai_mpu(graph, monkeypatch):
    broken = types.ModuleType("stai_mpu")
    monkeypatch.setitem(sys.modules, "stai_mpu", broken)

    def import_module(name):
        raise ImportError("libstai_mpu.so.6: cannot open shared object file")

    monkeypatch.setattr("yolov8_seg_ros.backends.stai_mpu.importlib.import_module", import_module)
    with pytest.raises(BackendError, match="stai_mpu is installed but cannot be imported: libstai_mpu"):
        StaiMpuBackend(graph)


@pytest.mark.parametrize(
    ("bend", "message"),
    [
        ({"fails_in": "load"}, r"cannot load .*tiny\.nb: Could not load nbg model: dlopen failed: .*; compile it for"),
        ({"fails_in": "run"}, "stai_mpu cannot run the network: the graph was compiled for another driver"),
        ({"engine": 0}, r"runs .*tiny\.nb on .*STAI_MPU_TFLITE_CPU_ENGINE, not on the NPU"),
    ],
    ids=["load", "run", "cpu-engine"],
)
def test_failures_are_reported_in_one_line(stand_in, graph, bend, message):
    for name, value in bend.items():
        setattr(stand_in, name, value)
    with pytest.raises(BackendError, match=message) as caught:
        StaiMpuBackend(graph)
    assert "\n" not in str(caught.value)


def test_auto_says_why_it_takes_the_npu(stand_in, graph):
    with open_backend(str(graph), "auto") as backend:
        assert backend.info.reason == "auto chose npu: a .nb file runs nowhere else"


def test_the_cpu_does_not_run_it(graph):
    with pytest.raises(BackendError, match=r"tiny\.nb is compiled for the NPU: choose backend npu"):
        open_backend(str(graph), "cpu")
