"""Simulated boards for the tests of this folder."""

from __future__ import annotations

from contextlib import closing

import pytest
from support.n6_harness import EchoNetwork, MemoryHarness

from yolov8_seg_ros.backends.n6.stedgeai import StedgeaiProtocol


@pytest.fixture
def network():
    return EchoNetwork()


@pytest.fixture
def board(network):
    """A board behind a line in memory, which can fail."""
    with closing(MemoryHarness(network)) as made:
        yield made


@pytest.fixture
def connection(board):
    return StedgeaiProtocol().connect(board.open_port(board.port))
