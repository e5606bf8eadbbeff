"""Feed each side thousands of random and mutated packets: no hang, no stray exception, and a good run afterwards."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
from support.n6_harness import ONE_BYTE_HEADER, connected, frame
from support.n6_lines import MemoryPort, ScriptedPort

from yolov8_seg_ros.backends.n6.stedgeai import StedgeaiProtocol
from yolov8_seg_ros.backends.n6.stedgeai_wire import Command, Request, TensorData
from yolov8_seg_ros.errors import BackendError

NUM_PACKETS = 10_000
PACKET_BYTES = ONE_BYTE_HEADER.packet_bytes


def mutated(rng, packet):
    """Return the packet with some bits, bytes or its length changed, or another one altogether."""
    changed = bytearray(packet)
    kind = rng.randrange(5)
    if kind == 0:
        return rng.randbytes(PACKET_BYTES)
    if kind == 1:
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == 2:
        for _ in range(rng.randrange(1, 8)):
            changed[rng.randrange(len(changed))] = rng.choice([0, 1, 0x20, 0x7F, 0x80, 0xAA, 0xFF])
    elif kind == 3:
        del changed[rng.randrange(len(changed)) :]
    else:
        changed += rng.randbytes(rng.randrange(1, PACKET_BYTES))
    return bytes(changed)


def requests(rng):
    """Return the packets of a message that a host may send."""
    data = rng.randbytes(rng.choice([0, 5, 64, 3072]))
    message = rng.choice(
        [
            Request(reqid=rng.randrange(1 << 32), cmd=rng.choice(list(Command)), param=1, name=b"echo", opt=1),
            Request(reqid=1, cmd=rng.randrange(256), param=rng.randrange(1 << 32), name=b"x" * 63, opt=0),
            TensorData(type=0, size=len(data), addr=0, datas=data),
        ]
    )
    return ONE_BYTE_HEADER.to_board(message.SerializeToString())


def assert_runs(connection, network, rng):
    data = frame(rng, network)
    outputs = connection.run(connection.networks()[0], [data]).outputs
    assert all(map(np.array_equal, outputs, network.expected(data)))


def test_the_board_survives_any_packets(board, network):
    rng = random.Random(1)
    port = board.open_port(board.port)
    num_sent = 0
    while num_sent < NUM_PACKETS:
        for packet in requests(rng):
            port.write(mutated(rng, packet) if rng.random() < 0.5 else packet, 10.0)
            port.discard()
            num_sent += 1
    assert_runs(StedgeaiProtocol().connect(port), network, rng)


class RecordingPort(MemoryPort):
    """Recorder of a board's answers as packets."""

    def __init__(self, line):
        super().__init__(line)
        self.packets = []

    def read(self, limit_s):
        received = super().read(limit_s)
        self.packets += [received[start : start + PACKET_BYTES] for start in range(0, len(received), PACKET_BYTES)]
        return received


CALLS = {
    "connect": lambda port, model: StedgeaiProtocol().connect(port),
    "device": lambda port, model: connected(port, 2).device(),
    "networks": lambda port, model: connected(port, 2).networks(),
    "run": lambda port, model: connected(port, 2).run(model, [np.zeros((1, 32, 32, 3), np.int8)]),
}


@pytest.fixture
def model(connection):
    return connection.networks()[0]


@pytest.fixture
def answers(board, model):
    """Return what a board answers to each call, as packets."""
    recorded = {}
    for name, call in CALLS.items():
        port = RecordingPort(board.line)
        if name != "connect":
            StedgeaiProtocol().connect(MemoryPort(board.line))
        call(port, model)
        # The board asks for each packet of an input; a ScriptedPort does so by itself.
        recorded[name] = [packet for packet in port.packets if len(packet) == PACKET_BYTES]
    return recorded


def test_the_host_survives_any_packets(answers, model, board, network):
    rng = random.Random(2)
    num_fed = num_good = 0
    while num_fed < NUM_PACKETS:
        name = rng.choice(list(CALLS))
        damaged = rng.randrange(len(answers[name]))
        packets = [
            mutated(rng, packet) if index == damaged or rng.random() < 0.1 else packet
            for index, packet in enumerate(answers[name])
        ]
        num_fed += len(packets)
        try:
            CALLS[name](ScriptedPort(*packets), model)
        except BackendError:
            pass
        else:
            num_good += 1
    print(f"{num_fed} packets, {num_good} calls succeeded all the same")
    assert_runs(StedgeaiProtocol().connect(board.open_port(board.port)), network, rng)


@pytest.mark.parametrize("name", CALLS)
def test_the_recorded_answers_are_good(answers, model, name):
    CALLS[name](ScriptedPort(*itertools.chain(answers[name])), model)
