"""Test what `make` prints before it does anything."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="needs make")


def make(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    # A make above this one would hand its own options down.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *arguments], cwd=ROOT, env={**inherited, **variables}, capture_output=True, text=True
    )


@pytest.mark.parametrize("target", ["demo", "test"])
def test_sourced_ros_is_sent_to_colcon(target: str) -> None:
    answer = make(target, ROS_DISTRO="jazzy")

    assert answer.returncode != 0
    assert "ROS 2 jazzy is sourced: build with colcon" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_sourced_ros_can_be_overruled() -> None:
    answer = make("--dry-run", "demo", "UNDERLAY=1", ROS_DISTRO="jazzy")

    assert answer.returncode == 0, answer.stderr


def test_help_lists_every_public_target() -> None:
    listed = {line.split()[0] for line in make("help").stdout.splitlines()[1:]}

    assert listed == {
        "help",
        "demo",
        "test",
        "lint",
        "bench",
        "venv",
        "export-env",
        "fuzz",
        "firmware-test",
        "soak",
        "docs",
        "clean",
    }


def test_names_with_spaces_reach_the_demo_whole() -> None:
    answer = make("--dry-run", "demo", "MODEL=my models/a.tflite", "SOURCE=my images", ROS_DISTRO="")

    assert "--model 'my models/a.tflite' --source 'my images'" in answer.stdout
