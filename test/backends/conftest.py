"""Define fixtures for the tests of backends: delegates to load, and each runtime that is installed."""

from __future__ import annotations

import importlib

import pytest
from support.delegates import RESHAPE, build_library
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.model_files.store import cache_folder


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Return a builder of shared libraries that builds each once."""
    built = {}
    folder = tmp_path_factory.mktemp("delegates")

    def build(source="delegate.c", **definitions):
        key = (source, *definitions.items())
        if key not in built:
            built[key] = build_library(folder, source, **definitions)
        return built[key]

    return build


@pytest.fixture
def npu(library):
    """Return a delegate that runs all of the tiny model."""
    return library(TAKES=RESHAPE)


@pytest.fixture
def model(tmp_path):
    """Return a tiny model of two operations."""
    return write_segmentation_model(tmp_path / "tiny.tflite", names={0: "cat", 1: "dog"})


@pytest.fixture(params=["ai_edge_litert", "tflite_runtime"])
def runtime(request, monkeypatch):
    """Return each of the runtimes in turn, as the one that is installed."""
    module = pytest.importorskip(f"{request.param}.interpreter")
    for name in ("npu", "tflite"):
        monkeypatch.setattr(importlib.import_module(f"yolov8_seg_ros.backends.{name}"), "load_runtime", lambda: module)
    return module


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Point the cache folder to a temporary one, which knows of the models that other tests have opened."""
    opened_before = cache_folder() / "opened"
    opened_before.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg_cache"))
    cache_folder().mkdir(parents=True)
    (cache_folder() / "opened").symlink_to(opened_before)
