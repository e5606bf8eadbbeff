"""Interrupt the programs before they run and after, as an early and a repeated Ctrl-C do."""

from __future__ import annotations

import os
import platform
import random
import signal
import subprocess
import sys

import pytest

from yolov8_seg_ros import executables

DEADLINE_S = 30.0
TIMES = 4
#: Fewer than each program imports before its own handling of signals begins.
MAX_IMPORTS = {"seg_node": 300, "depth_node": 300, "image_source": 300, "yolov8_seg": 3}
NODES = ("seg_node", "depth_node", "image_source")
#: Runs a program that sends a signal to itself when it looks for its n-th module.
INTERRUPTED_PROGRAM = """
import os, sys
from yolov8_seg_ros import executables

class Interrupter:
    left = {num_imports}

    def find_spec(self, *_):
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Interrupter())
sys.exit(executables.{program}())
"""

#: Runs a node that ends with exit code 3, and sends a signal to itself when Python takes down what is left.
SIGNAL_AT_THE_END = """
import os, sys, types
from yolov8_seg_ros import executables

class Leftover:
    def __del__(self, kill=os.kill, own_id=os.getpid()):
        kill(own_id, {number})

leftover = Leftover()
sys.modules["yolov8_seg_ros.node.seg_node"] = types.SimpleNamespace(main=lambda: 3)
sys.exit(executables.seg_node())
"""


def run(code):
    """Run Python code; give the exit code and what was written."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=DEADLINE_S)
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def number(request):
    return request.param


@pytest.mark.parametrize("program", MAX_IMPORTS)
def test_an_early_signal_ends_a_program_in_silence(program, number):
    if program in NODES:
        pytest.importorskip("rclpy")
    expected = 0 if program in NODES else 128 + number
    moments = random.Random(f"{program} {number}")
    for time_index in range(TIMES):
        num_imports = 1 + int((time_index + moments.random()) / TIMES * (MAX_IMPORTS[program] - 1))
        code = INTERRUPTED_PROGRAM.format(program=program, number=int(number), num_imports=num_imports)
        assert run(code) == (expected, "", ""), f"at import {num_imports}"


def test_a_late_signal_changes_nothing(number):
    assert run(SIGNAL_AT_THE_END.format(number=int(number))) == (3, "", "")


@pytest.mark.parametrize("name", ["OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"])
@pytest.mark.parametrize(("before", "after"), [(None, "1"), ("4", "4")], ids=["unset", "the user's own"])
def test_small_work_is_done_in_one_thread(name, before, after, monkeypatch):
    monkeypatch.delenv(name, raising=False)
    if before is not None:
        monkeypatch.setenv(name, before)
    executables.prepare_process()
    assert os.environ[name] == after


def test_opencv_obeys():
    prepared = "from yolov8_seg_ros import executables; executables.prepare_process()"
    assert run(f"{prepared}; import cv2; print(cv2.getNumThreads())") == (0, "1\n", "")


#: Counts how often the kernel clears a page while the memory of an image is taken and given back, again and again.
PAGE_FAULTS = """
import ctypes, resource
from yolov8_seg_ros import executables
{prepare}
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
before = None
for round in range(20):
    images = [libc.malloc(6 << 20) for _ in range(3)]
    for image in images:
        ctypes.memset(image, 1, 6 << 20)
    for image in images:
        libc.free(image)
    if round == 9:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc gives memory back at once")
@pytest.mark.parametrize(("prepare", "is_kept"), [("executables.prepare_process()", True), ("", False)])
def test_the_memory_of_images_is_kept(prepare, is_kept):
    exit_code, said, _ = run(PAGE_FAULTS.format(prepare=prepare))
    assert exit_code == 0
    # Ten rounds of 4,608 pages.
    assert (int(said) < 4608) == is_kept
