"""Test the host's conversation with a simulated board."""

from __future__ import annotations

import random
from contextlib import closing

import numpy as np
import pytest
from n6_bench import SHORT_LIMITS, BoardBench, EchoNetwork, connect_again, frame

from yolov8_seg_ros.backends.n6 import simulated_board
from yolov8_seg_ros.backends.n6.client import BoardClient
from yolov8_seg_ros.backends.n6.messages import Acknowledge, Command, Request, Response, State
from yolov8_seg_ros.backends.n6.packets import GO_AHEAD, board_packets, host_packets
from yolov8_seg_ros.backends.n6.serial_line import SerialLine
from yolov8_seg_ros.backends.n6.simulated_board import SimulatedBoard
from yolov8_seg_ros.errors import BoardError, LinkError


def test_the_device_is_described(client):
    device = client.device()
    assert (device.name, device.device_id) == ("STM32N6", 0x486)
    assert (device.cpu_hz, device.npu_hz) == (800_000_000, 1_000_000_000)
    assert "NPU cache" in device.caches


def test_the_network_is_described(client, network):
    [model] = client.models()
    assert model.name == "echo"
    assert model.runtime.startswith("ST Neural-ART")
    assert [tensor.spec.shape for tensor in model.inputs] == [(1, 32, 32, 3)]
    assert [tensor.spec.shape for tensor in model.outputs] == [tensor.shape for tensor in network.outputs]
    assert model.outputs[0].spec.quant.scale == pytest.approx(0.02)
    assert model.outputs[0].spec.quant.zero_point == -64


def test_a_run_gives_the_outputs_of_its_input(client, network):
    [model] = client.models()
    rng = random.Random(1)
    for _ in range(20):
        data = frame(rng, network)
        result = client.run(model, [data])
        for output, expected in zip(result.outputs, network.expected(data), strict=True):
            np.testing.assert_array_equal(output, expected)


@pytest.mark.parametrize("header_size", [1, 2])
@pytest.mark.parametrize("size", [32, 64])
def test_sizes_and_headers(tmp_path, header_size, size):
    network = EchoNetwork((size, size))
    with closing(BoardBench(tmp_path, network, header_size)) as bench, closing(SerialLine(bench.port, 115200)) as line:
        client = BoardClient(line, header_size)
        client.connect()
        data = frame(random.Random(2), network)
        outputs = client.run(client.models()[0], [data]).outputs
    assert all(map(np.array_equal, outputs, network.expected(data)))


class CountingLine:
    """Pass bytes on and count packets and go-aheads of both ways."""

    def __init__(self, line):
        self._line = line
        self.up, self.down, self.go_aheads = [], [], 0

    def read(self, num_bytes):
        packet = self._line.read(num_bytes)
        self.up.append(packet)
        return packet

    def write(self, data):
        if data == GO_AHEAD:
            self.go_aheads += 1
        elif data != simulated_board.BOOT_TEXT:
            self.down += [data[start : start + 33] for start in range(0, len(data), 33)]
        self._line.write(data)


def test_a_frame_of_256_pixels_takes_the_packets_of_the_protocol(tmp_path, monkeypatch):
    counting = []

    class CountedBoard(SimulatedBoard):
        def __init__(self, network, line, header_size):
            counting.append(CountingLine(line))
            super().__init__(network, counting[0], header_size)

    monkeypatch.setattr("n6_bench.SimulatedBoard", CountedBoard)
    network = EchoNetwork((256, 256), num_classes=80)
    # The published networks have 32 prototypes.
    network.spec = None
    network.outputs = tuple(
        type(tensor)(tensor.name, shape, tensor.quant)
        for tensor, shape in zip(network.outputs, [(1, 116, 1344), (1, 64, 64, 32)], strict=True)
    )
    with closing(BoardBench(tmp_path, network)) as bench, closing(SerialLine(bench.port, 921600)) as line:
        client = BoardClient(line)
        client.connect()
        [model] = client.models()
        [counts] = counting
        counts.up, counts.down, counts.go_aheads = [], [], 0
        client.run(model, [frame(random.Random(3), network)])
    assert (len(counts.up), counts.go_aheads) == (6147, 6144)
    assert len(counts.down) == 1 + 1 + 3 + 4875 + 4099
    assert {len(packet) for packet in counts.up + counts.down} == {33}


def test_the_whole_conversation_byte_by_byte(tmp_path, monkeypatch):
    """Requests, their order, and the numbers in them, as ST's own host sends them."""
    counting = []

    class CountedBoard(SimulatedBoard):
        def __init__(self, network, line, header_size):
            counting.append(CountingLine(line))
            super().__init__(network, counting[0], header_size)

    monkeypatch.setattr("n6_bench.SimulatedBoard", CountedBoard)
    network = EchoNetwork()
    data = frame(random.Random(4), network)
    with closing(BoardBench(tmp_path, network)) as bench, closing(SerialLine(bench.port, 921600)) as line:
        client = BoardClient(line)
        client.connect()
        client.device()
        [model] = client.models()
        client.run(model, [data])
    expected = [
        Request(reqid=1, cmd=Command.SYNC, param=0, name=b"", opt=0),
        Request(reqid=2, cmd=Command.SYSTEM_INFO, param=0, name=b"", opt=0),
        Request(reqid=3, cmd=Command.MODEL_INFO, param=0, name=b"", opt=0),
        Request(reqid=4, cmd=Command.MODEL_INFO, param=1, name=b"", opt=0),
        Request(reqid=5, cmd=Command.RUN, param=1, name=b"echo", opt=1),
    ]
    tensor = b"\x08\x00\x10\x80\x18\x18\x00\x22\x80\x18" + data.tobytes()
    acknowledgement = Acknowledge(param=0, error=0).SerializeToString()
    messages = [*(message.SerializeToString() for message in expected), tensor, acknowledgement]
    assert counting[0].up == [packet for message in messages for packet in host_packets(message)]


def test_log_lines_are_acknowledged_and_kept(bench, line, client, network, caplog, monkeypatch):
    carry_out = SimulatedBoard._carry_out

    def talkative(board, request):
        answer = board._response(State.IDLE)
        answer.log.level, answer.log.str = 3, b"the NPU is warm"
        board._send(answer)
        assert board._read(Acknowledge) == Acknowledge(param=0, error=0)
        carry_out(board, request)

    monkeypatch.setattr(SimulatedBoard, "_carry_out", talkative)
    [model] = client.models()
    client.run(model, [frame(random.Random(5), network)])
    assert "board: the NPU is warm" in caplog.text


def test_a_failed_inference_is_told_and_the_next_one_works(client, network):
    [model] = client.models()
    data = frame(random.Random(6), network)
    network.error = RuntimeError("overheated")
    with pytest.raises(BoardError, match="reports an error: generic, 10"):
        client.run(model, [data])
    network.error = None
    assert np.array_equal(client.run(model, [data]).outputs[0], network.expected(data)[0])


def test_a_wrong_size_is_refused_by_the_board(client, bench):
    [model] = client.models()
    with pytest.raises(BoardError, match="invalid size, 5"):
        client.run(model, [np.zeros(5, np.int8)])
    assert client.ping() > 0


def test_an_unknown_network_is_refused_by_the_board(client, bench):
    [model] = client.models()
    bench.network.name = "other"
    with pytest.raises(BoardError, match="invalid param, 4"):
        client.run(model, [np.zeros((1, 32, 32, 3), np.int8)])


def test_an_older_minor_revision_is_welcome_and_another_major_is_not(bench, line, monkeypatch):
    monkeypatch.setattr(simulated_board, "PROTOCOL_VERSION", (3, 0))
    BoardClient(line, limits=SHORT_LIMITS).connect()
    monkeypatch.setattr(simulated_board, "PROTOCOL_VERSION", (4, 0))
    with pytest.raises(BoardError, match=r"revision 4\.0 of the protocol, expected 3\.1"):
        BoardClient(line, limits=SHORT_LIMITS).connect()


def test_a_board_of_the_other_header_size_is_told(tmp_path, network):
    with closing(BoardBench(tmp_path, network, 2)) as bench, closing(SerialLine(bench.port, 921600)) as line:
        client = BoardClient(line, limits=SHORT_LIMITS)
        with pytest.raises(LinkError, match="packet header"):
            client.connect()


class ScriptedLine:
    """A line whose other end says what is written down, and asks for every packet."""

    path, baud_rate = "scripted", 921600

    def __init__(self, *pieces):
        self.pieces = list(pieces)

    def read(self, limit_s):
        return self.pieces.pop(0) if self.pieces else b""

    def discard(self):
        return b""

    def drain(self, silence_s, limit_s):
        return b""

    def write(self, data, limit_s):
        assert data

    def write_paced(self, packets, stall_limit_s, limit_s):
        assert packets


WRONG_ANSWERS = {
    "another request's": (Response(reqid=77, state=State.IDLE, ack={"param": 0, "error": 0}), "answer to request"),
    "another kind": (Response(reqid=1, state=State.IDLE, ack={"param": 0, "error": 0}), "expected 'sinfo'"),
    "another state": (
        Response(reqid=1, state=State.DONE, sinfo={"devid": 1, "sclock": 1, "hclock": 1, "cache": 0}),
        "in state IDLE",
    ),
    "refusal": (Response(reqid=1, state=State.ERROR, ack={"param": 1, "error": 99}), "error 99, 1"),
    "no payload": (Response(reqid=1, state=State.IDLE), "got 'None'"),
}


@pytest.mark.parametrize("case", WRONG_ANSWERS)
def test_wrong_answers_are_told(case):
    answer, expected = WRONG_ANSWERS[case]
    with pytest.raises((LinkError, BoardError), match=expected):
        BoardClient(ScriptedLine(board_packets(answer.SerializeToString()))).device()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"", "does not answer"),
        (b"\x20" * 40, "fallen silent within an answer"),
        (b"\xbf" * 33, "it announces 63 bytes"),
        (b"\x83" + b"\xff" * 32, "an answer of 3 bytes makes no sense"),
    ],
    ids=["silence", "half an answer", "no packet", "no message"],
)
def test_what_is_no_answer_is_told(stream, expected):
    with pytest.raises(LinkError, match=expected):
        BoardClient(ScriptedLine(stream)).device()


@pytest.mark.parametrize("seed", range(50))
def test_a_host_that_died_at_any_byte_leaves_no_trace(bench, line, network, seed):
    """Stop a conversation anywhere, within a packet too: the next host gets in step."""
    rng = random.Random(seed)
    tensor = b"\x08\x00\x10\x80\x18\x18\x00\x22\x80\x18" + bytes(3072)
    run = Request(reqid=9, cmd=Command.RUN, param=1, name=b"echo", opt=1).SerializeToString()
    stream = b"".join(packet for message in (run, tensor, b"\x08\x00\x10\x00") for packet in host_packets(message))
    died_at = rng.choice([rng.randrange(200), rng.randrange(len(stream)), len(stream) - rng.randrange(100)])
    line.write(stream[:died_at], 5.0)
    client = BoardClient(line, limits=SHORT_LIMITS)
    connect_again(client)
    client = BoardClient(line)
    data = frame(rng, network)
    assert np.array_equal(client.run(client.models()[0], [data]).outputs[0], network.expected(data)[0])
