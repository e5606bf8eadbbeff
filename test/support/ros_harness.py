"""Spin nodes in the test's process, and run nodes as processes of their own, until a condition holds."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

#: Only what fails waits that long; a machine that is busy with other things is slow.
DEADLINE_S = 90.0
#: A condition that no callback brings about is looked at this often.
POLL_S = 0.002
#: Domains of the tests; each run of them on this machine has one of its own.
DOMAIN_IDS = range(40, 80)
_locks: list[IO[str]] = []


def free_domain() -> int:
    """Return a domain that no other run of the tests uses; it is reserved until this process ends."""
    first = os.getpid() % len(DOMAIN_IDS)
    for domain_id in (*DOMAIN_IDS[first:], *DOMAIN_IDS[:first]):
        try:
            lock = (Path(tempfile.gettempdir()) / f"yolov8_seg_ros_tests_{domain_id}.lock").open("w")
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        _locks.append(lock)
        return domain_id
    raise RuntimeError(f"all domains from {DOMAIN_IDS[0]} to {DOMAIN_IDS[-1]} are in use by tests")


DOMAIN_ID = free_domain()


class RosHarness:
    """Executor that spins nodes until a condition holds; nodes that are added are destroyed with it."""

    def __init__(self) -> None:
        self.executor = SingleThreadedExecutor()
        self.nodes: list[Node] = []

    def add(self, node: Node) -> Node:
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def until(self, condition: Callable[[], object], what: str, deadline_s: float = DEADLINE_S) -> None:
        end_s = time.monotonic() + deadline_s
        while not condition():
            assert time.monotonic() < end_s, f"waited in vain for {what}"
            self.executor.spin_once(timeout_sec=POLL_S)

    def call(self, client, request):
        """Call a service of a node that may spin on this harness."""
        self.until(client.service_is_ready, f"service {client.srv_name}")
        future = client.call_async(request)
        self.until(future.done, f"an answer of {client.srv_name}")
        return future.result()

    def close(self) -> None:
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()


@contextmanager
def process(module: str, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run a node of the package as a process in the tests' domain; killed at the end if it still runs."""
    running = subprocess.Popen(
        [sys.executable, "-m", f"yolov8_seg_ros.{module}", "--ros-args", *arguments],
        env={**os.environ, "ROS_DOMAIN_ID": str(DOMAIN_ID), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield running
    finally:
        if running.poll() is None:
            running.kill()
        running.communicate()


def parameters(**values: object) -> Sequence[str]:
    """Return the arguments that set parameters."""
    return [word for name, value in values.items() for word in ("-p", f"{name}:={value}")]
