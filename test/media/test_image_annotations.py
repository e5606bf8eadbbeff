"""Test what Foxglove draws over an image: places, colours and labels, with the messages of each release."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field, make_dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from yolov8_seg_ros.core.instances import NO_TRACK, BoxMask, Instances
from yolov8_seg_ros.media.image_annotations import image_annotations
from yolov8_seg_ros.media.overlay import draw_overlay, instance_color_bgr

HW = (200, 300)
NAMES = ("cat", "dog")
STAMP = object()
LINE_LOOP = 2


DEFINITIONS = Path(__file__).resolve().parents[2] / "underlay" / "foxglove_msgs" / "msg"
#: What releases of foxglove_msgs lack of the definitions.
LACKING = {"3.4.3": set(), "3.2.2": {"metadata", "ImageAnnotations.timestamp"}}
SIMPLE = {"float64": float, "uint8": int, "string": str}


class Messages:
    """Message classes with the fields of the definitions but for those that a release lacks."""

    def __init__(self, release: str) -> None:
        self._lacking = LACKING[release]
        self._classes: dict[str, type] = {}

    def __call__(self, msgtype: str, /, **fields: Any) -> Any:
        package, name = msgtype.split("/msg/")
        assert package == "foxglove_msgs"
        return self._class(name)(**fields)

    def _class(self, name: str) -> type:
        if name not in self._classes:
            lines = (line for line in (DEFINITIONS / f"{name}.msg").read_text().splitlines() if "=" not in line)
            rows = [line.split() for line in lines if line and line[0] != "#"]
            kept = [(kind, key) for kind, key in rows if not {key, f"{name}.{key}"} & self._lacking]
            fields = [(key, Any, field(default_factory=self._default(kind))) for kind, key in kept]
            self._classes[name] = make_dataclass(name, fields)
        return self._classes[name]

    def _default(self, kind: str) -> Callable[[], Any]:
        if kind.endswith("[]"):
            return list
        if kind == "builtin_interfaces/Time":
            return lambda: None
        return SIMPLE.get(kind) or self._class(kind)


def annotations(instances: Instances, release: str = "3.4.3") -> Any:
    return image_annotations(Messages(release), instances, NAMES, STAMP)


def two(track_id=None) -> Instances:
    """Return a dog whose mask is a ring, and a cat whose mask has two parts, with boxes between pixels."""
    ring = np.ones((40, 60), np.bool_)
    ring[10:30, 20:40] = False
    parts = np.zeros((50, 50), np.bool_)
    parts[5:20, 5:45] = parts[30:45, 5:45] = True
    return Instances(
        image_hw=HW,
        xyxy=np.array([(19.5, 29.25, 80.75, 70.5), (200, 100, 250, 150)], np.float32),
        score=np.array([0.9, 0.6], np.float32),
        class_id=np.array([1, 0]),
        masks=(BoxMask((20, 30), ring), BoxMask((200, 100), parts)),
        track_id=None if track_id is None else np.array(track_id),
    )


def corners(annotation: Any) -> set[tuple[float, float]]:
    return {(point.x, point.y) for point in annotation.points}


def rectangle(left: float, top: float, right: float, bottom: float) -> set[tuple[float, float]]:
    return {(left, top), (right, top), (right, bottom), (left, bottom)}


def test_boxes_are_those_of_the_instances_and_the_best_is_last():
    *_, worse, best = annotations(two()).points
    assert corners(best) == rectangle(19.5, 29.25, 80.75, 70.5)
    assert corners(worse) == rectangle(200, 100, 250, 150)


def test_outlines_go_through_the_centres_of_pixels_with_parts_and_holes():
    *outlines, _, _ = annotations(two()).points
    upper, lower = rectangle(205.5, 105.5, 244.5, 119.5), rectangle(205.5, 130.5, 244.5, 144.5)
    assert [corners(outline) for outline in outlines[:2]] in ([upper, lower], [lower, upper])
    ring, hole = sorted(outlines[2:], key=lambda outline: min(corners(outline)))
    assert corners(ring) == rectangle(20.5, 30.5, 79.5, 69.5)
    # A hole's outline is in the mask, too.
    assert min(corners(hole)) == pytest.approx((39.5, 40.5), abs=1.0)
    assert max(corners(hole)) == pytest.approx((60.5, 59.5), abs=1.0)


def test_an_outline_of_few_points_stays_near_the_mask():
    bitmap = np.zeros((101, 101), np.uint8)
    cv2.circle(bitmap, (50, 50), 45, 1, cv2.FILLED)
    disc = replace(two()[np.array([0])], masks=(BoxMask((10, 20), bitmap.view(np.bool_)),))
    outline, _ = annotations(disc).points
    points = np.array([(point.x, point.y) for point in outline.points])
    assert len(points) < 40
    np.testing.assert_allclose(np.linalg.norm(points - (60.5, 70.5), axis=1), 45, atol=1.5)


def bgr(color: Any) -> list[float]:
    assert color.a == 1.0
    return [255 * color.b, 255 * color.g, 255 * color.r]


@pytest.mark.parametrize(
    ("track_id", "numbers"), [(None, (0, 1)), ((7, NO_TRACK), (7, NO_TRACK))], ids=["ranks", "tracks"]
)
def test_colours_are_those_of_the_overlay(track_id, numbers):
    made = annotations(two(track_id))
    expected = [instance_color_bgr(number) for number in numbers]
    for best_last in (made.points[-2:], made.texts):
        worse, best = (a.outline_color if hasattr(a, "outline_color") else a.background_color for a in best_last)
        assert bgr(best) == pytest.approx(expected[0])
        assert bgr(worse) == pytest.approx(expected[1])
    # The outlines: two parts of the worse, ring and hole of the best.
    assert [bgr(annotation.outline_color) for annotation in made.points[:4]] == [
        pytest.approx(color) for color in (expected[1], expected[1], expected[0], expected[0])
    ]
    assert {annotation.fill_color.a for annotation in made.points} == {0.0}


@pytest.mark.parametrize(
    ("track_id", "texts"),
    [(None, ["cat 0.60", "dog 0.90"]), ((7, NO_TRACK), ["cat 0.60", "dog #7 0.90"])],
    ids=["ranks", "tracks"],
)
def test_labels_say_class_track_and_score(track_id, texts):
    assert [text.text for text in annotations(two(track_id)).texts] == texts


def test_labels_stand_where_the_overlay_has_them():
    instances = two()
    image = np.zeros((*HW, 3), np.uint8)
    without_labels = draw_overlay(image, replace(instances, score=instances.score), ("", ""), scores=False)
    drawn = (draw_overlay(image, instances, NAMES) != without_labels).any(axis=2)
    for text in annotations(instances).texts:
        row, column = int(text.position.y) - 1, int(text.position.x)
        assert drawn[row - int(text.font_size) + 2 : row, column + 1].all()
        ink = bgr(text.text_color)
        assert ink in ([0, 0, 0], [255, 255, 255])


def test_every_label_stays_inside_the_image():
    at_the_edge = replace(two()[np.array([0])], xyxy=np.array([(0, 0, 300, 200)], np.float32))
    (text,) = annotations(at_the_edge).texts
    assert 0 <= text.position.x < HW[1]
    assert text.font_size <= text.position.y <= HW[0]


@pytest.mark.parametrize("release", LACKING)
def test_all_annotations_bear_the_stamp_of_the_image(release):
    made = annotations(two(), release)
    assert all(annotation.timestamp is STAMP for annotation in (*made.points, *made.texts))
    assert getattr(made, "timestamp", STAMP) is STAMP
    assert hasattr(made, "timestamp") == (release == "3.4.3")


def test_lines_are_closed_and_grow_with_the_image():
    small = annotations(two())
    assert {annotation.type for annotation in small.points} == {LINE_LOOP}
    assert {annotation.thickness for annotation in small.points} == {1.0}
    large = annotations(replace(two(), image_hw=(1440, 1920)))
    assert {annotation.thickness for annotation in large.points} == {3.0}


def test_nothing_found_is_an_empty_message_with_a_stamp():
    made = annotations(Instances.empty(HW))
    assert (made.points, made.texts, made.timestamp) == ([], [], STAMP)


def test_an_empty_mask_has_no_outline():
    empty = BoxMask((20, 30), np.zeros((40, 60), np.bool_))
    one = two()[np.array([0])]
    for instances in (replace(one, masks=(empty,)), replace(one, masks=None)):
        (box,) = annotations(instances).points
        assert corners(box) == rectangle(19.5, 29.25, 80.75, 70.5)
