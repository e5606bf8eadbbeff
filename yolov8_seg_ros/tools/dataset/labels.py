"""Read and repair label files: one object a line, its class id and then its polygon or its box.

Coordinates are fractions of the image's width and height. Outlines are float64 (n, 2), x and y.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.tools.dataset.finding import Finding, Kind
from yolov8_seg_ros.tools.dataset.text_file import read_text

Points = NDArray[np.float64]
_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_BOX_VALUES = 4
#: Coordinates are written with six digits or so.
_ROUNDING = 1e-6
#: Ultralytics drops images whose labels reach further out of the image.
_TOLERANCE = 0.01
#: An object that reaches out of the image on each side by its whole size stays below; pixels do not.
_LARGEST_FRACTION = 2.0
#: A thousandth of a pixel of an image of 1000x1000: below it rounding decides.
_MIN_AREA = 1e-9
#: What is wrong with these lines does not hide which object they mean.
_USABLE = frozenset({None, Kind.OUTSIDE, Kind.JUST_OUTSIDE})


@dataclass(frozen=True)
class LabelledObject:
    """The ground truth about one object.

    Attributes:
        line: its line in the label file, from 1.
        class_id: index of its class.
        points: its outline inside the image, float64 (n, 2), fractions of width and height.
        is_box: whether only its box is known; `points` are the corners then.
    """

    line: int
    class_id: int
    points: Points
    is_box: bool


@dataclass(frozen=True)
class LabelLine:
    """A line of a label file as it is written.

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
        """Return the object, clipped to the image; None where the line does not describe one."""
        if self.fault not in _USABLE:
            return None
        points = self.points if self.fault is None else clip_outline(self.points)
        return None if is_flat(points) else LabelledObject(self.number, self.class_id, points, self.is_box)


@dataclass(frozen=True)
class LabelFile:
    """A label file.

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
        """Return the objects, each once, without lines that cannot be understood."""
        first_of_its_text = {line.text: line for line in reversed(self.lines)}
        objects = (line.to_object() for line in self.lines if first_of_its_text[line.text] is line)
        return tuple(found for found in objects if found is not None)


class BeyondRepairError(ValueError):
    """A line that means an object, but not which or where; the message says why."""

    def __init__(self, line: LabelLine) -> None:
        super().__init__(f"{line.fault.title if line.fault else 'unclear'} ({line.detail})")
        self.line = line


class _FaultError(Exception):
    """Irregularity at which the parsing of a line ends."""

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
    text, findings = read_text(path)
    # Only line ends count: str.splitlines would also divide at form feeds and the like.
    lines = [(number, " ".join(line.split())) for number, line in enumerate(text.split("\n"), start=1)]
    return LabelFile(path, tuple(parse_line(number, line, num_classes) for number, line in lines if line), findings)


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
        if is_flat(points):
            raise _FaultError(Kind.NO_AREA, f"all {len(points)} points lie on one line")
    except _FaultError as fault:
        return LabelLine(number, text, fault.kind, fault.detail, class_id, points, is_box)
    return LabelLine(number, text, None, "", class_id, points, is_box)


def repair_line(line: LabelLine, size_wh: tuple[int, int]) -> tuple[str, str]:
    """Return a line's repaired text, empty where it is left out, and what was done, empty where nothing was.

    Args:
        line: as it is written.
        size_wh: width and height of the image, in pixels.

    Raises:
        BeyondRepairError: if an object would be lost: the image would teach that it is background.
    """
    if line.fault is Kind.NO_AREA:
        return "", "outline without an area"
    if line.fault not in (*_USABLE, Kind.PIXELS):
        raise BeyondRepairError(line)
    points, done = line.points, ["box written as a polygon of four corners"] if line.is_box else []
    if line.fault is Kind.PIXELS:
        points = points / np.array(size_wh)
        if points.min() < 0 or points.max() > 1:
            raise BeyondRepairError(line)
        done.append("pixels turned into fractions")
    elif line.fault is not None:
        points = clip_outline(points)
        done.append("clipped to the image")
    if is_flat(points):
        return "", "outline outside the image"
    if not done:
        return line.text, ""
    return " ".join([str(line.class_id), *(f"{value:.6f}" for value in points.ravel())]), ", ".join(done)


def box_outline(xywh: Points) -> Points:
    """Return the four corners (4, 2) of a box, given as centre x, centre y, width and height."""
    x, y, half_width, half_height = xywh * (1, 1, 0.5, 0.5)
    left, top, right, bottom = x - half_width, y - half_height, x + half_width, y + half_height
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])


def is_flat(points: Points) -> bool:
    """Return whether all points lie on one line, or in one place."""
    if len(points) < 3:
        return True
    # The singular values are the spread along the outline's main directions.
    spread = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)
    return bool(spread[0] * spread[1] < _MIN_AREA)


def clip_outline(points: Points) -> Points:
    """Remove what lies outside 0 .. 1; no point at all may be left.

    Source: I. Sutherland, G. Hodgman, Reentrant polygon clipping, Communications of the ACM 17 (1974).
    """
    for axis in (0, 1):
        points = _without_negative(points, axis)
        points = 1 - _without_negative(1 - points, axis)
    return np.clip(points, 0.0, 1.0)


def _without_negative(points: Points, axis: int) -> Points:
    kept = []
    for start, end in zip(np.roll(points, 1, axis=0), points, strict=True):
        start_inside, end_inside = start[axis] >= 0, end[axis] >= 0
        if start_inside != end_inside:
            kept.append(start + (end - start) * (start[axis] / (start[axis] - end[axis])))
        if end_inside:
            kept.append(end)
    return np.array(kept, dtype=np.float64).reshape(-1, 2)


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
    lowest, highest = float(points.min()), float(points.max())
    if max(-lowest, highest - 1.0) <= _ROUNDING:
        return
    farthest = lowest if -lowest > highest - 1.0 else highest
    if highest > _LARGEST_FRACTION:
        kind = Kind.PIXELS
    else:
        kind = Kind.OUTSIDE if max(-lowest, highest - 1.0) > _TOLERANCE else Kind.JUST_OUTSIDE
    raise _FaultError(kind, f"{farthest:g}, expected 0 to 1")
