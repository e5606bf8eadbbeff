"""Test what serves any protocol: at which rate and in which protocol a board is looked for, and reconnecting."""

from __future__ import annotations

import threading

import pytest

from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.n6.board import BoardProtocol, ReconnectingBoard, TensorConnection, connect
from yolov8_seg_ros.backends.n6.port import never
from yolov8_seg_ros.errors import BackendError, BoardError, LinkError, RunInterruptedError

DEADLINE_S = 30.0


class FakePort:
    def __init__(self, path, baud_rate, stop):
        self.path, self.baud_rate, self.stop = path, baud_rate, stop
        self.is_closed = self.is_unplugged = False

    def is_gone(self):
        return self.is_unplugged

    def close(self):
        self.is_closed = True


class FakeConnection(TensorConnection):
    def device_name(self):
        return "fake"

    def networks(self):
        return []

    def run(self, network, inputs):
        raise NotImplementedError


class FakeProtocol(BoardProtocol):
    """A protocol in which a board answers at one baud rate, or refuses."""

    def __init__(self, name, answers_at=None, baud_rates=(921600, 115200), error=None):
        self.name, self.baud_rates = name, baud_rates
        self._answers_at, self._error = answers_at, error

    def connect(self, port):
        if self._error:
            raise self._error
        if port.baud_rate != self._answers_at:
            raise LinkError(f"{self.name} deaf at {port.baud_rate}")
        return FakeConnection(port)


@pytest.fixture
def ports():
    return []


@pytest.fixture
def open_port(ports):
    def opened(path, baud_rate, stop):
        ports.append(FakePort(path, baud_rate, stop))
        return ports[-1]

    return opened


@pytest.mark.parametrize(
    ("requested", "tried"),
    [(0, [921600, 115200]), (115200, [115200, 921600]), (1000000, [1000000, 921600, 115200])],
)
def test_other_baud_rates_are_tried(requested, tried, ports, open_port):
    with pytest.raises(LinkError, match="; ".join(f"x deaf at {baud_rate}" for baud_rate in tried)):
        connect(N6Options("port", requested), [FakeProtocol("x")], opener=open_port)
    assert [port.baud_rate for port in ports] == tried
    assert all(port.is_closed for port in ports)


@pytest.mark.parametrize(
    ("protocol", "error"),
    [("auto", None), ("stedgeai", None), ("other", "^other deaf at 921600; other deaf at 115200$")],
)
def test_the_protocol_is_found_out_unless_it_is_named(protocol, error, ports, open_port):
    protocols = [FakeProtocol("other"), FakeProtocol("stedgeai", answers_at=115200)]
    options = N6Options("port", protocol=protocol)
    if error:
        with pytest.raises(LinkError, match=error):
            connect(options, protocols, opener=open_port)
    else:
        connection = connect(options, protocols, opener=open_port)
        assert connection.port.baud_rate == 115200
        assert [port.is_closed for port in ports] == [True, False]


@pytest.mark.parametrize("error", [BoardError("too old"), RunInterruptedError("stopped")], ids=["refusal", "stop"])
def test_a_board_that_answers_and_refuses_is_not_tried_again(error, ports, open_port):
    with pytest.raises(type(error), match=str(error)):
        connect(N6Options("port"), [FakeProtocol("x", error=error)], opener=open_port)
    assert [port.is_closed for port in ports] == [True]


class Board:
    """A ReconnectingBoard on connections that are made one after the other; an error among them is raised."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.connections = []
        self.faults, self.logged = [], []
        self.is_back = threading.Event()
        self.board = ReconnectingBoard(self.open, never, self.faults.append, self.log, (0.001, 0.002))

    def open(self, stop):
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if outcome is not None:
            raise outcome
        self.connections.append(FakeConnection(FakePort("port", 921600, stop)))
        return self.connections[-1]

    def log(self, line):
        self.logged.append(line)
        self.is_back.set()


@pytest.fixture
def board():
    made = Board(None, LinkError("still gone"), None)
    yield made
    made.board.close()


def fail(error):
    def use(connection):
        raise error

    return use


def test_a_connection_that_failed_is_never_used_again(board):
    assert board.board.call(lambda connection: connection) is board.connections[0]
    with pytest.raises(BoardError):
        board.board.call(fail(BoardError("hot")))
    assert board.is_back.wait(DEADLINE_S)
    assert board.board.call(lambda connection: connection) is board.connections[1]
    assert board.connections[0].port.is_closed
    assert [fault.split(": ")[-1] for fault in board.faults] == ["hot", "still gone", ""]
    assert len(board.logged) == 1


@pytest.mark.parametrize("error", [ValueError("a defect"), KeyboardInterrupt()], ids=lambda error: type(error).__name__)
def test_neither_is_one_whose_user_failed(board, error):
    with pytest.raises(type(error)):
        board.board.call(fail(error))
    assert board.is_back.wait(DEADLINE_S)
    assert board.connections[0].port.is_closed


def test_an_interruption_is_not_a_fault(board):
    board.outcomes.clear()
    with pytest.raises(RunInterruptedError):
        board.board.call(fail(RunInterruptedError("paused")))
    assert board.board.call(lambda connection: connection) is board.connections[1]
    assert set(board.faults) <= {""}
    assert board.logged == []


@pytest.mark.parametrize("is_back", [True, False], ids=["back", "still away"])
def test_a_cable_pulled_between_two_calls_fails_none_if_it_is_plugged_in_again(board, is_back):
    board.outcomes = [] if is_back else [LinkError("no such port")] * 1000
    board.connections[0].port.is_unplugged = True
    if is_back:
        assert board.board.call(lambda connection: connection) is board.connections[1]
        assert set(board.faults) <= {""}
    else:
        with pytest.raises(BackendError, match="no such port"):
            board.board.call(lambda connection: connection)
    assert board.connections[0].port.is_closed


def test_a_pause_ends_calls_but_not_reconnecting(board):
    board.outcomes.clear()
    stop = board.connections[0].port.stop
    assert not stop()
    board.board.pause()
    assert stop()
    with pytest.raises(RunInterruptedError, match="paused"):
        board.board.call(lambda connection: connection)
    board.board.resume()
    assert not stop()
    assert board.board.call(lambda connection: connection) is board.connections[0]


def test_a_board_that_is_not_there_at_first_is_an_error():
    with pytest.raises(BackendError, match="not there"):
        Board(LinkError("not there"))
