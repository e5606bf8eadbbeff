"""Test the backend: its spec, what it refuses, and that its results are those of the CPU."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest
from support.bridge_harness import until
from support.n6_harness import EchoNetwork, PtyHarness
from support.tiny_models import write_detection_model, write_segmentation_model

from yolov8_seg_ros.backends.model_forms import read_forms
from yolov8_seg_ros.backends.n6 import N6Options, serial_port
from yolov8_seg_ros.backends.n6.backend import WantedModel, choose_network, wanted_model
from yolov8_seg_ros.backends.n6.board import BoardNetwork
from yolov8_seg_ros.backends.n6.serial_port import find_port
from yolov8_seg_ros.backends.n6.simulator.line import PtyLine
from yolov8_seg_ros.backends.n6.simulator.network import LiteRtNetwork
from yolov8_seg_ros.backends.n6.simulator.streams import PtyStream, TcpStream
from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.errors import BackendError, LinkError, ModelError, RunInterruptedError


@pytest.fixture
def serve(tmp_path):
    """Return a function that has a board run a model file, and returns its port."""
    boards = []

    def serve_file(path, folder="a"):
        (tmp_path / folder).mkdir()
        boards.append(PtyHarness(tmp_path / folder, LiteRtNetwork(path, 1)))
        return boards[-1].port

    yield serve_file
    for board in boards:
        board.close()


def open_n6(model, port, protocol="stedgeai", **options):
    return open_backend(str(model), "n6", n6=N6Options(port=port, protocol=protocol), **options)


@pytest.mark.parametrize("dtype", ["int8", "uint8", "float32"])
@pytest.mark.parametrize("prototypes_first", [False, True])
def test_results_are_those_of_the_cpu(serve, tmp_path, dtype, prototypes_first):
    model = write_segmentation_model(
        tmp_path / "tiny.tflite", output_dtype=dtype, prototypes_first=prototypes_first, names=["cat", "dog"]
    )
    with open_n6(model, serve(model)) as board, open_backend(str(model), "cpu", raw_head=False) as cpu:
        network_input = np.zeros(cpu.spec.input.shape, np.int8)
        outputs = zip(board.run(network_input), cpu.run(network_input), strict=True)
        for on_board, on_cpu in outputs:
            np.testing.assert_array_equal(on_board, on_cpu)
            assert on_board.flags.writeable
        assert board.spec.class_names == ("cat", "dog")
        assert board.spec.outputs[0].shape == cpu.spec.outputs[0].shape
        assert board.spec.levels == cpu.spec.levels
        assert "STM32N6 on" in board.info.description
        assert "network 'tiny'" in board.info.description


@pytest.mark.parametrize(
    ("model_name", "raw_head"),
    [("st_model_256", True), ("st_model_320", False), ("fish_model", True)],
    ids=["256 raw", "320 as published", "fish raw"],
)
def test_published_models_give_the_results_of_the_cpu(serve, request, model_name, tmp_path, rng, raw_head):
    """The board may hold either form of the file that the user names."""
    shared_model = request.getfixturevalue(model_name)
    flashed = tmp_path / "flashed.tflite"
    flashed.write_bytes(read_forms(shared_model, raw_head)[0].content)
    cpu_backend = open_backend(str(shared_model), "cpu", raw_head=raw_head)
    with open_n6(shared_model, serve(flashed)) as board, cpu_backend as cpu:
        assert board.spec.class_names == cpu.spec.class_names
        network_input = rng.integers(-128, 128, cpu.spec.input.shape, dtype=np.int8)
        for on_board, on_cpu in zip(board.run(network_input), cpu.run(network_input), strict=True):
            np.testing.assert_array_equal(on_board, on_cpu)


def test_another_network_than_the_file_is_refused(serve, tmp_path):
    flashed = write_segmentation_model(tmp_path / "flashed.tflite", input_hw=(32, 64))
    named = write_segmentation_model(tmp_path / "named.tflite")
    with pytest.raises(ModelError, match=r"network 'flashed' on the board: its tensors are not those of .*named"):
        open_n6(named, serve(flashed))


def test_a_network_of_another_kind_is_refused(serve, tmp_path):
    with pytest.raises(ModelError, match="network 'detect' on the board: this looks like a detection model"):
        open_n6("", serve(write_detection_model(tmp_path / "detect.tflite")))


def test_without_model_and_protocol_the_board_decides_and_names_are_numbered(serve, tmp_path):
    with open_n6("", serve(write_segmentation_model(tmp_path / "tiny.tflite")), protocol="auto") as board:
        assert board.spec.class_names == ("class_0", "class_1")
        assert not board.spec.names_given


def test_names_come_from_a_file(serve, tmp_path):
    (tmp_path / "names.txt").write_text("bolt\nnut\n")
    port = serve(write_segmentation_model(tmp_path / "tiny.tflite"))
    with open_n6("", port, class_names_file=str(tmp_path / "names.txt")) as board:
        assert board.spec.class_names == ("bolt", "nut")


def test_names_that_do_not_fit_are_refused(serve, tmp_path):
    (tmp_path / "names.txt").write_text("bolt\n")
    port = serve(write_segmentation_model(tmp_path / "tiny.tflite"))
    with pytest.raises(ModelError, match="1 class names for a model of 2 classes"):
        open_n6("", port, class_names_file=str(tmp_path / "names.txt"))


def test_an_absent_port_is_reported():
    with pytest.raises(BackendError, match="/dev/absent: there is no such port"):
        open_n6("", "/dev/absent")


def test_what_is_not_a_serial_port_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BackendError, match="cannot be opened"):
        open_n6("", str(tmp_path / "file"))


def test_an_unknown_protocol_names_the_known_ones():
    with pytest.raises(BackendError, match=r"n6\.protocol: expected one of auto, bridge, stedgeai; got 'morse'"):
        open_backend("", "n6", n6=N6Options(protocol="morse"))


class Port:
    def __init__(self, device, vid=None, pid=None, serial_number="", description="n/a", product=None):
        self.device, self.vid, self.pid, self.product = device, vid, pid, product
        self.serial_number, self.description = serial_number, description


MODEM, ST_LINK = Port("/dev/ttyS0"), Port("/dev/ttyACM0", 0x0483, 0x374E, "066A")
OTHER_ST, SECOND = Port("/dev/ttyACM5", 0x0483, 0x5740), Port("/dev/ttyACM1", 0x0483, 0x374B, "0031")


@pytest.mark.parametrize(
    ("ports", "found"),
    [
        ([MODEM, ST_LINK, OTHER_ST], "/dev/ttyACM0"),
        ([MODEM, OTHER_ST], r"no ST-LINK is plugged in \(serial ports: /dev/ttyACM5 .*, /dev/ttyS0"),
        ([], r"serial ports: none at all"),
        ([ST_LINK, SECOND], r"2 ports of ST-LINKs: /dev/ttyACM0 \(066A\), /dev/ttyACM1 \(0031\); set n6.port"),
    ],
    ids=["one", "others", "none", "two"],
)
def test_the_port_is_found_by_its_usb_number(ports, found, monkeypatch):
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: ports)
    if found.startswith("/dev"):
        assert find_port() == found
    else:
        with pytest.raises(LinkError, match=found):
            find_port()


BRIDGE = Port("/dev/ttyACM7", 0x1209, 0x0001, "77", product="N6 bridge")
OTHER_BRIDGE = Port("/dev/ttyACM8", 0x1209, 0x0001, "78", product="N6 bridge")
SOMEBODY = Port("/dev/ttyACM9", 0x1209, 0x0001, product="thermometer")


@pytest.mark.parametrize(
    ("ports", "with_bridge", "found"),
    [
        ([ST_LINK, BRIDGE], True, "/dev/ttyACM7"),
        ([ST_LINK, BRIDGE], False, "/dev/ttyACM0"),
        ([ST_LINK, SOMEBODY], True, "/dev/ttyACM0"),
        ([BRIDGE, OTHER_BRIDGE], True, r"2 ports of boards: /dev/ttyACM7 \(77\), /dev/ttyACM8 \(78\)"),
    ],
    ids=["preferred", "not asked for", "the same numbers", "two"],
)
def test_a_board_s_own_usb_port_is_preferred_to_its_st_link(ports, with_bridge, found, monkeypatch):
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: ports)
    if found.startswith("/dev"):
        assert find_port(with_bridge) == found
    else:
        with pytest.raises(LinkError, match=found):
            find_port(with_bridge)


def test_the_board_s_own_usb_port_has_no_baud_rate(monkeypatch):
    line = PtyLine()
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: [Port(line.path, 0x1209, 1, product="N6 bridge")])
    port = serial_port.open_port(line.path, 921600)
    assert not port.has_baud_rate
    assert str(port) == line.path
    port.close()
    line.release()


@pytest.mark.parametrize("make_stream", [PtyStream, TcpStream])
def test_a_port_notices_that_its_other_end_is_gone(make_stream):
    stream = make_stream()
    with closing(serial_port.open_port(stream.path, 921600)) as port:
        port.write(b"?", 1.0)
        until(lambda: stream.read(1) == b"?", "what was written")
        assert not port.is_gone()
        stream.close()
        until(port.is_gone, "the end of the port")


def on_board(network):
    return BoardNetwork(network.name, tuple(network.inputs), tuple(network.outputs), "simulated")


def test_no_network_at_all_is_reported():
    with pytest.raises(BackendError, match="there is no network on the board"):
        choose_network([], WantedModel())


def test_the_first_fitting_network_is_taken(tmp_path):
    tiny = write_segmentation_model(tmp_path / "tiny.tflite", names=["cat", "dog"])
    stranger, fitting = on_board(EchoNetwork("stranger", num_classes=5)), on_board(LiteRtNetwork(tiny, 1))
    network, spec = choose_network([stranger, fitting], wanted_model(tiny, None))
    assert network is fitting
    assert spec.class_names == ("cat", "dog")
    with pytest.raises(ModelError, match=r"network 'stranger' on the board: its tensors are not those of .*tiny"):
        choose_network([stranger], wanted_model(tiny, None))


def test_opening_ends_when_it_is_stopped():
    line = PtyLine()
    times_asked = iter(range(3))
    with pytest.raises(RunInterruptedError):
        open_backend("", "n6", n6=N6Options(line.path), stop=lambda: next(times_asked, None) is None)
    line.release()
