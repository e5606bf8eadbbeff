"""Give simulated boards."""

from __future__ import annotations

from contextlib import closing

import pytest
from n6_bench import SHORT_LIMITS, SHORT_PAUSES_S, BoardBench, EchoNetwork

from yolov8_seg_ros.backends.n6.backend import N6Backend
from yolov8_seg_ros.backends.n6.client import BoardClient
from yolov8_seg_ros.backends.n6.link import LinkSettings, WantedModel
from yolov8_seg_ros.backends.n6.serial_line import SerialLine


@pytest.fixture
def network():
    return EchoNetwork()


@pytest.fixture
def bench(tmp_path, network):
    """Give a board in a thread, whose line can fail."""
    with closing(BoardBench(tmp_path, network)) as made:
        yield made


@pytest.fixture
def line(bench):
    with closing(SerialLine(bench.port, 921600)) as made:
        yield made


@pytest.fixture
def client(line):
    made = BoardClient(line)
    made.connect()
    return made


@pytest.fixture
def backend_limits():
    """Give those of a backend that soon notices that something is wrong."""
    return SHORT_LIMITS


@pytest.fixture
def backend(bench, backend_limits):
    """Give a backend that tries again soon."""
    settings = LinkSettings(bench.port, limits=backend_limits)
    with N6Backend(settings, WantedModel(class_names=("cat", "dog")), SHORT_PAUSES_S) as made:
        yield made
