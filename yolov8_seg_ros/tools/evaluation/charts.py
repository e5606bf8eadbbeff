"""Draw line charts of fractions as SVG, for pages that need nothing beside themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 460, 330
_LEFT, _TOP, _RIGHT, _BOTTOM = 52, 34, 448, 268
_TICKS = tuple(np.arange(0, 1.01, 0.2).tolist())


@dataclass(frozen=True)
class Line:
    """Hold a line of a chart.

    Attributes:
        label: what it shows.
        color: as CSS writes it.
        x: (n,), 0 to 1.
        y: (n,), 0 to 1.
    """

    label: str
    color: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True)
class Mark:
    """Hold a point of a chart that is pointed at, with what it is."""

    label: str
    x: float
    y: float


def line_chart(title: str, x_label: str, y_label: str, lines: Sequence[Line], marks: Sequence[Mark] = ()) -> str:
    """Give an SVG element with both axes from 0 to 1."""
    x, y = (_LEFT + _RIGHT) / 2, (_TOP + _BOTTOM) / 2
    parts = [
        f'<svg viewBox="0 0 {WIDTH_PX} {HEIGHT_PX}" role="img" aria-label="{escape(title)}">',
        f'<text class="title" x="{_LEFT}" y="18">{escape(title)}</text>',
        *_grid(),
        f'<text class="axis" x="{x}" y="{_BOTTOM + 32}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text class="axis" transform="translate(14 {y}) rotate(-90)" text-anchor="middle">{escape(y_label)}</text>',
        *map(_polyline, lines),
        *map(_pointer, marks),
        *_legend(lines),
        "</svg>",
    ]
    return "\n".join(parts)


def _place(x: float, y: float) -> tuple[float, float]:
    return round(_LEFT + (_RIGHT - _LEFT) * x, 1), round(_BOTTOM - (_BOTTOM - _TOP) * y, 1)


def _grid() -> list[str]:
    parts = []
    for tick in _TICKS:
        x, y = _place(tick, tick)
        parts += [
            f'<path class="grid" d="M{x} {_TOP}V{_BOTTOM}M{_LEFT} {y}H{_RIGHT}"/>',
            f'<text class="tick" x="{x}" y="{_BOTTOM + 15}" text-anchor="middle">{tick:.1f}</text>',
            f'<text class="tick" x="{_LEFT - 6}" y="{y + 4}" text-anchor="end">{tick:.1f}</text>',
        ]
    return parts


def _polyline(line: Line) -> str:
    points = " ".join(f"{x},{y}" for x, y in (_place(*point) for point in zip(line.x, line.y, strict=True)))
    title = f"<title>{escape(line.label)}</title>"
    return f'<polyline class="line" stroke="{line.color}" points="{points}">{title}</polyline>'


def _pointer(mark: Mark) -> str:
    x, y = _place(mark.x, mark.y)
    anchor, text_x = ("start", x + 6) if mark.x < 0.6 else ("end", x - 6)
    return (
        f'<path class="mark" d="M{x} {_TOP}V{_BOTTOM}"/><circle class="dot" cx="{x}" cy="{y}" r="4"/>'
        f'<text class="note" x="{text_x}" y="{_TOP + 12}" text-anchor="{anchor}">{escape(mark.label)}</text>'
    )


def _legend(lines: Sequence[Line]) -> list[str]:
    step = (_RIGHT - _LEFT) / max(len(lines), 1)
    parts = []
    for place, line in enumerate(lines):
        x, y = _LEFT + place * step, HEIGHT_PX - 9
        parts.append(f'<path stroke="{line.color}" class="line" d="M{x:.1f} {y - 4}h18"/>')
        parts.append(f'<text class="tick" x="{x + 23:.1f}" y="{y}">{escape(line.label)}</text>')
    return parts
