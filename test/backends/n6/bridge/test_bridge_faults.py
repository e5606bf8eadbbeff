"""Test a board with the bridge firmware: whatever happens to board and line, no result is wrong."""

from __future__ import annotations

import math
import os
import random
import threading
import time
from contextlib import closing, suppress

import numpy as np
import pytest
from support.bridge_harness import (
    DEADLINE_S,
    OPTIONS,
    SHORT_LIMITS,
    SILENT,
    BridgeHarness,
    Checker,
    EchoNetwork,
    Noise,
    in_threads,
    open_bridge,
    random_image,
    until,
    until_good,
)
from support.fakes import make_raw_spec

from yolov8_seg_ros.backends.n6 import bridge_messages as messages
from yolov8_seg_ros.backends.n6.bridge import BridgeProtocol
from yolov8_seg_ros.backends.n6.bridge_messages import Configuration, MaskForm, PictureFormat
from yolov8_seg_ros.backends.n6.bridge_wire import Packet, PacketType
from yolov8_seg_ros.backends.n6.serial_port import open_port
from yolov8_seg_ros.backends.n6.simulator.bridge import SimulatedBridge
from yolov8_seg_ros.backends.n6.simulator.bridge_core import BridgeCore
from yolov8_seg_ros.backends.n6.simulator.streams import TcpStream
from yolov8_seg_ros.core.segmenter import Segmenter
from yolov8_seg_ros.errors import BackendError, BoardError, LinkError, RunInterruptedError

#: Frames of each kind of fault; set the variable to 5000 for a long run.
NUM_FRAMES = int(os.environ.get("YOLOV8_SEG_BRIDGE_FRAMES", "20"))
#: So many in noise, and then one in quiet.
NOISY_FRAMES = 5
#: So many around a reset, or a cable that is pulled.
FRAMES_A_FAULT = 5
QUIET_S = 0.1


def test_a_network_that_fails_is_an_error_and_the_next_frame_is_good(board, backend, checker):
    rng = random.Random(6)
    board.network.error = RuntimeError("hot")
    with pytest.raises(BoardError, match="NETWORK_FAILED"):
        Segmenter(backend, OPTIONS).segment(random_image(rng))
    board.network.error = None
    until_good(checker, rng)


NOISES = {
    "bits": Noise(flipped_bits=1e-5),
    "many bits": Noise(flipped_bits=5e-5),
    "lost": Noise(lost=1e-4),
    "doubled": Noise(doubled=1e-4),
    "swapped": Noise(swapped=1e-4),
    "all": Noise(2e-5, 2e-5, 2e-5, 2e-5),
}


@pytest.mark.parametrize("kind", NOISES)
def test_noise(board, backend, checker, kind):
    """No result is wrong, and what is sent while it is quiet arrives."""
    rng, lost, returns_s, times_s = random.Random(kind), 0, [], []
    for number in range(1, NUM_FRAMES + 1):
        board.stream.noise = NOISES[kind]
        with suppress(BackendError):
            lost += 1
            checker.check(random_image(rng))
            lost -= 1
        if number % NOISY_FRAMES == 0:
            board.stream.noise = SILENT
            started_s = time.monotonic()
            # By turns the next image is sent at once, until it arrives, and once it was quiet for a while.
            if number // NOISY_FRAMES % 2:
                until_good(checker, rng)
                returns_s.append(time.monotonic() - started_s)
            else:
                time.sleep(QUIET_S)
                assert backend.fault == ""
                checker.check(random_image(rng))
                times_s.append(time.monotonic() - started_s - QUIET_S)
    print(f"{kind}: {lost} of {NUM_FRAMES} frames lost; a result after {of_ms(returns_s)}; in quiet {of_ms(times_s)}")


def of_ms(times_s):
    median, high, longest = np.percentile(times_s, (50, 99, 100)) * 1e3
    return f"{median:.1f} ms (p99 {high:.1f}, longest {longest:.1f})"


def test_noise_with_two_frames_in_flight(board, backend, checker):
    board.stream.noise = NOISES["all"]

    def check_patiently(image):
        with suppress(BackendError):
            checker.check(image)

    in_threads(check_patiently, 2, NUM_FRAMES)
    board.stream.noise = SILENT
    time.sleep(QUIET_S)
    in_threads(checker.check, 2, 5)


def test_a_board_that_was_reset_gets_a_new_session(board, backend, checker):
    rng = random.Random(7)
    for number in range(NUM_FRAMES // 5):
        checker.check(random_image(rng))
        before = board._board
        board.reset()
        until(lambda before=before: board._board is not before, "the board")
        # Nothing is lost: the frame is sent again.
        checker.check(random_image(rng), masks=bool(number % 2))
    assert backend.fault == ""


@pytest.mark.parametrize("fault", ["reset", "pull"])
def test_faults_amid_frames(board, backend, checker, fault):
    rng, lost, returns_s, times_s = random.Random(fault), 0, [], []
    until_good(checker, rng)
    for number in range(NUM_FRAMES // FRAMES_A_FAULT):
        before = board._board
        timer = threading.Timer(rng.uniform(0, 0.02), getattr(board, fault))
        timer.start()
        for _ in range(FRAMES_A_FAULT):
            with suppress(BackendError):
                lost += 1
                checker.check(random_image(rng))
                lost -= 1
        timer.join()
        until(lambda before=before: board._board is not before, "the board")
        started_s = time.monotonic()
        if number % 2:
            until_good(checker, rng)
            returns_s.append(time.monotonic() - started_s)
        else:
            time.sleep(QUIET_S)
            checker.check(random_image(rng))
            times_s.append(time.monotonic() - started_s - QUIET_S)
    print(f"{fault}: {lost} of {NUM_FRAMES} frames lost; a result after {of_ms(returns_s)}; in quiet {of_ms(times_s)}")


def test_a_host_that_dies_at_any_byte_leaves_a_board_that_works(board):
    rng = random.Random(8)
    with open_bridge(board) as backend:
        checker = Checker(backend, board.network)
        checker.check(random_image(rng))
    configuration = Configuration(OPTIONS.detection, MaskForm.CONTOURS, len(board.network.spec.class_names))
    pixels = bytes(math.prod(board.network.spec.input.shape))
    said = b"".join(
        Packet(kind, 99, sequence, payload).to_bytes()
        for sequence, (kind, payload) in enumerate(
            [
                (PacketType.HELLO, messages.hello()),
                (PacketType.DESCRIBE, b""),
                (PacketType.CONFIGURE, configuration.to_bytes(1)),
                (PacketType.PICTURE, messages.picture(1, PictureFormat.TENSOR, pixels)),
                (PacketType.PING, messages.ping(1, bytes(500))),
            ],
            1,
        )
    )
    for _ in range(max(5, NUM_FRAMES // 10)):
        with closing(open_port(board.port, 921600)) as port:
            port.write(said[: rng.randrange(1, len(said))], DEADLINE_S)
        with open_bridge(board) as backend:
            Checker(backend, board.network).check(random_image(rng))


def test_a_pause_ends_a_frame_at_once_and_a_later_one_is_good(board, backend, checker):
    rng = random.Random(9)
    for _ in range(5):
        until_good(checker, rng)
        board.stream.noise = Noise(lost=1.0)
        pauser = threading.Timer(0.02, backend.pause)
        pauser.start()
        with pytest.raises(RunInterruptedError):
            checker.check(random_image(rng))
        pauser.join()
        board.stream.noise = SILENT
        assert backend.fault == ""
        backend.resume()
    until_good(checker, rng)


def test_it_closes_while_frames_are_in_flight(board):
    rng = random.Random(10)
    backend = open_bridge(board)
    checker = Checker(backend, board.network)
    ended = []

    def work(seed):
        images = random.Random(seed)
        with suppress(BackendError):
            while True:
                checker.check(random_image(images))
        ended.append(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(rng.uniform(0.02, 0.1))
    backend.close()
    for thread in threads:
        thread.join(DEADLINE_S + NUM_FRAMES)
    assert sorted(ended) == [0, 1]


def test_another_network_on_the_board_is_not_taken_for_the_first(board, backend, checker):
    rng = random.Random(11)
    checker.check(random_image(rng))
    first, board.network = board.network, EchoNetwork(make_raw_spec(num_classes=3, input_hw=(32, 32)))
    board.reset()
    until(lambda: fails(checker, rng) and "has another network" in backend.fault, "the network to be refused")
    board.network = first
    board.reset()
    until_good(checker, rng)


def fails(checker, rng):
    try:
        checker.segmenter.segment(random_image(rng))
    except BackendError:
        return True
    return False


def test_a_simulated_board_may_be_closed_at_any_time():
    network = EchoNetwork()
    with closing(TcpStream()) as stream:
        board = SimulatedBridge(BridgeCore(network.spec, "echo", bytes(32)), network.run, stream)
        thread = threading.Thread(target=board.serve)
        thread.start()
        board.close()
        thread.join(DEADLINE_S)
        board.close()
    assert not thread.is_alive()


def test_what_does_not_answer_is_no_board(tmp_path):
    with closing(BridgeHarness(tmp_path)) as board:
        board.stream.noise = Noise(lost=1.0)
        with pytest.raises(LinkError, match="no board with the bridge firmware answers"):
            BridgeProtocol(SHORT_LIMITS).connect(open_port(board.port, 921600))


def test_a_tcp_port_without_a_listener_is_one_line():
    with pytest.raises(LinkError, match=r"tcp://127\.0\.0\.1:1: nothing answers there"):
        open_port("tcp://127.0.0.1:1", 0)
    with pytest.raises(LinkError, match="expected tcp://HOST:PORT"):
        open_port("tcp://nowhere", 0)
