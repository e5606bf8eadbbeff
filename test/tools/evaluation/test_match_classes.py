"""Test which class of a model stands for which of a data set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.fakes import make_spec

from yolov8_seg_ros.errors import EvaluationError
from yolov8_seg_ros.tools.evaluation.ground_truth import GroundTruth, match_classes


def truth_of(names, used=None):
    return GroundTruth(Path("data.yaml"), names, frozenset(names if used is None else used), ())


def spec_of(*names):
    return replace(make_spec(num_classes=len(names)), class_names=names, names_given=True)


@pytest.mark.parametrize(
    ("names", "model", "expected"),
    [
        ({0: "cat", 1: "mouse"}, ("cat", "mouse"), {0: 0, 1: 1}),
        ({0: "mouse", 1: "cat"}, ("cat", "mouse"), {0: 1, 1: 0}),
        ({18: "cat", 90: "mouse"}, ("cat", "mouse"), {0: 18, 1: 90}),
        ({0: "mouse"}, ("cat", "mouse", "dog"), {1: 0}),
        ({0: "Traffic_Light "}, ("cat", "traffic light"), {1: 0}),
        ({0: "ball", 1: "ball"}, ("ball", "ball"), {0: 0, 1: 1}),
        ({0: "class_0", 1: "class_1"}, ("cat", "mouse"), {0: 0, 1: 1}),
    ],
    ids=["same", "swapped", "COCO's ids", "some of the model's", "spelling", "twice in both", "nameless data"],
)
def test_classes_are_matched(names, model, expected):
    assert match_classes(truth_of(names), spec_of(*model)) == expected


def test_a_nameless_model_is_matched_by_number():
    spec = make_spec(num_classes=2)
    assert not spec.names_given
    assert match_classes(truth_of({18: "cat", 90: "mouse"}), spec) == {0: 18, 1: 90}
    with pytest.raises(EvaluationError, match=r"3 classes, the model has 2, and the model does not name its own"):
        match_classes(truth_of({0: "a", 1: "b", 2: "c"}), spec)


def test_nameless_data_of_another_count_are_reported():
    with pytest.raises(EvaluationError, match=r"1 classes, the model has 2, and the data set does not .*'names' into"):
        match_classes(truth_of({0: "class_0"}), spec_of("cat", "mouse"))


def test_classes_that_the_model_does_not_know_are_reported():
    with pytest.raises(EvaluationError, match=r"its classes 'dog' are none of the model's \('cat', 'mouse'\); name"):
        match_classes(truth_of({0: "cat", 1: "dog"}), spec_of("cat", "mouse"))


def test_classes_without_objects_may_be_unknown():
    assert match_classes(truth_of({0: "animals", 1: "cat"}, used={1}), spec_of("cat", "mouse")) == {0: 1}


def test_two_sets_without_a_common_class_are_reported():
    with pytest.raises(EvaluationError, match=r"its classes 'dog' are none"):
        match_classes(truth_of({0: "dog"}, used=()), spec_of("cat"))


def test_chosen_classes_alone_are_compared():
    spec = spec_of("cat", "mouse")
    assert match_classes(truth_of({0: "cat", 1: "mouse", 2: "dog"}), spec, chosen=(1,)) == {1: 1}


def test_a_name_that_two_classes_have_is_reported():
    with pytest.raises(EvaluationError, match=r"more than one class is called 'cat'"):
        match_classes(truth_of({0: "cat", 1: "Cat"}), spec_of("cat", "mouse"))
