"""Test that models are opened on the backend asked for, and that what is impossible is reported."""

from __future__ import annotations

import pytest
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.backends.open_backend import BACKENDS, open_backend
from yolov8_seg_ros.errors import BackendError, ModelError


@pytest.fixture
def model(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLOV8_SEG_MODELS", str(tmp_path))
    return str(write_segmentation_model(tmp_path / "tiny.tflite"))


def test_auto_is_the_default_and_says_what_it_chose(model):
    with open_backend(model) as backend:
        assert backend.info.reason.startswith("auto chose cpu: ")


def test_a_backend_asked_for_has_no_reason(model):
    with open_backend("tiny", "cpu", num_threads=3) as backend:
        assert backend.info.reason == ""
        assert "3 threads" in backend.info.description


def test_class_names_come_from_a_file(model, tmp_path):
    names = tmp_path / "data.yaml"
    names.write_text("names:\n  0: fish\n  1: redfish\n")

    with open_backend(model, class_names_file=str(names)) as backend:
        assert backend.spec.class_names == ("fish", "redfish")
        assert backend.spec.names_given


def test_class_names_that_do_not_fit_are_reported(model, tmp_path):
    names = tmp_path / "names.txt"
    names.write_text("fish\n")

    with pytest.raises(ModelError, match="1 class names for a model of 2 classes"):
        open_backend(model, class_names_file=str(names))


@pytest.mark.parametrize("backend", ["gpu", "", "CPU"])
def test_an_unknown_backend_names_the_known_ones(backend, model):
    with pytest.raises(BackendError, match=f"expected one of {', '.join(BACKENDS)}; got '{backend}'"):
        open_backend(model, backend)


def test_a_negative_number_of_threads_is_refused(model):
    with pytest.raises(BackendError, match="num_threads: expected 0"):
        open_backend(model, num_threads=-1)


def test_a_model_that_is_not_there_is_reported():
    with pytest.raises(ModelError, match="model 'no_such_model'"):
        open_backend("no_such_model")
