"""Test which forms of a model file are tried, and what is done where a runtime refuses one."""

from __future__ import annotations

import numpy as np
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.backends import model_forms
from yolov8_seg_ros.backends.model_forms import read_forms, read_forms_for_cpu
from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.model_files.cpu_graph import CpuGraph


def test_the_raw_head_comes_before_the_file_as_published(st_model_256):
    cut, published = read_forms(st_model_256)
    assert published.content == st_model_256.read_bytes()
    assert (cut.name, published.name) == ("raw head", "file as it is")
    assert (cut.head, published.head) == ("raw, cut out of the file", "as in the file")


def test_a_file_without_a_decoded_head_has_one_form(st_model_256, tmp_path):
    raw = tmp_path / "raw.tflite"
    raw.write_bytes(read_forms(st_model_256)[0].content)
    (only,) = read_forms(raw)
    assert only.content == raw.read_bytes()
    assert only.head.startswith("as in the file: ")


def test_only_a_raw_head_gets_a_graph_for_the_cpu(st_model_256):
    assert [form.input_shape for form in read_forms_for_cpu(st_model_256)] == [(1, 256, 256, 3), None, None]
    assert [form.input_shape for form in read_forms_for_cpu(st_model_256, raw_head=False)] == [None]


def test_a_graph_for_the_cpu_that_the_runtime_refuses_is_done_without(st_model_256, monkeypatch):
    refused = CpuGraph(b"\x00\x00\x00\x00TFL3", (1, 256, 256, 3))
    monkeypatch.setattr(model_forms, "for_cpu", lambda content: refused)
    with TfliteBackend(st_model_256) as backend:
        expected = "raw, cut out of the file, since its graph for the CPU does not run here: "
        assert backend.info.head.startswith(expected)
        assert len(backend.run(np.zeros(backend.spec.input.shape, np.int8))) == 10


def test_a_raw_head_that_the_runtime_refuses_is_done_without(tmp_path, monkeypatch):
    model = write_segmentation_model(tmp_path / "model.tflite")
    # A flatbuffer that is none: what a defect of the cutting, or a runtime of another age, comes to.
    monkeypatch.setattr(model_forms, "expose", lambda content: b"\x00\x00\x00\x00TFL3")
    with TfliteBackend(model) as backend:
        assert backend.info.head.startswith("as in the file, since its raw head does not run here: ")
        assert len(backend.run(np.zeros(backend.spec.input.shape, np.int8))) == 2
