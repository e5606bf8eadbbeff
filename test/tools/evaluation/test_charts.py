"""Test that charts are sound SVG with points where they belong."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np

from yolov8_seg_ros.tools.evaluation.charts import HEIGHT_PX, WIDTH_PX, Line, Mark, line_chart


def test_a_chart_is_drawn_within_its_frame():
    line = Line("cats & <dogs>", "#123456", np.array([0.0, 0.5, 1.0]), np.array([1.0, 0.25, 0.0]))

    chart = ElementTree.fromstring(line_chart("a < b", "x & y", "", [line, line], [Mark("here <", 0.9, 0.5)]))

    assert chart.get("aria-label") == "a < b"
    lines = chart.findall("polyline")
    assert [one[0].text for one in lines] == ["cats & <dogs>"] * 2
    points = np.array([point.split(",") for point in lines[0].get("points").split()], float)
    assert np.all(np.diff(points[:, 0]) > 0)
    assert np.all(np.diff(points[:, 1]) > 0)
    assert np.all((points > 0) & (points < (WIDTH_PX, HEIGHT_PX)))
    assert "here <" in [text.text for text in chart.findall("text")]
