"""Dispatch the command-line tool `yolov8_seg` to its verbs.

A verb is a module of this package, named in `VERBS`, with `add_parser(subparsers)`, which adds a parser of the verb's
name with `set_defaults(run=run)`, and `run(args)`, which gives the exit code. Only the module of the verb that is
called is imported, so that help comes at once.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

PROGRAM = "yolov8_seg"
#: Each verb, by the name of its module, with its line in the help.
VERBS = {
    "segment": "segment pictures, folders and videos into annotated files and COCO results",
    "evaluate": "measure a model on a data set: average precision of boxes and masks, and a report page",
    "demo": "run image source, segmentation node and viewer, and keep what the viewer sees",
    "model": "show, download and list models",
    "export": "turn a trained network into an int8 model",
    "dataset": "check a data set of one's own before training, and repair a copy",
}
INTERRUPTED = 130
#: What only some verbs need, by the name under which it is imported.
_OPTIONAL_PACKAGES = {"pycocotools": "pycocotools", "tqdm": "tqdm"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool on its arguments (those of the process where None); give the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    args = build_parser(arguments).parse_args(arguments)
    try:
        return int(args.run(args))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough; Python would complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except user_errors() as error:
        print(f"{PROGRAM}: error: {_told(error)}", file=sys.stderr)
        return 1


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Give the parser of all verbs, in which only the verb that is called has its options."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Instance segmentation with int8 YOLOv8-seg models.",
        epilog=f"'{PROGRAM} VERB --help' explains a verb.",
    )
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for verb, summary in VERBS.items():
        if verb == called:
            importlib.import_module(f"{__package__}.{verb}").add_parser(subparsers)
        else:
            subparsers.add_parser(verb, help=summary)
    return parser


def user_errors() -> tuple[type[Exception], ...]:
    """Give what is told in one line rather than with a traceback."""
    from yolov8_seg_ros.backends.errors import BackendError
    from yolov8_seg_ros.cli.errors import CommandError
    from yolov8_seg_ros.core.media import MediaError
    from yolov8_seg_ros.core.model_spec import ModelError
    from yolov8_seg_ros.dataset.description import DataSetError
    from yolov8_seg_ros.evaluation.errors import EvaluationError
    from yolov8_seg_ros.export.errors import ExportError
    from yolov8_seg_ros.model_download import DownloadError

    own_errors = (BackendError, CommandError, DataSetError, DownloadError, EvaluationError, ExportError)
    return *own_errors, MediaError, ModelError, OSError, ModuleNotFoundError


def _told(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        if error.name not in _OPTIONAL_PACKAGES:
            raise error
        return f"this needs the Python package {error.name}: run 'pip install {_OPTIONAL_PACKAGES[error.name]}'"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


if __name__ == "__main__":
    sys.exit(main())
