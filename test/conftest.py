"""Define fixtures for the shared reference data; tests are skipped where it is absent."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from support.shared_data import SHARED_FILES, shared_path
from support.slow_files import SLOW_FILES

CHECKOUT = Path(__file__).resolve().parents[1]


def pytest_configure() -> None:
    """Build the decoder in the checkout, whose sources the tests use, if colcon built it only elsewhere."""
    if not (CHECKOUT / "yolov8_seg_ros" / "native" / "libseg.so").exists():
        subprocess.run([sys.executable, "setup.py", "--quiet", "build_ext", "--inplace"], cwd=CHECKOUT, check=True)


@pytest.hookimpl(tryfirst=True)
def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    """Collect modules with pytest's own collector: launch_testing's imports all of them, and one skip skips all."""
    return None if module_path.parent.name == "launch" else pytest.Module.from_parent(parent, path=module_path)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the slow files first where several processes share the tests out."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        ranks = {CHECKOUT / "test" / name: rank for rank, name in enumerate(SLOW_FILES)}
        items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the user's cache folder as it is: all processes of a run share one of their own."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        yield


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """Return what the package logs.

    Loggers made after ROS 2's launch was imported, as by its pytest plugins, keep their messages to themselves.
    """
    for name, logger in logging.root.manager.loggerDict.items():
        if name.startswith("yolov8_seg_ros") and isinstance(logger, logging.Logger):
            monkeypatch.setattr(logger, "propagate", True)
    return caplog


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of reference data."""
    return shared_path(".")


@pytest.fixture(scope="session")
def st_model_256() -> Path:
    """Return ST's model of 256x256 pixels, 80 classes."""
    return shared_path(SHARED_FILES["256"])


@pytest.fixture(scope="session")
def st_model_320() -> Path:
    """Return ST's model of 320x320 pixels, 80 classes."""
    return shared_path(SHARED_FILES["320"])


@pytest.fixture(scope="session")
def fish_model() -> Path:
    """Return a model of 256x256 pixels and two classes, fish and redfish."""
    return shared_path(SHARED_FILES["fish"])


@pytest.fixture(params=sorted(SHARED_FILES))
def shared_model(request: pytest.FixtureRequest) -> Path:
    """Return each of the reference models in turn."""
    return shared_path(SHARED_FILES[request.param])


@pytest.fixture(scope="session")
def coco_images() -> list[Path]:
    """Return the paths of the COCO validation images, by name."""
    return sorted(shared_path("data/coco_val/images").glob("*.jpg"))


@pytest.fixture(scope="session")
def person_bgr() -> NDArray[np.uint8]:
    """Return an image of people, uint8 (height, width, 3) in BGR order."""
    image = cv2.imread(str(shared_path("data/coco_val/images/000000001000.jpg")))
    assert image is not None
    return image


@pytest.fixture
def rng() -> np.random.Generator:
    """Return random numbers that are the same in each run."""
    return np.random.default_rng(20240901)
