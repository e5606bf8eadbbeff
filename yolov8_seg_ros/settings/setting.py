"""Describe one setting, and check values of it."""

from __future__ import annotations

import array
from collections.abc import Collection
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from yolov8_seg_ros.errors import OptionError

_TYPE_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
#: How similar a misspelt name must be to be taken for another one, 0 to 1.
_SIMILARITY = 0.7


@dataclass(frozen=True)
class Setting:
    """One setting of a program.

    Attributes:
        name: lower case; the part before a dot is the prefix that related settings share.
        default: bool, int, float or str; its type is the setting's type.
        description: one sentence, for all documents and tools.
        group: settings of a group stand together, and a command offers all of a group or none.
        can_change: whether it may be changed while the node runs.
        minimum: lowest number allowed; None for no limit.
        maximum: highest number allowed; None for no limit.
        choices: all values allowed; empty if there is no such list.
        takes_list: whether a list of texts is allowed in place of a text.
        metavar: what stands for the value in the help of a command; empty: by the type.
    """

    name: str
    default: Any
    description: str
    group: str = ""
    can_change: bool = False
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    takes_list: bool = False
    metavar: str = ""

    @property
    def option(self) -> str:
        """Return the name of the command-line option."""
        return "--" + self.name.replace(".", "-").replace("_", "-")

    @property
    def values(self) -> str:
        """Return which values are allowed; empty if all values of the type are."""
        if self.choices:
            return ", ".join(self.choices)
        if self.maximum is None:
            return "" if self.minimum is None else f"{self.minimum} or more"
        return f"{self.minimum} to {self.maximum}"

    def check(self, value: Any) -> Any:
        """Return a value in the setting's type: 30 is a number where 30.0 is, and a text may be the number of a camera.

        Raises:
            OptionError: for a value of another type, out of range, or none of the choices.
        """
        value = self._convert(value)
        if self.choices and value not in self.choices:
            raise OptionError(f"{self.name}: expected one of {self.values}; got '{value}'")
        # Written so that NaN is out of any range.
        if (self.minimum is not None and not value >= self.minimum) or (
            self.maximum is not None and not value <= self.maximum
        ):
            raise OptionError(f"{self.name}: expected {self.values}, got {value}")
        return value

    def parse(self, text: str) -> Any:
        """Return the value that a text of the command line stands for.

        Raises:
            OptionError: as `check` does.
        """
        try:
            value = type(self.default)(text)
        except ValueError:
            value = text
        return self.check(value)

    def _convert(self, value: Any) -> Any:
        kind = type(self.default)
        if type(value) is kind:
            return value
        if self.takes_list and isinstance(value, list | tuple | array.array):
            return [str(item) for item in value]
        # A bool is an int to Python, but not to people.
        if kind in (float, str) and type(value) is int:
            return kind(value)
        raise OptionError(f"{self.name}: expected {_TYPE_NAMES[kind]}, got {value!r}")


@dataclass(frozen=True)
class OldName:
    """A name of an earlier release, which this one still accepts.

    Attributes:
        name: a ROS parameter, or a command-line option with its dashes.
        setting: name of the setting that has taken its place.
        advice: what to do instead; empty if the setting takes the value as it is.
    """

    name: str
    setting: str
    advice: str = ""


def listed_names(given: str | list[str]) -> list[str]:
    """Return the names in a text, where commas part them, or in a list, without blanks around them and empty ones."""
    items = given.split(",") if isinstance(given, str) else given
    return [item.strip() for item in items if item.strip()]


def as_text(value: Any) -> str:
    """Return a value as it is written in YAML and on the command line."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def nearest_name(name: str, names: Collection[str]) -> str:
    """Return the most similar of some names; empty if none is similar."""
    return next(iter(get_close_matches(name, names, n=1, cutoff=_SIMILARITY)), "")
