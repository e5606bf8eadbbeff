"""Repair the lines of label files, as far as they still say which object they mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from yolov8_seg_ros.tools.dataset.finding import Kind
from yolov8_seg_ros.tools.dataset.labels import LabelFile, LabelLine
from yolov8_seg_ros.tools.dataset.outline import Points, clip_outline, is_flat


@dataclass(frozen=True)
class Change:
    """Tell what became of a file or a line in the repaired copy.

    Attributes:
        path: the original file.
        line: its line, from 1; 0 where it is about the whole.
        what: what was done.
        is_left_out: whether something is missing in the copy.
    """

    path: Path
    line: int
    what: str
    is_left_out: bool = False


class BeyondRepairError(ValueError):
    """A line that means an object, but does not say which or where; the message says why."""

    def __init__(self, line: LabelLine) -> None:
        super().__init__(f"{line.fault.title if line.fault else 'unclear'} ({line.detail})")
        self.line = line


def repair_labels(labels: LabelFile, size_wh: tuple[int, int]) -> tuple[list[str], list[Change]]:
    """Give the lines of the repaired file, and what was changed.

    Args:
        labels: the file.
        size_wh: width and height of the picture, in pixels.

    Raises:
        BeyondRepairError: if an object would be lost: the picture would teach that it is background.
    """
    texts: dict[str, None] = {}
    changes = [Change(labels.path, 0, what) for what in _text_repairs(labels)]
    for line in labels.lines:
        text, what = _repair_line(line, size_wh)
        if text in texts:
            what, text = "line that was there twice", ""
        if text:
            texts[text] = None
        if what:
            changes.append(Change(labels.path, line.number, what, is_left_out=not text))
    return list(texts), changes


def _text_repairs(labels: LabelFile) -> Iterator[str]:
    kinds = {finding.kind for finding in labels.text_findings}
    if kinds & {Kind.ENCODING, Kind.BYTE_ORDER_MARK}:
        yield "written as UTF-8 without a byte order mark"


def _repair_line(line: LabelLine, size_wh: tuple[int, int]) -> tuple[str, str]:
    """Give the line's new text, empty where it is left out, and what was done, empty where nothing was."""
    if line.fault is Kind.NO_AREA:
        return "", "outline without an area"
    if line.fault not in (None, Kind.PIXELS, Kind.OUTSIDE, Kind.JUST_OUTSIDE):
        raise BeyondRepairError(line)
    points, done = line.points, ["box written as a polygon of four corners"] if line.is_box else []
    if line.fault is Kind.PIXELS:
        points = _fractions(line, size_wh)
        done.append("pixels turned into fractions")
    elif line.fault is not None:
        points = clip_outline(points)
        done.append("clipped to the picture")
    if is_flat(points):
        return "", "outline outside the picture"
    return (_written(line.class_id, points), ", ".join(done)) if done else (line.text, "")


def _fractions(line: LabelLine, size_wh: tuple[int, int]) -> Points:
    points: Points = line.points / np.array(size_wh)
    if points.min() < 0 or points.max() > 1:
        raise BeyondRepairError(line)
    return points


def _written(class_id: int, points: Points) -> str:
    return " ".join([str(class_id), *(f"{value:.6f}" for value in points.ravel())])
