"""Write what an evaluation came to: results, ground truth, figures, and a page for people that needs no other file."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from yolov8_seg_ros.core.instances import Instances
from yolov8_seg_ros.errors import MediaError
from yolov8_seg_ros.files import replacing
from yolov8_seg_ros.media.coco import from_coco_results
from yolov8_seg_ros.media.image_file import read_image
from yolov8_seg_ros.media.overlay import draw_overlay
from yolov8_seg_ros.media.writers import write_json
from yolov8_seg_ros.text import STAGES, clean_text
from yolov8_seg_ros.tools.evaluation.metrics import (
    BOX,
    FIGURES,
    MASK,
    Figures,
    ImageQuality,
    Matches,
    Scores,
    image_qualities,
    measure,
    threshold_curve,
)
from yolov8_seg_ros.tools.evaluation.run import Evaluation

RESULTS_NAME = "results.json"
TRUTH_NAME = "ground_truth.json"
#: Written where of some objects only the box is known, so that masks have another ground truth than boxes.
MASK_TRUTH_NAME = "ground_truth_masks.json"
METRICS_NAME = "metrics.json"
REPORT_NAME = "report.html"
TITLES = {BOX: "box", MASK: "mask"}
#: Images shown of the worst, and of the best.
_NUM_SHOWN = 6
#: Of the longer side of an image, as it is shown, and between ground truth and results.
_SHOWN_PX, _GAP_PX = 560, 8
_JPEG_QUALITY = 82
#: A mask without a pixel: for an object of which only the box is known.
_NO_OUTLINE: list[list[float]] = [[0.0] * 6]
_GRID: NDArray[np.float64] = np.linspace(0, 1, 201, dtype=np.float64)
#: Where the lines of a chart are named, in its units.
_KEY_LEFT_PX, _KEYS_WIDTH_PX = 52, 396

_Line = tuple[NDArray[np.float64], NDArray[np.float64]]


def measure_all(evaluation: Evaluation) -> dict[str, Figures]:
    """Measure boxes and masks."""
    return {
        BOX: measure(evaluation.box_truth, evaluation.results, BOX),
        MASK: measure(evaluation.mask_truth, evaluation.results, MASK),
    }


def write_all(
    folder: Path,
    evaluation: Evaluation,
    figures: Mapping[str, Figures],
    title: str,
    facts: Sequence[tuple[str, str]],
) -> None:
    """Write all files of an evaluation.

    Args:
        folder: to write to.
        evaluation: ground truth and results.
        figures: by kind.
        title: of the page.
        facts: what was measured and how, as name and value.

    Raises:
        OSError: if a file cannot be written.
    """
    write_json(folder / TRUTH_NAME, evaluation.box_truth)
    if evaluation.has_boxes_alone:
        write_json(folder / MASK_TRUTH_NAME, evaluation.mask_truth)
    else:
        (folder / MASK_TRUTH_NAME).unlink(missing_ok=True)
    write_json(folder / RESULTS_NAME, evaluation.results)
    write_json(folder / METRICS_NAME, _metrics(evaluation, figures, facts))
    page = _page(evaluation, figures, title, facts)
    with replacing(folder / REPORT_NAME) as temporary:
        temporary.write_text(page, encoding="utf-8")


def figure_text(value: float, decimals: int = 4) -> str:
    """Return a figure for a table; a dash where it is not defined."""
    return "-" if math.isnan(value) else f"{value:.{decimals}f}"


def _metrics(
    evaluation: Evaluation, figures: Mapping[str, Figures], facts: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    return {
        **dict(facts),
        "num_images": len(evaluation.images),
        "num_skipped": evaluation.skipped,
        "mean_ms": dict(zip(STAGES, evaluation.mean_times_ms, strict=True)),
        **{TITLES[kind]: _figures(one) for kind, one in figures.items()},
    }


def _figures(figures: Figures) -> dict[str, Any]:
    curve = threshold_curve(figures.matches)
    classes = [{"name": one.name, "objects": one.objects, **_named(one.scores)} for one in figures.classes.values()]
    best = {"score": curve.best_score, "f1": curve.best_f1}
    return {**_named(figures.scores), "best_f1": best, "classes": classes}


def _named(scores: Scores) -> dict[str, float | None]:
    # JSON has no NaN.
    return {name: None if math.isnan(value) else value for name, value in zip(FIGURES, scores, strict=True)}


def _page(evaluation: Evaluation, figures: Mapping[str, Figures], title: str, facts: Sequence[tuple[str, str]]) -> str:
    masks = figures[MASK].matches
    threshold = threshold_curve(masks).best_score
    qualities = image_qualities(masks, threshold)
    count = min(_NUM_SHOWN, len(qualities) // 2)
    worst, best = qualities[: max(count, len(qualities) % 2)], qualities[::-1][:count]
    gallery = _Gallery(evaluation, [*worst, *best], threshold)
    return _filled(
        "report.html",
        title=_shown(title),
        scores=_table([["", *FIGURES]], ([TITLES[kind], *_cells(one.scores)] for kind, one in figures.items())),
        facts=_table([], facts, "facts"),
        precision_charts="".join(_precision_chart(TITLES[kind], one) for kind, one in figures.items()),
        threshold_charts="".join(_threshold_chart(TITLES[kind], one.matches) for kind, one in figures.items()),
        classes=_class_table(figures),
        threshold=f"{threshold:.2f}",
        worst="".join(map(gallery.figure, worst)),
        best="".join(map(gallery.figure, best)),
        box_truth=TRUTH_NAME,
        mask_truth=MASK_TRUTH_NAME if evaluation.has_boxes_alone else TRUTH_NAME,
    )


def _filled(template_name: str, **texts: str) -> str:
    template = files(__package__).joinpath(template_name).read_text(encoding="utf-8")
    return Template(template).substitute(texts)


def _shown(text: str) -> str:
    return escape(clean_text(text))


def _table(heads: Iterable[Sequence[str]], rows: Iterable[Sequence[str]], kind: str = "") -> str:
    lines = [(cells, "th") for cells in heads] + [(cells, "td") for cells in rows]
    body = "\n".join(
        "<tr>" + "".join(f"<{tag}>{_shown(cell)}</{tag}>" for cell in cells) + "</tr>" for cells, tag in lines
    )
    return f'<table class="{kind}">\n{body}\n</table>'


def _cells(scores: Scores) -> list[str]:
    return [figure_text(value, 3) for value in scores]


def _class_table(figures: Mapping[str, Figures]) -> str:
    box = figures[BOX]
    heads = ["class", "objects", *(f"{TITLES[kind]} {name}" for kind in figures for name in FIGURES)]
    mean = ["mean", str(box.matches.num_objects), *(cell for one in figures.values() for cell in _cells(one.scores))]
    rows = [
        [
            one.name,
            str(one.objects),
            *(c for kind in figures.values() for c in _cells(kind.classes[category_id].scores)),
        ]
        for category_id, one in sorted(box.classes.items(), key=lambda item: -item[1].objects)
        if one.objects
    ]
    return _table([heads, mean], rows)


def _precision_chart(title: str, figures: Figures) -> str:
    lines = {
        f"IoU 0.50 ({figures.scores.ap_50:.3f})": (figures.recall, figures.precision_50),
        f"IoU 0.50 to 0.95 ({figures.scores.ap:.3f})": (figures.recall, figures.precision_mean),
    }
    return _chart(title, "recall", "precision", lines)


def _threshold_chart(title: str, matches: Matches) -> str:
    curve = threshold_curve(matches)
    # A threshold between two scores keeps what the next higher one does; above all of them nothing is kept.
    place = np.searchsorted(curve.score, _GRID[curve.score[-1] >= _GRID])
    x = _GRID[: len(place)]
    lines = {"precision": (x, curve.precision[place]), "recall": (x, curve.recall[place]), "F1": (x, curve.f1[place])}
    title = f"{title}: best F1 {curve.best_f1:.2f} at score {curve.best_score:.2f}"
    return _chart(title, "score threshold", "precision, recall, F1", lines, curve.best_score)


def _chart(title: str, x_label: str, y_label: str, lines: Mapping[str, _Line], mark_x: float | None = None) -> str:
    """Return a chart of lines whose coordinates are 0 to 1; `mark_x` is marked by a vertical line."""
    mark = "" if mark_x is None else f'<polyline class="mark" points="{mark_x},0 {mark_x},1"/>'
    points = (" ".join(f"{x:.4g},{y:.4g}" for x, y in zip(*line, strict=True)) for line in lines.values())
    drawn = (f'<polyline class="line{number}" points="{pairs}"/>' for number, pairs in enumerate(points))
    keys = (
        f'<text class="key{number}" x="{_KEY_LEFT_PX + number * _KEYS_WIDTH_PX // len(lines)}" y="321">{label}</text>'
        for number, label in enumerate(lines)
    )
    texts = {"title": title, "x_label": x_label, "y_label": y_label}
    return f"<div>{_filled('chart.svg', **texts, lines=''.join(drawn) + mark, keys=''.join(keys))}</div>"


class _Gallery:
    """Images of an evaluation, drawn with the ground truth beside the results."""

    def __init__(self, evaluation: Evaluation, qualities: Iterable[ImageQuality], threshold: float) -> None:
        wanted = {quality.image_id for quality in qualities}
        self._paths = evaluation.paths
        self._file_names = {image["id"]: str(image["file_name"]) for image in evaluation.images}
        self._names = [category["name"] for category in evaluation.categories]
        self._classes = {category["id"]: index for index, category in enumerate(evaluation.categories)}
        self._truth = _by_image(({"score": 1.0, **true} for true in evaluation.annotations), wanted)
        self._results = _by_image((found for found in evaluation.results if found["score"] >= threshold), wanted)

    def figure(self, quality: ImageQuality) -> str:
        """Return an image with its caption; only the caption where the image cannot be read any more."""
        name = _shown(self._file_names[quality.image_id])
        try:
            jpeg = base64.b64encode(self._jpeg(quality.image_id)).decode("ascii")
            image = f'<img src="data:image/jpeg;base64,{jpeg}" alt="{name}"/>'
        except MediaError as error:
            image = _shown(str(error))
        return (
            f"<figure>{image}<figcaption><b>{name}</b> quality {quality.quality:.2f}: {quality.detected} detected, "
            f"{quality.missed} missed, {quality.false_alarms} false alarms</figcaption></figure>\n"
        )

    def _jpeg(self, image_id: int) -> bytes:
        image = read_image(self._paths[image_id])
        image_hw = (image.shape[0], image.shape[1])
        scale = min(1.0, _SHOWN_PX / max(image_hw))
        truth = draw_overlay(image, self._instances(self._truth[image_id], image_hw), self._names, scores=False)
        found = draw_overlay(image, self._instances(self._results[image_id], image_hw), self._names)
        gap = np.full((image_hw[0], max(1, round(_GAP_PX / scale)), 3), 255, np.uint8)
        drawn = np.hstack([truth, gap, found])
        if scale < 1:
            drawn = np.asarray(cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)
        return cv2.imencode(".jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])[1].tobytes()

    def _instances(self, entries: Iterable[Mapping[str, Any]], image_hw: tuple[int, int]) -> Instances:
        drawn = [
            {"segmentation": _NO_OUTLINE, **entry, "category_id": self._classes[entry["category_id"]]}
            for entry in entries
        ]
        return from_coco_results(drawn, image_hw)


def _by_image(entries: Iterable[Mapping[str, Any]], wanted: set[int]) -> dict[int, list[Mapping[str, Any]]]:
    by_image: dict[int, list[Mapping[str, Any]]] = {image_id: [] for image_id in wanted}
    for entry in entries:
        if entry["image_id"] in wanted:
            by_image[entry["image_id"]].append(entry)
    return by_image
