"""Write what an evaluation came to: results, truth, figures and the report page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from yolov8_seg_ros.files import replacing
from yolov8_seg_ros.media.writers import write_json
from yolov8_seg_ros.tools.evaluation.gallery import show_pictures
from yolov8_seg_ros.tools.evaluation.matches import picture_qualities, threshold_curve
from yolov8_seg_ros.tools.evaluation.metrics import BOX, MASK, Measured, measure
from yolov8_seg_ros.tools.evaluation.report import FIGURES, TITLES, Report, figures_of
from yolov8_seg_ros.tools.evaluation.run import Evaluated

RESULTS_NAME = "results.json"
TRUTH_NAME = "truth.json"
#: Written where of some objects only the box is known, so that masks have another truth than boxes.
MASK_TRUTH_NAME = "truth_masks.json"
METRICS_NAME = "metrics.json"
REPORT_NAME = "report.html"
#: Pictures shown of the worst, and of the best.
_NUM_SHOWN = 6


def measure_all(evaluated: Evaluated) -> dict[str, Measured]:
    """Measure boxes and masks."""
    return {
        BOX: measure(evaluated.box_truth, evaluated.results, BOX),
        MASK: measure(evaluated.mask_truth, evaluated.results, MASK),
    }


def write_all(
    folder: Path, evaluated: Evaluated, measured: Mapping[str, Measured], title: str, facts: Sequence[tuple[str, str]]
) -> None:
    """Write all files of an evaluation.

    Args:
        folder: to write to.
        evaluated: truth and results.
        measured: figures by kind.
        title: of the page.
        facts: what was measured and how, as name and value.

    Raises:
        MediaError: if a picture cannot be read any more.
        OSError: if a file cannot be written.
    """
    truth_names = {BOX: TRUTH_NAME, MASK: MASK_TRUTH_NAME if evaluated.has_boxes_alone else TRUTH_NAME}
    write_json(folder / TRUTH_NAME, evaluated.box_truth)
    if evaluated.has_boxes_alone:
        write_json(folder / MASK_TRUTH_NAME, evaluated.mask_truth)
    else:
        (folder / MASK_TRUTH_NAME).unlink(missing_ok=True)
    write_json(folder / RESULTS_NAME, evaluated.results)
    write_json(folder / METRICS_NAME, _metrics(evaluated, measured, facts))
    page = _report(evaluated, measured, truth_names, title, facts).html()
    with replacing(folder / REPORT_NAME) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _report(
    evaluated: Evaluated,
    measured: Mapping[str, Measured],
    truth_names: Mapping[str, str],
    title: str,
    facts: Sequence[tuple[str, str]],
) -> Report:
    curve = threshold_curve(measured[MASK].matches)
    threshold = curve.best_score
    qualities = picture_qualities(measured[MASK].matches, threshold)
    count = min(_NUM_SHOWN, len(qualities) // 2)
    return Report(
        title,
        facts,
        measured,
        truth_names,
        worst=show_pictures(evaluated, qualities[: max(count, len(qualities) % 2)], threshold),
        best=show_pictures(evaluated, qualities[::-1][:count], threshold),
        threshold=threshold,
    )


def _metrics(
    evaluated: Evaluated, measured: Mapping[str, Measured], facts: Sequence[tuple[str, str]]
) -> dict[str, Any]:
    times = evaluated.mean_times
    return {
        **dict(facts),
        "num_pictures": len(evaluated.images),
        "num_skipped": evaluated.skipped,
        "mean_ms": {"prepare": times.prepare_ms, "infer": times.infer_ms, "finish": times.finish_ms},
        **{TITLES[kind]: _figures(one) for kind, one in measured.items()},
    }


def _figures(measured: Measured) -> dict[str, Any]:
    curve = threshold_curve(measured.matches)
    classes = [
        {"name": one.name, "objects": one.objects, **_named(figures_of(one.scores))}
        for one in measured.classes.values()
    ]
    best = {"score": curve.best_score, "f1": curve.best_f1}
    return {**_named(figures_of(measured.scores)), "best_f1": best, "classes": classes}


def _named(values: Sequence[float]) -> dict[str, float | None]:
    # JSON has no NaN.
    return {name: None if math.isnan(value) else value for name, value in zip(FIGURES, values, strict=True)}
