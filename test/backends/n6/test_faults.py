"""Let everything that can happen to a cable happen, at random moments, and see the backend resume by itself."""

from __future__ import annotations

import os
import random
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from n6_bench import DEADLINE_S, SHORT_LIMITS, BoardResetError, CablePulledError, EchoNetwork, frame

from yolov8_seg_ros.backends.n6.simulated_board import BOOT_TEXT
from yolov8_seg_ros.errors import BackendError, RunInterruptedError

ROUNDS = 50
#: These notice nothing by themselves.
PATIENT_LIMITS = replace(SHORT_LIMITS, answer_s=DEADLINE_S, go_ahead_s=DEADLINE_S, inference_s=DEADLINE_S)
#: A conversation about one frame of the test's network, both ways.
FRAME_BYTES = 97 * 34 + 500 + 900


def pull(line):
    raise CablePulledError


def reset(line):
    raise BoardResetError


def late(line):
    time.sleep(random.uniform(0.05, 0.2))


def never(line):
    line.mute = True
    threading.Timer(random.uniform(0.05, 0.2), lambda: setattr(line, "mute", False)).start()


def garbage(line):
    line.insert(os.urandom(random.randrange(1, 200)))


def boot_text(line):
    line.insert(BOOT_TEXT)


def until(condition, what):
    end_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end_s, f"waited in vain for {what() if callable(what) else what}"
        time.sleep(0.002)


def run_checked(backend, network, rng):
    """Run a frame; whatever the line does, outputs that come back are those of this frame."""
    data = frame(rng, network)
    outputs = backend.run(data)
    for output, expected in zip(outputs, network.expected(data), strict=True):
        np.testing.assert_array_equal(output, expected)


def run_until_good(backend, network, rng):
    """Run frames until one succeeds; give why the others did not."""
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


@pytest.mark.parametrize("fault", [pull, reset, late, never, garbage, boot_text], ids=lambda fault: fault.__name__)
def test_a_fault_amid_a_frame_is_survived(backend, bench, network, fault):
    rng = random.Random(fault.__name__)
    failures = []
    for number in range(ROUNDS):
        run_until_good(backend, network, rng)
        assert backend.fault == "", f"round {number}"
        bench.line.arm(rng.randrange(FRAME_BYTES), fault)
        line = bench.line
        until(lambda line=line: failures.extend(run_until_good(backend, network, rng)) or not line.armed, "the fault")
    run_until_good(backend, network, rng)
    # A pause or stray bytes may fall where they do no harm.
    assert len(failures) >= (ROUNDS if fault in (pull, reset) else 1), failures
    print(f"{fault.__name__}: {len(failures)} runs failed, such as: {sorted(set(failures))[:4]}")


def test_the_fault_says_why_and_since_when(backend, bench, network):
    rng = random.Random(1)
    for _ in range(ROUNDS):
        run_until_good(backend, network, rng)
        bench.stay_out()
        bench.pull()
        until(lambda: not bench.path.is_symlink(), "the cable to be out")
        with pytest.raises(BackendError):
            run_checked(backend, network, rng)
        until(lambda: "no such port" in backend.fault, "the reason")
        assert backend.fault.startswith("the board has failed since ")
        with pytest.raises(BackendError, match="the board has failed since"):
            run_checked(backend, network, rng)
        bench.plug_in()
        until(lambda: not backend.fault, "the board to be back")


def test_another_network_on_the_board_is_not_taken_for_the_first(backend, bench, network):
    rng = random.Random(2)
    for number in range(ROUNDS):
        run_until_good(backend, network, rng)
        bench.network = EchoNetwork((64, 32), name="other") if number % 2 else EchoNetwork(num_classes=3)
        bench.line.arm(rng.randrange(FRAME_BYTES), pull)
        line = bench.line
        until(lambda line=line: not line.armed or fails(backend, network, rng), "the cable to be out")
        until(lambda: fails(backend, network, rng) and is_wrong_network(backend), "the network to be refused")
        bench.network = network
        bench.pull()


def is_wrong_network(backend):
    return "has another network" in backend.fault or "class names for a model of" in backend.fault


def fails(backend, network, rng):
    try:
        run_checked(backend, network, rng)
    except BackendError:
        return True
    return False


def test_another_program_at_the_port_is_told_and_outlasted(backend, bench, network):
    rng = random.Random(3)
    for _ in range(ROUNDS):
        run_until_good(backend, network, rng)
        bench.hold_next_port()
        bench.line.arm(rng.randrange(FRAME_BYTES), pull)
        until(lambda: fails(backend, network, rng) and "in use by another program" in backend.fault, "the reason")
        time.sleep(rng.random() * 0.02)
        bench.let_go_of_port()


@pytest.mark.parametrize("backend_limits", [PATIENT_LIMITS], ids=["patient"])
def test_a_pause_ends_a_transfer_and_a_later_run_is_good(backend, bench, network):
    rng = random.Random(4)
    for _ in range(ROUNDS):
        run_until_good(backend, network, rng)
        # Part of a frame is on its way and nothing more comes: only an interruption ends that.
        stalled = threading.Event()

        def stall(line, stalled=stalled):
            line.mute = True
            stalled.set()

        bench.line.arm(rng.randrange(FRAME_BYTES - 1500), stall)
        pauser = threading.Thread(target=lambda stalled=stalled: stalled.wait() and backend.pause())
        pauser.start()
        with pytest.raises(RunInterruptedError):
            run_checked(backend, network, rng)
        pauser.join()
        with pytest.raises(RunInterruptedError):
            run_checked(backend, network, rng)
        assert backend.fault == ""
        bench.line.mute = False
        backend.resume()


@pytest.mark.parametrize("gone", [False, True], ids=["there", "gone"])
def test_it_closes_at_any_moment(backend, bench, network, gone):
    rng = random.Random(5)
    run_until_good(backend, network, rng)
    if gone:
        bench.stay_out()
        bench.pull()
        fails(backend, network, rng)
    backend.close()
    backend.close()
    with pytest.raises(RunInterruptedError):
        run_checked(backend, network, rng)
