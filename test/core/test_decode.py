"""Test by hand what the decoder finds: boxes, scores, suppression, voting, and masks in the image."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from support.decoder_cases import FLOAT32, SPECS, Outputs, int8, same_size, uint8
from support.fakes import make_raw_spec, make_spec, raw_outputs, stored_outputs
from support.tiny_models import LOW_LOGIT, box_logits, default_head, default_prototypes, default_raw_head

from yolov8_seg_ros.core.instances import DrawnMasks
from yolov8_seg_ros.core.letterbox import Letterbox
from yolov8_seg_ros.core.model_spec import ModelSpec
from yolov8_seg_ros.core.native import Decoder
from yolov8_seg_ros.core.options import DetectionOptions

INPUT_HW = (64, 96)


def decode(spec: ModelSpec, outputs: Outputs, **options: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the instances of an image of the network's size, and their placements."""
    decoder = Decoder(spec)
    return decoder.place(decoder.decode(outputs, DetectionOptions(**options)), same_size(spec))


# What cannot store the object is left out.
@pytest.mark.parametrize("name", [name for name in SPECS if name != "raw-zero-points-at-the-ends"])
def test_one_object_by_hand(name):
    spec = SPECS[name]()
    quants = {tensor.quant.dtype.kind for tensor in spec.outputs}
    found, placements = decode(spec, known_outputs(spec), multi_label=False)
    height, width = spec.input_hw
    assert found["class_id"].tolist() == [len(spec.class_names) - 1]
    np.testing.assert_allclose(found["score"], [0.9], atol=1e-6 if quants == {"f"} else 0.02)
    expected = [width / 4, height / 4, 3 * width / 4, 3 * height / 4]
    np.testing.assert_allclose(placements["xyxy_px"], [expected], atol=1e-4 if quants == {"f"} else 1.0)


def known_outputs(spec: ModelSpec) -> Outputs:
    """Return outputs with one object of the last class, in the middle half of the network's input."""
    sizes = (len(spec.class_names), spec.num_coefficients, spec.input_hw)
    prototypes = default_prototypes(spec.num_coefficients, spec.input_hw)
    if spec.is_raw:
        return raw_outputs(spec, default_raw_head(*sizes, spec.box_bins), prototypes)
    return stored_outputs(spec, default_head(*sizes), prototypes)


def one_object(
    spec: ModelSpec, anchor: int, xywh: tuple[float, ...] = (0.5, 0.5, 0.5, 0.5), scores: tuple[float, ...] = (0.9,)
) -> NDArray[np.float32]:
    """Return real numbers (channels, anchors) of a decoded head with one object."""
    head = np.zeros((4 + len(spec.class_names) + spec.num_coefficients, spec.num_anchors), np.float32)
    head[:4, anchor] = xywh
    head[4 : 4 + len(scores), anchor] = scores
    return head


def test_a_raw_box_by_hand():
    spec = make_raw_spec(1, input_hw=INPUT_HW)
    levels = default_raw_head(1, 4, INPUT_HW)
    boxes, scores, _ = levels[0]
    scores[:] = levels[2][1][:] = LOW_LOGIT
    # Of stride 8, anchor 14 is in row 1 and column 2: its point is (20, 12).
    boxes[:, 14] = np.concatenate([box_logits(distance) for distance in (1.25, 0.5, 3.0, 2.75)])
    scores[0, 14] = 0.0
    found, placements = decode(spec, raw_outputs(spec, levels))
    assert found["anchor"].tolist() == [14]
    assert found["score"].tolist() == [0.5]
    np.testing.assert_allclose(placements["xyxy_px"], [[10, 8, 44, 34]], atol=1e-5)


def test_the_mean_of_even_logits_is_the_middle():
    spec = make_raw_spec(1, input_hw=(32, 32), box_bins=5)
    levels = default_raw_head(1, 4, (32, 32), 5)
    levels[2][0][:] = 3.0
    found, _ = decode(spec, raw_outputs(spec, levels))
    # The mean of 0, 1, 2, 3 and 4 strides around (16, 16).
    assert found["xyxy_px"].tolist() == [[-48, -48, 80, 80]]


@pytest.mark.parametrize("quant", [int8(0.02, -64), uint8(0.02, 64), FLOAT32], ids=["int8", "uint8", "float32"])
@pytest.mark.parametrize(
    ("score", "threshold", "is_kept"),
    [
        pytest.param(0.5, 0.5, True, id="equal"),
        pytest.param(0.48, 0.5, False, id="a-step-below"),
        pytest.param(0.52, 0.5, True, id="a-step-above"),
        pytest.param(0.0, 0.0, True, id="zero"),
        pytest.param(1.0, 1.0, True, id="one"),
    ],
)
def test_score_threshold(quant, score, threshold, is_kept):
    spec = make_spec(1, quant=quant)
    # Other anchors have no box, so a score of 0 does not make them one.
    found, _ = decode(spec, stored_outputs(spec, one_object(spec, 0, scores=(score,))), score_threshold=threshold)
    assert len(found) == is_kept


@pytest.mark.parametrize("logit", [-4.6, -1.0, 0.0, 0.3, 2.0, 15.0])
@pytest.mark.parametrize("quant", [int8(0.1, -20), FLOAT32], ids=["int8", "float32"])
def test_a_raw_score_at_the_threshold_is_kept(quant, logit):
    spec = make_raw_spec(1, logits_quant=quant)
    levels = default_raw_head(1, 4, (64, 64))
    levels[2][1][levels[2][1] > LOW_LOGIT] = logit
    outputs = raw_outputs(spec, levels)
    (found,), _ = decode(spec, outputs, score_threshold=0.005)
    score = float(found["score"])
    assert len(decode(spec, outputs, score_threshold=score)[0]) == 1
    assert len(decode(spec, outputs, score_threshold=float(np.nextafter(np.float32(score), np.float32(2))))[0]) == 0


def test_a_logit_of_minus_infinity_is_a_score_of_0():
    spec = make_raw_spec(1, logits_quant=FLOAT32)
    levels = default_raw_head(1, 4, (64, 64))
    for _, scores, _ in levels:
        scores[scores == LOW_LOGIT] = np.nan
        scores[scores > LOW_LOGIT] = -np.inf
    outputs = raw_outputs(spec, levels)
    assert decode(spec, outputs, score_threshold=0.0)[0]["score"].tolist() == [0.0]
    assert len(decode(spec, outputs, score_threshold=1e-30)[0]) == 0


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
def test_a_box_without_area_is_left_out_and_hides_none(xywh):
    spec = make_spec(1, quant=FLOAT32)
    head = one_object(spec, 80, xywh) + one_object(spec, 20, (0.2, 0.2, 0.1, 0.1), (0.7,))
    found, _ = decode(spec, stored_outputs(spec, head))
    np.testing.assert_allclose(found["score"], [0.7], rtol=1e-6)


@pytest.mark.parametrize("scores", [(np.nan, 0.1), (-np.inf, 0.1), (-0.0, 0.1)], ids=["nan", "infinity", "minus-zero"])
def test_a_score_that_is_no_number_or_less_than_all_is_not_the_best(scores):
    spec = make_spec(2, quant=FLOAT32)
    outputs = stored_outputs(spec, one_object(spec, 0, scores=scores))
    found, _ = decode(spec, outputs, score_threshold=0.0, iou_threshold=1.0, multi_label=False)
    assert found["class_id"].tolist() == [1]
    np.testing.assert_allclose(found["score"], [0.1])


@pytest.mark.parametrize("vote_boxes", [True, False], ids=["vote", "plain"])
def test_of_equal_scores_the_later_anchor_wins(vote_boxes):
    spec = make_spec(2)
    head = sum(
        one_object(spec, anchor, (x, 0.5, 0.5, 0.5), (0.8,)) for anchor, x in ((3, 0.50), (40, 0.52), (83, 0.54))
    )
    found, placements = decode(spec, stored_outputs(spec, head), vote_boxes=vote_boxes)
    assert found["anchor"].tolist() == [83]
    np.testing.assert_allclose(placements["xyxy_px"][0, 0], ((0.52 if vote_boxes else 0.54) - 0.25) * 64, atol=0.01)


def test_of_equal_scores_of_an_anchor_the_earlier_class_wins():
    spec = make_spec(3)
    outputs = stored_outputs(spec, one_object(spec, 5, scores=(0.3, 0.8, 0.8)))
    assert decode(spec, outputs)[0]["class_id"].tolist() == [1, 2, 0]
    assert decode(spec, outputs, multi_label=False)[0]["class_id"].tolist() == [1]


def test_a_class_that_is_not_wanted_does_not_hide_another():
    spec = make_spec(2)
    outputs = stored_outputs(spec, one_object(spec, 0, scores=(0.9, 0.5)))
    for multi_label in (True, False):
        found, _ = decode(spec, outputs, classes=(1, 1), multi_label=multi_label)
        assert found["class_id"].tolist() == [1]


@pytest.mark.parametrize(
    ("agnostic_nms", "class_ids"), [pytest.param(False, [0, 1], id="per-class"), pytest.param(True, [0], id="agnostic")]
)
def test_classes_suppress_each_other_only_when_asked(agnostic_nms, class_ids):
    spec = make_spec(2)
    head = one_object(spec, 0, scores=(0.9, 0.0)) + one_object(spec, 1, scores=(0.0, 0.8))
    assert decode(spec, stored_outputs(spec, head), agnostic_nms=agnostic_nms)[0]["class_id"].tolist() == class_ids


#: Boxes of 10x10 network pixels, of which the second overlaps the first by a third, and by none the third.
ROW_OF_BOXES = [(5, 0.8), (10, 0.6), (15, 0.4)]


def row_of_boxes(quant: Any = FLOAT32) -> tuple[ModelSpec, Outputs]:
    spec = make_spec(1, input_hw=(64, 64), quant=quant)
    head = sum(
        one_object(spec, anchor, (x / 64, 5 / 64, 10 / 64, 10 / 64), (score,))
        for anchor, (x, score) in enumerate(ROW_OF_BOXES)
    )
    return spec, stored_outputs(spec, head)


@pytest.mark.parametrize(
    ("iou_threshold", "scores"),
    [
        # Two boxes that are 5 apart overlap by 50 / 150.
        pytest.param(0.34, [0.8, 0.6, 0.4], id="less-than-the-threshold"),
        # The second one is suppressed, so that it does not suppress the third.
        pytest.param(0.33, [0.8, 0.4], id="more-than-the-threshold"),
        pytest.param(0.0, [0.8, 0.4], id="boxes-that-touch-do-not-overlap"),
        pytest.param(1.0, [0.8, 0.6, 0.4], id="nothing-is-more-than-one"),
    ],
)
def test_suppression_by_hand(iou_threshold, scores):
    found, _ = decode(*row_of_boxes(), iou_threshold=iou_threshold)
    np.testing.assert_allclose(found["score"], scores)


def test_the_best_are_kept():
    found, _ = decode(*row_of_boxes(), iou_threshold=1.0, max_instances=2)
    np.testing.assert_allclose(found["score"], [0.8, 0.6])


def test_voting_by_hand():
    """A box that is suppressed votes for each box that it overlaps."""
    _, placements = decode(*row_of_boxes(), iou_threshold=0.3)
    first, last = (0.8 * 0 + 0.6 * 5) / 1.4, (0.4 * 10 + 0.6 * 5) / 1.0
    np.testing.assert_allclose(placements["xyxy_px"], [[first, 0, first + 10, 10], [last, 0, last + 10, 10]], rtol=1e-5)


def test_votes_of_score_0_count_alike():
    spec = make_spec(1, quant=FLOAT32)
    head = sum(one_object(spec, anchor, (x, 0.5, 0.5, 0.5), (0.0,)) for anchor, x in ((0, 0.5), (1, 0.25)))
    _, placements = decode(spec, stored_outputs(spec, head), score_threshold=0.0, iou_threshold=0.2)
    np.testing.assert_allclose(placements["xyxy_px"], [[8, 16, 40, 48]])


# -------------------------------------------------------------------------------------------------------------- masks


@pytest.mark.parametrize(
    ("xyxy", "origin_xy", "shape"),
    [
        pytest.param([10, 20, 30, 50], (10, 20), (30, 20), id="whole-pixels"),
        pytest.param([10.4, 20.4, 30.4, 50.4], (10, 20), (30, 20), id="rounded-down"),
        pytest.param([10.6, 20.6, 30.6, 50.6], (11, 21), (30, 20), id="rounded-up"),
        pytest.param([-9, -9, 700, 700], (0, 0), (64, 96), id="cut-at-the-image"),
        pytest.param([95, 63, 96, 64], (95, 63), (1, 1), id="last-pixel"),
        pytest.param([0, 0, 1, 1], (0, 0), (1, 1), id="first-pixel"),
        pytest.param([10.1, 20, 10.4, 50], (10, 20), (0, 0), id="thinner-than-a-pixel"),
        pytest.param([10.4, 20, 10.6, 50], (10, 20), (30, 1), id="thin-around-a-centre"),
    ],
)
def test_a_mask_ends_at_its_box(xyxy, origin_xy, shape):
    spec = make_spec(1, 1, INPUT_HW, FLOAT32)
    outputs = float_box(spec, xyxy)
    decoder = Decoder(spec)
    _, placements = decoder.place(decoder.decode(outputs, DetectionOptions()), same_size(spec))
    (mask,) = DrawnMasks(placements, decoder.draw_masks(placements, 0.5))
    assert (mask.origin_xy, mask.bitmap.shape, mask.bitmap.dtype) == (origin_xy, shape, np.bool_)
    assert mask.bitmap.all()


@pytest.mark.parametrize(
    "xyxy", [(96, 10, 120, 30), (-20, 10, 0, 30), (10, 64, 30, 90)], ids=["right", "left", "below"]
)
def test_a_box_outside_the_image_is_left_out(xyxy):
    spec = make_spec(1, 1, INPUT_HW, FLOAT32)
    found, placements = decode(spec, float_box(spec, xyxy))
    assert len(found) == len(placements) == 0


def float_box(spec: ModelSpec, xyxy: Any) -> Outputs:
    """Return outputs with one box in network pixels, whose object is everywhere."""
    left, top, right, bottom = xyxy
    height, width = spec.input_hw
    xywh = ((left + right) / 2 / width, (top + bottom) / 2 / height, (right - left) / width, (bottom - top) / height)
    head = one_object(spec, 3, xywh)
    head[5, 3] = 1
    return stored_outputs(spec, head, np.ones(spec.prototypes.shape[1:]))


def test_half_an_image_by_hand():
    """Of 16 columns of cells the first 8 are inside; the sign changes in the middle between the 8th and the 9th."""
    spec = make_spec(1, 1, (64, 64), FLOAT32)
    outputs = float_box(spec, (0, 0, 64, 64))
    outputs[spec.prototypes_index][:, :, 8:] = -1
    letterbox, decoder = Letterbox.fit((128, 128), (64, 64)), Decoder(spec)
    _, placements = decoder.place(decoder.decode(outputs, DetectionOptions()), letterbox)
    (mask,) = DrawnMasks(placements, decoder.draw_masks(placements, 0.5))
    assert mask.bitmap[:, :64].all()
    assert not mask.bitmap[:, 64:].any()


@pytest.mark.parametrize("number", [np.nan, -np.inf, 0.0], ids=["nan", "minus-infinity", "zero"])
def test_logits_that_are_not_above_0_are_outside(number):
    spec = make_spec(1, 1, INPUT_HW, FLOAT32)
    outputs = float_box(spec, (0, 0, 96, 64))
    outputs[spec.prototypes_index][:] = number
    decoder = Decoder(spec)
    _, placements = decoder.place(decoder.decode(outputs, DetectionOptions()), same_size(spec))
    assert not decoder.draw_masks(placements, 0.5).any()
