"""Test what is read from a model's tensors, and that every other model is refused with its tensors listed."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from support.fakes import FLOAT32, INT8, INT8_LOGITS, UINT8, make_raw_spec, make_spec, raw_shape

from yolov8_seg_ros.core.model_spec import HEAD_PARTS, MAX_CLASSES, STRIDES_PX, ModelSpec, TensorSpec, anchor_count
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


def raw_tensors(
    num_classes: int = 2,
    num_coefficients: int = 4,
    box_bins: int = 16,
    layout: str = "maps",
    input_hw: tuple[int, int] = (64, 64),
    names: bool = True,
) -> list[TensorSpec]:
    """Return the nine outputs of a raw head, by stride, boxes before scores before coefficients."""
    counts = (4 * box_bins, num_classes, num_coefficients)
    tensors = [
        TensorSpec(f"{part}_{stride}", raw_shape(input_hw, stride, count, layout), INT8_LOGITS)
        for stride in STRIDES_PX
        for part, count in zip(HEAD_PARTS, counts, strict=True)
    ]
    return tensors if names else [replace(tensor, name=f"output_{k}") for k, tensor in enumerate(tensors)]


def parts_of(spec: ModelSpec) -> list[list[int]]:
    """Return the outputs of boxes, scores and coefficients, level by level."""
    return [[getattr(level, part).output_index for part in HEAD_PARTS] for level in spec.levels]


def num_channels(spec: ModelSpec) -> tuple[int, ...]:
    """Return the channels of boxes, scores and coefficients, which are those of each level."""
    (counts,) = {tuple(getattr(level, part).num_channels for part in HEAD_PARTS) for level in spec.levels}
    return counts


#: The spec, and what is read from it: channels of the parts, input, anchors.
EXPORTS = {
    "decoded": (make_spec(), (4, 2, 4), (64, 64)),
    "decoded-uint8-anchors-first": (make_spec(80, 32, quant=UINT8, channels_first=False), (4, 80, 32), (64, 64)),
    "decoded-float32-prototypes-first": (
        make_spec(1, 7, (64, 160), FLOAT32, prototypes_first=True),
        (4, 1, 7),
        (64, 160),
    ),
    "decoded-one-coefficient": (make_spec(2, 1, (32, 32)), (4, 2, 1), (32, 32)),
    "decoded-320": (make_spec(80, 32, (320, 320)), (4, 80, 32), (320, 320)),
    "raw-maps": (make_raw_spec(80, 32, (320, 320)), (64, 80, 32), (320, 320)),
    "raw-anchors-first": (make_raw_spec(2, 4, layout="anchors-first"), (64, 2, 4), (64, 64)),
    "raw-channels-first": (make_raw_spec(5, 8, (64, 160), layout="channels-first"), (64, 5, 8), (64, 160)),
    "raw-float32": (make_raw_spec(1, 32, (32, 32), FLOAT32, FLOAT32), (64, 1, 32), (32, 32)),
    "raw-few-bins": (make_raw_spec(3, 4, box_bins=2), (8, 3, 4), (64, 64)),
    "raw-many-bins": (make_raw_spec(3, 4, box_bins=32), (128, 3, 4), (64, 64)),
    # As many classes as box logits, and as coefficients: names decide.
    "raw-64-classes": (make_raw_spec(64, 32), (64, 64, 32), (64, 64)),
    "raw-32-classes": (make_raw_spec(32, 32), (64, 32, 32), (64, 64)),
    "raw-64-of-all": (make_raw_spec(64, 64), (64, 64, 64), (64, 64)),
    # 4 anchors of stride 32, and 4 channels.
    "raw-as-many-channels-as-anchors": (make_raw_spec(4, 4, layout="channels-first"), (64, 4, 4), (64, 64)),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_any_export(name):
    spec, channels, input_hw = EXPORTS[name]
    assert spec.input_hw == input_hw
    assert spec.num_anchors == anchor_count(input_hw)
    assert spec.num_coefficients == channels[2]
    assert spec.box_bins == (channels[0] // 4 if spec.is_raw else 0)
    assert spec.prototypes_index == (0 if name == "decoded-float32-prototypes-first" else len(spec.outputs) - 1)
    assert (len(spec.class_names), spec.names_given) == (channels[1], False)
    assert num_channels(spec) == channels
    strides = STRIDES_PX if spec.is_raw else (0,)
    assert tuple(level.stride_px for level in spec.levels) == strides
    assert sum(level.grid_hw[0] * level.grid_hw[1] for level in spec.levels) == spec.num_anchors
    assert spec.is_raw == name.startswith("raw")
    outputs = [np.zeros(tensor.shape, tensor.quant.dtype) for tensor in spec.outputs]
    for level, stride in zip(spec.levels, strides, strict=True):
        for part, count in zip(HEAD_PARTS, channels, strict=True):
            found = getattr(level, part)
            assert found.view(outputs).shape == (count, level.grid_hw[0] * level.grid_hw[1])
            assert found.quant == spec.outputs[found.output_index].quant
            if spec.is_raw:
                assert spec.outputs[found.output_index].name == f"{part}_{stride}"


@pytest.mark.parametrize("channels_first", [True, False], ids=["channels-first", "anchors-first"])
def test_parts_of_a_joint_head_by_hand(channels_first):
    (level,) = make_spec(channels_first=channels_first).levels
    # Channel c of anchor a holds c * 100 + a.
    head = np.arange(10)[:, np.newaxis] * 100 + np.arange(84)
    outputs = [(head if channels_first else head.T)[np.newaxis]]
    assert level.boxes.view(outputs)[:, 5].tolist() == [5, 105, 205, 305]
    assert level.scores.view(outputs)[:, 83].tolist() == [483, 583]
    assert level.coefficients.view(outputs)[:, 0].tolist() == [600, 700, 800, 900]
    assert np.shares_memory(level.scores.view(outputs), outputs[0])


@pytest.mark.parametrize("layout", ["maps", "anchors-first", "channels-first"])
def test_parts_of_a_raw_head_by_hand(layout):
    spec = make_raw_spec(2, 4, (64, 96), layout=layout)
    level = spec.levels[1]
    assert (level.stride_px, level.grid_hw) == (16, (4, 6))
    # Class c in row y and column x holds c * 100 + y * 10 + x.
    numbers = np.arange(2)[:, None, None] * 100 + np.arange(4)[:, None] * 10 + np.arange(6)
    quantized = numbers if layout == "channels-first" else np.moveaxis(numbers, 0, -1)
    outputs = [np.zeros(tensor.shape, int) for tensor in spec.outputs]
    outputs[level.scores.output_index] = quantized.reshape(spec.outputs[level.scores.output_index].shape)
    assert level.scores.view(outputs)[:, 6 * 3 + 5].tolist() == [35, 135]
    assert level.scores.view(outputs)[1, :7].tolist() == [100, 101, 102, 103, 104, 105, 110]


BOXES = TensorSpec("boxes", (1, 4, 84), QuantParams(np.dtype("int8"), 1 / 255, -128))
SCORES = TensorSpec("scores", (1, 2, 84), QuantParams(np.dtype("int8"), 1 / 256, -128))
COEFFICIENTS = TensorSpec("coefficients", (1, 7, 84), INT8)
SEVEN_PROTOTYPES = TensorSpec("protos", (1, 16, 16, 7), INT8)


@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::5], ids=str)
def test_a_decoded_head_in_parts_in_any_order(order):
    tensors = [BOXES, SCORES, COEFFICIENTS, SEVEN_PROTOTYPES]
    nameless = [replace(tensor, name=f"output_{k}") for k, tensor in enumerate(tensors)]
    spec = ModelSpec.from_tensors([INPUT], [nameless[k] for k in order])
    assert [[order[index] for index in level] for level in parts_of(spec)] == [[0, 1, 2]]
    (level,) = spec.levels
    assert [getattr(level, part).quant for part in HEAD_PARTS] == [BOXES.quant, SCORES.quant, COEFFICIENTS.quant]
    assert num_channels(spec) == (4, 2, 7)
    assert order[spec.prototypes_index] == 3


@pytest.mark.parametrize("layout", ["maps", "anchors-first", "channels-first"])
@pytest.mark.parametrize("names", [True, False], ids=["names", "sizes"])
def test_a_raw_head_in_any_order(layout, names, rng):
    tensors = [*raw_tensors(2, 4, layout=layout, names=names), PROTOTYPES]
    for _ in range(20):
        order = rng.permutation(10).tolist()
        spec = ModelSpec.from_tensors([INPUT], [tensors[k] for k in order])
        assert [[order[index] for index in level] for level in parts_of(spec)] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
        assert order[spec.prototypes_index] == 9


#: Outputs of one size, and which of them are boxes, scores and coefficients.
AMBIGUOUS = {
    "decoded-names": (["coefficients", "boxes", "scores"], (4, 4, 4), [1, 2, 0]),
    "decoded-two-names": (["serving_default_scores:0", "x", "serving_default_boxes:0"], (4, 4, 4), [2, 0, 1]),
    "decoded-order": (["output_0", "output_1", "output_2"], (4, 4, 4), [0, 1, 2]),
    "raw-64-classes-names": (["coefficients", "scores", "boxes"], (4, 64, 64), [2, 1, 0]),
    "raw-64-classes-order": (["a", "b", "c"], (4, 64, 64), [1, 2, 0]),
    "raw-4-classes-names": (["coefficients", "scores", "boxes"], (4, 4, 64), [2, 1, 0]),
    "raw-4-classes-order": (["a", "b", "c"], (64, 4, 4), [0, 1, 2]),
    # Eight channels may be two bins or eight classes; sixteen bins are the usual number.
    "raw-usual-bins": (["a", "b", "c"], (8, 64, 4), [1, 0, 2]),
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_parts_of_one_size_are_told_apart(name):
    names, channels, expected = AMBIGUOUS[name]
    if name.startswith("decoded"):
        outputs = [TensorSpec(text, (1, count, 84), INT8) for text, count in zip(names, channels, strict=True)]
    else:
        outputs = [
            TensorSpec(f"{text}_{stride}", raw_shape((64, 64), stride, count, "maps"), INT8)
            for stride in STRIDES_PX
            for text, count in zip(names, channels, strict=True)
        ]
    spec = ModelSpec.from_tensors([INPUT], [*outputs, PROTOTYPES])
    assert parts_of(spec) == [[index + 3 * level for index in expected] for level in range(len(spec.levels))]


def test_a_head_with_as_many_channels_as_anchors_is_channels_first():
    spec = ModelSpec.from_tensors([INPUT], [changed(HEAD, 1, 84, 84), PROTOTYPES])
    assert spec.levels[0].boxes.channels_first


def test_class_names_tell_scores_from_coefficients():
    outputs = [TensorSpec(f"output_{k}", (1, count, 84), INT8) for k, count in enumerate((4, 4, 2))]
    spec = ModelSpec.from_tensors([INPUT], [*outputs, PROTOTYPES], ["a", "b"])
    assert parts_of(spec) == [[0, 2, 1]]


def test_class_names_tell_scores_from_boxes():
    """Both 32 and 64 channels may be boxes; without names, those of the usual 16 bins are."""
    outputs = [
        TensorSpec(f"output_{k}_{stride}", raw_shape((64, 64), stride, count, "maps"), INT8)
        for stride in STRIDES_PX
        for k, count in enumerate((32, 64, 4))
    ]
    assert ModelSpec.from_tensors([INPUT], [*outputs, PROTOTYPES]).box_bins == 16
    assert ModelSpec.from_tensors([INPUT], [*outputs, PROTOTYPES], ["x"] * 64).box_bins == 8


PER_CHANNEL = QuantParams(np.dtype("int8"), 0.0, 0)
INT16 = QuantParams(np.dtype("int16"), 0.1, 0)
FLOAT16 = QuantParams(np.dtype("float16"))
RAW = raw_tensors()

BAD_INPUTS = {
    "none": ([], "expected one input"),
    "two": ([INPUT, INPUT], "expected one input"),
    "nchw": ([changed(INPUT, 1, 3, 64, 64)], "(NHWC, RGB)"),
    "grey": ([changed(INPUT, 1, 64, 64, 1)], "(NHWC, RGB)"),
    "batch-of-two": ([changed(INPUT, 2, 64, 64, 3)], "expected one input"),
    "without-batch": ([changed(INPUT, 64, 64, 3)], "expected one input"),
    "60-rows": ([changed(INPUT, 1, 60, 64, 3)], "64x60, expected multiples of 32"),
    "no-rows": ([changed(INPUT, 1, 0, 64, 3)], "64x0, expected multiples of 32"),
    "dynamic": ([changed(INPUT, 1, -1, 64, 3)], "64x-1, expected multiples"),
    "per-channel": ([changed(INPUT, quant=PER_CHANNEL)], "'images' has no scale"),
    "int16": ([changed(INPUT, quant=INT16)], "'images' is int16, expected int8, uint8, float32"),
}
BAD_OUTPUTS = {
    "none": ([], "expected prototypes of 1 x 16 x 16 x count"),
    "prototypes-only": ([PROTOTYPES], "expected prototypes and a head of 1 output, of 3"),
    "detection-only": ([HEAD], "this looks like a detection model"),
    "two-detection-heads": ([HEAD, HEAD], "this looks like a detection model"),
    "two-heads": ([HEAD, PROTOTYPES, HEAD], "expected prototypes and a head of 1 output, of 3"),
    "four-parts": ([BOXES, SCORES, COEFFICIENTS, BOXES, PROTOTYPES], "(these for each of the strides 8, 16, 32)"),
    "parts-of-odd-sizes": ([HEAD, HEAD, HEAD, PROTOTYPES], "expected outputs of 4 channels for the boxes"),
    "no-coefficients": ([BOXES, SCORES, HEAD, SEVEN_PROTOTYPES], "7 for the mask coefficients"),
    "head-without-batch": ([changed(HEAD, 10, 84), PROTOTYPES], "a head of 1 x channels x 84"),
    "head-of-two": ([changed(HEAD, 2, 10, 84), PROTOTYPES], "a head of 1 x channels x 84 or 1 x 84 x channels"),
    "anchors": ([changed(HEAD, 1, 10, 85), PROTOTYPES], "a head of 1 x channels x 84"),
    "too-many-classes": (
        [changed(HEAD, 1, 8 + MAX_CLASSES + 1, 84), PROTOTYPES],
        "10001 classes, expected at most 10000",
    ),
    "no-classes": ([changed(HEAD, 1, 8, 84), PROTOTYPES], "8 channels, expected 4 for the box, at least 1 class"),
    "few-channels": ([changed(HEAD, 1, 84, 3), PROTOTYPES], "3 channels, expected 4 for the box, at least 1 class"),
    "nchw-prototypes": ([HEAD, changed(PROTOTYPES, 1, 4, 16, 16)], "1 x 16 x 16 x count"),
    "prototypes-size": ([HEAD, changed(PROTOTYPES, 1, 32, 32, 4)], "1 x 16 x 16 x count"),
    "no-prototypes": ([HEAD, changed(PROTOTYPES, 1, 16, 16, 0)], "1 x 16 x 16 x count"),
    "per-channel": ([changed(HEAD, quant=PER_CHANNEL), PROTOTYPES], "'head' has no scale of its own"),
    "scale-nan": ([changed(HEAD, quant=replace(INT8, scale=float("nan"))), PROTOTYPES], "'head' has no scale"),
    "scale-infinite": ([HEAD, changed(PROTOTYPES, quant=replace(INT8, scale=float("inf")))], "'protos' has no scale"),
    "zero-point-above": (
        [changed(HEAD, quant=replace(INT8, zero_point=128)), PROTOTYPES],
        "'head' has the zero point 128, expected -128 to 127",
    ),
    "zero-point-below": (
        [HEAD, changed(PROTOTYPES, quant=replace(UINT8, zero_point=-1))],
        "'protos' has the zero point -1, expected 0 to 255",
    ),
    "float16": ([changed(HEAD, quant=FLOAT16), PROTOTYPES], "'head' is float16, expected int8"),
    "raw-without-prototypes": (RAW, "expected prototypes of 1 x 16 x 16 x count"),
    "raw-eight": ([*RAW[1:], PROTOTYPES], "expected prototypes and a head of 1 output"),
    "raw-other-grid": (
        [*raw_tensors(input_hw=(64, 96)), PROTOTYPES],
        "3 outputs of each of 8 x 8, 4 x 4, 2 x 2 anchors",
    ),
    "raw-one-twice": ([*RAW[:6], *RAW[3:6], PROTOTYPES], "3 outputs of each of 8 x 8, 4 x 4, 2 x 2 anchors"),
    "raw-two-layouts": (
        [*raw_tensors(layout="anchors-first")[:3], *raw_tensors(layout="channels-first")[3:], PROTOTYPES],
        "3 outputs of each of 8 x 8",
    ),
    "raw-half-a-bin": (
        [
            TensorSpec(f"{part}_{stride}", raw_shape((64, 64), stride, count, "maps"), INT8_LOGITS)
            for stride in STRIDES_PX
            for part, count in zip(HEAD_PARTS, (10, 2, 4), strict=True)
        ]
        + [PROTOTYPES],
        "4 x bins channels for the boxes",
    ),
    "raw-one-bin": ([*raw_tensors(box_bins=1), PROTOTYPES], "4 x bins channels for the boxes"),
    "raw-other-coefficients": ([*raw_tensors(num_coefficients=3), PROTOTYPES], "4 for the mask coefficients"),
    "raw-classes-differ": (
        [*RAW[:3], *raw_tensors(num_classes=3)[3:6], *RAW[6:], PROTOTYPES],
        "the same numbers of channels for each stride",
    ),
    "raw-per-channel": ([*RAW[:8], changed(RAW[8], quant=PER_CHANNEL), PROTOTYPES], "'coefficients_32' has no scale"),
}
REFUSED = [
    pytest.param(inputs, [HEAD, PROTOTYPES], text, id=f"input-{name}") for name, (inputs, text) in BAD_INPUTS.items()
]
REFUSED += [pytest.param([INPUT], outputs, text, id=name) for name, (outputs, text) in BAD_OUTPUTS.items()]


@pytest.mark.parametrize(("inputs", "outputs", "message"), REFUSED)
def test_a_refused_model_is_described(inputs, outputs, message):
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


@pytest.mark.parametrize("outputs", [[HEAD], raw_tensors(2, 4)], ids=["decoded", "raw"])
@pytest.mark.parametrize("names", [[], ["cat"], ["cat", "dog", "cow"]], ids=len)
def test_names_that_do_not_fit(names, outputs):
    with pytest.raises(ModelError, match=f"{len(names)} class names for a model of 2 classes"):
        ModelSpec.from_tensors([INPUT], [*outputs, PROTOTYPES], names)


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
