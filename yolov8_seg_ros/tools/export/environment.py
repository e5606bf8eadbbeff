"""Check that the heavy packages of an export are installed, and suppress their output."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from yolov8_seg_ros.errors import ExportError

#: Packages of an export, beside those of this package.
PACKAGES = ("torch", "litert_torch", "ai_edge_quantizer")
#: Needed only for checkpoints of Ultralytics.
ULTRALYTICS = "ultralytics"
ENVIRONMENT = ".venv-export"
REMEDY = f"run 'make export-env' in the package's checkout, then '{ENVIRONMENT}/bin/yolov8_seg export ...'"


def require_packages(*packages: str) -> None:
    """Raise ExportError unless all these packages are installed."""
    absent = [package for package in packages if find_spec(package) is None]
    if absent:
        raise ExportError(f"an export needs {', '.join(absent)}, not installed for {sys.executable}: {REMEDY}")


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress what the export packages print.

    File descriptors are redirected, since compiled code does not print through Python.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for descriptor, target in zip(saved, (1, 2), strict=True):
                os.dup2(descriptor, target)
                os.close(descriptor)
