"""Open a model and run it once, as a process that may crash: what `first_opening` starts."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from yolov8_seg_ros.backends.model_forms import first_that_opens, read_forms_for_cpu
from yolov8_seg_ros.backends.tflite import load_runtime, new_interpreter
from yolov8_seg_ros.errors import ModelError

#: The exit code where the runtime refuses the model; the reason is the last line of the output.
REFUSED = 3


def main() -> int:
    """Open the file that the first argument names, with the head that the second one says; return the exit code."""
    # A crash is expected here, and its memory of no use.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    runtime, forms = load_runtime(), read_forms_for_cpu(Path(sys.argv[1]), sys.argv[2] == "raw")
    try:
        _, interpreter = first_that_opens(forms, lambda form: new_interpreter(runtime, form, 1))
    except ModelError as error:
        print(error, flush=True)
        return REFUSED
    # A network that opens and does not run can still be described.
    with suppress(RuntimeError, ValueError):
        _run(interpreter)
    return 0


def _run(interpreter: Any) -> None:
    for details in interpreter.get_input_details():
        interpreter.set_tensor(details["index"], np.zeros(details["shape"], details["dtype"]))
    interpreter.invoke()


if __name__ == "__main__":
    sys.exit(main())
