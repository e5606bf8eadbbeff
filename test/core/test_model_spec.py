"""Test what is read from a model's tensors, and that every other model is refused with its tensors named."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from fakes import FLOAT32, INT8, UINT8, make_spec

from yolov8_seg_ros.core.model_spec import ModelSpec, TensorSpec, anchor_count
from yolov8_seg_ros.core.quantization import QuantParams
from yolov8_seg_ros.errors import ModelError

INPUT = TensorSpec("images", (1, 64, 64, 3), QuantParams(np.dtype("int8"), 1 / 255, -128))
#: 64x64 pixels have 8 * 8 + 4 * 4 + 2 * 2 anchors; 4 + 2 classes + 4 coefficients.
HEAD = TensorSpec("head", (1, 10, 84), INT8)
PROTOTYPES = TensorSpec("protos", (1, 16, 16, 4), INT8)


def changed(tensor: TensorSpec, *shape: int, quant: QuantParams | None = None) -> TensorSpec:
    return TensorSpec(tensor.name, shape or tensor.shape, quant or tensor.quant)


@pytest.mark.parametrize(
    ("input_hw", "count"),
    [
        pytest.param((256, 256), 1344, id="256"),
        pytest.param((320, 320), 2100, id="320"),
        pytest.param((640, 640), 8400, id="640"),
        pytest.param((32, 64), 4 * 8 + 2 * 4 + 1 * 2, id="64x32"),
    ],
)
def test_anchor_count(input_hw, count):
    assert anchor_count(input_hw) == count


@pytest.mark.parametrize("quant", [INT8, UINT8, FLOAT32], ids=["int8", "uint8", "float32"])
@pytest.mark.parametrize("channels_first", [True, False], ids=["channels-first", "anchors-first"])
@pytest.mark.parametrize("prototypes_first", [True, False], ids=["prototypes-head", "head-prototypes"])
@pytest.mark.parametrize("num_classes", [1, 2, 80])
@pytest.mark.parametrize("num_coefficients", [1, 7, 32])
@pytest.mark.parametrize("input_hw", [(32, 32), (64, 160), (320, 320)], ids=["32", "160x64", "320"])
def test_any_export(quant, channels_first, prototypes_first, num_classes, num_coefficients, input_hw):
    spec = make_spec(num_classes, num_coefficients, input_hw, quant, channels_first, prototypes_first)
    anchors = anchor_count(input_hw)
    assert spec.input_hw == input_hw
    assert spec.num_anchors == anchors
    assert spec.num_coefficients == num_coefficients
    assert spec.prototypes_index == (0 if prototypes_first else 1)
    assert len(spec.class_names) == num_classes
    assert not spec.names_given
    outputs = [np.zeros(tensor.shape, tensor.quant.dtype) for tensor in spec.outputs]
    parts = (spec.boxes, spec.scores, spec.coefficients)
    assert [part.view(outputs).shape for part in parts] == [
        (4, anchors),
        (num_classes, anchors),
        (num_coefficients, anchors),
    ]
    assert all(part.quant == quant for part in parts)


@pytest.mark.parametrize("channels_first", [True, False], ids=["channels-first", "anchors-first"])
def test_parts_of_the_head_by_hand(channels_first):
    spec = make_spec(channels_first=channels_first)
    # Channel c of anchor a holds c * 100 + a.
    head = np.arange(10)[:, np.newaxis] * 100 + np.arange(84)
    outputs = [(head if channels_first else head.T)[np.newaxis], np.zeros(spec.prototypes.shape)]
    assert spec.boxes.view(outputs)[:, 5].tolist() == [5, 105, 205, 305]
    assert spec.scores.view(outputs)[:, 83].tolist() == [483, 583]
    assert spec.coefficients.view(outputs)[:, 0].tolist() == [600, 700, 800, 900]
    assert np.shares_memory(spec.scores.view(outputs), outputs[0])


BOXES = TensorSpec("boxes", (1, 4, 84), QuantParams(np.dtype("int8"), 1 / 255, -128))
SCORES = TensorSpec("scores", (1, 2, 84), QuantParams(np.dtype("int8"), 1 / 256, -128))
COEFFICIENTS = TensorSpec("coefficients", (1, 7, 84), INT8)
SEVEN_PROTOTYPES = TensorSpec("protos", (1, 16, 16, 7), INT8)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4))), ids=str)
def test_head_in_parts_by_size(order):
    tensors = [BOXES, SCORES, COEFFICIENTS, SEVEN_PROTOTYPES]
    nameless = [TensorSpec(f"output_{k}", tensor.shape, tensor.quant) for k, tensor in enumerate(tensors)]
    spec = ModelSpec.from_tensors([INPUT], [nameless[k] for k in order])
    parts = (spec.boxes, spec.scores, spec.coefficients)
    assert [order[part.output_index] for part in parts] == [0, 1, 2]
    assert [part.quant for part in parts] == [BOXES.quant, SCORES.quant, COEFFICIENTS.quant]
    assert [part.num_channels for part in parts] == [4, 2, 7]
    assert order[spec.prototypes_index] == 3
    assert len(spec.class_names) == 2


@pytest.mark.parametrize("channels_first", [True, False], ids=["channels-first", "anchors-first"])
def test_parts_apart_by_hand(channels_first):
    tensors = [BOXES, SCORES, COEFFICIENTS]
    stored = [np.arange(t.shape[1])[:, np.newaxis] * 100 + np.arange(84) + 1000 * k for k, t in enumerate(tensors)]
    outputs = [(values if channels_first else values.T)[np.newaxis] for values in stored]
    specs = [
        TensorSpec(tensor.name, output.shape, tensor.quant) for tensor, output in zip(tensors, outputs, strict=True)
    ]
    spec = ModelSpec.from_tensors([INPUT], [*specs, SEVEN_PROTOTYPES])
    assert spec.boxes.view(outputs)[:, 5].tolist() == [5, 105, 205, 305]
    assert spec.scores.view(outputs)[:, 83].tolist() == [1083, 1183]
    assert spec.coefficients.view(outputs)[:, 0].tolist() == [2000, 2100, 2200, 2300, 2400, 2500, 2600]


#: Four classes and four coefficients: three outputs of one size.
ALIKE = (1, 4, 84)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(["coefficients", "boxes", "scores"], [1, 2, 0], id="names"),
        pytest.param(["serving_default_scores:0", "x", "serving_default_boxes:0"], [2, 0, 1], id="two-names"),
        pytest.param(["output_0", "output_1", "output_2"], [0, 1, 2], id="order"),
    ],
)
def test_parts_of_one_size_are_told_apart(names, expected):
    outputs = [TensorSpec(name, ALIKE, INT8) for name in names]
    spec = ModelSpec.from_tensors([INPUT], [*outputs, PROTOTYPES])
    assert [part.output_index for part in (spec.boxes, spec.scores, spec.coefficients)] == expected


def test_class_names_tell_scores_from_coefficients():
    outputs = [TensorSpec(f"output_{k}", (1, count, 84), INT8) for k, count in enumerate((4, 4, 2))]
    spec = ModelSpec.from_tensors([INPUT], [*outputs, PROTOTYPES], ["a", "b"])
    assert [part.output_index for part in (spec.boxes, spec.scores, spec.coefficients)] == [0, 2, 1]


PER_CHANNEL = QuantParams(np.dtype("int8"), 0.0, 0)
INT16 = QuantParams(np.dtype("int16"), 0.1, 0)
FLOAT16 = QuantParams(np.dtype("float16"))


@pytest.mark.parametrize(
    ("inputs", "outputs", "message"),
    [
        pytest.param([INPUT], [HEAD], "this looks like a detection model", id="detection-only"),
        pytest.param([INPUT], [PROTOTYPES], "expected two outputs", id="prototypes-only"),
        pytest.param([INPUT], [], "expected two outputs", id="no-outputs"),
        pytest.param([INPUT], [HEAD, HEAD], "expected two outputs", id="two-heads"),
        pytest.param([INPUT], [HEAD, PROTOTYPES, HEAD], "expected two outputs", id="three-outputs"),
        pytest.param([INPUT], [HEAD, HEAD, HEAD, PROTOTYPES], "channels for the boxes", id="parts-of-odd-sizes"),
        pytest.param([INPUT], [BOXES, SCORES, HEAD, SEVEN_PROTOTYPES], "7 for the mask", id="no-coefficients"),
        pytest.param([INPUT], [BOXES, SCORES, COEFFICIENTS, BOXES, PROTOTYPES], "or four", id="five-outputs"),
        pytest.param([INPUT], [changed(HEAD, 1, 1000)], "expected two outputs", id="classifier"),
        pytest.param([INPUT], [changed(HEAD, 10, 84), PROTOTYPES], "a head of rank 3", id="head-without-batch"),
        pytest.param([INPUT], [HEAD, PROTOTYPES, changed(HEAD, 1)], "expected two outputs", id="odd-third-output"),
        pytest.param([], [HEAD, PROTOTYPES], "expected one input", id="no-inputs"),
        pytest.param([INPUT, INPUT], [HEAD, PROTOTYPES], "expected one input", id="two-inputs"),
        pytest.param([changed(INPUT, 1, 3, 64, 64)], [HEAD, PROTOTYPES], "(NHWC, RGB)", id="nchw-input"),
        pytest.param([changed(INPUT, 1, 64, 64, 1)], [HEAD, PROTOTYPES], "(NHWC, RGB)", id="grey-input"),
        pytest.param([changed(INPUT, 2, 64, 64, 3)], [HEAD, PROTOTYPES], "expected one input", id="batch-of-two"),
        pytest.param([changed(INPUT, 64, 64, 3)], [HEAD, PROTOTYPES], "expected one input", id="input-without-batch"),
        pytest.param([changed(INPUT, 1, 60, 64, 3)], [HEAD, PROTOTYPES], "64x60, expected multiples of 32", id="60"),
        pytest.param([changed(INPUT, 1, 0, 64, 3)], [HEAD, PROTOTYPES], "64x0, expected multiples of 32", id="0"),
        pytest.param([changed(INPUT, 1, -1, 64, 3)], [HEAD, PROTOTYPES], "64x-1, expected multiples", id="dynamic"),
        pytest.param([INPUT], [changed(HEAD, 1, 10, 85), PROTOTYPES], "1 x channels x 84", id="anchors"),
        pytest.param([INPUT], [changed(HEAD, 2, 10, 84), PROTOTYPES], "1 x channels x 84", id="head-batch"),
        pytest.param([INPUT], [changed(HEAD, 2, 84, 10), PROTOTYPES], "1 x 84 x channels", id="turned-head-batch"),
        pytest.param([INPUT], [changed(HEAD, 1, 8, 84), PROTOTYPES], "8 channels, expected 4", id="no-classes"),
        pytest.param([INPUT], [changed(HEAD, 1, 84, 3), PROTOTYPES], "3 channels, expected 4", id="no-coefficients"),
        pytest.param([INPUT], [HEAD, changed(PROTOTYPES, 1, 4, 16, 16)], "1 x 16 x 16 x count", id="nchw-prototypes"),
        pytest.param([INPUT], [HEAD, changed(PROTOTYPES, 1, 32, 32, 4)], "1 x 16 x 16 x count", id="prototypes-size"),
        pytest.param([INPUT], [HEAD, changed(PROTOTYPES, 1, 16, 16, 0)], "1 x 16 x 16 x count", id="no-prototypes"),
        pytest.param([INPUT], [changed(HEAD, quant=PER_CHANNEL), PROTOTYPES], "'head' has no scale", id="per-channel"),
        pytest.param([INPUT], [HEAD, changed(PROTOTYPES, quant=PER_CHANNEL)], "'protos' has no scale", id="no-scale"),
        pytest.param(
            [changed(INPUT, quant=PER_CHANNEL)], [HEAD, PROTOTYPES], "'images' has no scale", id="input-scale"
        ),
        pytest.param([changed(INPUT, quant=INT16)], [HEAD, PROTOTYPES], "'images' is int16, expected int8", id="int16"),
        pytest.param([INPUT], [changed(HEAD, quant=FLOAT16), PROTOTYPES], "'head' is float16", id="float16"),
    ],
)
def test_a_refused_model_is_told_with_both_tables(inputs, outputs, message):
    with pytest.raises(ModelError) as caught:
        ModelSpec.from_tensors(inputs, outputs)
    text = str(caught.value)
    assert message in text
    for kind, tensors in (("input", inputs), ("output", outputs)):
        for index, tensor in enumerate(tensors):
            assert f"  {kind} {index}: {tensor}" in text


@pytest.mark.parametrize(
    ("tensor", "text"),
    [
        pytest.param(HEAD, "head  int8  1x10x84  scale 0.02, zero point -64", id="int8"),
        pytest.param(changed(HEAD, quant=FLOAT32), "head  float32  1x10x84", id="float32"),
    ],
)
def test_a_tensor_in_words(tensor, text):
    assert str(tensor) == text


def test_given_names():
    spec = ModelSpec.from_tensors([INPUT], [HEAD, PROTOTYPES], ["cat", "dog"])
    assert spec.class_names == ("cat", "dog")
    assert spec.names_given


def test_numbered_names():
    assert make_spec(3).class_names == ("class_0", "class_1", "class_2")


@pytest.mark.parametrize("names", [[], ["cat"], ["cat", "dog", "cow"]], ids=len)
def test_names_that_do_not_fit(names):
    with pytest.raises(ModelError, match=f"{len(names)} class names for a model of 2 classes"):
        ModelSpec.from_tensors([INPUT], [HEAD, PROTOTYPES], names)


@pytest.mark.parametrize(
    ("asked", "indices"),
    [
        pytest.param([], (), id="none"),
        pytest.param(["dog", "cat"], (1, 0), id="names"),
        pytest.param(["1"], (1,), id="number"),
        pytest.param(["0", "dog"], (0, 1), id="mixed"),
    ],
)
def test_class_indices(asked, indices):
    assert ModelSpec.from_tensors([INPUT], [HEAD, PROTOTYPES], ["cat", "dog"]).class_indices(asked) == indices


def test_a_name_that_is_a_number_wins_over_the_index():
    assert ModelSpec.from_tensors([INPUT], [HEAD, PROTOTYPES], ["1", "0"]).class_indices(["1"]) == (0,)


@pytest.mark.parametrize("name", ["cow", "2", "-1", "1.0", "", "Cat", "²"])
def test_unknown_class(name):
    spec = ModelSpec.from_tensors([INPUT], [HEAD, PROTOTYPES], ["cat", "dog"])
    with pytest.raises(ValueError, match=f"class '{name}' is not one of the model's: cat, dog"):
        spec.class_indices([name])
