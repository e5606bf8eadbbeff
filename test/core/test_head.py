"""Test the decoding of stored numbers against a plain decoder of real ones, and what it keeps by hand."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from fakes import FLOAT32, INT8, UINT8, make_spec, stored_outputs
from numpy.typing import NDArray

from yolov8_seg_ros.core.head import HeadOptions, decode
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.quantization import QuantParams

PUBLISHED = QuantParams(np.dtype("int8"), 0.0200201, 25)
INPUT_HW = (32, 64)


@dataclass(frozen=True)
class Box:
    """What the plain decoder finds: a box in network pixels."""

    xyxy: tuple[float, float, float, float]
    score: float
    class_id: int
    anchor: int


def plain_decode(head: NDArray[np.float32], spec: ModelSpec, options: HeadOptions) -> list[Box]:
    """Decode real numbers (channels, anchors) as the network's authors describe it, one step after another."""
    boxes = [box for anchor in range(head.shape[1]) for box in boxes_of_anchor(head[:, anchor], anchor, spec, options)]
    boxes.sort(key=lambda box: (-box.score, -box.anchor, box.class_id))
    kept: list[Box] = []
    for box in boxes:
        rivals = [other for other in kept if options.agnostic_nms or other.class_id == box.class_id]
        if all(iou(box, rival) <= options.iou_threshold for rival in rivals):
            kept.append(box)
    kept = kept[: options.max_instances]
    return [voted(box, boxes, options) for box in kept] if options.vote_boxes else kept


def voted(box: Box, boxes: list[Box], options: HeadOptions) -> Box:
    """Average a box with all that it agrees with, itself included, weighted by score."""
    agreeing = [
        other
        for other in boxes
        if (options.agnostic_nms or other.class_id == box.class_id)
        and (other is box or iou(box, other) > options.iou_threshold)
    ]
    weights = [max(other.score, 1e-38) for other in agreeing]
    corners = np.average([other.xyxy for other in agreeing], axis=0, weights=weights)
    return Box(tuple(corners.tolist()), box.score, box.class_id, box.anchor)


def boxes_of_anchor(column: NDArray[np.float32], anchor: int, spec: ModelSpec, options: HeadOptions) -> list[Box]:
    num_classes = len(spec.class_names)
    allowed = [index for index in range(num_classes) if options.classes is None or index in options.classes]
    scores = {index: float(column[4 + index]) for index in allowed}
    if not options.multi_label and scores:
        best = max(scores.values())
        scores = dict([next((index, score) for index, score in scores.items() if score == best)])
    x, y, width, height = (float(number) for number in column[:4])
    if not (width > 0 and height > 0):
        return []
    rows, columns = spec.input_hw
    xyxy = ((x - width / 2) * columns, (y - height / 2) * rows, (x + width / 2) * columns, (y + height / 2) * rows)
    reached = np.float32(options.score_threshold)
    return [Box(xyxy, score, index, anchor) for index, score in scores.items() if np.float32(score) >= reached]


def iou(one: Box, other: Box) -> float:
    (left, top, right, bottom), (left_2, top_2, right_2, bottom_2) = one.xyxy, other.xyxy
    width = max(0.0, min(right, right_2) - max(left, left_2))
    height = max(0.0, min(bottom, bottom_2) - max(top, top_2))
    both = width * height
    return both / ((right - left) * (bottom - top) + (right_2 - left_2) * (bottom_2 - top_2) - both)


def random_head(rng: np.random.Generator, spec: ModelSpec) -> NDArray[np.float32]:
    """Give real numbers in which boxes crowd, some have no area, and scores gather around the thresholds."""
    num_classes, num_anchors = len(spec.class_names), spec.num_anchors
    centre = rng.uniform(0.2, 0.8, (2, num_anchors))
    size = rng.uniform(-0.05, 0.7, (2, num_anchors))
    scores = rng.uniform(-0.1, 1.0, (num_classes, num_anchors)) ** 2
    if spec.scores.quant.is_float:
        # Floats tie as rarely as neighbouring steps do often; let half of them tie.
        scores[:, ::2] = np.round(scores[:, ::2], 1)
    coefficients = rng.uniform(-1, 1, (spec.num_coefficients, num_anchors))
    return np.vstack([centre, size, scores, coefficients]).astype(np.float32)


def assert_equals_plain(spec: ModelSpec, head: NDArray[np.float32], options: HeadOptions) -> int:
    outputs = stored_outputs(spec, head)
    stored = outputs[spec.boxes.output_index][0]
    real = spec.boxes.quant.dequantize(stored if spec.boxes.channels_first else stored.T)
    expected = plain_decode(real, spec, options)
    found = decode(outputs, spec, options)
    assert found.class_id.tolist() == [box.class_id for box in expected]
    np.testing.assert_array_equal(found.score, np.array([box.score for box in expected], np.float32))
    np.testing.assert_allclose(found.xyxy, np.array([box.xyxy for box in expected]).reshape(-1, 4), atol=1e-4)
    anchors = [box.anchor for box in expected]
    np.testing.assert_array_equal(found.coefficients, real[4 + len(spec.class_names) :, anchors].T)
    assert [found.xyxy.dtype, found.score.dtype, found.class_id.dtype, found.coefficients.dtype] == [
        np.float32,
        np.float32,
        np.int64,
        np.float32,
    ]
    return len(expected)


@pytest.mark.parametrize("quant", [INT8, PUBLISHED, UINT8, FLOAT32], ids=["int8", "published", "uint8", "float32"])
@pytest.mark.parametrize("channels_first", [True, False], ids=["channels-first", "anchors-first"])
@pytest.mark.parametrize("num_classes", [1, 2, 5])
@pytest.mark.parametrize("agnostic", [False, True], ids=["per-class", "agnostic"])
@pytest.mark.parametrize("multi_label", [False, True], ids=["best-label", "multi-label"])
@pytest.mark.parametrize("vote", [False, True], ids=["plain", "vote"])
def test_random_heads_equal_the_plain_decoder(quant, channels_first, num_classes, agnostic, multi_label, vote, rng):
    spec = make_spec(num_classes, 3, INPUT_HW, quant, channels_first)
    found = 0
    for score_threshold, iou_threshold, max_instances in ((0.25, 0.6999, 100), (0.5, 0.4501, 5), (0.0, 0.1237, 100)):
        options = HeadOptions(score_threshold, iou_threshold, max_instances, None, agnostic, multi_label, vote)
        found += assert_equals_plain(spec, random_head(rng, spec), options)
    assert found > 5


@pytest.mark.parametrize("classes", [(), (0,), (4, 1), (1, 1, 3), (0, 1, 2, 3, 4)], ids=str)
@pytest.mark.parametrize("multi_label", [False, True], ids=["best-label", "multi-label"])
@pytest.mark.parametrize("agnostic", [False, True], ids=["per-class", "agnostic"])
def test_chosen_classes_equal_the_plain_decoder(classes, multi_label, agnostic, rng):
    spec = make_spec(5, 3, INPUT_HW, PUBLISHED)
    options = HeadOptions(0.3, 0.5003, 100, classes, agnostic, multi_label)
    found = assert_equals_plain(spec, random_head(rng, spec), options)
    assert (found > 0) == bool(classes)


def test_a_class_that_is_not_asked_for_does_not_hide_another():
    spec = make_spec(2)
    head = one_box(spec, 0, scores=(0.9, 0.5))
    found = decode(stored_outputs(spec, head), spec, HeadOptions(classes=(1,)))
    assert found.class_id.tolist() == [1]
    np.testing.assert_allclose(found.score, [0.5])


def test_a_class_asked_for_twice_is_found_once():
    spec = make_spec(2)
    options = HeadOptions(iou_threshold=1.0, classes=(0, 0), multi_label=True)
    assert len(decode(stored_outputs(spec, one_box(spec, 0)), spec, options).score) == 1


def empty_head(spec: ModelSpec) -> NDArray[np.float32]:
    return np.zeros((4 + len(spec.class_names) + spec.num_coefficients, spec.num_anchors), np.float32)


def one_box(spec: ModelSpec, anchor: int, xywh=(0.5, 0.5, 0.5, 0.5), scores=(0.9, 0.0), head=None):
    head = empty_head(spec) if head is None else head
    head[:4, anchor] = xywh
    head[4 : 4 + len(scores), anchor] = scores
    return head


@pytest.mark.parametrize("quant", [INT8, UINT8, FLOAT32], ids=["int8", "uint8", "float32"])
def test_one_box_by_hand(quant):
    spec = make_spec(2, 4, (64, 128), quant)
    head = one_box(spec, 7, (0.5, 0.25, 0.5, 0.5), (0.2, 0.8))
    head[6:, 7] = (1, -1, 0.5, 0)
    found = decode(stored_outputs(spec, head), spec, HeadOptions())
    np.testing.assert_allclose(found.xyxy, [[32, 0, 96, 32]], atol=128 * 0.02)
    np.testing.assert_allclose(found.score, [0.8], rtol=1e-6)
    assert found.class_id.tolist() == [1]
    np.testing.assert_allclose(found.coefficients, [[1, -1, 0.5, 0]], atol=0.011)


def test_nothing_found():
    spec = make_spec()
    found = decode(stored_outputs(spec, empty_head(spec)), spec, HeadOptions())
    assert [column.shape for column in (found.xyxy, found.score, found.class_id, found.coefficients)] == [
        (0, 4),
        (0,),
        (0,),
        (0, 4),
    ]


@pytest.mark.parametrize(
    ("score", "threshold", "kept"),
    [
        pytest.param(0.5, 0.5, True, id="equal"),
        pytest.param(0.48, 0.5, False, id="a-step-below"),
        pytest.param(0.52, 0.5, True, id="a-step-above"),
        pytest.param(0.0, 0.0, True, id="zero"),
        pytest.param(1.0, 1.0, True, id="one"),
    ],
)
@pytest.mark.parametrize("quant", [INT8, UINT8, FLOAT32], ids=["int8", "uint8", "float32"])
def test_score_threshold(score, threshold, kept, quant):
    spec = make_spec(1, quant=quant)
    # Other anchors have no box, so a score of 0 does not make them one.
    found = decode(stored_outputs(spec, one_box(spec, 0, scores=(score,))), spec, HeadOptions(threshold))
    assert len(found.score) == kept


@pytest.mark.parametrize("quant", [INT8, FLOAT32], ids=["int8", "float32"])
def test_of_equal_scores_the_later_anchor_wins(quant):
    spec = make_spec(2, quant=quant)
    head = empty_head(spec)
    for anchor, x in ((3, 0.50), (40, 0.52), (83, 0.54)):
        one_box(spec, anchor, (x, 0.5, 0.5, 0.5), (0.8, 0.0), head)
    found = decode(stored_outputs(spec, head), spec, HeadOptions(vote_boxes=False))
    np.testing.assert_allclose(found.xyxy[:, 0], [(0.54 - 0.25) * 64], atol=64 * 0.011)


@pytest.mark.parametrize("multi_label", [False, True], ids=["best-label", "multi-label"])
def test_order_is_by_score_then_later_anchor(multi_label):
    spec = make_spec(2)
    head = empty_head(spec)
    corners = {
        2: ((0.2, 0.2), (0.0, 0.8)),
        9: ((0.8, 0.2), (0.8, 0.0)),
        60: ((0.2, 0.8), (0.6, 0.0)),
        70: ((0.8, 0.8), (0.0, 0.6)),
    }
    for anchor, (centre, scores) in corners.items():
        one_box(spec, anchor, (*centre, 0.2, 0.2), scores, head)
    found = decode(stored_outputs(spec, head), spec, HeadOptions(multi_label=multi_label))
    centres = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2 / 64
    np.testing.assert_allclose(centres, [[0.8, 0.2], [0.2, 0.2], [0.8, 0.8], [0.2, 0.8]], atol=1e-6)


@pytest.mark.parametrize(
    ("agnostic", "class_ids"),
    [pytest.param(False, [0, 1], id="per-class"), pytest.param(True, [0], id="agnostic")],
)
def test_classes_suppress_each_other_only_when_asked(agnostic, class_ids):
    spec = make_spec(2)
    head = one_box(spec, 0, scores=(0.9, 0.0))
    one_box(spec, 1, scores=(0.0, 0.8), head=head)
    found = decode(stored_outputs(spec, head), spec, HeadOptions(agnostic_nms=agnostic))
    assert found.class_id.tolist() == class_ids


def test_most_instances_are_the_best():
    spec = make_spec(1)
    head = empty_head(spec)
    for anchor, score in enumerate((0.4, 0.8, 0.6, 0.9)):
        one_box(spec, anchor, (0.1 + 0.25 * anchor, 0.5, 0.1, 0.1), (score,), head)
    found = decode(stored_outputs(spec, head), spec, HeadOptions(max_instances=2))
    np.testing.assert_allclose(found.score, [0.9, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    "xywh",
    [
        pytest.param((0.5, 0.5, 0.0, 0.5), id="no-width"),
        pytest.param((0.5, 0.5, 0.5, 0.0), id="no-height"),
        pytest.param((0.5, 0.5, -0.2, -0.2), id="negative"),
        pytest.param((np.nan, 0.5, 0.5, 0.5), id="centre-nan"),
        pytest.param((0.5, 0.5, np.nan, 0.5), id="size-nan"),
        pytest.param((0.5, 0.5, np.inf, 0.5), id="size-infinite"),
        pytest.param((np.inf, 0.5, 0.5, 0.5), id="centre-infinite"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_what_has_no_area_is_no_box_and_hides_none(xywh):
    spec = make_spec(1, quant=FLOAT32)
    head = one_box(spec, 80, xywh, (0.9,))
    one_box(spec, 20, (0.2, 0.2, 0.1, 0.1), (0.7,), head)
    found = decode(stored_outputs(spec, head), spec, HeadOptions())
    np.testing.assert_allclose(found.score, [0.7], rtol=1e-6)


def test_a_score_that_is_no_number_is_none():
    spec = make_spec(2, quant=FLOAT32)
    head = one_box(spec, 0, scores=(np.nan, 0.1))
    assert not len(decode(stored_outputs(spec, head), spec, HeadOptions()).score)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        pytest.param({"score_threshold": 1.01}, "score_threshold: expected 0.0 to 1.0, got 1.01", id="score-above"),
        pytest.param({"score_threshold": float("nan")}, "score_threshold: expected .* got nan", id="score-nan"),
        pytest.param({"iou_threshold": -0.1}, "iou_threshold: expected 0.0 to 1.0, got -0.1", id="iou-below"),
        pytest.param({"max_instances": 0}, "max_instances: expected 1 or more, got 0", id="none-at-most"),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(ValueError, match=message):
        HeadOptions(**options)
