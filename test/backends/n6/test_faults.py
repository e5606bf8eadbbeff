"""Test every fault of a cable, at random moments: the backend resumes by itself."""

from __future__ import annotations

import random
import re
import threading
import time
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from support.n6_harness import (
    DEADLINE_S,
    SHORT_LIMITS,
    SHORT_PAUSES_S,
    BoardResetError,
    CablePulledError,
    EchoNetwork,
    MemoryHarness,
    PtyHarness,
    frame,
)

from yolov8_seg_ros.backends.n6 import N6Options
from yolov8_seg_ros.backends.n6.backend import N6Backend, WantedModel
from yolov8_seg_ros.backends.n6.simulator.board import BOOT_TEXT
from yolov8_seg_ros.backends.n6.stedgeai import StedgeaiProtocol
from yolov8_seg_ros.errors import BackendError, RunInterruptedError

#: In memory a round takes milliseconds; a pseudo terminal shows that ports behave as the line in memory does.
NUM_MEMORY_ROUNDS, NUM_PTY_ROUNDS = 30, 5
#: These notice nothing by themselves.
PATIENT_LIMITS = replace(SHORT_LIMITS, answer_s=DEADLINE_S, go_ahead_s=DEADLINE_S, inference_s=DEADLINE_S)
#: A conversation about one frame of the test's network, both ways.
FRAME_BYTES = 97 * 34 + 500 + 900


@pytest.fixture
def pty_board(tmp_path, network):
    """A board behind a pseudo terminal, which can fail."""
    with closing(PtyHarness(tmp_path, network)) as made:
        yield made


@pytest.fixture
def logged():
    """Return the lines that backends wrote to the log."""
    return []


@pytest.fixture
def open_on(logged):
    """Return a function that opens a backend on a board; it tries again soon."""
    opened = []

    def open_backend(board, limits=SHORT_LIMITS):
        wanted = WantedModel(class_names=("cat", "dog"))
        backend = N6Backend(
            N6Options(board.port),
            wanted,
            [StedgeaiProtocol(limits)],
            log=logged.append,
            pauses_s=SHORT_PAUSES_S,
            opener=board.open_port,
        )
        opened.append(backend)
        return backend

    yield open_backend
    for backend in opened:
        backend.close()


@pytest.fixture
def backend(open_on, board):
    return open_on(board)


def until(condition, what):
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"waited in vain for {what() if callable(what) else what}"
        time.sleep(0.001)


def run_checked(backend, network, rng):
    """Run a frame; whatever the line does, outputs that come back are those of this frame."""
    data = frame(rng, network)
    outputs = backend.run(data)
    for output, expected in zip(outputs, network.expected(data), strict=True):
        np.testing.assert_array_equal(output, expected)


def run_until_good(backend, network, rng):
    """Run frames until one succeeds; return why the others did not."""
    reasons = []

    def succeeds():
        try:
            run_checked(backend, network, rng)
        except BackendError as error:
            reasons.append(str(error))
            return False
        return True

    until(succeeds, lambda: f"a good run after {len(reasons)} failures, such as {list(dict.fromkeys(reasons))[:4]}")
    return reasons


def survive(board, backend, network, faults, rng):
    """Cause faults amid frames; return why runs failed."""
    failures = []
    for number, fault in enumerate(faults):
        run_until_good(backend, network, rng)
        assert backend.fault == "", f"round {number}"
        line = board.line
        line.arm(rng.randrange(FRAME_BYTES), fault)
        until(lambda line=line: failures.extend(run_until_good(backend, network, rng)) or not line.armed, "the fault")
    run_until_good(backend, network, rng)
    return failures


def pull(line):
    raise CablePulledError


def reset(line):
    raise BoardResetError


def boot_text(line):
    line.insert(BOOT_TEXT)


def make_garbage(rng):
    data = rng.randbytes(rng.randrange(1, 200))
    return lambda line: line.insert(data)


def make_late(rng):
    """Return a fault: the board's bytes come only after the host has given up waiting, some times."""
    num_timeouts = rng.randrange(1, 5)

    def late(line):
        line.num_held_timeouts = num_timeouts

    return late


def make_mute(rng):
    """Return a fault: the board's bytes are lost for a while."""
    num_writes = rng.randrange(1, 60)

    def mute(line):
        line.mute = True
        line.arm(33 * num_writes, lambda line: setattr(line, "mute", False))

    return mute


FAULTS = {
    "pull": lambda rng: pull,
    "reset": lambda rng: reset,
    "late": make_late,
    "mute": make_mute,
    "garbage": make_garbage,
    "boot text": lambda rng: boot_text,
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_amid_a_frame_is_survived(open_on, board, network, kind):
    rng = random.Random(kind)
    faults = [FAULTS[kind](rng) for _ in range(NUM_MEMORY_ROUNDS)]
    failures = survive(board, open_on(board), network, faults, rng)
    # Late or stray bytes may come where they do no harm.
    assert len(failures) >= (NUM_MEMORY_ROUNDS if kind in ("pull", "reset") else 1), failures
    print(f"{kind}: {len(failures)} runs failed, such as: {sorted(set(failures))[:4]}")


def make_pause(rng):
    duration_s = rng.uniform(0.05, 0.2)
    return lambda line: time.sleep(duration_s)


PTY_FAULTS = {"pull": lambda rng: pull, "reset": lambda rng: reset, "pause": make_pause, "garbage": make_garbage}


@pytest.mark.parametrize("kind", PTY_FAULTS)
def test_a_fault_of_a_real_port_is_survived(open_on, pty_board, network, kind):
    rng = random.Random(kind)
    faults = [PTY_FAULTS[kind](rng) for _ in range(NUM_PTY_ROUNDS)]
    failures = survive(pty_board, open_on(pty_board), network, faults, rng)
    assert len(failures) >= (NUM_PTY_ROUNDS if kind in ("pull", "reset") else 0), failures


def take_out(board):
    board.stay_out()
    board.pull()
    until(lambda: not board.is_plugged_in, "the cable to be out")


def test_the_fault_says_why_and_since_when(open_on, pty_board, network, logged):
    rng = random.Random(1)
    backend = open_on(pty_board)
    for number in range(1, NUM_PTY_ROUNDS + 1):
        run_until_good(backend, network, rng)
        take_out(pty_board)
        with pytest.raises(BackendError):
            run_checked(backend, network, rng)
        until(lambda: "no such port" in backend.fault, "the reason")
        assert backend.fault.startswith("the board has failed since ")
        with pytest.raises(BackendError, match="the board has failed since"):
            run_checked(backend, network, rng)
        pty_board.plug_in()
        until(lambda number=number: not backend.fault and len(logged) == number, "the board to be back")
        assert re.match(r"the board is back on \S+ at \d+ baud; it had failed since \d", logged[-1])


def test_another_network_on_the_board_is_not_taken_for_the_first(backend, board, network):
    rng = random.Random(2)
    others = [EchoNetwork(num_classes=3), EchoNetwork("other", input_hw=(64, 32))]
    for number in range(NUM_MEMORY_ROUNDS):
        run_until_good(backend, network, rng)
        board.network = others[number % 2]
        line = board.line
        line.arm(rng.randrange(FRAME_BYTES), pull)
        until(lambda line=line: not line.armed or fails(backend, network, rng), "the cable to be out")
        until(lambda: fails(backend, network, rng) and is_wrong_network(backend), "the network to be refused")
        board.network = network
        board.pull()


def is_wrong_network(backend):
    return "has another network" in backend.fault or "class names for a model of" in backend.fault


def fails(backend, network, rng):
    try:
        run_checked(backend, network, rng)
    except BackendError:
        return True
    return False


def test_another_program_at_the_port_is_reported_and_outlasted(open_on, pty_board, network):
    rng = random.Random(3)
    backend = open_on(pty_board)
    for _ in range(NUM_PTY_ROUNDS):
        run_until_good(backend, network, rng)
        pty_board.hold_next_port()
        pty_board.line.arm(rng.randrange(FRAME_BYTES), pull)
        until(lambda: fails(backend, network, rng) and "in use by another program" in backend.fault, "the reason")
        pty_board.let_go_of_port()


def test_a_pause_ends_a_transfer_and_a_later_run_is_good(open_on, pty_board, network):
    rng = random.Random(4)
    backend = open_on(pty_board, PATIENT_LIMITS)
    for _ in range(NUM_PTY_ROUNDS):
        run_until_good(backend, network, rng)
        # Part of a frame is on its way and nothing more comes: only an interruption ends that.
        stalled = threading.Event()

        def stall(line, stalled=stalled):
            line.mute = True
            stalled.set()

        pty_board.line.arm(rng.randrange(FRAME_BYTES - 1500), stall)
        pauser = threading.Thread(target=lambda stalled=stalled: stalled.wait() and backend.pause())
        pauser.start()
        with pytest.raises(RunInterruptedError):
            run_checked(backend, network, rng)
        pauser.join()
        with pytest.raises(RunInterruptedError):
            run_checked(backend, network, rng)
        assert backend.fault == ""
        pty_board.line.mute = False
        backend.resume()


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
@pytest.mark.parametrize("harness", [MemoryHarness, PtyHarness], ids=["memory", "pty"])
def test_it_closes_at_any_moment(open_on, tmp_path, network, harness, gone):
    rng = random.Random(5)
    made = PtyHarness(tmp_path, network) if harness is PtyHarness else MemoryHarness(network)
    with closing(made) as board:
        backend = open_on(board)
        run_until_good(backend, network, rng)
        if gone:
            take_out(board)
            fails(backend, network, rng)
        backend.close()
        backend.close()
        with pytest.raises(RunInterruptedError):
            run_checked(backend, network, rng)
