"""Make command-line options from the settings, and open models with what they say."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from yolov8_seg_ros.backends.open_backend import open_backend
from yolov8_seg_ros.core.backend import Backend
from yolov8_seg_ros.core.options import INTERPOLATIONS, PIXEL_ROUNDINGS, TrackerOptions
from yolov8_seg_ros.errors import OptionError
from yolov8_seg_ros.settings.depth_table import DEPTH_NODE_SETTINGS, PLACING
from yolov8_seg_ros.settings.options import backend_arguments
from yolov8_seg_ros.settings.setting import OldName, Setting, as_text
from yolov8_seg_ros.settings.tables import (
    MODEL,
    N6,
    NPU,
    OLD_OPTIONS,
    SEG_NODE_SETTINGS,
    SEGMENTATION,
    TOOL_GROUPS,
    TRACKING,
)

#: Settings of the node that commands offer too, without their prefix; the others of the group do not concern them.
_TRACKER_SETTINGS = ("camera_motion", "lost_s")
#: Those of a group of `TOOL_GROUPS` are options.
_SETTINGS = (*SEG_NODE_SETTINGS, *DEPTH_NODE_SETTINGS)


def add_backend_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the settings that `open_backend_of` reads, but for `decoding`."""
    for group in (MODEL, NPU, N6):
        add_settings(parser, group)


def add_n6_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the settings of the STM32N6 board."""
    add_settings(parser, N6)


def add_segmenter_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the settings of `segmenter_options`."""
    add_settings(parser, SEGMENTATION)


def add_placing_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add the settings of how objects are placed in space; return the group."""
    return add_settings(parser, PLACING)


def add_settings(parser: argparse.ArgumentParser, group: str, names: Sequence[str] = ()) -> argparse._ArgumentGroup:
    """Add the settings of a group as options, or only those of some names; return the group.

    Arguments have the names of the settings. Names of earlier releases are accepted too, with a line on stderr.
    """
    options = parser.add_argument_group(group)
    for setting in _SETTINGS:
        if setting.group == group and (not names or setting.name in names):
            _add_setting(options, setting)
            for old in OLD_OPTIONS:
                if old.setting == setting.name:
                    options.add_argument(old.name, action=_OldOption, old=old, setting=setting)
    return options


def _add_setting(options: argparse._ArgumentGroup, setting: Setting) -> None:
    if setting.name == "max_instances":
        # Only a label image of the node has no room for more.
        setting = replace(setting, maximum=None)
    given: dict[str, Any] = {"dest": setting.name, "help": _help(setting)}
    if isinstance(setting.default, bool):
        options.add_argument(setting.option, action=argparse.BooleanOptionalAction, **given)
    else:
        options.add_argument(
            setting.option,
            type=_reader(setting),
            choices=setting.choices or None,
            metavar=setting.metavar or (None if setting.choices else "N"),
            **given,
        )
    # Not an argument of add_argument: some versions of Python add it to the help of a boolean option by themselves.
    options.set_defaults(**{setting.name: setting.default})


def _help(setting: Setting) -> str:
    facts = [setting.values] if setting.minimum is not None else []
    if isinstance(setting.default, bool):
        facts.append(f"default: {as_text(setting.default)}")
    elif setting.default != "":
        # A verb may have a default of its own.
        facts.append("default: %(default)s")
    text = setting.description.removesuffix(".").replace("%", "%%")
    return f"{text} ({'; '.join(facts)})" if facts else text


def _reader(setting: Setting) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        try:
            return setting.parse(text)
        except OptionError as error:
            # argparse puts the option's name before it.
            raise argparse.ArgumentTypeError(str(error).removeprefix(f"{setting.name}: ")) from error

    return read


class _OldOption(argparse.Action):
    """An option of an earlier release: not in the help, and accepted with a line on stderr."""

    def __init__(self, option_strings: Sequence[str], dest: str, old: OldName, setting: Setting) -> None:
        super().__init__(
            option_strings,
            argparse.SUPPRESS if old.advice else setting.name,
            type=str if old.advice else _reader(setting),
            default=argparse.SUPPRESS,
            help=argparse.SUPPRESS,
        )
        self._old = old
        self._option = setting.option

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option: str | None = None
    ) -> None:
        """Store the value under the setting's name, or raise an error that names the remedy."""
        if self._old.advice:
            line = f"{self._old.name} is gone and has no effect: {with_option_names(self._old.advice)}"
        else:
            line = f"{self._old.name} is now called {self._option}; this release still accepts the old name"
            setattr(namespace, self.dest, values)
        print(f"{parser.prog}: {line}", file=sys.stderr)


def with_option_names(text: str) -> str:
    """Return a message with the names of settings replaced by those of the options."""
    for setting in _SETTINGS:
        if setting.group not in TOOL_GROUPS:
            continue
        text = re.sub(rf"^{re.escape(setting.name)}: ", f"{setting.option}: ", text)
        # Other names are also words of the language.
        if re.search(r"[._]", setting.name):
            text = re.sub(rf"(?<![\w./-]){re.escape(setting.name)}(?![\w/-]|\.\w)", setting.option, text)
    return text


def add_ablation_arguments(parser: argparse.ArgumentParser) -> None:
    """Add single switches of the decoding; `settings.options` prefers them to --decoding."""
    group = parser.add_argument_group(
        "single switches of the decoding", "To measure what each brings; by default each is as --decoding sets it."
    )
    group.add_argument("--interpolation", choices=INTERPOLATIONS, help="how the image is resized")
    group.add_argument("--pixel-rounding", choices=PIXEL_ROUNDINGS, help="how pixels are quantized")
    group.add_argument("--mask-threshold", type=fraction, help="lowest probability of a pixel of a mask")
    for name, text in (
        ("raw-head", "cut a decoded head off the file"),
        ("multi-label", "let an anchor stand for several classes"),
        ("vote-boxes", "average each box with those that overlap it"),
    ):
        group.add_argument(f"--{name}", action=argparse.BooleanOptionalAction, help=text)


def add_tracker_arguments(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Add what `tracker_options` reads; return the group."""
    group = add_settings(parser, TRACKING, [f"tracking.{name}" for name in _TRACKER_SETTINGS])
    default = TrackerOptions()
    group.add_argument(
        "--tracking-birth-score",
        type=fraction,
        default=default.birth_score,
        metavar="SCORE",
        help="lowest score that begins a track, 0 to 1 (default: %(default)s)",
    )
    group.add_argument(
        "--tracking-confirm-s",
        type=number,
        default=default.confirm_s,
        metavar="SECONDS",
        help="how long an object is seen before it gets a number (default: %(default)s)",
    )
    return group


def tracker_options(args: argparse.Namespace) -> TrackerOptions:
    """Return the options that the arguments give.

    Raises:
        OptionError: for a number out of its range.
    """
    settings = {name: getattr(args, f"tracking.{name}") for name in _TRACKER_SETTINGS}
    return TrackerOptions(birth_score=args.tracking_birth_score, confirm_s=args.tracking_confirm_s, **settings)


def open_backend_of(args: argparse.Namespace) -> Backend:
    """Open the model that the arguments name.

    Raises:
        ModelError: if it is not found or cannot be run.
        BackendError: if the backend cannot start.
    """
    return open_backend(**backend_arguments(vars(args)))


def print_backend(backend: Backend) -> None:
    """Print what runs the model, and why; what is wrong goes to stderr."""
    reason = f" ({with_option_names(backend.info.reason)})" if backend.info.reason else ""
    print(f"{backend.info.description}{reason}")
    if backend.info.head:
        print(f"head: {backend.info.head}")
    for line in filter(None, (*backend.info.warnings, backend.fault)):
        print(with_option_names(line), file=sys.stderr)
    if not backend.spec.names_given:
        print("the model has no class names, they are numbered; give --class-names-file", file=sys.stderr)


def fraction(text: str) -> float:
    """Read a number from 0 to 1."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number <= 1.0:
        raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, got '{text}'")
    return number


def number(text: str) -> float:
    """Read a number of 0 or more."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number, 0 or more, got '{text}'")
    return value


def whole_number(lowest: int, highest: int | None = None) -> Callable[[str], int]:
    """Return a reader of whole numbers from `lowest` on, to `highest` where there is a limit."""
    limits = f"{lowest} or more" if highest is None else f"{lowest} to {highest}"

    def read(text: str) -> int:
        if not text.isdecimal() or int(text) < lowest or (highest is not None and int(text) > highest):
            raise argparse.ArgumentTypeError(f"expected a whole number, {limits}, got '{text}'")
        return int(text)

    return read
