"""Attack models and images in processes of their own: all damage is told, and none ends or blocks a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from support.amounts import amount

PROGRAM = Path(__file__).with_name("attack.py")


@pytest.mark.parametrize(
    ("attack", "count"), [("models", amount(56, 10_000)), ("images", amount(300, 10_000))], ids=["models", "images"]
)
def test_damage_is_told_and_nothing_dies(attack, count):
    done = subprocess.run(
        [sys.executable, str(PROGRAM), attack, str(count)],
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "OPENCV_IO_MAX_IMAGE_PIXELS": "50000000",
        },
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    print(attack, report["counts"])
    assert sum(report["counts"].values()) == count
    assert report["wrong"] == []
