"""Test the protocol of ST's validation firmware against a simulated board and against written-down answers."""

from __future__ import annotations

import itertools
import logging
import random
from contextlib import closing

import numpy as np
import pytest
from hypothesis import given, strategies
from support.n6_harness import EchoNetwork, MemoryHarness, connected, frame
from support.n6_lines import ScriptedPort
from support.properties import examples

from yolov8_seg_ros.backends.n6.simulator.board import BOOT_TEXT
from yolov8_seg_ros.backends.n6.stedgeai import StedgeaiProtocol, num_bytes, write_description
from yolov8_seg_ros.backends.n6.stedgeai_wire import (
    GO_AHEAD,
    PACKET_FORMATS,
    PROTOCOL_VERSION,
    Acknowledge,
    Command,
    Request,
    Response,
    State,
)
from yolov8_seg_ros.errors import BoardError, LinkError

[ONE_BYTE, TWO_BYTES] = PACKET_FORMATS
FORMAT_IDS = ["1 byte", "2 bytes"]
SYNC = {"version": 0x301, "capability": 0, "rtid": 4}


def answer(**fields):
    return ONE_BYTE.to_host(Response(**{"reqid": 1, "state": State.IDLE, **fields}).SerializeToString())


def assert_runs(connection, network, rng):
    data = frame(rng, network)
    outputs = connection.run(connection.networks()[0], [data]).outputs
    for output, expected in zip(outputs, network.expected(data), strict=True):
        np.testing.assert_array_equal(output, expected)


def test_the_device_is_described(connection):
    device = connection.device()
    assert (device.name, device.device_id) == ("STM32N6", 0x486)
    assert (device.cpu_hz, device.npu_hz) == (800_000_000, 1_000_000_000)
    assert "NPU cache" in device.caches
    assert connection.device_name() == "STM32N6"


def test_the_network_is_described(connection, network):
    [model] = connection.networks()
    assert model.name == "echo"
    assert model.runtime.startswith("ST Neural-ART")
    assert [tensor.shape for tensor in model.inputs] == [(1, 32, 32, 3)]
    assert [tensor.shape for tensor in model.outputs] == [tensor.shape for tensor in network.outputs]
    assert model.outputs[0].quant.scale == pytest.approx(0.02)
    assert model.outputs[0].quant.zero_point == -64
    assert num_bytes(model.inputs[0]) == 3072


def test_runs_give_the_outputs_of_their_inputs(connection, network):
    rng = random.Random(1)
    for _ in range(20):
        assert_runs(connection, network, rng)


@pytest.mark.parametrize("packets", PACKET_FORMATS, ids=FORMAT_IDS)
@pytest.mark.parametrize("size", [32, 64])
def test_the_size_of_headers_is_found_out(packets, size):
    network = EchoNetwork(input_hw=(size, size))
    with closing(MemoryHarness(network, packets)) as board:
        assert_runs(StedgeaiProtocol().connect(board.open_port(board.port)), network, random.Random(2))


class CountingLine:
    """Line that passes bytes on, records the packets of both directions and counts the go-aheads."""

    def __init__(self, line):
        self._line = line
        self.clear()

    def clear(self):
        self.up, self.down, self.num_go_aheads = [], [], 0

    def read(self, num_bytes):
        packet = self._line.read(num_bytes)
        self.up.append(packet)
        return packet

    def write(self, data):
        if data == GO_AHEAD:
            self.num_go_aheads += 1
        elif data != BOOT_TEXT:
            self.down += [data[start : start + 33] for start in range(0, len(data), 33)]
        self._line.write(data)

    def discard(self):
        self._line.discard()


@pytest.fixture
def counted():
    """Return a function that has a board run a network: a connection to it, and what goes over its line."""
    boards = []

    def serve(network):
        lines = []

        def wrap(line):
            lines.append(CountingLine(line))
            return lines[-1]

        boards.append(MemoryHarness(network, wrap=wrap))
        connection = StedgeaiProtocol().connect(boards[-1].open_port("memory"))
        return connection, lines[0]

    yield serve
    for board in boards:
        board.close()


def test_a_frame_of_256_pixels_takes_the_packets_of_the_protocol(counted):
    network = EchoNetwork(input_hw=(256, 256), num_classes=80, num_coefficients=32)
    connection, line = counted(network)
    [model] = connection.networks()
    line.clear()
    connection.run(model, [frame(random.Random(3), network)])
    assert (len(line.up), line.num_go_aheads) == (6147, 6144)
    assert len(line.down) == 1 + 1 + 3 + 4875 + 4099
    assert {len(packet) for packet in line.up + line.down} == {33}


def test_the_whole_conversation_byte_by_byte(counted):
    """Requests, their order, and the numbers in them are those of ST's own host."""
    network = EchoNetwork()
    connection, line = counted(network)
    data = frame(random.Random(4), network)
    connection.device()
    [model] = connection.networks()
    connection.run(model, [data])
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
    assert line.up == [packet for message in messages for packet in ONE_BYTE.to_board(message)]


def test_a_failed_inference_is_reported_and_the_next_one_works(connection, network):
    [model] = connection.networks()
    network.error = RuntimeError("overheated")
    with pytest.raises(BoardError, match="reports an error: generic, 10"):
        connection.run(model, [frame(random.Random(6), network)])
    network.error = None
    assert_runs(connection, network, random.Random(6))


def test_a_wrong_size_is_refused_by_the_board(connection):
    [model] = connection.networks()
    with pytest.raises(BoardError, match="invalid size, 5"):
        connection.run(model, [np.zeros(5, np.int8)])
    assert connection.ping() > 0


def test_an_unknown_network_is_refused_by_the_board(connection, board):
    [model] = connection.networks()
    board.network.name = "other"
    with pytest.raises(BoardError, match="invalid param, 4"):
        connection.run(model, [np.zeros((1, 32, 32, 3), np.int8)])


@pytest.mark.parametrize(
    ("version", "accepted"),
    [((3, 1), True), ((3, 0), True), ((3, 2), False), ((4, 0), False)],
    ids=["same", "older", "newer", "another"],
)
def test_revisions_of_the_protocol(version, accepted):
    major, minor = version
    port = ScriptedPort(answer(sync={**SYNC, "version": major << 8 | minor}))
    if accepted:
        StedgeaiProtocol().connect(port)
    else:
        with pytest.raises(BoardError, match=rf"revision {major}\.{minor} of the protocol, expected 3\.1"):
            StedgeaiProtocol().connect(port)
    assert PROTOCOL_VERSION == (3, 1)


WRONG_ANSWERS = {
    "another request's": (answer(reqid=77, ack={"param": 0, "error": 0}), "answer to request"),
    "another kind": (answer(ack={"param": 0, "error": 0}), "expected 'sinfo'"),
    "another state": (
        answer(state=State.DONE, sinfo={"devid": 1, "sclock": 1, "hclock": 1, "cache": 0}),
        "in state IDLE",
    ),
    "refusal": (answer(state=State.ERROR, ack={"param": 1, "error": 99}), "error 99, 1"),
    "no payload": (answer(), "got 'None'"),
    "silence": (b"", "does not answer"),
    "half an answer": (b"\x20" * 40, "fallen silent within an answer"),
    "not a packet": (b"\xbf" * 33, "it announces 63 bytes"),
    "not a message": (b"\x83" + b"\xff" * 32, "an answer of 3 bytes makes no sense"),
}


@pytest.mark.parametrize("case", WRONG_ANSWERS)
def test_wrong_answers_are_refused(case):
    stream, expected = WRONG_ANSWERS[case]
    with pytest.raises((LinkError, BoardError), match=expected):
        connected(ScriptedPort(stream)).device()


def network_answer(scale=0.02, name=b"echo"):
    """Return the description of a network with one int8 input and output of that scale."""
    network = EchoNetwork()
    message = Response(reqid=1, state=State.IDLE)
    info = message.minfo
    info.name, info.signature, info.compile_datetime, info.runtime_desc = name, b"", b"", b"\x1b[31mred\n"
    info.rtid = info.runtime_version = info.tool_version = info.n_macc = info.n_nodes = 0
    info.n_inputs = info.n_outputs = 1
    info.n_activations = info.n_params = 0
    for tensors, spec in ((info.inputs, network.inputs[0]), (info.outputs, network.outputs[0])):
        write_description(tensors.add(), spec, 0)
        tensors[0].scale = scale
    return ONE_BYTE.to_host(message.SerializeToString())


END_OF_NETWORKS = answer(reqid=2, state=State.ERROR, ack={"param": 4, "error": 4})


@pytest.mark.parametrize("scale", [float("nan"), float("inf"), float("-inf")])
def test_a_scale_that_is_not_a_number_is_refused(scale):
    with pytest.raises(BoardError, match=f"a scale of {scale}, expected a finite number"):
        connected(ScriptedPort(network_answer(scale), END_OF_NETWORKS)).networks()


def test_texts_of_the_board_are_harmless_and_its_network_is_run_all_the_same():
    name = b"\x1b[2J\xffevil\r\n" + b"x" * 5000
    port = ScriptedPort(network_answer(name=name), END_OF_NETWORKS)
    connection = connected(port)
    [model] = connection.networks()
    assert model.name.startswith(r"\x1b[2J\xffevil\r\nxxx")
    assert len(model.name) <= 127
    assert model.description == r"\x1b[31mred\n"
    port.written.clear()
    with pytest.raises(LinkError, match="does not answer"):
        connection.run(model, [np.zeros((1, 32, 32, 3), np.int8)])
    request = Request(reqid=3, cmd=Command.RUN, param=1, name=name, opt=1)
    assert port.written == ONE_BYTE.to_board(request.SerializeToString())


def log_line(text, level=3):
    return answer(log={"level": level, "str": text})


def test_log_lines_are_acknowledged_and_kept(log):
    port = ScriptedPort(log_line(b"the NPU is warm"), log_line(b"and humming", level=4), answer(sync=SYNC))
    assert connected(port).ping() >= 0
    assert [(record.levelno, record.getMessage()) for record in log.records] == [
        (logging.WARNING, "board: the NPU is warm"),
        (logging.ERROR, "board: and humming"),
    ]
    acknowledgement = ONE_BYTE.to_board(Acknowledge(param=0, error=0).SerializeToString())
    assert port.written[1:] == acknowledgement * 2


def test_log_lines_are_cut_and_limited(log):
    lines = [log_line(b"\x1b[31m" + b"x" * 20_000)] * 900
    now_s = 0.0
    connection = connected(
        ScriptedPort(*lines, answer(sync=SYNC), answer(reqid=2, log={"level": 1, "str": b"later"})), clock=lambda: now_s
    )
    connection.ping()
    assert len(log.records) == 20
    assert max(len(record.getMessage()) for record in log.records) <= len("board: ") + 127
    assert "\x1b" not in log.text
    log.clear()
    now_s = 10.0
    with pytest.raises(LinkError):
        connection.ping()
    assert [record.getMessage() for record in log.records][:1] == ["board: 880 more lines were left out"]


def test_a_board_that_logs_without_an_end_is_given_up():
    with pytest.raises(LinkError, match="logs without an end"):
        connected(ScriptedPort(*[log_line(b"x")] * 2000)).ping()


class ClockedPort(ScriptedPort):
    """A port whose every read takes a tenth of a second, and at which something comes without being asked for."""

    def __init__(self, unasked, *pieces):
        super().__init__(*pieces)
        self.unasked = unasked
        self.now_s = 0.0

    def read(self, limit_s):
        self.now_s += 0.1
        return next(self.unasked, b"") or super().read(limit_s)


@pytest.mark.parametrize("text", [b"$GPGGA,123519,4807.038,N\r\n", b"x", b"\xaa" * 40], ids=["gps", "byte", "noise"])
def test_a_line_that_chatters_is_given_up_soon(text):
    port = ClockedPort(itertools.repeat(text))
    with pytest.raises(LinkError, match="the line never falls silent"):
        StedgeaiProtocol(clock=lambda: port.now_s).connect(port)
    assert port.now_s < 3.0


@pytest.mark.parametrize("packets", PACKET_FORMATS, ids=FORMAT_IDS)
def test_a_board_that_still_sends_outputs_is_waited_for(packets):
    outputs = packets.to_host(bytes(range(256)) * 400)
    pieces = [outputs[start : start + 1700] for start in range(50, len(outputs), 1700)][:60]
    port = ClockedPort(iter(pieces), answer(sync=SYNC))
    StedgeaiProtocol(clock=lambda: port.now_s).connect(port)
    assert port.now_s > 5.0


def test_packets_without_an_end_are_given_up():
    port = ClockedPort(itertools.repeat(b"\x20" * 3300))
    with pytest.raises(LinkError, match="the line never falls silent"):
        StedgeaiProtocol(clock=lambda: port.now_s).connect(port)
    assert port.now_s == pytest.approx(2.0 + 500_000 * 10 / 921600, abs=0.3)


@pytest.mark.parametrize("packets", PACKET_FORMATS, ids=FORMAT_IDS)
@examples(50)
@given(part=strategies.floats(0, 1), side=strategies.sampled_from(["start", "anywhere", "end"]))
def test_a_host_that_died_at_any_byte_leaves_no_trace(packets, part, side):
    """Stop a conversation anywhere, within a packet too: the next host gets in step."""
    tensor = b"\x08\x00\x10\x80\x18\x18\x00\x22\x80\x18" + bytes(3072)
    run = Request(reqid=9, cmd=Command.RUN, param=1, name=b"echo", opt=1).SerializeToString()
    stream = b"".join(packet for message in (run, tensor, b"\x08\x00\x10\x00") for packet in packets.to_board(message))
    died_at = {"start": int(200 * part), "anywhere": int(len(stream) * part), "end": len(stream) - int(100 * part)}[
        side
    ]
    network = EchoNetwork()
    with closing(MemoryHarness(network, packets)) as board:
        port = board.open_port(board.port)
        port.write(stream[:died_at], 5.0)
        assert_runs(StedgeaiProtocol().connect(port), network, random.Random(died_at))


def test_a_silent_port_is_reported():
    with pytest.raises(LinkError, match=r"no valid answer at 921600 baud \(nothing comes back"):
        StedgeaiProtocol().connect(ScriptedPort())
