"""Open a model and run it once, as a process that may crash: what `first_opening` starts."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np

from yolov8_seg_ros.backends.tflite import TfliteBackend
from yolov8_seg_ros.errors import UserError


def main() -> None:
    """Open the file that the first argument names, with the head that the second one says, and run it."""
    # A crash is expected here, and its memory of no use.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # What can be told is told when the model is opened for use.
    with suppress(UserError), TfliteBackend(Path(sys.argv[1]), 1, raw_head=sys.argv[2] == "raw") as backend:
        backend.run(np.zeros(backend.spec.input.shape, backend.spec.input.quant.dtype))


if __name__ == "__main__":
    main()
