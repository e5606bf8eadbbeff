"""A simulated board with the bridge firmware for the tests of this folder: on a pseudo terminal, and on a TCP port."""

from __future__ import annotations

from contextlib import closing

import pytest
from support.bridge_harness import BridgeHarness, Checker, open_bridge


@pytest.fixture(params=["pty", "tcp"])
def board(request, tmp_path):
    with closing(BridgeHarness(tmp_path if request.param == "pty" else None, seed=request.node.name)) as made:
        yield made


@pytest.fixture
def backend(board):
    with open_bridge(board) as opened:
        yield opened


@pytest.fixture
def checker(board, backend):
    return Checker(backend, board.network)
