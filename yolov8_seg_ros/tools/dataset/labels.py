"""Read label files: one object a line, its class id and then its polygon or its box, in fractions of the picture."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from yolov8_seg_ros.tools.dataset.finding import Finding, Kind
from yolov8_seg_ros.tools.dataset.outline import Points, box_outline, clip_outline, is_flat
from yolov8_seg_ros.tools.dataset.text import read_text

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOX_VALUES = 4
#: Coordinates are written with six digits or so.
_ROUNDING = 1e-6
#: Ultralytics drops pictures whose labels reach further out of the picture.
_TOLERANCE = 0.01
#: An object that reaches out of the picture on each side by its whole size stays below; pixels do not.
_LARGEST_FRACTION = 2.0
#: What is wrong with these lines does not hide which object they mean.
_USABLE = frozenset({None, Kind.OUTSIDE, Kind.JUST_OUTSIDE})


@dataclass(frozen=True)
class LabelledObject:
    """Hold the truth about one object.

    Attributes:
        line: its line in the label file, from 1.
        class_id: index of its class.
        points: its outline inside the picture, float64 (n, 2), fractions of width and height.
        is_box: whether only its box is known; `points` are the corners then.
    """

    line: int
    class_id: int
    points: Points
    is_box: bool


@dataclass(frozen=True)
class LabelLine:
    """Hold a line of a label file as it is written.

    Attributes:
        number: from 1.
        text: with single spaces.
        fault: the first thing that is wrong with the line in itself; None where it is sound.
        detail: about the fault.
        class_id: index of the class; -1 where it cannot be read.
        points: as written (a box's corners), possibly outside 0 .. 1; empty where they cannot be read.
        is_box: whether the line gives a box.
    """

    number: int
    text: str
    fault: Kind | None = None
    detail: str = ""
    class_id: int = -1
    points: Points = field(default_factory=lambda: np.zeros((0, 2)), compare=False)
    is_box: bool = False

    def to_object(self) -> LabelledObject | None:
        """Give the object, clipped to the picture; None where the line does not describe one."""
        if self.fault not in _USABLE:
            return None
        points = self.points if self.fault is None else clip_outline(self.points)
        return None if is_flat(points) else LabelledObject(self.number, self.class_id, points, self.is_box)


@dataclass(frozen=True)
class LabelFile:
    """Hold a label file.

    Attributes:
        path: of the file.
        lines: those that are not blank.
        text_findings: what is irregular about the file as a text.
    """

    path: Path
    lines: tuple[LabelLine, ...]
    text_findings: tuple[Finding, ...] = ()

    @property
    def objects(self) -> tuple[LabelledObject, ...]:
        """The objects, each once, leaving out lines that cannot be understood."""
        first_of_its_text = {line.text: line for line in reversed(self.lines)}
        objects = (line.to_object() for line in self.lines if first_of_its_text[line.text] is line)
        return tuple(found for found in objects if found is not None)


class _FaultError(Exception):
    """End the parsing of a line."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind
        self.detail = detail


def read_labels(path: Path, num_classes: int) -> LabelFile:
    """Read a label file.

    Args:
        path: of the file.
        num_classes: how many classes there are.

    Raises:
        OSError: if the file cannot be read.
    """
    file = read_text(path)
    # Only line ends count: str.splitlines would also divide at form feeds and the like.
    lines = [(number, " ".join(text.split())) for number, text in enumerate(file.text.split("\n"), start=1)]
    return LabelFile(
        path, tuple(parse_line(number, text, num_classes) for number, text in lines if text), file.findings
    )


def parse_line(number: int, text: str, num_classes: int) -> LabelLine:
    """Read one line that is not blank."""
    class_token, *tokens = text.split()
    class_id, is_box = -1, len(tokens) == _BOX_VALUES
    points: Points = np.zeros((0, 2))
    try:
        class_id = _class_id(class_token, num_classes)
        values = _numbers(tokens)
        points = box_outline(values) if is_box else _polygon(values)
        _check_range(points)
        _check_area(points)
    except _FaultError as fault:
        return LabelLine(number, text, fault.kind, fault.detail, class_id, points, is_box)
    return LabelLine(number, text, None, "", class_id, points, is_box)


def _class_id(token: str, num_classes: int) -> int:
    if not _WHOLE_NUMBER.fullmatch(token):
        raise _FaultError(Kind.CLASS_NOT_INTEGER, f"'{token}'")
    class_id = int(token.split(".")[0])
    if not 0 <= class_id < num_classes:
        raise _FaultError(Kind.CLASS_RANGE, f"class id {class_id}, expected 0 to {num_classes - 1}")
    return class_id


def _numbers(tokens: list[str]) -> Points:
    for token in tokens:
        if not _NUMBER.fullmatch(token) or not math.isfinite(float(token)):
            raise _FaultError(Kind.NOT_A_NUMBER, f"'{token}'")
    return np.array([float(token) for token in tokens])


def _polygon(values: Points) -> Points:
    if len(values) % 2:
        raise _FaultError(Kind.ODD_VALUES, f"{len(values)} values after the class id")
    if len(values) < 6:
        raise _FaultError(Kind.TOO_FEW_POINTS, f"{len(values) // 2} points")
    return values.reshape(-1, 2)


def _check_range(points: Points) -> None:
    beyond = max(0.0 - points.min(), points.max() - 1.0)
    if beyond <= _ROUNDING:
        return
    farthest = points.min() if -points.min() > points.max() - 1.0 else points.max()
    if points.max() > _LARGEST_FRACTION:
        raise _FaultError(Kind.PIXELS, f"{farthest:g}, expected 0 to 1")
    kind = Kind.OUTSIDE if beyond > _TOLERANCE else Kind.JUST_OUTSIDE
    raise _FaultError(kind, f"{farthest:g}, expected 0 to 1")


def _check_area(points: Points) -> None:
    if is_flat(points):
        raise _FaultError(Kind.NO_AREA, f"all {len(points)} points lie on one line")
