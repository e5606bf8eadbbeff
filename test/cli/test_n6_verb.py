"""Test the verb `n6`."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from contextlib import closing

import pytest
from support.bridge_harness import BridgeHarness
from support.n6_harness import PtyHarness
from support.tiny_models import write_segmentation_model

from yolov8_seg_ros.backends.n6 import serial_port
from yolov8_seg_ros.backends.n6.simulator.network import LiteRtNetwork
from yolov8_seg_ros.backends.n6.stedgeai import StedgeaiConnection
from yolov8_seg_ros.cli.main import main


@pytest.fixture
def model(tmp_path):
    return write_segmentation_model(tmp_path / "tiny.tflite", names=["cat", "dog"])


@pytest.fixture
def port(tmp_path, model):
    with closing(PtyHarness(tmp_path, LiteRtNetwork(model, 1))) as board:
        yield board.port


def test_info_shows_board_and_network(port, capsys):
    assert main(["n6", "info", "--n6-port", port]) == 0
    text = capsys.readouterr().out
    for expected in (
        f"{port} at 921600 baud",
        "STM32N6 (0x486)",
        "CPU 800 MHz, bus 400 MHz, NPU 1000 MHz",
        "ST Neural-ART (LL_ATON)",
        "tiny (signature ",
        "input images  int8  1x64x64x3  scale 0.003921569, zero point -128  12288 bytes",
        "1x16x16x4",
    ):
        assert expected in text


def test_ping_shows_rates(port, capsys):
    assert main(["n6", "ping", "--n6-port", port, "--frames", "2", "--n6-baud-rate", "115200"]) == 0
    text = capsys.readouterr().out
    for expected in ("at 115200 baud", "round trip", "12288 bytes in", "kB/s", "frames a second at most"):
        assert expected in text


def test_segment_runs_on_a_board(port, model, tmp_path, person_bgr, capsys):
    import cv2

    cv2.imwrite(str(tmp_path / "street.jpg"), person_bgr)
    arguments = ["--backend", "n6", "--n6-port", port, "--model", str(model), "--output", str(tmp_path / "out")]
    assert main(["segment", str(tmp_path / "street.jpg"), *arguments]) == 0
    assert "STM32N6 on" in capsys.readouterr().out


@pytest.mark.parametrize("verb", ["info", "ping"])
def test_a_board_that_is_not_there_is_one_line(verb, capsys):
    assert main(["n6", verb, "--n6-port", "/dev/absent"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "/dev/absent: there is no such port" in line


def test_no_st_link_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(serial_port.list_ports, "comports", lambda: [])
    assert main(["n6", "info"]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "no ST-LINK is plugged in" in line


@pytest.mark.parametrize("verb", ["info", "ping"])
def test_a_board_without_a_network_is_reported(verb, port, monkeypatch, capsys):
    monkeypatch.setattr(StedgeaiConnection, "networks", lambda _: [])
    assert main(["n6", verb, "--n6-port", port]) == 1
    assert "no network on the board" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--baud", "-1"], ["--latency-us", "x"], ["--device-ms", "nan"]], ids=" ".join)
def test_wrong_numbers_show_the_usage(arguments, capsys):
    with pytest.raises(SystemExit):
        main(["n6", "simulate", *arguments])
    assert "0 or more" in capsys.readouterr().err


def test_a_port_that_cannot_be_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["n6", "simulate", "--protocol", "bridge", "--tcp", "70000"])
    assert "expected a whole number, 0 to 65535, got '70000'" in capsys.readouterr().err


def test_a_link_in_a_folder_that_is_missing_is_named(model, tmp_path, capsys):
    assert main(["n6", "simulate", "--model", str(model), "--link", str(tmp_path / "none" / "n6")]) == 1
    assert f"--link: '{tmp_path / 'none' / 'n6'}' cannot be made: No such file" in capsys.readouterr().err


def test_a_link_is_no_reason_to_lose_a_file(model, tmp_path, capsys):
    (tmp_path / "kept").write_text("kept")
    assert main(["n6", "simulate", "--model", str(model), "--link", str(tmp_path / "kept")]) == 1
    assert "--link" in capsys.readouterr().err
    assert (tmp_path / "kept").read_text() == "kept"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_simulate_serves_until_a_signal(model, tmp_path, number, capsys):
    link = tmp_path / "board"
    command = [sys.executable, "-m", "yolov8_seg_ros.cli.main", "n6", "simulate", "--model", str(model)]
    options = ["--link", str(link), "--baud", "3000000", "--latency-us", "50", "--device-ms", "12.5"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as board:
        assert board.stdout.readline().strip() == str(link)
        assert main(["n6", "ping", "--n6-port", str(link)]) == 0
        board.send_signal(number)
        _, errors = board.communicate(timeout=20)
    assert board.returncode == 0
    assert "Traceback" not in errors
    assert not link.is_symlink()
    assert "inference   12.50 ms" in capsys.readouterr().out


@pytest.fixture(params=["pty", "tcp"])
def bridge_port(request, tmp_path):
    with closing(BridgeHarness(tmp_path if request.param == "pty" else None)) as board:
        yield board.port


def test_info_shows_a_board_with_the_bridge_firmware(bridge_port, capsys):
    assert main(["n6", "info", "--n6-port", bridge_port]) == 0
    text = capsys.readouterr().out
    for expected in (
        bridge_port,
        "STM32N6 (simulated), bridge firmware, version 1 of the protocol",
        "CPU 800 MHz, NPU 1000 MHz",
        "RGB, TENSOR, JPEG, MASKS",
        "2 frames in flight, 300 instances",
        "raw, 16 bins a side",
        "32x32, int8, scale 0.003921569, zero point -128",
        "2: no names",
    ):
        assert expected in text


def test_ping_measures_a_bridge(bridge_port, capsys):
    assert main(["n6", "ping", "--n6-port", bridge_port]) == 0
    text = capsys.readouterr().out
    assert "round trip" in text
    assert "1024 bytes there and back" in text


def test_bench_shows_rates_by_line(bridge_port, capsys):
    assert main(["n6", "bench", "--n6-port", bridge_port, "--frames", "8", "--n6-jpeg-quality", "0"]) == 0
    text = capsys.readouterr().out
    for expected in ("a second", "images travel raw,", "on the board", "921600 baud", "USB"):
        assert expected in text


def test_bench_of_a_board_without_the_bridge_firmware_is_one_line(port, capsys):
    assert main(["n6", "bench", "--n6-port", port]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert "no board with the bridge firmware answers" in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tcp", "0"], "--tcp: only with --protocol bridge"),
        (["--protocol", "bridge", "--latency-us", "5"], "--latency-us and --header-size: only with"),
        (["--protocol", "bridge", "--tcp", "0", "--link", "/tmp/x"], "--link: there is nothing to link to"),
    ],
    ids=["tcp", "latency", "link"],
)
def test_options_of_the_other_firmware_are_refused(arguments, message, capsys):
    assert main(["n6", "simulate", *arguments]) == 1
    assert message in capsys.readouterr().err


def test_a_tcp_port_that_is_taken_is_one_line(model, capsys):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        number = taken.getsockname()[1]
        assert main(["n6", "simulate", "--protocol", "bridge", "--model", str(model), "--tcp", str(number)]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"TCP port {number}: Address already in use" in line


@pytest.mark.parametrize("place", ["--link", "--tcp"])
def test_simulate_a_bridge_until_a_signal(model, tmp_path, place, capsys):
    options = ["--link", str(tmp_path / "board")] if place == "--link" else ["--tcp", "0"]
    command = [sys.executable, "-m", "yolov8_seg_ros.cli.main", "n6", "simulate", "--protocol", "bridge"]
    arguments = ["--model", str(model), *options, "--device-ms", "12.5", "--baud", "12000000"]
    with subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as board:
        port = board.stdout.readline().strip()
        assert main(["n6", "bench", "--n6-port", port, "--frames", "4"]) == 0
        board.send_signal(signal.SIGTERM)
        _, errors = board.communicate(timeout=20)
    assert board.returncode == 0
    assert "Traceback" not in errors
    assert "found         1 instances" in capsys.readouterr().out
