"""Dispatch the command-line tool `yolov8_seg` to its verbs.

A verb is a module of this package, named in `VERBS` (with _ for -), with `add_parser(subparsers)`, which adds a parser
of the verb's name with `set_defaults(run=run)`, and `run(args)`, which gives the exit code. Only the module of the verb
that is called is imported, so that help comes at once.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from yolov8_seg_ros.commands import TOOL as PROGRAM
from yolov8_seg_ros.commands import install_command
from yolov8_seg_ros.errors import UserError, one_line

#: Each verb, by the name of its module (with - for _), with its line in the help; in the order of use.
VERBS = {
    "demo": "run image source, segmentation node and viewer, and keep what the viewer sees",
    "model": "show, download and list models",
    "segment": "segment images, folders and videos into annotated files and COCO results",
    "bag": "segment the images of a recording (rosbag) into a recording with the results",
    "dataset": "check a data set of one's own before training, repair a copy, or make one of recordings",
    "export": "turn a trained network into an int8 model",
    "evaluate": "measure a model on a data set: average precision of boxes and masks, and a report page",
    "evaluate-tracks": "measure a model and the tracker on MOTChallenge sequences: HOTA, IDF1, MOTA",
    "n6": "inspect, measure and simulate an STM32N6 board",
}
_EPILOG = f"""\
'{PROGRAM} VERB --help' explains a verb.

examples:
  {PROGRAM} demo
  {PROGRAM} model download yolov8n_256
  {PROGRAM} segment street.jpg"""
INTERRUPTED = 130
#: What only some verbs need, by the name under which it is imported.
_OPTIONAL_PACKAGES = {
    "pycocotools": "pycocotools",
    "tqdm": "tqdm",
    "serial": "pyserial",
    "google": "protobuf",
    "google.protobuf": "protobuf",
    "trackeval": "trackeval",
    "scipy": "scipy",
    "rosbags": "rosbags",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the tool on its arguments (those of the process where None); return the exit code. Without any, show help."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    for stream in (sys.stdout, sys.stderr):
        # Names of files and classes may have characters that the terminal's encoding lacks.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        args = build_parser(arguments).parse_args(arguments)
        return int(args.run(args))
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the output has ended; Python would fail when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (UserError, OSError, ModuleNotFoundError) as error:
        print(f"{PROGRAM}: error: {one_line(_message(error))}", file=sys.stderr)
        return 1


class _Parser(argparse.ArgumentParser):
    """A parser that reports a wrong argument in one line, without the usage of all options."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse arguments; exit with code 2 where a verb does not know one."""
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown and self._subparsers is None:
            # Else the parser of all verbs would report it, whose help does not have the verb's options.
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return parsed, unknown

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and exit with code 2; also the help where a verb is missing, the usage if unknown."""
        if self._subparsers is not None and message.endswith("required: VERB"):
            self.print_help(sys.stderr)
            self.exit(2, f"\n{self.prog}: error: give a VERB\n")
        if self._subparsers is not None:
            super().error(message)
        self.exit(2, f"{self.prog}: error: {one_line(message)}; see '{self.prog} --help'\n")


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """Print the version, and exit."""
        from yolov8_seg_ros.cli.output import package_version

        print(f"{PROGRAM} {package_version()}")
        parser.exit()


def build_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of all verbs, in which only the verb that is called has its options."""
    parser = _Parser(
        prog=PROGRAM,
        description="Instance segmentation with int8 YOLOv8-seg models.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and exit")
    subparsers = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    called = next((argument for argument in arguments if not argument.startswith("-")), None)
    for verb, summary in VERBS.items():
        if verb == called:
            importlib.import_module(f"{__package__}.{verb.replace('-', '_')}").add_parser(subparsers)
        else:
            subparsers.add_parser(verb, help=summary)
    return parser


def _message(error: Exception) -> str:
    if isinstance(error, ModuleNotFoundError):
        if error.name not in _OPTIONAL_PACKAGES:
            raise error
        return f"this needs the Python package {error.name}: run '{install_command(_OPTIONAL_PACKAGES[error.name])}'"
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    # Only here: it imports the backends.
    from yolov8_seg_ros.cli.arguments import with_option_names

    return with_option_names(str(error))


if __name__ == "__main__":
    sys.exit(main())
