"""Run a node as a process: clean signals, and one line for a user's mistake."""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import rclpy
from rclpy._rclpy_pybind11 import RCLError, UnknownROSArgsError
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.logging import get_logger
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier, remove_ros_args

from yolov8_seg_ros.errors import one_line
from yolov8_seg_ros.node.transport import profile_in_use, remove_stale_segments, use_large_image_profile
from yolov8_seg_ros.text import clean_text

#: How long the executor waits at a time. A signal wakes it up.
_WAIT_S = 1.0


class Ending:
    """The way in which a process is to end: called with the exit code by whoever ends it; the first call decides.

    Attributes:
        exit_code: None while the process shall go on.
    """

    def __init__(self) -> None:
        self.exit_code: int | None = None

    def __call__(self, exit_code: int) -> None:
        """End the process with this code, unless it is ending already."""
        if self.exit_code is None:
            self.exit_code = exit_code


def run_node(
    make_node: Callable[[Ending], Node],
    user_errors: tuple[type[Exception], ...],
    args: list[str] | None = None,
    *,
    logger_name: str = "yolov8_seg",
) -> int:
    """Run a node until it ends, or SIGINT or SIGTERM arrives (exit code 0); give the process's exit code.

    Fast DDS gets the profile for large images, unless the user chose otherwise. What killed processes left of its
    shared memory is removed.

    Args:
        make_node: makes the node, in a context that is ready; the node may call what it is given to end.
        user_errors: what `make_node` raises for a user's mistake: told in one line, exit code 1.
        args: command line; that of the process where None.
        logger_name: of the logger that reports a user's mistake; usually the node's name.
    """
    use_large_image_profile()
    remove_stale_segments()
    ending = Ending()
    with _signals_end(ending):
        try:
            if unknown := remove_ros_args(["", *(sys.argv[1:] if args is None else args)])[1:]:
                wanted = "parameters are given as --ros-args -p NAME:=VALUE"
                print(f"unknown arguments: {clean_text(' '.join(unknown))}; {wanted}, see --help", file=sys.stderr)
                return 1
            # rclpy's own handlers would end the context while a callback publishes.
            rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
        except (RCLError, UnknownROSArgsError) as error:
            print(f"ROS cannot start with these arguments: {one_line(error)}", file=sys.stderr)
            return 1
        try:
            return _spin(make_node(ending), ending)
        except user_errors as error:
            get_logger(logger_name).error(str(error))
            return 1
        except RCLError as error:
            get_logger(logger_name).error(f"ROS cannot make this node: {one_line(error)}")
            return 1
        finally:
            rclpy.try_shutdown()


def _make_executor() -> Executor:
    """Make the executor that waits in C++, where rclpy has it: another one holds Python's lock half a ms an image."""
    try:
        from rclpy.experimental.events_executor import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    return EventsExecutor()


def _spin(node: Node, ending: Ending) -> int:
    executor = _make_executor()
    executor.add_node(node)
    if get_rmw_implementation_identifier().startswith("rmw_fastrtps"):
        node.get_logger().info(f"Fast DDS: {profile_in_use()}")
    try:
        with _woken_by_signals(executor):
            while ending.exit_code is None:
                _spin_once(executor, node)
        return ending.exit_code
    finally:
        executor.shutdown()
        node.destroy_node()


def _spin_once(executor: Executor, node: Node) -> None:
    try:
        executor.spin_once(timeout_sec=_WAIT_S)
    except Exception:  # noqa: BLE001 - whatever a callback or a request from outside raises, a robot needs its node
        node.get_logger().error(f"a callback failed, the node goes on: {traceback.format_exc()}")


@contextmanager
def _woken_by_signals(executor: Executor) -> Iterator[None]:
    """Make a signal end what the executor waits for: Python handles it once the main thread runs again."""
    read_fd, write_fd = os.pipe()
    os.set_blocking(write_fd, False)
    before = signal.set_wakeup_fd(write_fd, warn_on_full_buffer=False)

    def wake() -> None:
        while os.read(read_fd, 1):
            executor.wake()

    thread = threading.Thread(target=wake, name="signals", daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.close(write_fd)
        thread.join()
        os.close(read_fd)


@contextmanager
def _signals_end(ending: Ending) -> Iterator[None]:
    """Make SIGINT and SIGTERM end the process, in place of what they did before."""

    def end(_number: int, _frame: FrameType | None) -> None:
        ending(0)

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
