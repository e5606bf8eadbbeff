"""Run launch descriptions for real and in this process, and keep what is started, printed and ended."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription, LaunchDescriptionEntity, LaunchService
from launch.actions import IncludeLaunchDescription, OpaqueFunction, RegisterEventHandler, Shutdown, TimerAction
from launch.event_handlers import OnProcessExit, OnProcessIO, OnProcessStart
from launch.events.process import ProcessExited, ProcessIO, ProcessStarted
from launch.launch_description_sources import PythonLaunchDescriptionSource

from support.ros_harness import DEADLINE_S

LAUNCH_FILE = Path(__file__).resolve().parents[2] / "launch" / "seg.launch.py"
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")


def is_installed(package: str) -> bool:
    try:
        get_package_prefix(package)
    except PackageNotFoundError:
        return False
    return True


needs_installed_package = pytest.mark.skipif(
    not is_installed("yolov8_seg_ros"), reason="the package is not built and sourced"
)


@dataclass
class Started:
    """Command, environment and parameters of a started process."""

    name: str
    pid: int
    arguments: list[str]
    environment: dict[str, str]
    parameters: dict[str, object] = field(default_factory=dict)

    @classmethod
    def from_event(cls, event: ProcessStarted) -> Started:
        started = cls(Path(event.cmd[0]).name, event.pid, list(event.cmd[1:]), dict(event.env))
        for file in started.values_of("--params-file"):
            for node in yaml.safe_load(Path(file).read_text()).values():
                started.parameters |= node["ros__parameters"]
        return started

    def values_of(self, option: str) -> list[str]:
        return [self.arguments[k + 1] for k, argument in enumerate(self.arguments) if argument == option]

    def profile(self) -> str | None:
        return next((self.environment[name] for name in PROFILE_VARIABLES if name in self.environment), None)


class LaunchRun:
    """Launch that runs until a condition holds after some event, or until it ends by itself.

    Attributes:
        started: the processes, in order.
        ended: name, process id and exit code of each process, in order.
        output: what the processes have printed.
        messages: what launch itself has logged.
        ended_before_stop: `ended` when the condition was met.
        return_code: of the launch.
    """

    def __init__(
        self,
        entities: Iterable[LaunchDescriptionEntity],
        stop_when: Callable[[LaunchRun], bool] = lambda run: False,
    ) -> None:
        self.started: list[Started] = []
        self.ended: list[tuple[str, int, int]] = []
        self.output = ""
        self.ended_before_stop: list[tuple[str, int, int]] | None = None
        self._stop_when = stop_when
        service = LaunchService(noninteractive=True)
        service.include_launch_description(self._watched(entities))
        with listening("launch") as self.messages:
            self.return_code = service.run()

    @property
    def exit_codes(self) -> dict[str, int]:
        """Return the last exit code of each program, in the order in which the programs ended."""
        return {name: exit_code for name, _, exit_code in self.ended}

    def _watched(self, entities: Iterable[LaunchDescriptionEntity]) -> LaunchDescription:
        return LaunchDescription(
            [
                RegisterEventHandler(OnProcessStart(on_start=self._on_start)),
                RegisterEventHandler(OnProcessExit(on_exit=self._on_exit)),
                RegisterEventHandler(OnProcessIO(on_stdout=self._on_output, on_stderr=self._on_output)),
                # Cancelled with the rest when the launch ends.
                TimerAction(period=DEADLINE_S, actions=[OpaqueFunction(function=self._give_up)]),
                *entities,
            ]
        )

    def _on_start(self, event: ProcessStarted, _context) -> Shutdown | None:
        self.started.append(Started.from_event(event))
        return self._stop_if_met()

    def _on_exit(self, event: ProcessExited, _context) -> Shutdown | None:
        self.ended.append((Path(event.cmd[0]).name, event.pid, event.returncode))
        return self._stop_if_met()

    def _on_output(self, event: ProcessIO) -> Shutdown | None:
        self.output += event.text.decode(errors="replace")
        return self._stop_if_met()

    def _stop_if_met(self) -> Shutdown | None:
        if self.ended_before_stop is not None or not self._stop_when(self):
            return None
        self.ended_before_stop = list(self.ended)
        return Shutdown()

    def _give_up(self, _context) -> None:
        raise TimeoutError("the launch goes on for too long")


def included(path: Path, arguments: dict[str, object]) -> IncludeLaunchDescription:
    """Return the action that includes a launch file, as `ros2 launch` does with the file that it is given."""
    given = [(name, str(value)) for name, value in arguments.items()]
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(path)), launch_arguments=given)


@contextmanager
def listening(logger_name: str) -> Iterator[list[str]]:
    """Collect what is logged; launch's loggers keep their messages from pytest."""
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = logging.getLogger(logger_name)
    logger.addHandler(handler)
    try:
        yield messages
    finally:
        logger.removeHandler(handler)
