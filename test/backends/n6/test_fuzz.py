"""Feed each side thousands of random and mutated packets: no hang, no stray exception, and a good run afterwards."""

from __future__ import annotations

import random
from contextlib import closing

import numpy as np
import pytest
from n6_bench import SHORT_LIMITS, BoardBench, EchoNetwork, connect_again, frame
from test_client import ScriptedLine

from yolov8_seg_ros.backends.n6.client import BoardClient
from yolov8_seg_ros.backends.n6.messages import Command, Request, Response, TensorData
from yolov8_seg_ros.backends.n6.packets import board_packets, host_packets
from yolov8_seg_ros.backends.n6.serial_line import SerialLine
from yolov8_seg_ros.backends.n6.simulated_board import SimulatedBoard
from yolov8_seg_ros.errors import BackendError

NUM_PACKETS = 10_000
PACKET_BYTES = 33


def mutated(rng, packet):
    """Give the packet with some bits, bytes or its length changed, or another one altogether."""
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
    """Give the packets of a message that a host may send."""
    data = rng.randbytes(rng.choice([0, 5, 64, 3072]))
    message = rng.choice(
        [
            Request(reqid=rng.randrange(1 << 32), cmd=rng.choice(list(Command)), param=1, name=b"echo", opt=1),
            Request(reqid=1, cmd=rng.randrange(256), param=rng.randrange(1 << 32), name=b"x" * 63, opt=0),
            TensorData(type=0, size=len(data), addr=0, datas=data),
        ]
    )
    return host_packets(message.SerializeToString())


def test_the_board_survives_any_packets(bench, line, network):
    rng = random.Random(1)
    sent = 0
    while sent < NUM_PACKETS:
        for packet in requests(rng):
            line.write(mutated(rng, packet) if rng.random() < 0.5 else packet, 10.0)
            line.discard()
            sent += 1
    client = BoardClient(line, limits=SHORT_LIMITS)
    connect_again(client)
    client = BoardClient(line)
    data = frame(rng, network)
    assert np.array_equal(client.run(client.models()[0], [data]).outputs[0], network.expected(data)[0])


class RecordingLine:
    """Take what a board says, and ask nothing of it."""

    def __init__(self):
        self.packets = []

    def write(self, data):
        self.packets += [data[start : start + PACKET_BYTES] for start in range(0, len(data), PACKET_BYTES)]


@pytest.fixture(scope="module")
def conversations():
    """Give what a board says to each call of the client, as packets; request ids begin at 1."""
    network = EchoNetwork()
    recorded = {}
    for name in ("connect", "device", "models", "run"):
        line = RecordingLine()
        board = SimulatedBoard(network, line)
        board._request_id = 1
        if name == "connect":
            board._answer_sync()
        elif name == "device":
            board._answer_system_info()
        elif name == "models":
            board._answer_model_info(0)
            end = Response(reqid=2, state=4, ack={"param": 4, "error": 4})
            line.packets.append(board_packets(end.SerializeToString()))
        else:
            board._acknowledge(1, 3072)
            board._acknowledge(2, 3072)
            board._send_operator(1.0)
            board._send_outputs(network.expected(np.zeros((1, 32, 32, 3), np.int8)), with_data=True)
        recorded[name] = line.packets
    return recorded


def call(client, name, model):
    if name == "run":
        return client.run(model, [np.zeros((1, 32, 32, 3), np.int8)])
    return getattr(client, name)()


def test_the_host_survives_any_packets(conversations, tmp_path):
    [model] = BoardClient(ScriptedLine(*conversations["models"])).models()
    rng = random.Random(2)
    fed = good = 0
    while fed < NUM_PACKETS:
        name = rng.choice(list(conversations))
        damaged = rng.randrange(len(conversations[name]))
        packets = [
            mutated(rng, packet) if index == damaged or rng.random() < 0.1 else packet
            for index, packet in enumerate(conversations[name])
        ]
        fed += len(packets)
        try:
            call(BoardClient(ScriptedLine(*packets), limits=SHORT_LIMITS), name, model)
        except BackendError:
            pass
        else:
            good += 1
    print(f"{fed} packets, {good} calls succeeded all the same")
    network = EchoNetwork()
    with closing(BoardBench(tmp_path, network)) as bench, closing(SerialLine(bench.port, 921600)) as line:
        client = BoardClient(line)
        client.connect()
        data = frame(rng, network)
        assert np.array_equal(client.run(client.models()[0], [data]).outputs[0], network.expected(data)[0])


def test_the_recorded_conversations_are_good(conversations):
    model = BoardClient(ScriptedLine(*conversations["models"])).models()[0]
    for name, packets in conversations.items():
        call(BoardClient(ScriptedLine(*packets)), name, model)
