"""Write the page that a person looks at: one HTML file that needs nothing beside itself."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.tools.evaluation.charts import Line, Mark, line_chart
from yolov8_seg_ros.tools.evaluation.gallery import Shown
from yolov8_seg_ros.tools.evaluation.matches import threshold_curve
from yolov8_seg_ros.tools.evaluation.metrics import BOX, MASK, Measured, Scores

TITLES = {BOX: "box", MASK: "mask"}
FIGURES = ("AP", "AP50", "AP75", "AR")
_COLORS = {BOX: "#1f6fd1", MASK: "#d95f02"}
_PRECISION, _RECALL, _F1 = "#1f6fd1", "#d95f02", "#2b8a3e"
_GRID: NDArray[np.float64] = np.linspace(0, 1, 201, dtype=np.float64)

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;background:#fff;max-width:1240px;margin:24px auto;padding:0 20px}
h1{font-size:24px;margin:0}h2{font-size:18px;margin:36px 0 8px}p{margin:6px 0;max-width:90ch}.quiet{color:#5b6675}
.row{display:flex;flex-wrap:wrap;gap:20px}.row>*{flex:1 1 420px;min-width:0}
.cards{display:flex;flex-wrap:wrap;gap:12px;margin:18px 0}
.card{border:1px solid #dfe4ea;border-radius:8px;padding:8px 16px}.card b{display:block;font-size:26px;line-height:1.2}
table{border-collapse:collapse;font-variant-numeric:tabular-nums}
td,th{padding:3px 10px;text-align:right;border-bottom:1px solid #eceff3}
th{background:#f6f8fa}td:first-child,th:first-child{text-align:left}.sep{border-left:2px solid #dfe4ea}
.facts td{text-align:left}.facts td:first-child{white-space:nowrap;color:#5b6675}th[colspan]{text-align:left}
td.bar{background:linear-gradient(90deg,#cfe3fb var(--part),transparent var(--part))}
svg{width:100%;height:auto;max-width:580px}.grid{stroke:#e6eaef;fill:none}.line{fill:none;stroke-width:2}
text{font-family:system-ui,sans-serif;fill:#1c2430}.title{font-size:14px;font-weight:600}.axis{font-size:12px}
.tick,.note{font-size:11px;fill:#5b6675}.mark{stroke:#5b6675;stroke-dasharray:3 3}.dot{fill:#2b8a3e}.note{fill:#1c2430}
figure{margin:0 0 18px}figure img{width:100%;height:auto;display:block}figcaption{font-size:13px}
code,pre{font-family:ui-monospace,monospace;font-size:13px}pre{background:#f6f8fa;padding:10px 14px;overflow:auto}
"""
_BY_HAND = """\
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

truth = COCO("{truth}")
evaluation = COCOeval(truth, truth.loadRes("results.json"), "{kind}")
evaluation.evaluate()
evaluation.accumulate()
evaluation.summarize()"""


@dataclass(frozen=True)
class Report:
    """Hold what the page tells.

    Attributes:
        title: of the page.
        facts: what was measured and how, as name and value.
        measured: figures by kind.
        truth_names: by kind, the file that has the truth.
        worst: pictures, worst first.
        best: pictures, best first.
        threshold: the lowest score of what is drawn in them.
    """

    title: str
    facts: Sequence[tuple[str, str]]
    measured: Mapping[str, Measured]
    truth_names: Mapping[str, str]
    worst: Sequence[Shown]
    best: Sequence[Shown]
    threshold: float

    def html(self) -> str:
        """Give the page."""
        return "\n".join(
            [
                '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">',
                '<meta name="viewport" content="width=device-width">',
                f"<title>{escape(self.title)}</title><style>{_STYLE}</style></head><body>",
                f"<h1>{escape(self.title)}</h1>",
                *_cards(self.measured),
                _facts(self.facts),
                *_curves(self.measured),
                *_thresholds(self.measured),
                *_classes(self.measured),
                *self._pictures(),
                *self._by_hand(),
                "</body></html>",
            ]
        )

    def _pictures(self) -> list[str]:
        if not self.worst and not self.best:
            return []
        return [
            "<h2>Pictures</h2>",
            f'<p class="quiet">Truth on the left, what was found with a score of {self.threshold:.2f} or more on the '
            "right. Quality is the mean IoU of the masks found, lowered by objects missed and false alarms; an object "
            "is found where the IoU is 0.50 at least.</p>",
            *_gallery("Worst", self.worst),
            *_gallery("Best", self.best),
        ]

    def _by_hand(self) -> list[str]:
        snippets = [_BY_HAND.format(truth=self.truth_names[kind], kind=kind) for kind in self.measured]
        return [
            "<h2>The same figures by hand</h2>",
            '<p class="quiet">In the folder of this page; pycocotools counts at most 100 found in a picture and class.'
            "</p>",
            *(f"<pre>{escape(snippet)}</pre>" for snippet in snippets),
        ]


def shown_figure(value: float, decimals: int = 4) -> str:
    """Give a figure for a table; a dash where it is not defined."""
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def figures_of(scores: Scores) -> tuple[float, ...]:
    """Give the values of `FIGURES`."""
    return scores.ap, scores.ap_50, scores.ap_75, scores.ar


def _cards(measured: Mapping[str, Measured]) -> list[str]:
    cards = [
        f'<div class="card"><b>{shown_figure(value, 3)}</b>{TITLES[kind]} {name}</div>'
        for kind, one in measured.items()
        for name, value in zip(FIGURES, figures_of(one.scores), strict=True)
    ]
    return ['<div class="cards">', *cards, "</div>"]


def _facts(facts: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in facts)
    return f'<table class="facts">{rows}</table>'


def _curves(measured: Mapping[str, Measured]) -> list[str]:
    titles = {"precision_50": "IoU 0.50", "precision_mean": "Mean over IoU 0.50 to 0.95"}
    charts = []
    for column, title in titles.items():
        lines = [
            Line(f"{TITLES[kind]} {np.mean(getattr(one, column)):.3f}", _COLORS[kind], one.recall, getattr(one, column))
            for kind, one in measured.items()
        ]
        charts.append(f"<div>{line_chart(title, 'recall', 'precision', lines)}</div>")
    return [
        "<h2>Precision and recall</h2>",
        '<p class="quiet">Mean over the classes that have objects.</p>',
        '<div class="row">',
        *charts,
        "</div>",
    ]


def _thresholds(measured: Mapping[str, Measured]) -> list[str]:
    charts = [f"<div>{_threshold_chart(kind, one)}</div>" for kind, one in measured.items()]
    return [
        "<h2>Which score to ask for</h2>",
        '<p class="quiet">Over all classes together, at IoU 0.50: precision is the part of what is found that is '
        "right, recall the part of the objects that is found, F1 their harmonic mean.</p>",
        '<div class="row">',
        *charts,
        "</div>",
    ]


def _threshold_chart(kind: str, measured: Measured) -> str:
    curve = threshold_curve(measured.matches)
    # A threshold between two scores keeps what the next higher one does; above all of them nothing is kept.
    place = np.searchsorted(curve.score, _GRID[curve.score[-1] >= _GRID])
    x = _GRID[: len(place)]
    mark = Mark(f"best F1 {curve.best_f1:.2f} at score {curve.best_score:.2f}", curve.best_score, curve.best_f1)
    lines = [
        Line("precision", _PRECISION, x, curve.precision[place]),
        Line("recall", _RECALL, x, curve.recall[place]),
        Line("F1", _F1, x, curve.f1[place]),
    ]
    return line_chart(TITLES[kind], "lowest score kept", "", lines, [mark])


def _classes(measured: Mapping[str, Measured]) -> list[str]:
    heads = "".join(f'<th colspan="{len(FIGURES)}" class="sep">{TITLES[kind]}</th>' for kind in measured)
    names = "".join(f"<th{_sep(place)}>{name}</th>" for _ in measured for place, name in enumerate(FIGURES))
    box = measured[BOX]
    rows = []
    for category_id, one in sorted(box.classes.items(), key=lambda item: -item[1].objects):
        if one.objects:
            cells = "".join(_cells(kind_measured.classes[category_id].scores) for kind_measured in measured.values())
            rows.append(f"<tr><td>{escape(one.name)}</td><td>{one.objects}</td>{cells}</tr>")
    totals = "".join(_cells(one.scores) for one in measured.values())
    return [
        "<h2>Classes</h2>",
        f"<table><tr><th></th><th></th>{heads}</tr><tr><th>class</th><th>objects</th>{names}</tr>",
        f"<tr><th>mean</th><th>{box.matches.num_objects}</th>{totals}</tr>",
        *rows,
        "</table>",
    ]


def _sep(place: int) -> str:
    return ' class="sep"' if place == 0 else ""


def _cells(scores: Scores) -> str:
    ap, *others = figures_of(scores)
    part = 0.0 if math.isnan(ap) else 100 * ap
    first = f'<td class="sep bar" style="--part:{part:.0f}%">{shown_figure(ap, 3)}</td>'
    return first + "".join(f"<td>{shown_figure(value, 3)}</td>" for value in others)


def _gallery(title: str, pictures: Sequence[Shown]) -> list[str]:
    figures = [
        f'<figure><img src="{shown.data_url}" alt="{escape(shown.file_name)}"><figcaption><b>'
        f"{escape(shown.file_name)}</b> quality {shown.quality.quality:.2f}: {shown.quality.found} found, "
        f"{shown.quality.missed} missed, {shown.quality.surplus} false alarms</figcaption></figure>"
        for shown in pictures
    ]
    return [f"<h3>{title}</h3>", '<div class="row">', *figures, "</div>"] if figures else []
